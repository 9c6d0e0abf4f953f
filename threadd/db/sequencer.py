"""The order of a database's transactions: one is built after the other, on all that was built before.

Building never waits for the disk. What is built and not yet on disk lies in the overlay; whatever is built on it
requires it, so when a commit fails, all that stands on it fails too (design, "How a write travels").
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from net.patches import encode_body
from net.threads import AppendedRecord, ThreadInfo, Threads
from store import databases as database_rows
from store import documents as document_rows
from store.databases import ProgressRow
from store.documents import ChangeRow, PatchPlace
from store.engine import Engine, Transaction
from store.overlay import Overlay
from threadd.db import indexes
from threadd.db.collections import Collection
from threadd.db.judge import Judge
from threadd.db.timestamps import InstanceIDs, Timestamps
from threadd.db.transactions import Change, WriteTransaction

Observer = Callable[[Sequence[Change]], None]
"""Is told the changes of each transaction once they are on disk, in commit order. It neither waits nor fails."""


class Sequencer:
    """Builds and enqueues the transactions of one database.

    Args:
        engine: The store.
        threads: Makes records.
        thread: The database's thread.
        clock: The time, in ns since 1970.
        instance_ids: Gives IDs to instances that come without.
        observer: Is told what was committed.
    """

    def __init__(
        self,
        engine: Engine,
        threads: Threads,
        thread: ThreadInfo,
        clock: Callable[[], int],
        instance_ids: InstanceIDs,
        observer: Observer,
    ) -> None:
        self.reader = Overlay(engine)
        self._threads = threads
        self._thread = thread
        self._instance_ids = instance_ids
        self._observer = observer
        self._turn = asyncio.Lock()
        self._last: asyncio.Future[None] | None = None
        progress = database_rows.get_progress(engine, thread.number)
        self._timestamps = Timestamps(clock, progress.timestamp)

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        """Have the sequence for oneself; turns are given in the order of asking."""
        async with self._turn:
            yield

    def begin(self, judge: Judge) -> WriteTransaction:
        """A transaction on the latest state; the caller has the turn until it is enqueued or dropped.

        Args:
            judge: Asks the collections' scripts, for whoever writes.
        """
        return WriteTransaction(self._stored, judge, self._timestamps, self._instance_ids)

    async def settled(self) -> None:
        """Wait until everything that was enqueued is on disk or refused; the caller has the turn."""
        if self._last is not None:
            await asyncio.wait([self._last])

    def _stored(self, collection: Collection, instance_id: str) -> bytes | None:
        return document_rows.get_document(self.reader, self._thread.number, collection.number, instance_id)

    async def enqueue(self, built: WriteTransaction) -> "asyncio.Future[None]":
        """Make one record of a transaction and send it to the disk.

        Args:
            built: What is to be written.

        Returns:
            Done once it is on disk; raises `StoreError` if it is not.

        Raises:
            CreateConflictError, WriteDeniedError, ScriptError: As `WriteTransaction.check_commit`.
            UniqueConstraintError: As `indexes.stage`.
        """
        await built.check_commit()
        if not built.changes:
            nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            nothing.set_result(None)
            return nothing
        transaction = Transaction()
        indexes.stage(transaction, self.reader, self._thread.number, built.changes, unique=True)
        body = encode_body([change.patch for change in built.changes])
        record = self._threads.append(self.reader, transaction, self._thread.id, built.judge.identity, body)
        self._stage(transaction, built.changes, record.log_number, record.position)
        committed = self.reader.submit(transaction)
        committed.add_done_callback(lambda done: self._observe(done, record, built.changes))
        self._last = committed
        return committed

    def _stage(self, transaction: Transaction, changes: Sequence[Change], log_number: int, position: int) -> None:
        """Add to a transaction what a record's patches make of the documents."""
        thread = self._thread.number
        progress = database_rows.get_progress(self.reader, thread)
        sequence = progress.sequence
        for index, change in enumerate(changes):
            patch, collection = change.patch, change.collection.number
            place = PatchPlace(patch.timestamp, log_number, position, index)
            document_rows.put_document(transaction, thread, collection, patch.instance_id, change.after)
            document_rows.put_patch(transaction, thread, collection, patch.instance_id, place)
            sequence += 1
            row = ChangeRow(collection, patch.instance_id, patch.type, change.after)
            document_rows.put_change(transaction, thread, sequence, row)
        database_rows.put_progress(transaction, thread, progress, ProgressRow(sequence, self._timestamps.last))

    def _observe(self, done: "asyncio.Future[None]", record: AppendedRecord, changes: Sequence[Change]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._threads.feed.tell(record)
            self._observer(changes)
