"""The gateway's door: uvicorn in this process, in front of its pages."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from threadd.tls import Tls
from threadd.web.sockets import DoorError, bind


class GatewayDoor:
    """One listening address.

    Args:
        app: Answers the requests.
        host: An IP address or a host name, an IPv6 address without brackets.
        port: The port; 0 takes a free one.
        tls: What to speak TLS with; None for plain text.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, tls: Tls | None = None) -> None:
        self._app = app
        self._host = host
        self._tls = tls
        self._server: _Server | None = None
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
        self._server = server = _Server(self._config())
        self._serving = asyncio.ensure_future(server.serve(sockets))
        started = asyncio.ensure_future(server.listening.wait())
        await asyncio.wait({self._serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._serving.done():
            raise DoorError(f"cannot listen on port {self.port}") from self._serving.exception()
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

    def _config(self) -> uvicorn.Config:
        config = uvicorn.Config(
            self._app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        config.load()
        config.ssl = None if self._tls is None else self._tls.context
        return config


class _Server(uvicorn.Server):
    """A server whose signals and end are the daemon's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals of the process alone."""
        yield

    def abort(self) -> None:
        """Drop connections whose clients do not take what is left for them."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
