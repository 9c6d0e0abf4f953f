"""The order of a database's transactions: one is built after the other, on all that was built before.

Building never waits for the disk. What is built and not yet on disk lies in the overlay; whatever is built on it
requires it, so when a commit fails, all that stands on it fails too (design, "How a write travels").
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from net.keys import PublicKey
from net.patches import encode_body
from net.thread_info import AppendedRecord, ThreadInfo
from net.threads import Threads
from store import databases as database_rows
from store import documents as document_rows
from store import failpoints
from store import records as record_rows
from store.documents import PatchPlace
from store.engine import Engine, Transaction
from store.failpoints import Failpoint
from store.overlay import Overlay
from threadd.db import changes
from threadd.db.arriving import Arriving
from threadd.db.collections import Collection
from threadd.db.judge import Judge
from threadd.db.schema_checks import SchemaChecks
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
        judge_of: Asks the validators on behalf of an author elsewhere.
        schemas: Checks instances.
    """

    def __init__(
        self,
        engine: Engine,
        threads: Threads,
        thread: ThreadInfo,
        clock: Callable[[], int],
        instance_ids: InstanceIDs,
        observer: Observer,
        judge_of: Callable[[PublicKey], Judge],
        schemas: SchemaChecks,
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
        self._judge_of = judge_of
        self._schemas = schemas

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
        return WriteTransaction(self._stored, judge, self._schemas, self._timestamps, self._instance_ids)

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
        return await enqueue_together([(self, built)])

    def append_to(self, transaction: Transaction, built: WriteTransaction) -> AppendedRecord:
        """Make one record of a transaction, and put it with what it means into what goes to the disk.

        Args:
            transaction: What goes to the disk.
            built: What is to be written; it was checked.

        Returns:
            The record.

        Raises:
            UniqueConstraintError: As `indexes.stage`.
        """
        changes.stage(transaction, self.reader, self._thread.number, built.changes, self._timestamps, unique=True)
        body = encode_body([change.patch for change in built.changes])
        record = self._threads.append(self.reader, transaction, self._thread.id, built.judge.identity, body)
        for index, change in enumerate(built.changes):
            patch, collection = change.patch, change.collection.number
            place = PatchPlace(patch.timestamp, record.log_number, record.position, index)
            document_rows.put_patch(transaction, self._thread.number, collection, patch.instance_id, place)
        return record

    def arriving(self) -> Arriving:
        """A transaction of records that were made elsewhere; the caller has the turn until it is sent or dropped."""
        return Arriving(self.reader, self._threads, self._thread, self._timestamps, self._judge_of, self._schemas)

    def send(self, arriving: Arriving) -> "asyncio.Future[None]":
        """Send records that were made elsewhere to the disk with what they mean.

        Args:
            arriving: The records.

        Returns:
            Done once they are on disk; raises `StoreError` if they are not.
        """
        committed = self.reader.submit(arriving.transaction)
        self.watch(committed, arriving.changes, arriving.records)
        return committed

    async def take_waiting(self, collection: Collection, log_number: int, position: int) -> "asyncio.Future[None]":
        """Apply the patches that a kept record has for a collection.

        Args:
            collection: The collection, which nobody sees yet.
            log_number: The number of the record's log.
            position: Its position in that.

        Returns:
            Done once it is on disk; raises `StoreError` if it is not.
        """
        thread, arriving = self._thread.number, self.arriving()
        row = record_rows.get_record(self.reader, thread, log_number, position)
        if row is not None:
            refused = await arriving.take_waiting(collection, log_number, position)
            if refused:
                record_rows.put_refusal(arriving.transaction, thread, log_number, position, row, refused)
        return self.send(arriving)

    def watch(
        self, committed: "asyncio.Future[None]", changes: Sequence[Change], records: Sequence[AppendedRecord]
    ) -> None:
        """Tell of changes once they are on disk; what is built next waits for them where it has to.

        Args:
            committed: Done once they are.
            changes: The changes.
            records: What logs gain with them.
        """
        seen = [change for change in changes if change.is_seen]
        committed.add_done_callback(lambda done: self._observe(done, records, seen))
        self._last = committed

    def _observe(
        self, done: "asyncio.Future[None]", records: Sequence[AppendedRecord], changes: Sequence[Change]
    ) -> None:
        if not done.cancelled() and done.exception() is None:
            for record in records:
                self._threads.feed.tell(record)
            self._observer(changes)


async def enqueue_together(parts: Sequence[tuple[Sequencer, WriteTransaction]]) -> "asyncio.Future[None]":
    """Make a record of each of several transactions and send them to the disk as one: all of them or none.

    Args:
        parts: Each transaction with its sequencer, of which the caller has the turn; no sequencer twice.

    Returns:
        Done once they are on disk; raises `StoreError` if they are not.

    Raises:
        CreateConflictError, WriteDeniedError, ScriptError, UniqueConstraintError: As `Sequencer.enqueue`.
    """
    for _, built in parts:
        await built.check_commit()
    parts = [part for part in parts if part[1].changes]
    if not parts:
        nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        nothing.set_result(None)
        return nothing
    transaction = Transaction()
    records = [sequencer.append_to(transaction, built) for sequencer, built in parts]
    failpoints.hit(Failpoint.BEFORE_SUBMIT)
    committed = parts[0][0].reader.submit(transaction)
    failpoints.hit(Failpoint.AFTER_SUBMIT)
    for sequencer, _ in parts[1:]:
        sequencer.reader.follow(transaction, committed)
    for (sequencer, built), record in zip(parts, records, strict=True):
        sequencer.watch(committed, built.changes, [record])
    return committed
