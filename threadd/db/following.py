"""Following a database from a position on: what a listener that comes back has missed, then what comes.

Positions are the sequence of the changes that are kept (`store.documents`), 1 for the first. Nothing waits in memory: a
follower reads what is kept whenever there is news, so that a slow one holds up nobody; one that is so slow that what
it has not read is trimmed is told so.
"""

import asyncio
import enum
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from net.patches import PatchType
from store import databases as database_rows
from store import documents as document_rows
from store.documents import ChangeRow
from store.engine import Engine, Snapshot
from store.errors import StatusCode, ThreaddError
from threadd.db.collections import Collection
from threadd.db.errors import TransactionTooOldError
from threadd.db.judge import Judge
from threadd.db.listeners import ListenFilter
from threadd.db.slices import Pacer
from threadd.db.transactions import Change

_AT_ONCE = 64
"""How many changes are read at once."""


class PositionError(ThreaddError):
    """What follows a position is not kept, or there is no such position."""

    code: ClassVar[StatusCode] = StatusCode.OUT_OF_RANGE


class News(enum.Enum):
    """What a follower is told beside changes."""

    PRESENT = "present"
    """An instance that is there."""
    READY = "ready"
    """Only changes follow."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a follower is told.

    Args:
        action: What was done, or what else it is told of.
        position: Where to go on from after it.
        collection: The name of the collection; empty with READY.
        instance_id: The instance; empty with READY.
        instance: JSON text of the instance as the reader may see it; None after a delete and with READY.
    """

    action: PatchType | News
    position: int
    collection: str = ""
    instance_id: str = ""
    instance: bytes | None = None


@dataclass(slots=True, eq=False)
class Following:
    """One follower; made by `Database.following`, and in the database's listeners from then on.

    Args:
        engine: The store.
        thread: The number of the thread.
        filters: What it wants, any of them; none for everything.
        judge: Asks the read filters for whoever listens.
        collections: Gives the collections that there are.
        seconds: How long a snapshot may be kept.
    """

    engine: Engine
    thread: int
    filters: Sequence[ListenFilter]
    judge: Judge
    collections: Callable[[], Sequence[Collection]]
    seconds: float
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _end: Exception | None = None
    _read_up_to: int = 0

    def offer(self, _change: Change) -> None:
        """See `Hearer`: there is something to read."""
        self._news.set()

    def end(self, error: Exception) -> None:
        """See `Hearer`."""
        if self._end is None:
            self._end = error
            self._news.set()

    def is_only_of(self, collection: str) -> bool:
        """See `Hearer`."""
        return bool(self.filters) and all(wanted.collection == collection for wanted in self.filters)

    async def events(self, position: int | None = None, *, snapshot: bool = False) -> AsyncGenerator[Event, None]:
        """What is wanted, in the order of the commits.

        Args:
            position: After which to go on; None for now.
            snapshot: Whether to begin with all instances instead.

        Raises:
            PositionError: What follows the position is not kept any more, or it lies ahead.
            TransactionTooOldError: The snapshot was not taken in time.
            ThreaddError: What is followed has ended.
        """
        with self.engine.snapshot() as state:
            last = database_rows.get_progress(state, self.thread).sequence
            if snapshot:
                try:
                    async with asyncio.timeout(self.seconds):
                        async for event in self._instances(state, last):
                            yield event
                except TimeoutError as error:
                    raise TransactionTooOldError(self.seconds) from error
        if position is None:
            position = last
        if not 0 <= position <= last:
            raise PositionError(f"there is no position {position}: the last one is {last}; begin with a snapshot")
        yield Event(News.READY, position)
        while True:
            self._news.clear()
            async for event in self._changes(position):
                position = event.position
                yield event
            # What was not wanted need not be read again.
            position = self._read_up_to
            await self._news.wait()
            if self._end is not None:
                raise self._end

    async def _instances(self, state: Snapshot, position: int) -> AsyncGenerator[Event, None]:
        pacer = Pacer()
        for collection in self.collections():
            name = collection.config.name
            for instance_id, text in document_rows.all_documents(state, self.thread, collection.number):
                if self._wants(name, instance_id, None):
                    shown = await self.judge.shown(collection, text)
                    if shown is not None:
                        yield Event(News.PRESENT, position, name, instance_id, shown)
                if pacer.due():
                    await pacer.pause()

    async def _changes(self, position: int) -> AsyncGenerator[Event, None]:
        """The wanted changes after a position, up to the last one that is kept."""
        self._read_up_to = position
        pacer = Pacer()
        while batch := self._read(self._read_up_to):
            by_number = {collection.number: collection for collection in self.collections()}
            for sequence, row in batch:
                if sequence != self._read_up_to + 1:
                    raise PositionError(
                        f"the changes after position {self._read_up_to} are no longer kept: begin with a snapshot"
                    )
                self._read_up_to = sequence
                collection = by_number.get(row.collection_number)
                event = None if collection is None else await self._event(collection, sequence, row)
                if event is not None:
                    yield event
                if pacer.due():
                    await pacer.pause()

    def _read(self, position: int) -> list[tuple[int, ChangeRow]]:
        with self.engine.snapshot() as state:
            rows = document_rows.changes_from(state, self.thread, position + 1)
            return list(itertools.islice(rows, _AT_ONCE))

    async def _event(self, collection: Collection, sequence: int, row: ChangeRow) -> Event | None:
        name, action = collection.config.name, PatchType(row.action)
        if not self._wants(name, row.instance_id, action):
            return None
        if row.text is not None:
            shown = await self.judge.shown(collection, row.text)
            return None if shown is None else Event(action, sequence, name, row.instance_id, shown)
        if collection.config.read_filter:
            # Who could not see an instance does not hear that it is gone.
            hidden = row.before is None or await self.judge.shown(collection, row.before) is None
            return None if hidden else Event(action, sequence, name, row.instance_id)
        return Event(action, sequence, name, row.instance_id)

    def _wants(self, collection: str, instance_id: str, action: PatchType | None) -> bool:
        return not self.filters or any(wanted.covers(collection, instance_id, action) for wanted in self.filters)
