"""Connections over HTTP/1.1 whose bytes are given to uvicorn a little at a time, in turn with those of others.

uvicorn parses whatever it receives at once: a second and more for what a client can send in a quarter of a megabyte of
small chunks or frames. It also answers pings of websockets whether or not the answers are read.
"""

import asyncio
from typing import Any, Final, cast

from threadd.web.turns import Turns, TurnsProtocol

PART_BYTES: Final = 1024
"""How much is given to uvicorn at once: two milliseconds of work, if it is chunks of a byte."""


class PacedProtocol(TurnsProtocol):
    """Stands between a transport and a protocol of uvicorn.

    Nothing is given to it while it wants nothing, or while the client does not read what is sent to it.

    Args:
        turns: Those of the loop.
        inner: The protocol.
    """

    def __init__(self, turns: Turns, inner: asyncio.Protocol) -> None:
        self._turns = turns
        self.inner = inner
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._at = 0
        self._is_wanted = True
        self._is_writable = True
        self._is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self.inner.connection_made(_PacedTransport(self._transport, self))

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`; what was not given to uvicorn yet is lost, as what is in the socket."""
        self._transport = None
        self._unread, self._at = b"", 0
        self.inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._is_writable = False
        self.inner.pause_writing()
        self._read_or_not()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._is_writable = True
        self.inner.resume_writing()
        self._read_or_not()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._unread, self._at = self._unread[self._at :] + data, 0
        if not self._is_waiting:
            self._give_some()
            self._read_or_not()

    def want(self, *, is_wanted: bool) -> None:
        """Give what comes to uvicorn, or not for now."""
        self._is_wanted = is_wanted
        self._read_or_not()

    def _may_give(self) -> bool:
        is_open = self._transport is not None and not self._transport.is_closing()
        return is_open and self._is_wanted and self._is_writable and self._at < len(self._unread)

    def _give_some(self) -> bool:
        """Give uvicorn a part of what came; returns whether it may have more."""
        if self._may_give():
            start, self._at = self._at, self._at + PART_BYTES
            self.inner.data_received(self._unread[start : self._at])
        return self._may_give()

    def _turn(self) -> bool:
        try:
            self._is_waiting = self._give_some()
        except Exception:
            if self._transport is not None:
                self._transport.abort()
            raise
        if not self._is_waiting:
            self._read_or_not()
        return self._is_waiting

    def _read_or_not(self) -> None:
        """Wait for a turn if uvicorn may have more of what came; read on if there is nothing left of that."""
        if self._transport is None or self._is_waiting:
            return
        if self._may_give():
            self._is_waiting = True
            self._turns.add(self._turn)
        if self._at < len(self._unread) or not (self._is_wanted and self._is_writable):
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


class _PacedTransport(asyncio.Transport):
    """What uvicorn sees of a transport."""

    def __init__(self, transport: asyncio.Transport, paced: PacedProtocol) -> None:
        super().__init__()
        self._transport = transport
        self._paced = paced

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        self._paced.want(is_wanted=False)

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        self._paced.want(is_wanted=True)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.BaseTransport`: a request became a websocket."""
        self._paced.inner = cast("asyncio.Protocol", protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.BaseTransport`."""
        return self._transport.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `asyncio.WriteTransport`."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport`."""
        return self._transport.is_closing()

    def close(self) -> None:
        """See `asyncio.BaseTransport`."""
        self._transport.close()

    def abort(self) -> None:
        """See `asyncio.WriteTransport`."""
        self._transport.abort()
