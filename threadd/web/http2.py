"""The server's side of one HTTP/2 connection, as far as gRPC needs it (RFC 9113); it does no input or output itself.

Bytes that came go into `receive`, which calls a `Streams`; what is to be sent gathers until `take`. Headers are read by
the hpack library; those that we send are few and never change the peer's table, so they are written as literals.
"""

import sys
from collections.abc import Callable, Mapping
from typing import ClassVar, Final, Protocol

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
    reset_frame,
    unpadded,
    window_frame,
)
from threadd.web.http2_headers import MAX_HEADER_BYTES, HeaderReader
from threadd.web.http2_sending import FIRST_WINDOW, STREAM_WINDOW, Sender, Stream

FIRST_STREAMS: Final = 128
"""How many streams may be open at once until `ServerConnection.allow_streams` is called."""

_CONNECTION_WINDOW: Final = 1 << 24
_MAX_UNREAD_ANSWERS: Final = 4_096
"""How many answers to pings, settings and frames that break a stream off may gather while the peer reads nothing."""

_MAX_RESETS: Final = 10_000
"""How many streams a client may break off before they are done, more than it lets finish."""

# What counts as how much work: about half a microsecond each.
_FRAME_WORK: Final = 4
_BYTES_A_WORK: Final = 2048
_STREAM_WORK: Final = 50
_FIELD_WORK: Final = 5
_HUFFMAN_BYTES_A_WORK: Final = 2


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
        """Nothing of it waits to be sent any more."""


class ServerConnection:
    """One connection.

    Args:
        streams: Is told what happens.
        max_streams: How many streams the peer may have open at once, to begin with.
    """

    def __init__(self, streams: Streams, *, max_streams: int = FIRST_STREAMS) -> None:
        self._streams = streams
        self._max_streams = max_streams
        self._sender = Sender(self._all_sent)
        self._unread = b""
        self._at = 0
        self._work = 0
        self._preface_read = False
        self._answers = 0
        self._open: dict[int, Stream] = {}
        self._last_id = 0
        self._header_reader = HeaderReader()
        self._block: bytearray | None = None
        self._block_of = (0, 0)
        self._receive_window = _CONNECTION_WINDOW
        self._resets = 0
        settings = b"".join(
            SETTING.pack(*setting)
            for setting in (
                (MAX_CONCURRENT_STREAMS, max_streams),
                (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
                (MAX_HEADER_LIST_SIZE, MAX_HEADER_BYTES),
            )
        )
        self._sender.put(frame(Kind.SETTINGS, 0, 0, settings))
        self._update_window(0, _CONNECTION_WINDOW - FIRST_WINDOW)

    @property
    def is_idle(self) -> bool:
        """Whether no stream is open."""
        return not self._open

    @property
    def can_send(self) -> bool:
        """Whether `take` would give anything."""
        return self._sender.can_send

    @property
    def is_waiting(self) -> bool:
        """Whether anything is to be sent, now or once the peer's windows let it."""
        return self._sender.is_waiting

    def take(self) -> bytes:
        """What is to be sent next, at most about 64 KiB; it counts as sent, and as read by the peer.

        Call it only while the peer reads: what gathers meanwhile is bounded. See `can_send` for whether there is more.
        """
        self._answers = 0
        return self._sender.take()

    def receive(self, data: bytes, work: int | None = None) -> bool:
        """Take bytes from the peer.

        Args:
            data: What came; empty to go on with what is left.
            work: How much to do at most, about half a microsecond each; None for any.

        Returns:
            Whether something is left to do.

        Raises:
            ConnectionEndedError: They break the protocol; `take` gives what to send before hanging up.
        """
        if data:
            self._unread = self._unread[self._at :] + data
            self._at = 0
        self._work = 0
        try:
            return self._read(sys.maxsize if work is None else work)
        except ConnectionEndedError as error:
            self.say_goodbye(error.code, str(error))
            raise

    def _read(self, work: int) -> bool:
        data, at = self._unread, self._at
        if not self._preface_read:
            start = data[: len(PREFACE)]
            if not PREFACE.startswith(start):
                raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "the client speaks no HTTP/2")
            if len(start) < len(PREFACE):
                return False
            self._preface_read, at = True, len(PREFACE)
        size = len(data)
        while size - at >= HEAD.size:
            if self._work >= work:
                self._at = at
                return True
            high, low, kind, flags, stream_id = HEAD.unpack_from(data, at)
            end = at + HEAD.size + (high << 8 | low)
            if end - at > HEAD.size + MAX_FRAME_BYTES:
                raise ConnectionEndedError(ErrorCode.FRAME_SIZE_ERROR, "a frame is too long")
            if end > size:
                break
            self._work += _FRAME_WORK + (end - at) // _BYTES_A_WORK
            self._frame(kind, flags, stream_id & MAX_WINDOW, data[at + HEAD.size : end])
            at = end
        self._unread, self._at = data[at:], 0
        return False

    def say_goodbye(self, code: ErrorCode, text: str = "") -> None:
        """Tell the peer that no new stream is taken."""
        payload = NUMBER.pack(self._last_id) + NUMBER.pack(code) + text.encode()
        self._sender.put(frame(Kind.GOAWAY, 0, 0, payload))

    def ping(self) -> None:
        """Ask whether the peer is there; any bytes that come are an answer."""
        self._sender.put(frame(Kind.PING, 0, 0, b"threadd?"))

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
            self._sender.put(frame(Kind.SETTINGS, 0, 0, SETTING.pack(MAX_CONCURRENT_STREAMS, count)))

    def send_headers(self, stream: Stream, block: bytes) -> None:
        """Send the headers of a reply."""
        if stream.id in self._open:
            self._sender.put(frame(Kind.HEADERS, END_HEADERS, stream.id, block))

    def send_data(self, stream: Stream, data: bytes) -> bool:
        """Send a part of a reply, as far as the peer's windows go and what is taken is read; the rest follows.

        Returns:
            Whether all of it goes out with the next `take`; if not, `Streams.sent` says so later.
        """
        return stream.id not in self._open or self._sender.send(stream, data)

    def discard(self, stream: Stream) -> None:
        """Send nothing of what waits on a stream."""
        self._sender.drop(stream)

    def end(self, stream: Stream, block: bytes) -> None:
        """Send trailers, or headers that are trailers at once, after everything that waits; the stream is over then."""
        if stream.id in self._open:
            stream.trailers = block
            if self._sender.end(stream):
                self._finish(stream, block)

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Break a stream off; the peer is told."""
        if self._forget(stream):
            self._sender.put(reset_frame(stream.id, code))

    def close(self) -> None:
        """Break off all streams, since the connection is over."""
        for stream in list(self._open.values()):
            self._forget(stream)
            self._streams.broken(stream)

    def allow(self, stream: Stream, size: int) -> None:
        """Let the peer send so many bytes more on a stream."""
        if stream.remote_open and stream.id in self._open:
            stream.receive_window += size
            self._update_window(stream.id, size)

    def _all_sent(self, stream: Stream) -> None:
        if stream.trailers is not None:
            self._finish(stream, stream.trailers)
        self._streams.sent(stream)

    def _finish(self, stream: Stream, trailers: bytes) -> None:
        self._sender.put(frame(Kind.HEADERS, END_HEADERS | END_STREAM, stream.id, trailers))
        self._forget(stream)
        self._resets = max(0, self._resets - 1)
        if stream.remote_open:
            # The client need not go on; it has its answer (RFC 9113, 8.1).
            self._sender.put(reset_frame(stream.id, ErrorCode.NO_ERROR))

    def _forget(self, stream: Stream) -> bool:
        self._sender.drop(stream)
        return self._open.pop(stream.id, None) is not None

    def _update_window(self, stream_id: int, size: int) -> None:
        self._sender.put(window_frame(stream_id, size))

    def _answer(self, data: bytes) -> None:
        """Send what a frame of the peer asks for by itself; each such answer is of a few bytes."""
        self._answers += 1
        if self._answers > _MAX_UNREAD_ANSWERS:
            raise ConnectionEndedError(ErrorCode.ENHANCE_YOUR_CALM, "too much is asked and no answer is read")
        self._sender.put(data)

    # What comes

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and (kind != Kind.CONTINUATION or stream_id != self._block_of[0]):
            raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        take = self._TAKERS.get(kind)
        if take is not None:  # unknown frames are passed over (RFC 9113, 4.1)
            take(self, flags, stream_id, payload)

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
        if len(data) < size and stream.remote_open:
            # Padding may come again at once; it is as little work for the peer as a ping.
            stream.receive_window += size - len(data)
            self._answer(window_frame(stream_id, size - len(data)))
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
        known = self._header_reader.known(block)
        if known is None:
            self._work += len(block) // _HUFFMAN_BYTES_A_WORK
        headers = known or self._header_reader.read(block)
        self._work += _FIELD_WORK * len(headers)
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
        self._work += _STREAM_WORK
        if not (known or is_request(headers)):
            self._count_reset()
            self._answer(reset_frame(stream_id, ErrorCode.PROTOCOL_ERROR))
        elif len(self._open) >= self._max_streams:
            self._answer(reset_frame(stream_id, ErrorCode.REFUSED_STREAM))
        else:
            if not known:
                self._header_reader.remember(block, headers)
            stream = self._open[stream_id] = Stream(stream_id)
            self._streams.opened(stream, headers)
            if flags & END_STREAM:
                self._half_close(stream)

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
        self._count_reset()
        self._forget(stream)
        self._streams.broken(stream)

    def _break(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream on which the peer broke the protocol: it makes as much work as one that it breaks off."""
        self._count_reset()
        if self._forget(stream):
            self._answer(reset_frame(stream.id, code))
        self._streams.broken(stream)

    def _count_reset(self) -> None:
        self._resets += 1
        if self._resets > _MAX_RESETS:
            raise ConnectionEndedError(ErrorCode.ENHANCE_YOUR_CALM, "too many streams are broken off")

    def _window(self, _flags: int, stream_id: int, payload: bytes) -> None:
        require_size(len(payload) == NUMBER.size)
        (size,) = NUMBER.unpack(payload)
        size &= MAX_WINDOW
        stream = self._open.get(stream_id)
        if stream_id == 0:
            self._sender.open_window(size)
        elif stream is None:
            self._require_seen(stream_id)
        elif size == 0:
            self._break(stream, ErrorCode.PROTOCOL_ERROR)
        elif not self._sender.open_stream_window(stream, size):
            self._break(stream, ErrorCode.FLOW_CONTROL_ERROR)

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        require_connection(stream_id)
        require_size(not payload if flags & ACK else len(payload) % SETTING.size == 0)
        if flags & ACK:
            return
        self._work += len(payload) // SETTING.size // 2
        initial_window: int | None = None
        for number, value in SETTING.iter_unpack(payload):
            if number == INITIAL_WINDOW_SIZE:
                if value > MAX_WINDOW:
                    raise ConnectionEndedError(ErrorCode.FLOW_CONTROL_ERROR, "a window cannot be that large")
                initial_window = value
            elif number == MAX_FRAME_SIZE:
                if not MAX_FRAME_BYTES <= value < 1 << 24:
                    raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "frames cannot be of that size")
                # Larger ones gain nothing, and other streams wait for them.
            elif number == ENABLE_PUSH and value > 1:
                raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "to push is 0 or 1")
        if initial_window is not None:
            self._sender.set_initial_window(initial_window)
        # The peer counts by them from the acknowledgement on: what is taken later comes after it.
        self._answer(frame(Kind.SETTINGS, ACK, 0, b""))

    def _require_seen(self, stream_id: int) -> None:
        """Refuse a frame on a stream that was never opened; one on a stream that is over is late, which is no fault."""
        if stream_id == 0 or stream_id > self._last_id or stream_id % 2 == 0:
            raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "there is no such stream")

    _TAKERS: ClassVar[Mapping[int, Callable[["ServerConnection", int, int, bytes], None]]] = {
        Kind.DATA: _data,
        Kind.HEADERS: _headers,
        Kind.PRIORITY: _priority,
        Kind.RST_STREAM: _broken,
        Kind.SETTINGS: _settings,
        Kind.PUSH_PROMISE: _promise,
        Kind.PING: _ping,
        Kind.GOAWAY: _goodbye,
        Kind.WINDOW_UPDATE: _window,
        Kind.CONTINUATION: _continuation,
    }
