"""A thread that runs trio, and the way between it and asyncio with cancellation on both sides."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

import trio

from net.peer_errors import HostError
from store import background

T = TypeVar("T")
P = ParamSpec("P")


class TrioThread:
    """A thread with a trio loop of its own.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop
        self._token: trio.lowlevel.TrioToken
        self._nursery: trio.Nursery
        self._stop: trio.Event
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None]
        self._calls: set[asyncio.Task[Any]] = set()

    @property
    def nursery(self) -> trio.Nursery:
        """What owns tasks that last as long as the thread; used on the trio side only."""
        return self._nursery

    async def open(self) -> None:
        """Start the thread, and wait until it takes calls."""
        self._loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = self._loop.create_future()
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(started,), name=self._name, daemon=True)
        self._thread.start()
        await started

    async def close(self) -> None:
        """Cancel all that runs on either side on behalf of the other, and wait until the thread has ended."""
        if self._thread is None:
            return
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._stop.set)
        await asyncio.shield(self._ended)
        self._thread.join()
        self._thread = None
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def in_trio(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something on the trio side; called on the asyncio side.

        Args:
            function: What to run.
            args: What to call it with.
            kwargs: What to call it with by name.

        Returns:
            What it returns.

        Raises:
            HostError: The thread has ended.
            Exception: Whatever the function raises.
        """
        answer: asyncio.Future[T] = self._loop.create_future()
        scope = trio.CancelScope()

        async def run() -> None:
            try:
                with scope:
                    result = await function(*args, **kwargs)
                    self._tell(answer, result)
            except Exception as error:  # noqa: BLE001 - it is raised on the other side
                self._fail(answer, error)
            finally:
                self._fail(answer, HostError("the host is closed"))  # unless there is an answer already

        def start() -> None:
            self._nursery.start_soon(run)

        self._soon(start)
        try:
            return await answer
        except asyncio.CancelledError:
            with suppress(HostError):
                self._soon(scope.cancel)
            raise

    async def in_asyncio(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something on the asyncio side; called on the trio side.

        Args:
            function: What to run.
            args: What to call it with.
            kwargs: What to call it with by name.

        Returns:
            What it returns.

        Raises:
            Exception: Whatever the function raises.
        """
        done = trio.Event()
        calls: list[asyncio.Task[T]] = []
        cancelled = False

        def end(_: asyncio.Task[T]) -> None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(done.set)

        def start() -> None:
            if not cancelled:
                call = self._loop.create_task(function(*args, **kwargs))
                calls.append(call)
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)
                call.add_done_callback(end)

        def cancel() -> None:
            for call in calls:
                call.cancel()

        self.call_soon(start)
        try:
            await done.wait()
        except trio.Cancelled:
            cancelled = True
            self.call_soon(cancel)
            raise
        if calls[0].cancelled():
            raise HostError("the host is closed")
        return calls[0].result()

    def tell_trio(self, function: Callable[..., object], *args: object) -> None:
        """Call something on the trio side without waiting for it; called on the asyncio side, in order.

        Raises:
            HostError: The thread has ended.
        """
        self._soon(partial(function, *args))

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call something on the asyncio side without waiting for it; a loop that has ended takes nothing more."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)

    def _run(self, started: "asyncio.Future[None]") -> None:
        try:
            trio.run(self._serve, started)
        except Exception as error:  # noqa: BLE001  the thread ends with it
            background.record_failure(self._name, error)
        finally:
            self.call_soon(_set, self._ended, None)

    async def _serve(self, started: "asyncio.Future[None]") -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.call_soon(_set, started, None)
            await self._stop.wait()
            nursery.cancel_scope.cancel()

    def _soon(self, function: Callable[[], object]) -> None:
        if self._thread is None:
            raise HostError("the host is not open")
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError as error:
            raise HostError("the host is closed") from error

    def _tell(self, answer: "asyncio.Future[T]", result: T) -> None:
        self.call_soon(_set, answer, result)

    def _fail(self, answer: "asyncio.Future[Any]", error: Exception) -> None:
        self.call_soon(_set_error, answer, error)


def _set(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _set_error(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
