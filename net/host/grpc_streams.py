"""Unary gRPC over a libp2p stream: `net.stream_grpc` with input, output and deadlines."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from net.host.library import IOException, Stream
from net.peer_errors import PeerRefusedError, PeerTooSlowError, PeerUnreachableError
from net.stream_grpc import BrokenStreamError, Called, Cancelled, Event, Failed, GrpcClient, GrpcServer, Replied
from store import background
from store.errors import StatusCode, ThreaddError

Handler = Callable[[bytes, str, bytes], Awaitable[bytes]]
"""Answers a call: peer ID, method and body; raises `ThreaddError`."""

MAX_SECONDS = 60.0
"""How long a call of a peer may run, whatever it says."""

_READ_BYTES = 64 * 2**10

log = logging.getLogger(__name__)


class _Writer:
    """Writes what a side of gRPC has to send, from one task, so that the order stays."""

    def __init__(self, stream: Stream, side: GrpcClient | GrpcServer) -> None:
        self._stream = stream
        self._side = side
        self._news = trio.Event()

    def wake(self) -> None:
        """There is something to send."""
        self._news.set()

    async def run(self) -> None:
        """Write until the stream breaks; it is never stopped within a frame (`library.Socket.write`)."""
        while True:
            data = self._side.data_to_send()
            if data:
                await self._stream.write(data)
            else:
                await self._news.wait()
                self._news = trio.Event()


@dataclass(slots=True, eq=False)
class _Waiting:
    done: trio.Event = field(default_factory=trio.Event)
    outcome: Event | None = None


class Caller:
    """The calling side of a stream; `run` has to run.

    Args:
        stream: The stream.
        authority: Whom the requests name as their host.
    """

    def __init__(self, stream: Stream, authority: str) -> None:
        self._stream = stream
        self._client = GrpcClient(authority)
        self._writer = _Writer(stream, self._client)
        self._waiting: dict[int, _Waiting] = {}
        self._room = trio.Condition()
        self.is_open = True

    async def run(self) -> None:
        """Carry bytes until the stream ends; every call under way fails with it."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._writer.run)
                while data := await self._stream.read(_READ_BYTES):
                    self._settle(self._client.receive(data))
                    self._writer.wake()
                    async with self._room:
                        self._room.notify_all()
                nursery.cancel_scope.cancel()
        except* (IOException, BrokenStreamError) as errors:
            log.debug("stream of calls ends: %s", errors.exceptions[0])
        finally:
            self.is_open = False
            self._settle(self._client.end("the connection to the peer has ended"))
            with trio.CancelScope(shield=True):
                async with self._room:
                    self._room.notify_all()
            with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
                await self._stream.reset()

    async def call(self, method: str, body: bytes, seconds: float) -> bytes:
        """Call a method.

        Args:
            method: For instance `/net.pb.Service/GetLogs`.
            body: The message.
            seconds: How long the answer is waited for.

        Returns:
            The answer.

        Raises:
            PeerUnreachableError: The stream has ended.
            PeerTooSlowError: No answer came in time.
            PeerRefusedError: The peer answered with an error.
        """
        with trio.move_on_after(seconds):
            async with self._room:
                while self.is_open and self._client.is_full:
                    await self._room.wait()
            try:
                number = self._client.call(method, body, seconds)
            except BrokenStreamError as error:
                raise PeerUnreachableError("the connection to the peer has ended") from error
            waiting = self._waiting[number] = _Waiting()
            self._writer.wake()
            try:
                await waiting.done.wait()
            finally:
                del self._waiting[number]
                if waiting.outcome is None and self.is_open:
                    self._client.cancel(number)
                    self._writer.wake()
            return _answer(waiting.outcome)
        raise PeerTooSlowError

    def _settle(self, events: list[Event]) -> None:
        for event in events:
            waiting = self._waiting.get(event.call)
            if waiting is not None:
                waiting.outcome = event
                waiting.done.set()


def _answer(outcome: Event | None) -> bytes:
    match outcome:
        case Replied(body=body):
            return body
        case Failed(status=StatusCode.UNAVAILABLE, text=text):
            raise PeerUnreachableError(text)
        case Failed(status=StatusCode.DEADLINE_EXCEEDED):
            raise PeerTooSlowError
        case Failed(status=status, text=text):
            raise PeerRefusedError(status, text)
        case _:
            raise PeerUnreachableError


class _Serving:
    """The answering side of a stream.

    Args:
        stream: The stream.
        peer: The peer's ID.
        handler: What answers.
    """

    def __init__(self, stream: Stream, peer: bytes, handler: Handler) -> None:
        self._stream = stream
        self._peer = peer
        self._handler = handler
        self._server = GrpcServer()
        self._writer = _Writer(stream, self._server)
        self._running: dict[int, trio.CancelScope] = {}

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._writer.run)
            while data := await self._stream.read(_READ_BYTES):
                for event in self._server.receive(data):
                    if isinstance(event, Called):
                        scope = self._running[event.call] = trio.CancelScope()
                        nursery.start_soon(self._answer, event, scope)
                    elif isinstance(event, Cancelled) and event.call in self._running:
                        self._running[event.call].cancel()
                self._writer.wake()
            nursery.cancel_scope.cancel()

    async def _answer(self, called: Called, scope: trio.CancelScope) -> None:
        with scope:
            try:
                with trio.fail_after(min(called.timeout or MAX_SECONDS, MAX_SECONDS)):
                    body = await self._handler(self._peer, called.method, called.body)
            except trio.TooSlowError:
                self._server.fail(called.call, StatusCode.DEADLINE_EXCEEDED, "context deadline exceeded")
            except ThreaddError as error:
                self._server.fail(called.call, error.code, error.text)
            except Exception as error:  # noqa: BLE001  what a bug makes of one call does not end the others
                background.record_failure("calls of peers", error)
                self._server.fail(called.call, StatusCode.INTERNAL, "internal error")
            else:
                self._server.reply(called.call, body)
        self._running.pop(called.call, None)
        self._writer.wake()


async def serve(stream: Stream, peer: bytes, handler: Handler) -> None:
    """Answer the calls of a peer until its stream ends.

    Args:
        stream: The stream.
        peer: The peer's ID.
        handler: What answers.
    """
    try:
        await _Serving(stream, peer, handler).run()
    except* (IOException, BrokenStreamError) as errors:
        log.debug("stream of a peer's calls ends: %s", errors.exceptions[0])
