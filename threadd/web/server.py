"""uvicorn in this process: what every door over HTTP/1.1 stands on."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from store import background
from threadd.tls import Tls
from threadd.web.hosts import WellFormedRequests
from threadd.web.paced import PacedProtocol
from threadd.web.sockets import DoorError
from threadd.web.turns import Turns


def config_of(app: ASGIApp, tls: Tls | None, turns: Turns, **options: Any) -> uvicorn.Config:
    """What uvicorn is to do for a door; it sets up no logs and tells nobody what it is.

    Args:
        app: Answers the requests that are well formed; the others get a 400.
        tls: What to speak TLS with; None for plain text.
        turns: Those of the loop.
        options: More options of uvicorn.
    """

    def protocol(**of_connection: Any) -> PacedProtocol:
        return PacedProtocol(turns, H11Protocol(**of_connection))

    config = uvicorn.Config(
        WellFormedRequests(app),
        http=cast("type[asyncio.Protocol]", protocol),
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        **options,
    )
    config.load()
    config.ssl = None if tls is None else tls.context
    return config


class DoorServer(uvicorn.Server):
    """A server whose signals and end are the daemon's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def start(self, sockets: list[socket.socket]) -> asyncio.Task[None]:
        """Serve from now on.

        Args:
            sockets: Bound, all of them at one port.

        Returns:
            What serves; it ends once `should_exit` is set.

        Raises:
            DoorError: It cannot listen there.
        """
        serving = asyncio.ensure_future(self.serve(sockets))
        started = asyncio.ensure_future(self.listening.wait())
        await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if serving.done():
            raise DoorError(f"cannot listen on port {sockets[0].getsockname()[1]}") from serving.exception()
        background.watch("web server", serving)
        return serving

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
