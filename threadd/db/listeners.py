"""Following the changes of a database: every one in commit order with the value at that change, or a clear end."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from net.patches import PatchType
from threadd.db.errors import ListenerTooSlowError
from threadd.db.judge import Judge
from threadd.db.transactions import Change

MAX_QUEUED = 8_192
"""How many changes wait for a listener before it is too slow."""

MAX_QUEUED_BYTES = 64 * 2**20
"""How many bytes of instances may wait for it; a single change may be larger."""


@dataclass(frozen=True, slots=True)
class ListenFilter:
    """Which changes a listener wants.

    Args:
        collection: The name of a collection; "" for all.
        instance_id: An instance; "" for all.
        action: What is done; None for everything.
    """

    collection: str = ""
    instance_id: str = ""
    action: PatchType | None = None

    def accepts(self, change: Change) -> bool:
        """Whether a change is wanted."""
        return self.covers(change.patch.collection, change.patch.instance_id, change.action)

    def covers(self, collection: str, instance_id: str, action: PatchType | None) -> bool:
        """Whether what is done to an instance is wanted; None for what does nothing, as a snapshot."""
        return (
            self.collection in {"", collection}
            and self.instance_id in {"", instance_id}
            and (action is None or self.action in {None, action})
        )


@dataclass(frozen=True, slots=True)
class Event:
    """A change as a listener may see it.

    Args:
        collection: The name of the collection.
        instance_id: The instance.
        action: What was done.
        instance: JSON text of the instance after it; None after a delete.
    """

    collection: str
    instance_id: str
    action: PatchType
    instance: bytes | None


@dataclass(slots=True, eq=False)
class Listener:
    """One listener; it counts from the moment it is made.

    Args:
        filters: What it wants, any of them; none for everything.
        judge: Asks the read filters for whoever listens.
    """

    filters: Sequence[ListenFilter]
    judge: Judge
    _queue: deque[Change] = field(default_factory=deque)
    _bytes: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _end: Exception | None = None

    def offer(self, change: Change) -> None:
        """Take a change, unless it is not wanted or the listener has ended."""
        if self._end is not None or (self.filters and not any(wanted.accepts(change) for wanted in self.filters)):
            return
        if len(self._queue) >= MAX_QUEUED or self._bytes >= MAX_QUEUED_BYTES:
            self.end(ListenerTooSlowError())
        else:
            self._queue.append(change)
            self._bytes += _size(change)
            self._news.set()

    def end(self, error: Exception) -> None:
        """End it with an error, once what waits is delivered."""
        if self._end is None:
            self._end = error
            self._news.set()

    def is_only_of(self, collection: str) -> bool:
        """Whether it can hear of one collection only."""
        return bool(self.filters) and all(wanted.collection == collection for wanted in self.filters)

    async def events(self) -> AsyncGenerator[Event, None]:
        """The changes as they come; those that the read filter hides are left out.

        Raises:
            ListenerTooSlowError: Too many changes wait; all before them were delivered.
            ThreaddError: What was listened to has ended.
        """
        while True:
            while self._queue:
                change = self._queue.popleft()
                self._bytes -= _size(change)
                event = await self._event(change)
                if event is not None:
                    yield event
            if self._end is not None:
                raise self._end
            self._news.clear()
            await self._news.wait()

    async def _event(self, change: Change) -> Event | None:
        text = change.before if change.after is None else change.after
        shown = None if text is None else await self.judge.shown(change.collection, text)
        if shown is None:
            return None
        patch = change.patch
        return Event(patch.collection, patch.instance_id, change.action, None if change.after is None else shown)


def _size(change: Change) -> int:
    """What a change holds in memory, roughly, in bytes."""
    return len(change.before or b"") + len(change.after or b"") + len(change.patch.json or b"")


class Hearer(Protocol):
    """What hears of every change of a database."""

    def offer(self, change: Change, /) -> None:
        """Take a change."""

    def end(self, error: Exception, /) -> None:
        """End with an error, once what waits is delivered."""

    def is_only_of(self, collection: str, /) -> bool:
        """Whether it can hear of one collection only."""


@dataclass(slots=True)
class Listeners:
    """All listeners of a database."""

    _all: set[Hearer] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, listener: Hearer) -> None:
        """Have a listener hear of every change from now on."""
        self._all.add(listener)

    def remove(self, listener: Hearer) -> None:
        """Let a listener go; one that has gone already is no error."""
        self._all.discard(listener)

    def tell(self, changes: Sequence[Change]) -> None:
        """Tell all of what was committed."""
        for listener in self._all:
            for change in changes:
                listener.offer(change)

    def end_all(self, error: Exception) -> None:
        """End all listeners."""
        for listener in self._all:
            listener.end(error)

    def end_of_collection(self, collection: str, error: Exception) -> None:
        """End the listeners that can hear of nothing but a collection."""
        for listener in self._all:
            if listener.is_only_of(collection):
                listener.end(error)
