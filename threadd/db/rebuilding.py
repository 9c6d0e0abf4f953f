"""Bringing the stale indexes of a database up to date before anything is written to it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

_MOST_NAMED = 20


@dataclass(slots=True)
class Duplicates:
    """The documents that share values of a unique index.

    Args:
        count: How many have the value of an earlier one.
        documents: The IDs of some of them, and of those earlier ones.
    """

    count: int = 0
    documents: list[str] = field(default_factory=list)

    def add(self, one: str, other: str) -> None:
        """Record two documents that share a value; see `index_building.Duplicate`."""
        self.count += 1
        for document in (one, other):
            if document not in self.documents and len(self.documents) < _MOST_NAMED:
                self.documents.append(document)


class Rebuilding:
    """The work on a database's stale indexes; it continues if its waiters are cancelled.

    Args:
        has_work: Whether there are any.
        work: Does it; it may be cancelled, and called again.
    """

    def __init__(self, has_work: Callable[[], bool], work: Callable[[], Awaitable[None]]) -> None:
        self._has_work = has_work
        self._work = work
        self._task: asyncio.Task[None] | None = None

    async def done(self) -> None:
        """Wait until no index is stale, or until `stop`.

        Raises:
            StoreError: The disk does not take it; the next call tries again.
        """
        if not self._has_work():
            return
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="index rebuilding")
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def stop(self) -> None:
        """Stop; unfinished indexes are rebuilt after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        await self._work()
