"""One HTTP/2 connection between asyncio and the state machine: what is read and written when, and how it ends."""

import asyncio
from typing import Final, cast

from threadd.web.http2 import ServerConnection, Streams
from threadd.web.http2_frames import ConnectionEndedError
from threadd.web.turns import Turns, TurnsProtocol

_WORK_AT_ONCE: Final = 250
"""How much work may be done when something comes, as `ServerConnection.receive` counts it: that of a call or two."""

_WORK_A_PART: Final = 1_000
"""How much of the rest is done each time that it is this connection's turn."""

_HANG_UP_SECONDS: Final = 1.0
"""How long a client may take to read what is left for it when the connection ends."""


class Http2Protocol(TurnsProtocol):
    """Reads and writes for a connection; nothing is taken of it while the client does not read.

    Args:
        streams: Is told what happens on its streams.
        turns: Those of the loop.
    """

    def __init__(self, streams: Streams, turns: Turns) -> None:
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._http2 = ServerConnection(streams)
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_behind = False
        self._is_flushing = False
        self._is_over = False
        self._hanging_up: asyncio.TimerHandle | None = None
        self._written = 0
        self._read = 0
        self._read_at = self._loop.time()
        self.heard = self._loop.time()
        """When its client last said anything, in seconds of the loop's clock."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it went is no matter
        """See `asyncio.Protocol`."""
        self._transport = None
        self._writable.set()
        if self._hanging_up is not None:
            self._hanging_up.cancel()
        self._http2.close()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.heard = self._loop.time()
        if self._receive(data, _WORK_AT_ONCE) and not self._is_behind:
            self._is_behind = True
            if self._transport is not None:
                self._transport.pause_reading()
            self._turns.add(self._turn)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._writable.set()
        self.flush_soon()

    def unread_since(self) -> float:
        """When the client last read something, or there was nothing to read, in seconds of the loop's clock."""
        unread = 0 if self._transport is None else self._transport.get_write_buffer_size()
        read = self._written - unread
        if read != self._read or not unread:
            self._read, self._read_at = read, self._loop.time()
        return self._read_at

    def ping(self) -> None:
        """Ask whether the client is there."""
        self._http2.ping()
        self._flush()

    def hang_up(self) -> None:
        """Hang up once the client has read what waits for it, or has had the time to."""
        if self._hanging_up is None and self._transport is not None:
            self._hanging_up = self._loop.call_later(_HANG_UP_SECONDS, self.abort)
            self._flush()

    def abort(self) -> None:
        """Hang up now; what was not read is lost."""
        if self._transport is not None:
            self._transport.abort()

    def flush_soon(self) -> None:
        """Send what there is at the end of this turn of the loop, with what else comes in it."""
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def received_some(self) -> None:
        """Is called after a part of what came, when its streams have been told."""

    def _turn(self) -> bool:
        try:
            self._is_behind = self._receive(b"", _WORK_A_PART)
        except Exception:
            self.abort()
            raise
        if not (self._is_behind or self._is_over or self._transport is None):
            self._transport.resume_reading()
        return self._is_behind

    def _receive(self, data: bytes, work: int) -> bool:
        """Do a part of the work that what came makes; returns whether there is more to do."""
        if self._transport is None or self._is_over:
            return False
        try:
            is_behind = self._http2.receive(data, work)
        except ConnectionEndedError:
            self._is_over = True
            self._http2.close()
            self._transport.write(self._http2.take())
            self.hang_up()
            return False
        self.received_some()
        self._flush()
        return is_behind

    def _flush(self) -> None:
        """Send what there is, unless the client does not read; `resume_writing` goes on then."""
        self._is_flushing = False
        if self._transport is None or not self._writable.is_set():
            return
        data = self._http2.take()
        if data:
            self._written += len(data)
            self._transport.write(data)
        if self._http2.can_send:
            self.flush_soon()
        elif self._hanging_up is not None and not self._http2.is_waiting:
            self._transport.close()
