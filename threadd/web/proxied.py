"""Connections that come through trusted proxies, over which the PROXY protocol says where their clients are.

The header comes before anything else, TLS included. It is looked at while it stays in the socket (`MSG_PEEK`), and no
byte more than it has is taken out: what follows is read by whatever speaks next.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from store import background
from threadd.web.peers import peer_text
from threadd.web.proxies import MAX_HEADER_BYTES, ProxyHeaderError, TrustedProxies, read_header

HEADER_SECONDS = 5.0
"""How long a proxy may take to send its header."""

_LOOK_SECONDS: Final = 0.02
_SAY_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 1.0
_NAME: Final = "proxied connections"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class ProxiedListener:
    """Accepts connections at one address; takes the place of `asyncio.Server` where there are trusted proxies.

    Args:
        bound: Listens already, and does not block.
        protocol: Makes the protocol of a connection, given where its client is, as gRPC writes it.
        context: What to speak TLS with; None for plain text.
        proxies: Those that are believed about their clients.
    """

    def __init__(
        self,
        bound: socket.socket,
        protocol: Callable[[str], asyncio.BaseProtocol],
        context: ssl.SSLContext | None,
        proxies: TrustedProxies,
    ) -> None:
        self._bound = bound
        self._protocol = protocol
        self._context = context
        self._proxies = proxies
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._refused = 0
        self._say_after = 0.0
        self._accepting = background.spawn(_NAME, self._accept, restart=_PAUSE_SECONDS)

    def close(self) -> None:
        """Accept no more; connections that have begun stay."""
        self._accepting.cancel()
        for task in self._beginning:
            task.cancel()
        self._bound.close()

    async def _accept(self) -> None:
        while True:
            try:
                accepted, address = await self._loop.sock_accept(self._bound)
            except OSError as error:
                # Such as a lack of descriptors; others may be closed meanwhile.
                log.warning("cannot accept a connection", error=str(error))
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            task = background.spawn(_NAME, partial(self._begin, accepted, address))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, accepted: socket.socket, address: tuple[str, int]) -> None:
        """Find out where the client is, and have the protocol speak with it."""
        try:
            if address[0] in self._proxies:
                async with asyncio.timeout(HEADER_SECONDS):
                    address = await _source(accepted) or address
            peer = peer_text(address)
        except (TimeoutError, ProxyHeaderError) as error:
            accepted.close()
            self._refuse(address[0], str(error) or f"none came within {HEADER_SECONDS:g} s")
            return
        except OSError:
            # As a look whether the port is open ends.
            accepted.close()
            return
        except BaseException:
            accepted.close()
            raise
        try:
            await self._loop.connect_accepted_socket(lambda: self._protocol(peer), accepted, ssl=self._context)
        except OSError:
            # The client has gone, or speaks no TLS; its transport is closed by now.
            return

    def _refuse(self, proxy: str, reason: str) -> None:
        """Say that a connection was refused, but not each time: who sends what the proxy hands on may send much."""
        self._refused += 1
        now = self._loop.time()
        if now >= self._say_after:
            log.warning("no PROXY header of a trusted proxy", proxy=proxy, reason=reason, connections=self._refused)
            self._refused, self._say_after = 0, now + _SAY_SECONDS


async def _source(accepted: socket.socket) -> tuple[str, int] | None:
    """Take the header off a connection; returns where the proxy's client is, or None where it is the proxy's own.

    Raises:
        ProxyHeaderError: It is malformed.
        OSError: The connection has ended.
    """
    pause = _LOOK_SECONDS
    while True:
        data = await _peek(accepted)
        header = read_header(data)
        if header is not None:
            # It is there as a whole, so that this blocks nobody.
            accepted.recv(header.length)
            return header.source
        if not data:
            raise ConnectionResetError("it ended before its header")
        # What was looked at is still there to be read, so that the socket cannot be waited for. Proxies send their
        # header at once; the others are looked after less and less, or many of them would keep the loop busy.
        await asyncio.sleep(pause)
        pause *= 2


async def _peek(accepted: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    while True:
        try:
            return accepted.recv(MAX_HEADER_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(accepted, _set, readable)
            try:
                await readable
            finally:
                loop.remove_reader(accepted)


def _set(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)
