"""An endpoint for plain HTTP, as the gateway and the console have one: uvicorn in this process, in front of pages."""

import asyncio

from starlette.types import ASGIApp

from threadd.tls import Tls
from threadd.web.server import DoorServer, config_of
from threadd.web.sockets import bind
from threadd.web.turns import Turns


class GatewayDoor:
    """One listening address.

    Args:
        app: Answers the requests.
        host: An IP address or a host name, an IPv6 address without brackets.
        port: The port; 0 takes a free one.
        tls: What to speak TLS with; None for plain text.
        turns: Those of the loop; of this endpoint alone if left out.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, tls: Tls | None = None, turns: Turns | None = None) -> None:
        self._app = app
        self._host = host
        self._tls = tls
        self._turns = turns or Turns()
        self._server: DoorServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self.port = port
        """The port that is listened on."""

    async def open(self) -> int:
        """Listen and answer from now on; must be called on the event loop that shall serve.

        Returns:
            The port.

        Raises:
            DoorError: The address is taken or makes no sense.
        """
        sockets = await bind(self._host, self.port)
        self.port = sockets[0].getsockname()[1]
        self._server = server = DoorServer(config_of(self._app, self._tls, self._turns, ws="none"))
        self._serving = await server.start(sockets)
        return self.port

    async def close(self, grace: float = 0.0) -> None:
        """Take no more requests, let those that run finish, then end what is left.

        Args:
            grace: How long to let them finish, in seconds.
        """
        server, serving = self._server, self._serving
        if server is None or serving is None:
            return
        self._server = self._serving = None
        server.config.timeout_graceful_shutdown = max(1, round(grace))
        server.should_exit = True
        await serving
        server.abort()
