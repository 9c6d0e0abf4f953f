"""A door that speaks gRPC over HTTP/2, in this process and on this loop.

It takes the place of grpc.aio at the doors: see decision 0006 for what that is worth.
"""

import asyncio
from typing import Final

from store import background
from threadd.api.dispatcher import Dispatcher
from threadd.tls import Tls
from threadd.web.grpc_calls import Connections, GrpcConnection
from threadd.web.proxied import ProxiedListener
from threadd.web.proxies import NO_PROXIES, TrustedProxies
from threadd.web.sockets import bind
from threadd.web.turns import Turns

_KEEPALIVE_SECONDS: Final = 60.0
"""How long a client may be silent before it is asked whether it is there."""

_SILENCE_SECONDS: Final = 80.0
"""How long it may be silent at all, or read nothing of what is sent; a peer that vanished is noticed, so that its
streams end."""

_LOOK_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 2.0


class GrpcDoor:
    """One listening gRPC address.

    Every message size is the dispatcher's to limit: a larger one is RESOURCE_EXHAUSTED. Replies have no limit here.

    Args:
        dispatcher: Answers the calls.
        host: An IP address or a host name, an IPv6 address without brackets.
        port: The port; 0 takes a free one.
        tls: What to speak TLS with; None for plain text.
        proxies: Those that are believed about their clients, by the PROXY protocol.
        turns: Those of the loop; of this endpoint alone if left out.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        host: str,
        port: int,
        tls: Tls | None = None,
        proxies: TrustedProxies = NO_PROXIES,
        turns: Turns | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._proxies = proxies
        self._host = host
        self._tls = tls
        self._turns = turns or Turns()
        self._servers: list[asyncio.Server | ProxiedListener] = []
        self._connections = Connections()
        self._watching: asyncio.Task[None] | None = None
        self.port = port
        """The port that is listened on."""

    @property
    def open_streams(self) -> int:
        """How many calls run now, unary ones included."""
        return sum(len(connection.tasks) for connection in self._connections.open)

    async def open(self) -> int:
        """Listen and answer calls from now on; must be called on the event loop that shall serve them.

        Returns:
            The port.

        Raises:
            DoorError: The address is taken or makes no sense.
        """
        sockets = await bind(self._host, self.port)
        self.port = sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        context = None if self._tls is None else self._tls.grpc_context
        for bound in sockets:
            if self._proxies.networks:
                self._servers.append(ProxiedListener(bound, self._connection, context, self._proxies))
            else:
                self._servers.append(await loop.create_server(self._connection, sock=bound, ssl=context, backlog=1024))
        self._watching = background.spawn("keepalive", self._watch, restart=_LOOK_SECONDS)
        return self.port

    def _connection(self, peer: str = "") -> GrpcConnection:
        return GrpcConnection(self._dispatcher, self._connections, self._turns, peer)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._look()

    def _look(self) -> None:
        """Ask clients that are silent whether they are there, and hang up on those that vanished.

        It keeps no connection longer than it runs.
        """
        now = asyncio.get_running_loop().time()
        for connection in list(self._connections.open):
            silence = now - connection.heard
            if max(silence, now - connection.unread_since()) > _SILENCE_SECONDS:
                connection.abort()
            elif silence > _KEEPALIVE_SECONDS:
                connection.ping()

    async def close(self, grace: float = 0.0) -> None:
        """Take no more calls, let those that run finish, then end what is left.

        Args:
            grace: How long to let them finish, in seconds.
        """
        if self._watching is None:
            return
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        self._watching = None
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._connections.open):
            connection.say_goodbye()
        tasks = [task for connection in self._connections.open for task in connection.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_PATIENCE_SECONDS)
        await asyncio.sleep(0)  # what they said last goes out at the end of this turn of the loop
        for connection in list(self._connections.open):
            connection.hang_up()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._connections.none.wait()
        except TimeoutError:
            return
