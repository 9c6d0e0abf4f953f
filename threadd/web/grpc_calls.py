"""The calls of one gRPC connection over HTTP/2: between its streams and the dispatcher.

The source is PROTOCOL-HTTP2.md of the grpc project. A stream that its client broke off, or whose client has gone,
cancels its call; it is never taken for one that was ended, which would commit half of a transaction.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, cast

from store import background
from store.errors import StatusCode, ThreaddError
from threadd.api.deadlines import require_time
from threadd.api.dispatcher import REQUEST_ID, Call, CallHead, Dispatcher
from threadd.api.statuses import NOT_TAKEN, CallError, DeadlineError, call_error
from threadd.web.frames import message_frame
from threadd.web.grpc_streams import AdmittedCall, RefusedCall, StreamingCall, StreamOwner, UnaryCall
from threadd.web.http2_frames import ErrorCode, Headers, literal, size_of, string
from threadd.web.http2_protocol import Http2Protocol
from threadd.web.http2_sending import Stream
from threadd.web.metadata import Metadata, from_fields, status_fields, timeout_of
from threadd.web.peers import peer_text
from threadd.web.turns import Turns

_ENDING: Final = "the daemon is ending"
_HEADERS: Final = literal(b":status", b"200") + literal(b"content-type", b"application/grpc")
_OK: Final = literal(b"grpc-status", b"0") + literal(b"grpc-message", b"") + b"\0" + string(REQUEST_ID.encode())
"""The trailers of a call that ended well, but for the value of the last one."""
_NOT_GRPC: Final = literal(b":status", b"415")

_KEPT_BYTES: Final = 16 * 1024
"""How many bytes of headers a connection keeps for further calls that send the same."""

_LOOK_SECONDS: Final = 5.0
"""How often is looked after the requests that have come in part."""

_MAX_STREAMS: Final = 10_000
"""How many streams a client may have open at once, once it is known who calls: listeners share a connection."""


@dataclass(frozen=True, slots=True)
class _Request:
    """What the headers of a stream say.

    Args:
        headers: As they came; kept so that they are not mistaken for others.
        method: The full name of the method; "" where the request is no gRPC.
        metadata: Everything else.
        timeout: How long the call may take, in seconds; None for any time.
        refusal: What is wrong with them.
        size: Their size, as RFC 7541 (4.1) counts it.
    """

    headers: Headers
    method: str
    metadata: Metadata
    timeout: float | None = None
    refusal: CallError | None = None
    size: int = 0

    @classmethod
    def of(cls, headers: Headers) -> "_Request":
        """Read headers."""
        fields = dict(headers)
        grpc = fields[b":method"] == b"POST" and fields.get(b"content-type", b"").startswith(b"application/grpc")
        if not grpc:
            return cls(headers, "", [])
        method = fields[b":path"].decode("latin-1")
        size = size_of(headers)
        try:
            metadata = from_fields(pair for pair in headers if not pair[0].startswith(b":"))
            return cls(headers, method, metadata, timeout_of(metadata), size=size)
        except ThreaddError as error:
            return cls(headers, method, [], None, CallError(error.code, error.text))


def _well(call: Call) -> bytes:
    """The trailers of a call that ended well."""
    return _OK + string(call.request_id().encode())


class Connections:
    """The connections of a door that are open now."""

    def __init__(self) -> None:
        self.open: set[GrpcConnection] = set()
        self.none = asyncio.Event()
        """Set while there is none."""
        self.none.set()

    def add(self, connection: "GrpcConnection") -> None:
        """Take one in."""
        self.open.add(connection)
        self.none.clear()

    def remove(self, connection: "GrpcConnection") -> None:
        """Let one go."""
        self.open.discard(connection)
        if not self.open:
            self.none.set()


class GrpcConnection(Http2Protocol):
    """One connection of a client; the protocol of asyncio for it.

    Args:
        dispatcher: Answers its calls.
        connections: Those of the door, which it joins and leaves.
        turns: Those of the loop.
        peer: Where its client is, as gRPC writes it; empty for the address that the connection comes from.
    """

    def __init__(self, dispatcher: Dispatcher, connections: Connections, turns: Turns, peer: str = "") -> None:
        super().__init__(self, turns)
        self.dispatcher = dispatcher
        self._connections = connections
        self._peer = peer
        self._known: dict[int, _Request] = {}
        self._known_bytes = 0
        self._ending = False
        self._begun: list[UnaryCall] = []
        self._looking: asyncio.TimerHandle | None = None
        self.unfinished: set[AdmittedCall] = set()
        """The calls whose request has come in part, or not at all."""
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._peer = self._peer or peer_text(transport.get_extra_info("peername"))
        self._connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._connections.remove(self)
        super().connection_lost(exc)
        for task in self.tasks:
            task.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def received_some(self) -> None:
        """See `Http2Protocol`."""
        for call in self._begun:
            # The request of most calls comes with their headers.
            if call.task is None and call.stream.owner is call:
                call.wait()
        self._begun.clear()
        if self.unfinished and self._looking is None:
            self._looking = self._loop.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """End the calls whose requests do not go on."""
        now = self._loop.time()
        for call in list(self.unfinished):
            call.check(now)
        self._looking = self._loop.call_later(_LOOK_SECONDS, self._look) if self.unfinished else None

    def say_goodbye(self) -> None:
        """Take no more calls."""
        self._ending = True
        self._http2.say_goodbye(ErrorCode.NO_ERROR)
        self.flush_soon()

    # What the streams tell

    def opened(self, stream: Stream, headers: Headers) -> None:
        """See `Streams`."""
        known = self._known.get(id(headers))
        request = known or _Request.of(headers)
        if not request.method:
            self._http2.end(stream, _NOT_GRPC)
        elif request.refusal is not None or self._ending:
            self._fail(stream, request.refusal or CallError(StatusCode.UNAVAILABLE, _ENDING))
        else:
            is_admitted = self._admit(stream, request)
            if is_admitted and known is None:
                self._keep(request)

    def _admit(self, stream: Stream, request: _Request) -> bool:
        """Admit a call by its headers, or refuse it and keep none of its body; returns which."""
        method = self.dispatcher.methods.get(request.method)
        is_unary = method is not None and method.is_unary
        deadline = None if request.timeout is None else self._loop.time() + request.timeout
        # One time limit for the whole of a stream costs less than one for each of its messages.
        own_deadline = deadline if is_unary else None
        head = CallHead(request.method, request.metadata, Replies(self, stream), own_deadline, request.size)
        try:
            call = self.dispatcher.admit(head)
        except CallError as error:
            if method is None or method.client_streaming:
                stream.owner = RefusedCall(self, stream, error)
            else:
                self._fail(stream, error)
            return False
        if call.principal.is_known:
            self._http2.allow_streams(_MAX_STREAMS)
        if is_unary:
            stream.owner = owner = UnaryCall(self, stream, call)
            self._begun.append(owner)
        else:
            stream.owner = streaming = StreamingCall(self, stream, call, deadline)
            if streaming.intake.is_unfinished:
                self.unfinished.add(streaming)
        return True

    def _keep(self, request: _Request) -> None:
        """Remember what headers mean: a client sends the same ones with most of its calls."""
        if self._known_bytes + request.size > _KEPT_BYTES:
            self._known.clear()
            self._known_bytes = 0
        if request.size <= _KEPT_BYTES:
            self._known[id(request.headers)] = request
            self._known_bytes += request.size

    def received(self, stream: Stream, data: bytes) -> None:
        """See `Streams`."""
        if isinstance(stream.owner, StreamOwner):
            stream.owner.received(data)

    def half_closed(self, stream: Stream) -> None:
        """See `Streams`."""
        if isinstance(stream.owner, StreamOwner):
            stream.owner.half_closed()

    def broken(self, stream: Stream) -> None:
        """See `Streams`."""
        owner, stream.owner = stream.owner, None
        if isinstance(owner, StreamOwner):
            owner.broken()

    def sent(self, stream: Stream) -> None:
        """See `Streams`."""
        if isinstance(stream.owner, StreamingCall):
            stream.owner.drained.set()

    # What calls do

    def start(self, work: Coroutine[Any, Any, None], owner: AdmittedCall) -> asyncio.Task[None]:
        """Run a call; the connection owns its task.

        Args:
            work: What runs it.
            owner: The call; what it took is given back when the task has ended, however that came about.
        """

        def done(task: asyncio.Task[None]) -> None:
            self.tasks.discard(task)
            owner.release()

        task = self._loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(done)
        background.watch("calls", task)
        return task

    async def answer(self, stream: Stream, call: Call, body: bytes) -> None:
        """Run a call of one request and one reply."""
        try:
            reply = await self.dispatcher.invoke_unary(call, body)
        except CallError as error:
            self._fail(stream, error)
        except asyncio.CancelledError:
            self._fail(stream, CallError(StatusCode.UNAVAILABLE, _ENDING))
            self.flush_soon()
            raise
        else:
            self._http2.send_headers(stream, _HEADERS)
            self._http2.send_data(stream, message_frame(reply))
            self._http2.end(stream, _well(call))
        self.flush_soon()

    async def converse(self, stream: Stream, call: Call, deadline: float | None, owner: StreamingCall) -> None:
        """Run any other call."""
        replies = cast("Replies", call.head.transport)
        failure: CallError | None = None
        limit = asyncio.timeout_at(deadline)
        try:
            require_time(deadline)
            async with limit, aclosing(self.dispatcher.invoke_stream(call, owner.bodies())) as bodies:
                async for body in bodies:
                    await replies.send_initial_metadata()
                    await self._send(stream, owner, body)
            require_time(deadline)
        except CallError as error:
            failure = error.detached()
        except DeadlineError as error:
            failure = call_error(error, call.method, call.request_id())
        except TimeoutError:
            if not limit.expired():
                raise
            failure = call_error(DeadlineError(), call.method, call.request_id())
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                self._fail(stream, CallError(StatusCode.UNAVAILABLE, _ENDING), begun=replies.begun)
                self.flush_soon()
                raise
            # It was a time limit of the servicer, and closing has undone it: the client takes no replies.
            failure = CallError(StatusCode.ABORTED, NOT_TAKEN)
        if failure is None:
            await replies.send_initial_metadata()
            self._http2.end(stream, _well(call))
        else:
            if failure.code is StatusCode.ABORTED:
                self._http2.discard(stream)
            await owner.pass_over_the_rest()
            self._fail(stream, failure, begun=replies.begun)
        self.flush_soon()

    async def _send(self, stream: Stream, owner: StreamingCall, body: bytes) -> None:
        owner.drained.clear()
        all_sent = self._http2.send_data(stream, message_frame(body))
        self.flush_soon()
        if not all_sent:
            await owner.drained.wait()
        if not self._writable.is_set():
            await self._writable.wait()

    def send_headers(self, stream: Stream) -> None:
        """Tell a client that its call has begun."""
        self._http2.send_headers(stream, _HEADERS)
        self.flush_soon()

    def fail(self, stream: Stream, error: CallError) -> None:
        """End a stream whose call did not get to run."""
        self._fail(stream, error)
        self.flush_soon()

    def allow(self, stream: Stream, size: int) -> None:
        """Let a client send so many bytes more."""
        self._http2.allow(stream, size)
        self.flush_soon()

    def _fail(self, stream: Stream, error: CallError, *, begun: bool = False) -> None:
        fields = [
            literal(name.encode(), value.encode())
            for name, value in status_fields(error.code, error.text, error.request_id)
        ]
        self._http2.end(stream, b"".join(fields if begun else [_HEADERS, *fields]))


@dataclass(slots=True, eq=False)
class Replies:
    """The transport of a call (`threadd.api.dispatcher.Transport`).

    Args:
        connection: Its connection.
        stream: Its stream.
        begun: Whether the headers were sent.
    """

    connection: GrpcConnection
    stream: Stream
    begun: bool = False

    def peer(self) -> str:
        """See `Transport`."""
        return self.connection._peer  # noqa: SLF001 - the two are one

    def carrier(self) -> GrpcConnection:
        """See `Transport`."""
        return self.connection

    async def send_initial_metadata(self, _initial_metadata: Any = (), /) -> None:
        """See `Transport`."""
        if not self.begun:
            self.begun = True
            self.connection.send_headers(self.stream)
