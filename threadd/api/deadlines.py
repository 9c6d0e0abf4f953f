"""Deadlines of calls, in the seconds of the event loop's clock."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from threadd.api.statuses import DeadlineError

_T = TypeVar("_T")


def require_time(deadline: float | None) -> None:
    """Refuse to go on after a deadline: work that never waits is not cancelled by one.

    Args:
        deadline: In the seconds of the event loop's clock; None for no deadline.

    Raises:
        DeadlineError: It has passed.
    """
    if deadline is not None and asyncio.get_running_loop().time() >= deadline:
        raise DeadlineError


async def until(deadline: float | None, awaitable: Awaitable[_T]) -> _T:
    """Await something until a deadline.

    Raises:
        DeadlineError: It did not finish in time; it was cancelled, or its result came too late.
    """
    if deadline is None:
        return await awaitable
    scope = asyncio.timeout_at(deadline)
    try:
        async with scope:
            result = await awaitable
    except TimeoutError as error:
        if scope.expired():
            raise DeadlineError from error
        raise
    require_time(deadline)
    return result
