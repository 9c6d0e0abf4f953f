"""Unary gRPC over one stream of bytes, both sides, without any input or output of its own.

The stream carries plain HTTP/2 (threads-protocol.md, "Peer protocol"; the wire format is gRPC's "gRPC over HTTP2").
What comes from the stream goes into `receive`, what is to be written comes out of `data_to_send`; an owner does both,
and keeps the deadlines. Each message is limited, and so are the calls and the bytes that a peer may have under way.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote, unquote

from h2 import config, connection, errors, events, exceptions, settings

from store.errors import StatusCode

MAX_CALLS = 64
"""How many calls a peer may have under way on one stream."""

MAX_REQUEST_BYTES = 4 * 2**20
"""The longest message that a server takes; what a go-threads daemon takes as well."""

MAX_REPLY_BYTES = 64 * 2**20
"""The longest message that a client takes: a go-threads daemon answers with up to 10,000 records at once."""

MAX_UNREAD_BYTES = 32 * 2**20
"""How many bytes of requests that are not whole yet a server keeps for one peer."""

_WINDOW = 2**20
_CONNECTION_WINDOW = 8 * 2**20
_PREFIX_BYTES = 5
_MAX_HEADERS_BYTES = 16 * 2**10
_MAX_TIMEOUT_DIGITS = 8
_TEXT_BYTES = 1024

_NANOSECONDS = {b"H": 3600 * 10**9, b"M": 60 * 10**9, b"S": 10**9, b"m": 10**6, b"u": 10**3, b"n": 1}
_HTTP_STATUSES = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}

_Headers: TypeAlias = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Called:
    """A whole request has come.

    Args:
        call: Its number on the stream.
        method: For instance `/net.pb.Service/GetLogs`.
        body: The message.
        timeout: How many seconds the caller waits; None where it does not say.
    """

    call: int
    method: str
    body: bytes
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller does not want the answer any more; it must not be given."""

    call: int


@dataclass(frozen=True, slots=True)
class Replied:
    """A call was answered well."""

    call: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """A call was answered with an error, or its stream of bytes has ended."""

    call: int
    status: StatusCode
    text: str


Event: TypeAlias = Called | Cancelled | Replied | Failed


class BrokenStreamError(Exception):
    """The peer does not keep to the protocol, or has said farewell; the stream of bytes is of no more use."""


@dataclass(slots=True)
class _Incoming:
    """What has come of a call."""

    headers: _Headers
    data: bytearray = field(default_factory=bytearray)


class _Side:
    """What client and server have in common: HTTP/2 with messages that wait for the peer's windows."""

    def __init__(self, *, is_client: bool) -> None:
        self._h2 = connection.H2Connection(
            config.H2Configuration(client_side=is_client, header_encoding=None, normalize_inbound_headers=False)
        )
        self._h2.local_settings = settings.Settings(
            client=is_client,
            initial_values={
                settings.SettingCodes.ENABLE_PUSH: 0,
                settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                settings.SettingCodes.MAX_CONCURRENT_STREAMS: MAX_CALLS,
                settings.SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADERS_BYTES,
            },
        )
        self._h2.decoder.max_header_list_size = _MAX_HEADERS_BYTES
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW)
        self._incoming: dict[int, _Incoming] = {}
        self._outgoing: dict[int, tuple[deque[memoryview], list[tuple[str, str]] | None]] = {}
        self.closed = False
        """Whether the stream of bytes is of no more use."""

    def data_to_send(self) -> bytes:
        """Take what is to be written to the stream now."""
        return bytes(self._h2.data_to_send())

    def close(self) -> None:
        """Say farewell; what is under way is not waited for."""
        if not self.closed:
            self.closed = True
            self._h2.close_connection()

    def _receive(self, data: bytes) -> Iterator[events.Event]:
        if self.closed:
            raise BrokenStreamError("the stream was closed")
        try:
            received = self._h2.receive_data(data)
        except (exceptions.ProtocolError, UnicodeDecodeError, ValueError) as error:
            self.closed = True
            raise BrokenStreamError(str(error)) from error
        for event in received:
            if isinstance(event, events.DataReceived):
                # The message itself is limited, so what has come is acknowledged at once.
                if event.flow_controlled_length:
                    self._acknowledge(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamReset):
                self._outgoing.pop(event.stream_id, None)
            yield event
        self._pump()

    def _acknowledge(self, size: int, stream_id: int) -> None:
        with suppress(exceptions.ProtocolError):  # the stream has ended meanwhile
            self._h2.acknowledge_received_data(size, stream_id)

    def _send(self, stream_id: int, body: bytes, trailers: list[tuple[str, str]] | None) -> None:
        """Send a message as the peer's windows allow, then trailers, or the end of the stream without any."""
        message = b"\0" + len(body).to_bytes(_PREFIX_BYTES - 1, "big") + body
        self._outgoing[stream_id] = (deque([memoryview(message)]), trailers)
        self._pump()

    def _pump(self) -> None:
        for stream_id in list(self._outgoing):
            try:
                self._pump_one(stream_id)
            except exceptions.ProtocolError:
                self._outgoing.pop(stream_id, None)

    def _pump_one(self, stream_id: int) -> None:
        chunks, trailers = self._outgoing[stream_id]
        while chunks:
            size = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if size <= 0:
                return
            chunk = chunks.popleft()
            if len(chunk) > size:
                chunks.appendleft(chunk[size:])
            is_last = not chunks and trailers is None
            self._h2.send_data(stream_id, bytes(chunk[:size]), end_stream=is_last)
        del self._outgoing[stream_id]
        if trailers is not None:
            self._h2.send_headers(stream_id, trailers, end_stream=True)

    def _reset(self, stream_id: int, code: errors.ErrorCodes) -> None:
        self._incoming.pop(stream_id, None)
        self._outgoing.pop(stream_id, None)
        with suppress(exceptions.ProtocolError):  # it has ended already
            self._h2.reset_stream(stream_id, code)


class GrpcClient(_Side):
    """The calling side of a stream.

    Args:
        authority: Whom the requests name as their host.
    """

    def __init__(self, authority: str) -> None:
        super().__init__(is_client=True)
        self._authority = authority

    @property
    def is_full(self) -> bool:
        """Whether the peer takes no further call for now."""
        return len(self._incoming) >= min(MAX_CALLS, self._h2.remote_settings.max_concurrent_streams)

    def call(self, method: str, body: bytes, timeout: float) -> int:
        """Begin a call.

        Args:
            method: For instance `/net.pb.Service/GetLogs`.
            body: The message.
            timeout: How many seconds the answer is waited for; the owner keeps the time.

        Returns:
            The call's number.

        Raises:
            BrokenStreamError: The stream is of no more use.
        """
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", self._authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", f"{max(1, min(int(timeout * 1000), 10**_MAX_TIMEOUT_DIGITS - 1))}m"),
        ]
        try:
            if self.closed:
                raise BrokenStreamError("the stream was closed")
            stream_id = int(self._h2.get_next_available_stream_id())
            self._h2.send_headers(stream_id, headers)
        except exceptions.H2Error as error:
            self.closed = True
            raise BrokenStreamError(str(error)) from error
        self._incoming[stream_id] = _Incoming({})
        self._send(stream_id, body, None)
        return stream_id

    def cancel(self, call: int) -> None:
        """Give a call up.

        Args:
            call: Its number; one that has ended is no error.
        """
        if call in self._incoming:
            self._reset(call, errors.ErrorCodes.CANCEL)

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the stream.

        Args:
            data: As they came.

        Returns:
            `Replied` and `Failed`, in the order that they came.

        Raises:
            BrokenStreamError: The stream is of no more use; `end` tells which calls fail with it.
        """
        found: list[Event] = []
        for event in self._receive(data):
            found += self._on(event)
        return found

    def end(self, text: str) -> list[Event]:
        """Say that the stream has ended.

        Args:
            text: Why.

        Returns:
            A `Failed` for every call that was under way.
        """
        self.closed = True
        failed: list[Event] = [Failed(call, StatusCode.UNAVAILABLE, text) for call in self._incoming]
        self._incoming.clear()
        self._outgoing.clear()
        return failed

    def _on(self, event: events.Event) -> Iterator[Event]:
        if isinstance(event, events.ConnectionTerminated):
            # h2 takes nothing more after it, so nothing that is under way can be answered.
            raise BrokenStreamError("the peer ends the stream")
        stream_id = getattr(event, "stream_id", None)
        incoming = self._incoming.get(stream_id) if stream_id is not None else None
        if incoming is None or stream_id is None:
            return
        if isinstance(event, events.ResponseReceived | events.TrailersReceived):
            incoming.headers |= _headers(event.headers)
        elif isinstance(event, events.DataReceived):
            incoming.data += event.data
            if len(incoming.data) > MAX_REPLY_BYTES + _PREFIX_BYTES:
                self._reset(stream_id, errors.ErrorCodes.CANCEL)
                yield Failed(stream_id, StatusCode.RESOURCE_EXHAUSTED, f"the reply is over {MAX_REPLY_BYTES} bytes")
        elif isinstance(event, events.StreamEnded):
            del self._incoming[stream_id]
            yield _outcome(stream_id, incoming)
            if stream_id in self._outgoing:
                self._reset(stream_id, errors.ErrorCodes.NO_ERROR)
        elif isinstance(event, events.StreamReset):
            del self._incoming[stream_id]
            yield Failed(stream_id, _status_of_reset(event.error_code), f"the peer reset the call ({event.error_code})")


class GrpcServer(_Side):
    """The answering side of a stream."""

    def __init__(self) -> None:
        super().__init__(is_client=False)
        self._running: set[int] = set()

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the stream.

        Args:
            data: As they came.

        Returns:
            `Called` and `Cancelled`, in the order that they came.

        Raises:
            BrokenStreamError: The stream is of no more use; all that runs is to be cancelled.
        """
        found: list[Event] = []
        for event in self._receive(data):
            found += self._on(event)
        return found

    def reply(self, call: int, body: bytes) -> None:
        """Answer a call.

        Args:
            call: Its number; one that was cancelled is left alone.
            body: The message.
        """
        if call in self._running and not self.closed:
            self._running.discard(call)
            try:
                self._h2.send_headers(call, [(":status", "200"), ("content-type", "application/grpc")])
            except exceptions.ProtocolError:
                return
            self._send(call, body, [("grpc-status", "0")])

    def fail(self, call: int, status: StatusCode, text: str) -> None:
        """Answer a call with an error.

        Args:
            call: Its number; one that was cancelled is left alone.
            status: Not OK.
            text: What to tell the caller.
        """
        if call in self._running and not self.closed:
            self._running.discard(call)
            self._refuse(call, status, text)

    def _on(self, event: events.Event) -> Iterator[Event]:
        if isinstance(event, events.ConnectionTerminated):
            raise BrokenStreamError("the peer ends the stream")
        if isinstance(event, events.RequestReceived):
            self._begin(event.stream_id, _headers(event.headers))
        elif isinstance(event, events.DataReceived):
            self._add(event.stream_id, event.data)
        elif isinstance(event, events.StreamEnded):
            incoming = self._incoming.pop(event.stream_id, None)
            called = None if incoming is None else self._called(event.stream_id, incoming)
            if called is not None:
                yield called
        elif isinstance(event, events.StreamReset):
            self._incoming.pop(event.stream_id, None)
            if event.stream_id in self._running:
                self._running.discard(event.stream_id)
                yield Cancelled(event.stream_id)

    def _begin(self, stream_id: int, headers: _Headers) -> None:
        if len(self._running) + len(self._incoming) + len(self._outgoing) >= MAX_CALLS:
            self._reset(stream_id, errors.ErrorCodes.REFUSED_STREAM)
        elif headers.get(b":method") != b"POST" or not headers.get(b"content-type", b"").startswith(
            b"application/grpc"
        ):
            self._h2.send_headers(stream_id, [(":status", "415")], end_stream=True)
        else:
            self._incoming[stream_id] = _Incoming(headers)

    def _add(self, stream_id: int, data: bytes) -> None:
        incoming = self._incoming.get(stream_id)
        if incoming is None:
            return
        incoming.data += data
        if len(incoming.data) > MAX_REQUEST_BYTES + _PREFIX_BYTES:
            text = f"received message larger than max ({len(incoming.data)} vs. {MAX_REQUEST_BYTES})"
            self._refuse(stream_id, StatusCode.RESOURCE_EXHAUSTED, text)
        elif sum(len(each.data) for each in self._incoming.values()) > MAX_UNREAD_BYTES:
            self._refuse(stream_id, StatusCode.RESOURCE_EXHAUSTED, "too many requests at once")

    def _called(self, stream_id: int, incoming: _Incoming) -> Called | None:
        body = _message(incoming.data)
        timeout = _timeout(incoming.headers.get(b"grpc-timeout", b""))
        if body is None:
            compressed = incoming.data[:1] == b"\1"
            status = StatusCode.UNIMPLEMENTED if compressed else StatusCode.INTERNAL
            self._refuse(stream_id, status, "compressed messages are not taken" if compressed else "malformed request")
            return None
        self._running.add(stream_id)
        path = incoming.headers.get(b":path", b"").decode("ascii", "replace")
        return Called(stream_id, path, body, timeout)

    def _refuse(self, stream_id: int, status: StatusCode, text: str) -> None:
        """Send an error in place of an answer; more of the request is not waited for."""
        unfinished = self._incoming.pop(stream_id, None) is not None
        message = quote(text.encode()[:_TEXT_BYTES].decode(errors="ignore"), safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}")
        headers = [
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", str(int(status))),
            ("grpc-message", message),
        ]
        try:
            self._h2.send_headers(stream_id, headers, end_stream=True)
        except exceptions.ProtocolError:
            return  # it has ended meanwhile
        if unfinished:
            self._reset(stream_id, errors.ErrorCodes.NO_ERROR)


def _headers(pairs: object) -> _Headers:
    return dict(pairs)  # type: ignore[call-overload,no-any-return]


def _message(data: bytearray) -> bytes | None:
    """The one message in what has come, None where there is not exactly one that is not compressed."""
    whole = len(data) >= _PREFIX_BYTES and data[0] == 0
    if not whole or int.from_bytes(data[1:_PREFIX_BYTES], "big") != len(data) - _PREFIX_BYTES:
        return None
    return bytes(data[_PREFIX_BYTES:])


def _timeout(value: bytes) -> float | None:
    """Seconds in a `grpc-timeout`; None where there is none or it makes no sense."""
    digits, unit = value[:-1], value[-1:]
    if not digits.isdigit() or len(digits) > _MAX_TIMEOUT_DIGITS or unit not in _NANOSECONDS:
        return None
    return int(digits) * _NANOSECONDS[unit] / 10**9


def _outcome(stream_id: int, incoming: _Incoming) -> Event:
    headers = incoming.headers
    status = headers.get(b"grpc-status", b"")
    if not status.isdigit():
        http = headers.get(b":status", b"")
        code = _HTTP_STATUSES.get(int(http), StatusCode.UNKNOWN) if http.isdigit() else StatusCode.UNKNOWN
        return Failed(stream_id, StatusCode(code), "the peer's answer has no status")
    if int(status) == StatusCode.OK:
        body = _message(incoming.data)
        if body is None:
            return Failed(stream_id, StatusCode.INTERNAL, "the peer's answer is not one message")
        return Replied(stream_id, body)
    known = int(status) in StatusCode.__members__.values()
    text = unquote(headers.get(b"grpc-message", b"").decode("ascii", "replace"), errors="replace")[:_TEXT_BYTES]
    return Failed(stream_id, StatusCode(int(status)) if known else StatusCode.UNKNOWN, text)


def _status_of_reset(code: int | errors.ErrorCodes) -> StatusCode:
    """As gRPC maps the error codes of HTTP/2."""
    if code == errors.ErrorCodes.REFUSED_STREAM:
        return StatusCode.UNAVAILABLE
    if code == errors.ErrorCodes.CANCEL:
        return StatusCode.CANCELLED
    if code == errors.ErrorCodes.ENHANCE_YOUR_CALM:
        return StatusCode.RESOURCE_EXHAUSTED
    return StatusCode.INTERNAL
