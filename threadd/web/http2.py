"""The server's side of one HTTP/2 connection, as far as gRPC needs it (RFC 9113); it does no input or output itself.

Bytes that came go into `receive`, which calls a `Streams`; what is to be sent gathers until `take`. Headers are read by
the hpack library; those that we send are few and never change the peer's table, so they are written as literals.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from hpack import Decoder
from hpack.exceptions import HPACKError

from threadd.web.http2_frames import (
    ACK,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    HEAD,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_BYTES,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    MAX_WINDOW,
    NUMBER,
    PREFACE,
    PRIORITY,
    SETTING,
    ConnectionEndedError,
    ErrorCode,
    Headers,
    Kind,
    are_trailers,
    frame,
    is_request,
    require_connection,
    require_size,
    require_stream,
    unpadded,
)

MAX_HEADER_BYTES: Final = 64 * 1024
FIRST_STREAMS: Final = 128
"""How many streams may be open at once until `ServerConnection.allow_streams` is called."""

STREAM_WINDOW: Final = 1 << 20
"""How many bytes a client may send on a stream before we have taken them."""

_CONNECTION_WINDOW: Final = 1 << 24
_FIRST_WINDOW: Final = 65_535
_MAX_UNSENT_ANSWERS: Final = 1 << 20
"""How many bytes of answers to pings and settings may gather while the peer reads nothing."""

_MAX_RESETS: Final = 10_000
"""How many streams a client may break off before they are done, more than it lets finish."""


class Streams(Protocol):
    """What is told of the streams of a connection, as it happens."""

    def opened(self, stream: "Stream", headers: Headers, /) -> None:
        """A request has begun."""

    def received(self, stream: "Stream", data: bytes, /) -> None:
        """A part of it came."""

    def half_closed(self, stream: "Stream", /) -> None:
        """It is whole."""

    def broken(self, stream: "Stream", /) -> None:
        """The peer wants no more of it."""

    def sent(self, stream: "Stream", /) -> None:
        """What waited for the peer's window has gone out."""


@dataclass(slots=True, eq=False)
class Stream:
    """One stream.

    Args:
        id: Its number.
        send_window: How many bytes may be sent on it.
        receive_window: How many bytes the peer may send on it.
        remote_open: Whether the peer may send more.
        waiting: What waits for the peer's window.
        trailers: The header block that ends the stream once nothing waits; None while there may be more.
        owner: Whatever `Streams` keeps about it.
    """

    id: int
    send_window: int
    receive_window: int = STREAM_WINDOW
    remote_open: bool = True
    waiting: deque[bytes] = field(default_factory=deque)
    trailers: bytes | None = None
    owner: object = None


class ServerConnection:
    """One connection.

    Args:
        streams: Is told what happens.
        max_streams: How many streams the peer may have open at once, to begin with.
    """

    def __init__(self, streams: Streams, *, max_streams: int = FIRST_STREAMS) -> None:
        self._streams = streams
        self._max_streams = max_streams
        self._unread = b""
        self._preface_read = False
        self._out: list[bytes] = []
        self._unsent_answers = 0
        self._open: dict[int, Stream] = {}
        self._last_id = 0
        self._decoder = Decoder(max_header_list_size=MAX_HEADER_BYTES)
        self._decoder.max_allowed_table_size = 4096
        self._known_blocks: dict[bytes, Headers] = {}
        self._block: bytearray | None = None
        self._block_of = (0, 0)
        self._send_window = _FIRST_WINDOW
        self._first_send_window = _FIRST_WINDOW
        self._receive_window = _CONNECTION_WINDOW
        self._peer_frame_bytes = MAX_FRAME_BYTES
        self._blocked: dict[int, Stream] = {}
        self._resets = 0
        self._takers: dict[int, Callable[[int, int, bytes], None]] = {
            Kind.DATA: self._data,
            Kind.HEADERS: self._headers,
            Kind.PRIORITY: self._priority,
            Kind.RST_STREAM: self._broken,
            Kind.SETTINGS: self._settings,
            Kind.PUSH_PROMISE: self._promise,
            Kind.PING: self._ping,
            Kind.GOAWAY: self._goodbye,
            Kind.WINDOW_UPDATE: self._window,
            Kind.CONTINUATION: self._continuation,
        }
        settings = b"".join(
            SETTING.pack(*setting)
            for setting in (
                (MAX_CONCURRENT_STREAMS, max_streams),
                (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
                (MAX_HEADER_LIST_SIZE, MAX_HEADER_BYTES),
            )
        )
        self._out.append(frame(Kind.SETTINGS, 0, 0, settings))
        self._update_window(0, _CONNECTION_WINDOW - _FIRST_WINDOW)

    @property
    def is_idle(self) -> bool:
        """Whether no stream is open."""
        return not self._open

    def take(self) -> bytes:
        """What is to be sent; it counts as sent."""
        data = b"".join(self._out)
        self._out.clear()
        self._unsent_answers = 0
        return data

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer.

        Raises:
            ConnectionEndedError: They break the protocol; `take` gives what to send before hanging up.
        """
        try:
            self._read(self._unread + data if self._unread else data)
        except ConnectionEndedError as error:
            self.say_goodbye(error.code, str(error))
            raise

    def _read(self, data: bytes) -> None:
        at = 0
        if not self._preface_read:
            start = data[: len(PREFACE)]
            if not PREFACE.startswith(start):
                raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "the client speaks no HTTP/2")
            if len(start) < len(PREFACE):
                self._unread = data
                return
            self._preface_read, at = True, len(PREFACE)
        size = len(data)
        while size - at >= HEAD.size:
            high, low, kind, flags, stream_id = HEAD.unpack_from(data, at)
            end = at + HEAD.size + (high << 8 | low)
            if end - at > HEAD.size + MAX_FRAME_BYTES:
                raise ConnectionEndedError(ErrorCode.FRAME_SIZE_ERROR, "a frame is too long")
            if end > size:
                break
            self._frame(kind, flags, stream_id & MAX_WINDOW, data[at + HEAD.size : end])
            at = end
        self._unread = data[at:]

    def say_goodbye(self, code: ErrorCode, text: str = "") -> None:
        """Tell the peer that no new stream is taken."""
        payload = NUMBER.pack(self._last_id) + NUMBER.pack(code) + text.encode()
        self._out.append(frame(Kind.GOAWAY, 0, 0, payload))

    def ping(self) -> None:
        """Ask whether the peer is there; any bytes that come are an answer."""
        self._out.append(frame(Kind.PING, 0, 0, b"threadd?"))

    @property
    def max_streams(self) -> int:
        """How many streams the peer may have open at once."""
        return self._max_streams

    def allow_streams(self, count: int) -> None:
        """Let the peer have so many streams open at once, if it may not already; it is told by SETTINGS.

        What was granted is never taken back: a peer may have opened streams by it before it reads that it may not.

        Args:
            count: How many.
        """
        if count > self._max_streams:
            self._max_streams = count
            self._out.append(frame(Kind.SETTINGS, 0, 0, SETTING.pack(MAX_CONCURRENT_STREAMS, count)))

    def send_headers(self, stream: Stream, block: bytes) -> None:
        """Send the headers of a reply."""
        if stream.id in self._open:
            self._out.append(frame(Kind.HEADERS, END_HEADERS, stream.id, block))

    def send_data(self, stream: Stream, data: bytes) -> bool:
        """Send a part of a reply, as far as the peer's windows go; the rest follows as they open.

        Returns:
            Whether all of it has gone out; if not, `Streams.sent` says so later.
        """
        if stream.id not in self._open:
            return True
        if not stream.waiting:
            data = self._send_what_fits(stream, data)
            if not data:
                return True
        stream.waiting.append(data)
        self._blocked[stream.id] = stream
        return False

    def end(self, stream: Stream, block: bytes) -> None:
        """Send trailers, or headers that are trailers at once, after everything that waits; the stream is over then."""
        if stream.id in self._open:
            stream.trailers = block
            if not stream.waiting:
                self._finish(stream)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Break a stream off; the peer is told."""
        if self._forget(stream):
            self._reset(stream.id, code)

    def close(self) -> None:
        """Break off all streams, since the connection is over."""
        for stream in list(self._open.values()):
            self._forget(stream)
            self._streams.broken(stream)

    def consumed(self, stream: Stream, size: int) -> None:
        """Let the peer send so many bytes more on a stream, which were taken."""
        stream.receive_window += size
        if stream.remote_open and stream.id in self._open:
            self._update_window(stream.id, size)

    def _finish(self, stream: Stream) -> None:
        self._out.append(frame(Kind.HEADERS, END_HEADERS | END_STREAM, stream.id, stream.trailers or b""))
        if self._forget(stream):
            self._resets = max(0, self._resets - 1)
            if stream.remote_open:
                # The client need not go on; it has its answer (RFC 9113, 8.1).
                self._reset(stream.id, ErrorCode.NO_ERROR)

    def _forget(self, stream: Stream) -> bool:
        self._blocked.pop(stream.id, None)
        stream.waiting.clear()
        return self._open.pop(stream.id, None) is not None

    def _reset(self, stream_id: int, code: ErrorCode) -> None:
        self._out.append(frame(Kind.RST_STREAM, 0, stream_id, NUMBER.pack(code)))

    def _update_window(self, stream_id: int, size: int) -> None:
        self._out.append(frame(Kind.WINDOW_UPDATE, 0, stream_id, NUMBER.pack(size)))

    def _answer(self, data: bytes) -> None:
        self._unsent_answers += len(data)
        if self._unsent_answers > _MAX_UNSENT_ANSWERS:
            raise ConnectionEndedError(ErrorCode.ENHANCE_YOUR_CALM, "too much is asked and no answer is read")
        self._out.append(data)

    def _send_what_fits(self, stream: Stream, data: bytes) -> bytes:
        """Send the beginning of some data; returns the rest."""
        at, size = 0, len(data)
        while at < size:
            room = min(size - at, self._peer_frame_bytes, self._send_window, stream.send_window)
            if room <= 0:
                break
            self._out.append(frame(Kind.DATA, 0, stream.id, data[at : at + room]))
            self._send_window -= room
            stream.send_window -= room
            at += room
        return data[at:] if at else data

    def _send_more(self, streams: Iterable[Stream]) -> None:
        for stream in list(streams):
            while stream.waiting:
                rest = self._send_what_fits(stream, stream.waiting[0])
                if rest:
                    stream.waiting[0] = rest
                    break
                stream.waiting.popleft()
            if not stream.waiting:
                self._blocked.pop(stream.id, None)
                if stream.trailers is not None:
                    self._finish(stream)
                self._streams.sent(stream)
            elif self._send_window <= 0:
                break

    # What comes

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and (kind != Kind.CONTINUATION or stream_id != self._block_of[0]):
            raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        take = self._takers.get(kind)
        if take is not None:  # unknown frames are passed over (RFC 9113, 4.1)
            take(flags, stream_id, payload)

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        require_connection(stream_id)
        require_size(len(payload) == 8)  # noqa: PLR2004 - RFC 9113, 6.7
        if not flags & ACK:
            self._answer(frame(Kind.PING, ACK, 0, payload))

    def _priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        require_stream(stream_id)
        require_size(len(payload) == 5)  # noqa: PLR2004 - RFC 9113, 6.3
        if NUMBER.unpack_from(payload)[0] & MAX_WINDOW == stream_id:
            raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "a stream depends on itself")

    def _goodbye(self, _flags: int, stream_id: int, _payload: bytes) -> None:
        require_connection(stream_id)

    def _promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "a client promises nothing")

    def _data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._receive_window -= size
        if self._receive_window < 0:
            raise ConnectionEndedError(ErrorCode.FLOW_CONTROL_ERROR, "more than the window was sent")
        if self._receive_window < _CONNECTION_WINDOW // 2:
            # What a stream may have waiting is limited by its own window; they do not hold each other up.
            self._update_window(0, _CONNECTION_WINDOW - self._receive_window)
            self._receive_window = _CONNECTION_WINDOW
        stream = self._open.get(stream_id)
        if stream is None or not stream.remote_open:
            self._require_seen(stream_id)
            if stream is not None:
                self._break(stream, ErrorCode.STREAM_CLOSED)
            return
        stream.receive_window -= size
        if stream.receive_window < 0:
            self._break(stream, ErrorCode.FLOW_CONTROL_ERROR)
            return
        data = unpadded(payload, flags)
        if len(data) < size:
            self.consumed(stream, size - len(data))
        if data:
            self._streams.received(stream, data)
        if flags & END_STREAM:
            self._half_close(stream)

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        require_stream(stream_id)
        block = unpadded(payload, flags)
        if flags & PRIORITY:
            require_size(len(block) >= 5)  # noqa: PLR2004 - RFC 9113, 6.2
            if NUMBER.unpack_from(block)[0] & MAX_WINDOW == stream_id:
                raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "a stream depends on itself")
            block = block[5:]
        if flags & END_HEADERS:
            self._whole_block(flags, stream_id, block)
        else:
            self._block, self._block_of = bytearray(block), (stream_id, flags)

    def _continuation(self, flags: int, _stream_id: int, payload: bytes) -> None:
        if self._block is None:
            raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "nothing is continued")
        self._block += payload
        if len(self._block) > MAX_HEADER_BYTES or (not payload and not flags & END_HEADERS):
            raise ConnectionEndedError(ErrorCode.ENHANCE_YOUR_CALM, "headers are too long")
        if flags & END_HEADERS:
            block, (stream_id, first_flags) = bytes(self._block), self._block_of
            self._block = None
            self._whole_block(first_flags, stream_id, block)

    def _whole_block(self, flags: int, stream_id: int, block: bytes) -> None:
        headers = self._decoded(block)
        stream = self._open.get(stream_id)
        if stream is not None:
            # Trailers, in which gRPC says nothing.
            if not stream.remote_open:
                self._break(stream, ErrorCode.STREAM_CLOSED)
            elif not (flags & END_STREAM and are_trailers(headers)):
                self._break(stream, ErrorCode.PROTOCOL_ERROR)
            else:
                self._half_close(stream)
            return
        if stream_id % 2 == 0 or stream_id <= self._last_id:
            code = ErrorCode.STREAM_CLOSED if stream_id % 2 else ErrorCode.PROTOCOL_ERROR
            raise ConnectionEndedError(code, "the number of a new stream must be odd and higher than all before")
        self._last_id = stream_id
        if not is_request(headers):
            self._reset(stream_id, ErrorCode.PROTOCOL_ERROR)
        elif len(self._open) >= self._max_streams:
            self._reset(stream_id, ErrorCode.REFUSED_STREAM)
        else:
            stream = self._open[stream_id] = Stream(stream_id, self._first_send_window)
            self._streams.opened(stream, headers)
            if flags & END_STREAM:
                self._half_close(stream)

    def _decoded(self, block: bytes) -> Headers:
        """Read a header block; one that only points into the table means the same until the table changes."""
        known = self._known_blocks.get(block)
        if known is not None:
            return known
        try:
            headers: Headers = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except HPACKError as error:
            raise ConnectionEndedError(ErrorCode.COMPRESSION_ERROR, "headers cannot be read") from error
        if block and min(block) >= 0x80 and 0xFF not in block:  # noqa: PLR2004 - one byte a field (RFC 7541, 6.1)
            self._known_blocks[block] = headers
        else:
            self._known_blocks.clear()
        return headers

    def _half_close(self, stream: Stream) -> None:
        stream.remote_open = False
        self._streams.half_closed(stream)

    def _broken(self, _flags: int, stream_id: int, payload: bytes) -> None:
        require_size(len(payload) == NUMBER.size)
        require_stream(stream_id)
        stream = self._open.get(stream_id)
        if stream is None:
            self._require_seen(stream_id)
            return
        self._resets += 1
        if self._resets > _MAX_RESETS:
            raise ConnectionEndedError(ErrorCode.ENHANCE_YOUR_CALM, "too many streams are broken off")
        self._forget(stream)
        self._streams.broken(stream)

    def _break(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream on which the peer broke the protocol."""
        self.reset(stream, code)
        self._streams.broken(stream)

    def _window(self, _flags: int, stream_id: int, payload: bytes) -> None:
        require_size(len(payload) == NUMBER.size)
        (size,) = NUMBER.unpack(payload)
        size &= MAX_WINDOW
        stream = self._open.get(stream_id)
        if stream_id == 0:
            self._send_window += size
            if size == 0 or self._send_window > MAX_WINDOW:
                code = ErrorCode.FLOW_CONTROL_ERROR if size else ErrorCode.PROTOCOL_ERROR
                raise ConnectionEndedError(code, "a window cannot be that large, or grow by nothing")
            self._send_more(self._blocked.values())
        elif stream is None:
            self._require_seen(stream_id)
        elif size == 0 or stream.send_window + size > MAX_WINDOW:
            self._break(stream, ErrorCode.FLOW_CONTROL_ERROR if size else ErrorCode.PROTOCOL_ERROR)
        else:
            stream.send_window += size
            if stream.waiting:
                self._send_more((stream,))

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        require_connection(stream_id)
        require_size(not payload if flags & ACK else len(payload) % SETTING.size == 0)
        if flags & ACK:
            return
        for number, value in SETTING.iter_unpack(payload):
            if number == INITIAL_WINDOW_SIZE:
                self._change_first_window(value)
            elif number == MAX_FRAME_SIZE:
                if not MAX_FRAME_BYTES <= value < 1 << 24:
                    raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "frames cannot be of that size")
                # Larger ones gain nothing, and other streams wait for them.
            elif number == ENABLE_PUSH and value > 1:
                raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "to push is 0 or 1")
        # The peer counts by them from the acknowledgement on, so nothing is sent before that.
        self._answer(frame(Kind.SETTINGS, ACK, 0, b""))
        self._send_more(self._blocked.values())

    def _change_first_window(self, value: int) -> None:
        if value > MAX_WINDOW:
            raise ConnectionEndedError(ErrorCode.FLOW_CONTROL_ERROR, "a window cannot be that large")
        difference, self._first_send_window = value - self._first_send_window, value
        for stream in self._open.values():
            stream.send_window += difference
            if stream.send_window > MAX_WINDOW:
                raise ConnectionEndedError(ErrorCode.FLOW_CONTROL_ERROR, "a window cannot be that large")

    def _require_seen(self, stream_id: int) -> None:
        """Refuse a frame on a stream that was never opened; one on a stream that is over is late, which is no fault."""
        if stream_id == 0 or stream_id > self._last_id or stream_id % 2 == 0:
            raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "there is no such stream")
