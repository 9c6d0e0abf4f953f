"""Taking back the space of what no bucket reaches, and keeping what is known of buckets true to their documents."""

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import structlog

from net.thread_id import ThreadID
from store import background, tables
from store import buckets as rows
from store import databases as database_rows
from store import documents as document_rows
from store import threads as thread_rows
from store.buckets import BucketRow
from store.engine import Engine, Reader, Transaction
from store.errors import ConflictError, ThreaddError
from store.file_blocks import FileBlocks
from threadd.buckets import access
from threadd.buckets.model import Bucket
from threadd.buckets.roots import CompleteRoots
from threadd.buckets.surveys import Surveyor

REST_SECONDS: Final = 30.0
"""How long a sweep waits after it is asked for, so that many changes share one."""

_REST_FACTOR: Final = 10

_AT_LEAST_SECONDS: Final = 3600.0
"""How often to sweep unasked: databases are also deleted by those who know nothing of buckets."""

_LOOKS_AT_ONE: Final = 16
"""How often a sweep looks at a bucket whose document does not cease to change: it has to end, for all others."""

_FORGOTTEN_AT_ONCE: Final = 1_000

log = structlog.get_logger(__name__)

_Place = tuple[ThreadID, str]


@dataclass(slots=True)
class Sweeping:
    """Sweeps when it was asked to.

    Args:
        engine: The store.
        blocks: The blocks of files.
        roots: Which roots of buckets are complete.
        rest: See `REST_SECONDS`.
    """

    engine: Engine
    blocks: FileBlocks
    roots: CompleteRoots
    rest: float = REST_SECONDS
    _asked: asyncio.Event = field(default_factory=asyncio.Event)
    _sweeps: asyncio.Lock = field(default_factory=asyncio.Lock)
    _changed: set[_Place] = field(default_factory=set)
    _looks: Counter[_Place] = field(default_factory=Counter)
    _surveyor: Surveyor = field(init=False)
    _task: "asyncio.Task[None] | None" = None

    def start(self) -> None:
        """Begin to sweep, at first what a crash may have left."""
        self._asked.set()
        self._task = background.spawn("sweep of blocks", self._run, restart=self.rest)

    async def close(self) -> None:
        """Sweep no more; a sweep that runs is given up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def wake(self) -> None:
        """Ask for a sweep."""
        self._asked.set()

    def has_changed(self, thread: ThreadID, key: str) -> None:
        """Take notice of a new root of a bucket; a sweep that runs looks at it before it removes more."""
        if self._sweeps.locked():
            self._changed.add((thread, key))
        self.wake()

    async def _run(self) -> None:
        rest = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AT_LEAST_SECONDS):
                    await self._asked.wait()
            await asyncio.sleep(rest)
            self._asked.clear()
            began = time.monotonic()
            try:
                await self.sweep()
            except ThreaddError as error:
                log.warning("a sweep of blocks was given up", reason=error.text)
            except Exception as error:  # noqa: BLE001  a failure is recorded, and the sweep tried again
                background.record_failure("sweep of blocks", error)
                self._asked.set()
            # A sweep looks at all buckets: where that takes long, it is done less often.
            rest = max(self.rest, _REST_FACTOR * (time.monotonic() - began))

    async def sweep(self) -> int:
        """Remove the blocks that no bucket reaches.

        Returns:
            How many blocks were removed.

        Raises:
            StoreError: The disk does not take it, or what is kept cannot be read; then nothing was removed.
        """
        async with self._sweeps:
            self._changed.clear()
            self._looks.clear()
            return await self.blocks.sweep(self._mark, self._mark_changed)

    async def _mark(self, reached: set[bytes]) -> None:
        self._surveyor = Surveyor(self.blocks, reached)
        listed = await self.engine.read(_list)
        gone = {tables.bucket(key): value for key, (_, value) in listed.rows.items()}
        for thread, key in listed.places:
            standing = await self.roots.examine(thread, key, self._surveyor)
            if standing is None or (standing.last is None and not standing.has_root):
                continue  # it is gone, or none of a bucket
            row, _ = listed.rows.get(key, (None, b""))
            if row is not None and row.thread_id != thread.bytes:
                continue  # a key belongs to the thread that had it first
            gone.pop(tables.bucket(key), None)
            if standing.bucket is not None:
                size = standing.size if standing.last is None else None
                await self._keep(standing.bucket, thread, row, size)
        await self._forget(gone | listed.left_over)

    async def _mark_changed(self, _reached: set[bytes]) -> None:
        self._surveyor.look_again()
        while self._changed:
            place = self._changed.pop()
            self._looks[place] += 1
            if self._looks[place] <= _LOOKS_AT_ONE:
                await self.roots.examine(*place, self._surveyor)

    async def _keep(self, bucket: Bucket, thread: ThreadID, known: BucketRow | None, size: int | None) -> None:
        """Keep how large a bucket is, unless that was said meanwhile."""
        if rows.get_bucket(self.engine, bucket.id) != known:
            return
        if size is None:
            size = 0 if known is None else known.size
        kept = BucketRow(thread.bytes, bucket.owner, size, b"" if known is None else known.private_key)
        if kept != known:
            transaction = Transaction()
            rows.put_bucket(transaction, bucket.id, kept)
            await asyncio.shield(self.engine.commit(transaction))

    async def _forget(self, gone: dict[bytes, bytes]) -> None:
        """Remove rows of buckets that are gone, unless they were written anew since."""
        pairs = list(gone.items())
        for first in range(0, len(pairs), _FORGOTTEN_AT_ONCE):
            transaction = Transaction()
            for key, value in pairs[first : first + _FORGOTTEN_AT_ONCE]:
                transaction.require(key, value)
                transaction.delete(key)
            with contextlib.suppress(ConflictError):  # the next sweep sees to the rest
                await asyncio.shield(self.engine.commit(transaction))


@dataclass(slots=True)
class _Listing:
    """What the store has of buckets.

    Args:
        places: The threads and keys of all documents that may be those of buckets.
        rows: What is kept of buckets by their keys, as it is and as it is written.
        left_over: What is kept of buckets whose documents are gone, by its key.
    """

    places: list[_Place]
    rows: dict[str, tuple[BucketRow, bytes]]
    left_over: dict[bytes, bytes]


def _list(state: Reader) -> _Listing:
    values = dict(state.scan(*tables.buckets()))
    listing = _Listing([], {key: (row, values[tables.bucket(key)]) for key, row in rows.list_buckets(state)}, {})
    for database in database_rows.list_databases(state):
        thread = thread_rows.get_thread(state, database.thread_id)
        if thread is None:
            continue
        collection = database_rows.get_collection(state, thread.number, access.COLLECTION)
        keys: list[str] = []
        if collection is not None:
            keys = [key for key, _ in document_rows.all_documents(state, thread.number, collection.number)]
        listing.places += [(ThreadID(database.thread_id), key) for key in keys]
        there = set(keys)
        for key, value in state.scan(*tables.complete_roots(thread.number)):
            if tables.bucket_of_complete_root(key) not in there:
                listing.left_over[key] = value
    return listing
