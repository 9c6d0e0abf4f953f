"""What a gRPC connection keeps of each of its streams: a call that is refused, of one request, or of many.

Each stands between a stream, whose frames come as they like, and the task that runs its call.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from store.errors import ThreaddError
from threadd.api.dispatcher import Call
from threadd.api.statuses import CallError, DeadlineError, InvalidRequestError
from threadd.web.frames import message_frame, only_message
from threadd.web.http2_sending import Stream
from threadd.web.intake import Intake

if TYPE_CHECKING:
    from threadd.web.grpc_calls import GrpcConnection

_REST_SECONDS: Final = 0.1
"""How long a client may go on sending before it is told that its call has failed: some report a write that failed
instead of the reason."""


class StreamOwner(ABC):
    """What is told of one stream.

    Args:
        connection: Its connection.
        stream: The stream.
    """

    __slots__ = ("connection", "stream")

    def __init__(self, connection: "GrpcConnection", stream: Stream) -> None:
        self.connection = connection
        self.stream = stream

    @abstractmethod
    def received(self, data: bytes) -> None:
        """A part of its body came."""

    @abstractmethod
    def half_closed(self) -> None:
        """The client has ended its half."""

    @abstractmethod
    def broken(self) -> None:
        """The client wants no more of it, or has gone."""


class RefusedCall(StreamOwner):
    """A call that was refused by its headers, until its client has ended its half or had the time to.

    Args:
        connection: See `StreamOwner`.
        stream: See `StreamOwner`.
        error: Why it was refused.
    """

    __slots__ = ("_error", "_timer")

    def __init__(self, connection: "GrpcConnection", stream: Stream, error: CallError) -> None:
        super().__init__(connection, stream)
        self._error = error.detached()
        self._timer = asyncio.get_running_loop().call_later(_REST_SECONDS, self.half_closed)

    def received(self, data: bytes) -> None:
        """See `StreamOwner`; nothing of it is kept, and no more may be sent for it."""

    def half_closed(self) -> None:
        """See `StreamOwner`."""
        self._timer.cancel()
        self.stream.owner = None
        self.connection.fail(self.stream, self._error)

    def broken(self) -> None:
        """See `StreamOwner`."""
        self._timer.cancel()


class AdmittedCall(StreamOwner):
    """A call that was admitted, with what it takes of the budgets.

    Args:
        connection: See `StreamOwner`.
        stream: See `StreamOwner`.
        call: The call.
    """

    __slots__ = ("_is_single", "call", "task")

    def __init__(self, connection: "GrpcConnection", stream: Stream, call: Call) -> None:
        super().__init__(connection, stream)
        self.call = call
        self.task: asyncio.Task[None] | None = None
        self._is_single = not call.bound.method.client_streaming

    @abstractmethod
    def give_up(self, error: ThreaddError) -> None:
        """End the call over what its client sent, or did not."""

    @abstractmethod
    def check(self, now: float) -> None:
        """End the call if its request does not go on.

        Args:
            now: The time of the loop.
        """

    def release(self) -> None:
        """Give back what the call took, since it has ended."""
        self.call.close()
        self.connection.unfinished.discard(self)
        if self.stream.owner is self:
            self.stream.owner = None

    def broken(self) -> None:
        """See `StreamOwner`."""
        if self.task is not None:
            self.task.cancel()
        self.release()

    def _new_intake(self) -> Intake:
        def go_on() -> None:
            intake.resume(asyncio.get_running_loop().time())
            self._allow_more(intake)

        intake = Intake(
            self.connection.dispatcher.max_message_bytes,
            self.call.pools.bodies,
            self.call.share,
            is_single=self._is_single,
            now=self.connection.heard,
            granted=go_on,
        )
        return intake

    def _allow_more(self, intake: Intake) -> None:
        """Let the client send as much as there is room for."""
        more = intake.window()
        if more:
            self.connection.allow(self.stream, more)


class UnaryCall(AdmittedCall):
    """A call of one request: until that is whole, and then with the task that answers it.

    Most requests come whole and with their headers. An intake is made for the others only.

    Args:
        connection: See `StreamOwner`.
        stream: See `StreamOwner`.
        call: The call.
    """

    __slots__ = ("_bodies", "_expiry", "_intake")

    def __init__(self, connection: "GrpcConnection", stream: Stream, call: Call) -> None:
        super().__init__(connection, stream, call)
        self._bodies: list[bytes] = []
        self._expiry: asyncio.TimerHandle | None = None
        self._intake: Intake | None = None

    def wait(self) -> None:
        """Wait for the request, which did not come with its headers, or not to its end."""
        self.connection.unfinished.add(self)
        deadline = self.call.head.deadline
        if deadline is not None:
            # The dispatcher keeps the deadline of a call that runs.
            self._expiry = asyncio.get_running_loop().call_at(deadline, self.give_up, DeadlineError())
        if self._intake is None:
            bodies, self._bodies = self._bodies, []
            self._feed(b"".join(map(message_frame, bodies)))

    def received(self, data: bytes) -> None:
        """See `StreamOwner`."""
        body = None
        if self._intake is None and not self._bodies:
            body = only_message(data, self.connection.dispatcher.max_message_bytes)
        if body is None:
            self._feed(data)
        else:
            self._bodies.append(body)

    def _feed(self, data: bytes) -> None:
        intake = self._intake = self._intake or self._new_intake()
        try:
            self._bodies += intake.feed(data, self.connection.heard)
        except ThreaddError as error:
            self.give_up(error)
        else:
            self._allow_more(intake)

    def half_closed(self) -> None:
        """See `StreamOwner`."""
        try:
            if self._intake is not None:
                self._intake.finish()
            if len(self._bodies) != 1:
                raise InvalidRequestError(f"a call of {self.call.method} has one request, not {len(self._bodies)}")
        except ThreaddError as error:
            self.give_up(error)
            return
        body = self._bodies.pop()
        self._stop_waiting()
        self.task = self.connection.start(self.connection.answer(self.stream, self.call, body), self)

    def check(self, now: float) -> None:
        """See `AdmittedCall`."""
        try:
            if self._intake is not None:
                self._intake.check(now)
        except ThreaddError as error:
            self.give_up(error)

    def give_up(self, error: ThreaddError) -> None:
        """See `AdmittedCall`."""
        self.release()
        self.connection.fail(self.stream, CallError(error.code, error.text, self.call.request_id()))

    def release(self) -> None:
        """See `AdmittedCall`."""
        self._stop_waiting()
        self._bodies.clear()
        super().release()

    def _stop_waiting(self) -> None:
        self.connection.unfinished.discard(self)
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self._intake is not None:
            self._intake.close()


class StreamingCall(AdmittedCall):
    """A call of any other kind: its requests between the stream and the task that takes them.

    Args:
        connection: See `StreamOwner`.
        stream: See `StreamOwner`.
        call: The call.
        deadline: When the call has to end, in seconds of the loop's clock; None for no time.
    """

    __slots__ = ("_ended", "_error", "_news", "_over", "_queue", "drained", "intake")

    def __init__(self, connection: "GrpcConnection", stream: Stream, call: Call, deadline: float | None) -> None:
        super().__init__(connection, stream, call)
        self.intake = self._new_intake()
        self.drained = asyncio.Event()
        self._queue: deque[bytes] = deque()
        self._ended = False
        self._over = False
        self._error: ThreaddError | None = None
        self._news = asyncio.Event()
        self.task = connection.start(connection.converse(stream, call, deadline, self), self)

    def received(self, data: bytes) -> None:
        """See `StreamOwner`."""
        if self._over:
            self.connection.allow(self.stream, len(data))
        if self._over or self._ended:
            return
        try:
            bodies = self.intake.feed(data, self.connection.heard)
        except ThreaddError as error:
            self.give_up(error)
            return
        if bodies:
            self._queue += bodies
            self._news.set()
        if self.intake.is_unfinished:
            self.connection.unfinished.add(self)
        else:
            self.connection.unfinished.discard(self)
        self._allow_more(self.intake)

    def half_closed(self) -> None:
        """See `StreamOwner`."""
        try:
            self.intake.finish()
        except ThreaddError as error:
            self.give_up(error)
        else:
            self._end(None)

    def check(self, now: float) -> None:
        """See `AdmittedCall`."""
        try:
            self.intake.check(now)
        except ThreaddError as error:
            self.give_up(error)

    def release(self) -> None:
        """See `AdmittedCall`."""
        self.intake.close()
        if self.task is not None and self.task.done():
            self._error = None  # it has been raised, and holds the frame that holds this
        super().release()

    def give_up(self, error: ThreaddError) -> None:
        """See `AdmittedCall`; what came before is still the call's."""
        self.intake.close()
        self._end(error)

    def _end(self, error: ThreaddError | None) -> None:
        self.connection.unfinished.discard(self)
        if not self._ended:
            self._ended, self._error = True, error
            self._news.set()

    async def pass_over_the_rest(self) -> None:
        """Let a client that is about to end its half do so: some report a write that failed instead of the refusal."""
        self._over = True
        self._queue.clear()
        self.intake.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REST_SECONDS):
                while not self._ended:
                    self._news.clear()
                    await self._news.wait()

    async def bodies(self) -> AsyncGenerator[bytes, None]:
        """The requests, until the client ends its half.

        Raises:
            ThreaddError: The client sent what it may not.
        """
        while True:
            while self._queue:
                body = self._queue.popleft()
                self.intake.took(body)
                self._allow_more(self.intake)
                yield body
            if self._error is not None:
                raise self._error
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()
