"""What the server sends on one HTTP/2 connection: frames at once, replies as far as the peer's windows let them.

The rules are those of RFC 9113 (5.2 and 6.9). What a frame of the peer costs here depends neither on how many streams
are open nor on how long their replies are: the window of a stream is kept relative to the initial one, streams that may
send take turns in a queue, and what they send is cut when it is asked for, in `Sender.take`.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from threadd.web.http2_frames import HEAD, MAX_FRAME_BYTES, MAX_WINDOW, ConnectionEndedError, ErrorCode, Kind

STREAM_WINDOW: Final = 65_535
"""How many bytes a client may send on a stream before it is allowed more (`ServerConnection.allow`)."""

FIRST_WINDOW: Final = 65_535
"""How large every window is before anything is said about it (RFC 9113, 6.9.2)."""

_BYTES_AT_ONCE: Final = 64 * 1024
_FRAMES_AT_ONCE: Final = 1_000
"""How much is taken at once at most, so that a connection with much to send lets others have their turn."""

_STALE_ENTRIES: Final = 64


@dataclass(slots=True, eq=False)
class Stream:
    """One stream.

    Args:
        id: Its number.
        credit: How many bytes more than the initial window of the connection may be sent on it; mostly negative.
        receive_window: How many bytes the peer may send on it.
        remote_open: Whether the peer may send more.
        waiting: What waits to be sent.
        trailers: The header block that ends the stream once nothing waits; None while there may be more.
        owner: Whatever `Streams` keeps about it.
    """

    id: int
    credit: int = 0
    receive_window: int = STREAM_WINDOW
    remote_open: bool = True
    waiting: deque[memoryview] = field(default_factory=deque)
    trailers: bytes | None = None
    owner: object = None


class Sender:
    """The sending half of a connection.

    Args:
        all_sent: Is called with a stream when nothing of it waits any more.
    """

    def __init__(self, all_sent: Callable[[Stream], None]) -> None:
        self._all_sent = all_sent
        self._out: list[bytes | memoryview] = []
        self._size = 0
        self._window = FIRST_WINDOW
        self._initial_window = FIRST_WINDOW
        self._ending: OrderedDict[int, Stream] = OrderedDict()
        """Streams of which only trailers are left, which need no window."""
        self._ready: OrderedDict[int, Stream] = OrderedDict()
        """Streams that may send when it is their turn; a smaller initial window is noticed only then."""
        self._held: dict[int, Stream] = {}
        """Streams whose own window was used up when they were looked at last."""
        self._by_credit: list[tuple[int, int]] = []
        """The held streams as a heap of negative credit and number, the one with the largest window first; entries of
        streams that are held no longer, or with another credit, are passed over."""

    @property
    def is_full(self) -> bool:
        """Whether as much is to be taken as is taken at once."""
        return self._size >= _BYTES_AT_ONCE

    @property
    def can_send(self) -> bool:
        """Whether `take` would give anything."""
        if self._out or self._ending:
            return True
        return self._window > 0 and (bool(self._ready) or self._released() is not None)

    @property
    def is_waiting(self) -> bool:
        """Whether anything is to be sent, now or once the peer's windows let it."""
        return bool(self._out or self._ending or self._ready or self._held)

    def put(self, data: bytes) -> None:
        """Send a frame that needs no window."""
        self._out.append(data)
        self._size += len(data)

    def send(self, stream: Stream, data: bytes) -> bool:
        """Send data on a stream, after what waits there.

        Returns:
            Whether nothing of the stream waits.
        """
        if not data:
            return not stream.waiting
        if stream.waiting:
            stream.waiting.append(memoryview(data))
            return False
        room = min(MAX_FRAME_BYTES, self._window, self._initial_window + stream.credit)
        if len(data) <= room and not self._ready and not self.is_full:
            self._put_data(stream, data)
            return True
        stream.waiting.append(memoryview(data))
        self._queue(stream)
        return False

    def end(self, stream: Stream) -> bool:
        """Whether the trailers of a stream may go out now; if not, `all_sent` says when."""
        if not stream.waiting and self.is_full:
            self._ending[stream.id] = stream
        return not (stream.waiting or self.is_full)

    def drop(self, stream: Stream) -> None:
        """Send nothing more of what waits on a stream."""
        stream.waiting.clear()
        self._ending.pop(stream.id, None)
        self._ready.pop(stream.id, None)
        self._held.pop(stream.id, None)

    def take(self) -> bytes:
        """What is to be sent next, at most about 64 KiB; it counts as sent. `can_send` says whether there is more."""
        if self._ready or self._by_credit or self._ending:
            for _ in range(_FRAMES_AT_ONCE):
                if self.is_full or not self._advance():
                    break
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        self._size = 0
        return data

    def open_window(self, size: int) -> None:
        """Let so many bytes more be sent on the connection.

        Raises:
            ConnectionEndedError: The window would be too large, or grow by nothing.
        """
        self._window += size
        if size == 0 or self._window > MAX_WINDOW:
            code = ErrorCode.FLOW_CONTROL_ERROR if size else ErrorCode.PROTOCOL_ERROR
            raise ConnectionEndedError(code, "a window cannot be that large, or grow by nothing")

    def open_stream_window(self, stream: Stream, size: int) -> bool:
        """Let so many bytes more be sent on a stream.

        Returns:
            Whether its window can be that large.

        Raises:
            ConnectionEndedError: A larger initial window had made it too large already. That is noticed here: to look
                for such streams when the initial window changes would be to visit all of them.
        """
        window = self._initial_window + stream.credit
        if window > MAX_WINDOW:
            raise ConnectionEndedError(ErrorCode.FLOW_CONTROL_ERROR, "a window cannot be that large")
        if window + size > MAX_WINDOW:
            return False
        stream.credit += size
        if self._held.pop(stream.id, None) is not None:
            self._queue(stream)
        return True

    def set_initial_window(self, size: int) -> None:
        """Let every stream, open or yet to come, have a window larger or smaller by the difference."""
        self._initial_window = size

    def _advance(self) -> bool:
        """Send one frame, or look at one stream that cannot; returns whether there was anything to do."""
        if self._ending:
            _, stream = self._ending.popitem(last=False)
            self._all_sent(stream)
            return True
        turn = self._next() if self._window > 0 else None
        if turn is not None:
            self._send_some(turn)
        return turn is not None

    def _next(self) -> Stream | None:
        """The stream whose turn it is; one that a larger initial window released joins the others each time.

        One at most, so that the work for those is in proportion to what is sent.
        """
        released = self._released()
        if released is not None:
            del self._held[released.id]
            self._ready[released.id] = released
        return self._ready.popitem(last=False)[1] if self._ready else None

    def _released(self) -> Stream | None:
        while self._by_credit:
            negative, number = self._by_credit[0]
            stream = self._held.get(number)
            if stream is not None and stream.credit == -negative:
                return stream if self._initial_window > negative else None
            heapq.heappop(self._by_credit)
        return None

    def _send_some(self, stream: Stream) -> None:
        """Send a frame of what waits on a stream, if its window lets it."""
        piece = stream.waiting[0]
        room = min(len(piece), MAX_FRAME_BYTES, self._window, self._initial_window + stream.credit)
        if room > 0:
            self._put_data(stream, piece[:room])
            if room < len(piece):
                stream.waiting[0] = piece[room:]
            else:
                stream.waiting.popleft()
        if stream.waiting:
            self._queue(stream)
        else:
            self._all_sent(stream)

    def _put_data(self, stream: Stream, data: bytes | memoryview) -> None:
        size = len(data)
        self._out += (HEAD.pack(size >> 8, size & 0xFF, Kind.DATA, 0, stream.id), data)
        self._size += HEAD.size + size
        self._window -= size
        stream.credit -= size

    def _queue(self, stream: Stream) -> None:
        if self._initial_window + stream.credit > 0:
            self._ready[stream.id] = stream
            return
        self._held[stream.id] = stream
        heapq.heappush(self._by_credit, (-stream.credit, stream.id))
        if len(self._by_credit) > 2 * len(self._held) + _STALE_ENTRIES:
            self._by_credit = [(-held.credit, held.id) for held in self._held.values()]
            heapq.heapify(self._by_credit)
