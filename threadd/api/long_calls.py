"""Calls that go on for long, which end once what their caller was admitted by counts no longer."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import ClassVar, Generic, TypeVar

from store.errors import StatusCode, ThreaddError

_C = TypeVar("_C")
_T = TypeVar("_T")


class WithdrawnError(ThreaddError):
    """The token, the session or the key of a call counts no longer."""

    code: ClassVar[StatusCode] = StatusCode.UNAUTHENTICATED


class LongCall:
    """One call, which may be ended between its messages and while it waits for one."""

    __slots__ = ("_cancelling", "_error", "_waiting")

    def __init__(self) -> None:
        self._error: WithdrawnError | None = None
        self._waiting: asyncio.Task[object] | None = None
        self._cancelling = 0

    def check(self) -> None:
        """Go on, or not.

        Raises:
            WithdrawnError: The call was ended.
        """
        if self._error is not None:
            raise self._error

    async def until(self, awaitable: Awaitable[_T]) -> _T:
        """Wait for something for as long as the call is not ended.

        Raises:
            WithdrawnError: It was, and what was waited for was cancelled.
        """
        task = self._waiting = asyncio.current_task()
        self._cancelling = 0 if task is None else task.cancelling()
        try:
            return await awaitable
        except asyncio.CancelledError:
            # Whoever else cancels the task meanwhile is to see it cancelled.
            if self._error is not None and task is not None and task.uncancel() <= self._cancelling:
                raise self._error from None
            raise
        finally:
            self._waiting = None

    def end(self, error: WithdrawnError) -> None:
        """End the call with an error; one that was ended stays so."""
        if self._error is None:
            self._error = error
            if self._waiting is not None:
                self._waiting.cancel()


class LongCalls(Generic[_C]):
    """All of a door that are open.

    Args:
        check: Raises a `ThreaddError` for a call whose caller would not be admitted any more.
    """

    def __init__(self, check: Callable[[_C], None]) -> None:
        self._check = check
        self._open: dict[LongCall, _C] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._open)

    @contextmanager
    def one_more(self, call: _C) -> Generator[LongCall, None, None]:
        """Have a call among them for as long as the body runs."""
        one = LongCall()
        self._open[one] = call
        try:
            yield one
        finally:
            del self._open[one]

    def look_again(self) -> None:
        """End the calls whose callers would not be admitted any more."""
        for one, call in list(self._open.items()):
            try:
                self._check(call)
            except ThreaddError as error:
                one.end(WithdrawnError(error.text))
