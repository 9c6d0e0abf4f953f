"""A door that speaks grpc-web: uvicorn in this process, in front of the application."""

import asyncio
from typing import Final

from threadd.api.dispatcher import Dispatcher
from threadd.tls import Tls
from threadd.web.app import web_app
from threadd.web.call_sockets import CallSocket
from threadd.web.calls import Calls
from threadd.web.origins import OriginRule
from threadd.web.proxies import NO_PROXIES, TrustedProxies
from threadd.web.server import DoorServer, config_of
from threadd.web.sockets import bind
from threadd.web.turns import Turns

PING_SECONDS: Final = 5.0
"""How often a websocket's client is sent a ping; the reference's default."""

_SLACK: Final = 2
"""How many times the dispatcher's limit a websocket message may have before the connection is closed over it."""

# How long closed connections may take to end once no call is left, in seconds.
_LINGER: Final = 1


class WebDoor:
    """One listening grpc-web address.

    Every message size is the dispatcher's to limit: a larger one is RESOURCE_EXHAUSTED; over a websocket, one of more
    than twice the limit ends the connection.

    Args:
        dispatcher: Answers the calls.
        host: An IP address or a host name, an IPv6 address without brackets.
        port: The port; 0 takes a free one.
        tls: What to speak TLS with; None for plain text.
        rule: Which pages and host names are answered; None for all.
        proxies: Those that are believed about their clients, by `X-Forwarded-For`.
        turns: Those of the loop; of this endpoint alone if left out.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        host: str,
        port: int,
        tls: Tls | None = None,
        rule: OriginRule | None = None,
        proxies: TrustedProxies = NO_PROXIES,
        turns: Turns | None = None,
    ) -> None:
        self._host = host
        self._calls = Calls(dispatcher, rule, proxies)
        self._tls = tls
        self._turns = turns or Turns()
        self._server: DoorServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self.port = port
        """The port that is listened on."""

    @property
    def open_streams(self) -> int:
        """How many calls run now, unary ones included."""
        return self._calls.running

    async def open(self) -> int:
        """Listen and answer calls from now on; must be called on the event loop that shall serve them.

        Returns:
            The port.

        Raises:
            DoorError: The address is taken or makes no sense.
        """
        sockets = await bind(self._host, self.port)
        self.port = sockets[0].getsockname()[1]
        server = DoorServer(
            config_of(
                web_app(self._calls),
                self._tls,
                self._turns,
                ws=CallSocket,
                backlog=1024,
                timeout_graceful_shutdown=_LINGER,
                ws_max_size=self._calls.dispatcher.max_message_bytes * _SLACK,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=None,
                ws_per_message_deflate=False,
            )
        )
        self._serving = await server.start(sockets)
        self._server = server
        return self.port

    async def close(self, grace: float = 0.0) -> None:
        """Take no more calls, let those that run finish, then end what is left.

        Args:
            grace: How long to let them finish, in seconds.
        """
        server, serving = self._server, self._serving
        if server is None or serving is None:
            return
        self._server = self._serving = None
        for listening in server.servers:
            listening.close()
        await self._calls.close(grace)
        server.should_exit = True
        await serving
        server.abort()
