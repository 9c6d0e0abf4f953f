"""One call over whatever carries it: its requests as they come, its replies in their order, its end.

Two tasks make a call: one reads what the client sends, the other runs the call. A client that has gone ends the
reading, and that cancels the call; it is never taken for a client that ended its half, which would commit half of a
transaction.
"""

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, MutableMapping
from contextlib import aclosing
from typing import Any, TypeAlias

from store.errors import StatusCode, ThreaddError
from threadd.api.dispatcher import Call, CallHead, Dispatcher
from threadd.api.statuses import NOT_TAKEN, CallError
from threadd.db.errors import StoppingError
from threadd.web.intake import STALL_SECONDS, Intake, StalledError
from threadd.web.metadata import status_fields
from threadd.web.origins import OriginError, OriginRule
from threadd.web.proxies import NO_PROXIES, TrustedProxies

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Fields: TypeAlias = list[tuple[str, str]]
Read: TypeAlias = Callable[[Call, "Requests"], Coroutine[Any, Any, None]]


# How long the end of a call may wait for a client that does not take what is sent, in seconds.
_PATIENCE = 5.0


class Requests:
    """The requests of a call between the task that reads and the task that runs it; one waits at most.

    Args:
        dispatcher: Answers the call; knows how large a message may be.
        call: The call.
    """

    def __init__(self, dispatcher: Dispatcher, call: Call) -> None:
        self._is_single = not call.bound.method.client_streaming
        self._loop = asyncio.get_running_loop()
        self._has_room = asyncio.Event()
        self._intake = Intake(
            dispatcher.max_message_bytes,
            call.pools.bodies,
            call.share,
            is_single=self._is_single,
            now=self._loop.time(),
            granted=self._has_room.set,
        )
        self._taken = False
        self._ended = False
        self._error: ThreaddError | None = None
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(1)

    async def next(self, receive: Receive, progress: Callable[[], float] = lambda: 0.0) -> Message:
        """Take what the client sends next; a call whose request does not go on fails meanwhile.

        Args:
            receive: Of the ASGI application.
            progress: When a part of it came last which is not received yet, in seconds of the monotonic clock.
        """
        while True:
            try:
                async with asyncio.timeout(STALL_SECONDS if self._intake.is_unfinished else None):
                    return await receive()
            except TimeoutError:
                if time.monotonic() - progress() > STALL_SECONDS:
                    await self.end(StalledError.after(STALL_SECONDS))

    async def feed(self, data: bytes) -> None:
        """Take a part of the body, and hand over the messages that are complete by now, once there is room for them.

        Raises:
            ThreaddError: It is no message, or there is no room for it.
        """
        if self._ended:
            return
        self._has_room.clear()
        for body in self._intake.feed(data, self._loop.time()):
            if self._is_single and self._taken:
                self._intake.took(body)
            else:
                self._taken = True
                await self._queue.put(body)
        if self._intake.is_waiting:
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await self._has_room.wait()
            except TimeoutError:
                self._intake.check(math.inf)

    async def finish(self) -> None:
        """Say that the client has ended its half.

        Raises:
            FramingError: It ended within a message.
        """
        self._intake.finish()
        await self.end()

    async def end(self, error: ThreaddError | None = None) -> None:
        """Say that no request comes any more.

        Args:
            error: What is wrong with what the client sent; the call fails with it.
        """
        if not self._ended:
            self._ended = True
            self._error = error
            if error is not None:
                self._intake.close()
            await self._queue.put(None)

    async def bodies(self) -> AsyncGenerator[bytes, None]:
        """The requests, until the client ends its half.

        Raises:
            ThreaddError: The client sent what it may not.
        """
        while (body := await self._queue.get()) is not None:
            self._intake.took(body)
            yield body
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Give back what they took of the budget, since the call has ended."""
        self._intake.close()
        self._error = None  # if it was raised, it holds the frame that holds this


class Replies(ABC):
    """What a call sends, in its order: headers, messages, a status; a `threadd.api.dispatcher.Transport`.

    Args:
        peer: Where the call comes from.
    """

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._begun = False

    def peer(self) -> str:
        """See `Transport`."""
        return self._peer

    def carrier(self) -> "Replies":
        """See `Transport`: such a connection carries one call at a time."""
        return self

    async def send_initial_metadata(self, _initial_metadata: Any = (), /) -> None:
        """See `Transport`; this daemon has nothing to say in headers but that the call has begun."""
        if not self._begun:
            self._begun = True
            await self._send_headers()

    async def send_message(self, body: bytes) -> None:
        """Send a reply, after the headers.

        Args:
            body: Its protobuf bytes.
        """
        await self.send_initial_metadata()
        await self._send_message(body)

    async def send_status(self, code: StatusCode, text: str = "", request_id: str = "") -> None:
        """End the call; one that fails before it began is told in a single piece.

        Args:
            code: The status code.
            text: The status text.
            request_id: The name of the call; see `status_fields`.
        """
        if code == StatusCode.OK:
            await self.send_initial_metadata()
        fields = status_fields(code, text, request_id)
        if self._begun:
            await self._send_trailers(fields)
        else:
            self._begun = True
            await self._send_failure(fields)

    @abstractmethod
    async def _send_headers(self) -> None: ...

    @abstractmethod
    async def _send_message(self, body: bytes) -> None: ...

    @abstractmethod
    async def _send_trailers(self, fields: Fields) -> None: ...

    @abstractmethod
    async def _send_failure(self, fields: Fields) -> None: ...


class Calls:
    """The calls of a door that run now.

    Args:
        dispatcher: Answers them.
        rule: Which pages and host names are answered; None for all.
        proxies: Those that are believed about their clients.
    """

    def __init__(
        self, dispatcher: Dispatcher, rule: OriginRule | None = None, proxies: TrustedProxies = NO_PROXIES
    ) -> None:
        self.dispatcher = dispatcher
        self.proxies = proxies
        self._rule = rule
        self._tasks: set[asyncio.Task[None]] = set()
        self._none = asyncio.Event()
        self._none.set()
        self._ending = asyncio.Event()

    @property
    def running(self) -> int:
        """How many there are."""
        return len(self._tasks)

    async def run(self, scope: Scope, head: CallHead, replies: Replies, read: Read) -> None:
        """Run a call, if it is admitted, until it has ended or its client has gone.

        Args:
            scope: Of the request or of the handshake that the call came with.
            head: What its headers say.
            replies: Where its replies go.
            read: Fills the requests from what the client sends, once the call is admitted; returns when the client has
                gone.
        """
        refusal = self._refusal(scope)
        if refusal is not None:
            await _in_time(replies.send_status(refusal.code, refusal.text))
            return
        try:
            call = self.dispatcher.admit(head)
        except CallError as error:
            await _in_time(replies.send_status(error.code, error.text, error.request_id))
            return
        requests = Requests(self.dispatcher, call)
        running = asyncio.ensure_future(self._answer(call, requests, replies))
        reading = asyncio.ensure_future(read(call, requests))
        self._tasks.add(running)
        self._none.clear()
        try:
            await asyncio.wait({running, reading}, return_when=asyncio.FIRST_COMPLETED)
            if running.cancelled() and self._ending.is_set() and not reading.done():
                await _in_time(replies.send_status(StoppingError.code, StoppingError.default_text))
        finally:
            running.cancel()
            reading.cancel()
            results = await asyncio.gather(running, reading, return_exceptions=True)
            requests.close()
            call.close()
            self._tasks.discard(running)
            if not self._tasks:
                self._none.set()
        for result in results:
            # A client that has gone while something was sent to it is an OSError, and no news.
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError | OSError):
                raise result

    def _refusal(self, scope: Scope) -> ThreaddError | None:
        if self._rule is not None:
            try:
                self._rule.check(scope["headers"])
            except OriginError as error:
                return error
        return StoppingError() if self._ending.is_set() else None

    async def _answer(self, call: Call, requests: Requests, replies: Replies) -> None:
        code, text = StatusCode.OK, ""
        try:
            async with aclosing(self.dispatcher.invoke_stream(call, requests.bodies())) as sent:
                async for body in sent:
                    await replies.send_message(body)
        except CallError as error:
            code, text = error.code, error.text
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # It was a time limit of the servicer, and closing has undone it: the client takes no replies.
            code, text = StatusCode.ABORTED, NOT_TAKEN
        await _in_time(replies.send_status(code, text))

    async def close(self, grace: float) -> None:
        """Refuse new calls, let those that run finish, then end what is left.

        Args:
            grace: How long to let them finish, in seconds.
        """
        self._ending.set()
        try:
            async with asyncio.timeout(grace):
                await self._none.wait()
        except TimeoutError:
            for task in self._tasks:
                task.cancel()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._none.wait()
        except TimeoutError:
            return


async def _in_time(sending: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            await sending
    except TimeoutError:
        return
