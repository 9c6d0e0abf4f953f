"""The order of a database's transactions: one is built after the other, on all that was built before.

Building never waits for the disk. What is built and not yet on disk lies in the overlay; whatever is built on it
requires it, so when a commit fails, all that stands on it fails too (design, "How a write travels").
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from net import arrivals
from net.arrivals import Arrival
from net.errors import DecryptionError, InvalidBlockError, InvalidRecordError, OutOfOrderError
from net.keys import PublicKey
from net.patches import encode_body
from net.records import RecordBlocks
from net.threads import AppendedRecord, ThreadInfo, Threads
from store import databases as database_rows
from store import documents as document_rows
from store import failpoints
from store import records as record_rows
from store.databases import ProgressRow
from store.documents import ChangeRow, PatchPlace
from store.engine import Engine, Transaction
from store.failpoints import Failpoint
from store.overlay import Overlay
from threadd.db import indexes
from threadd.db.collections import Collection
from threadd.db.folding import History
from threadd.db.judge import Judge
from threadd.db.reducer import CollectionOf, Reduced, Reducer, RemoteRecord
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
        self._history = History(self.reader, threads, thread)
        self._reducer = Reducer(self._history, self._timestamps, judge_of)

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
        indexes.stage(transaction, self.reader, self._thread.number, built.changes, unique=True)
        body = encode_body([change.patch for change in built.changes])
        record = self._threads.append(self.reader, transaction, self._thread.id, built.judge.identity, body)
        self._stage(transaction, list(enumerate(built.changes)), record.log_number, record.position)
        return record

    async def take(
        self, log_id: bytes, blocks: RecordBlocks, collection_of: CollectionOf
    ) -> "asyncio.Future[None] | None":
        """Put a record that was made elsewhere at the end of its log, and send it to the disk with what it means.

        Args:
            log_id: The peer ID of the log.
            blocks: The record.
            collection_of: The collections that are there.

        Returns:
            Done once it is on disk; raises `StoreError` if it is not. None where the record is here already.

        Raises:
            ThreadNotFoundError, LogNotFoundError, BadSignatureError, NetError: As `arrivals.open_arrival`.
            OutOfOrderError: It does not follow the last record of its log here.
        """
        arrival = arrivals.open_arrival(self.reader, self._thread.id, log_id, blocks)
        if arrival.kept_at:
            return None
        if not arrival.is_next:
            raise OutOfOrderError
        reduced = await self._reduce(arrival, collection_of)
        transaction = Transaction()
        record = arrivals.stage(self.reader, transaction, arrival, reduced.refused)
        for name in reduced.waiting:
            document_rows.put_waiting(
                transaction, self._thread.number, name, arrival.log_number, arrival.head.counter + 1
            )
        self._stage_remote(transaction, reduced.changes, arrival.log_number, arrival.head.counter + 1)
        return self._submit(transaction, reduced.changes, record)

    async def take_waiting(self, collection: Collection, log_number: int, position: int) -> "asyncio.Future[None]":
        """Apply the patches that a kept record has for a collection.

        Args:
            collection: The collection, which nobody sees yet.
            log_number: The number of the record's log.
            position: Its position in that.

        Returns:
            Done once it is on disk; raises `StoreError` if it is not.
        """
        thread = self._thread
        transaction = Transaction()
        row = record_rows.get_record(self.reader, thread.number, log_number, position)
        kept = self._threads.read_record(self.reader, thread.id, log_number, position)
        changes: list[tuple[int, Change]] = []
        if row is not None and kept is not None:
            log_id = self._history.log_id(log_number)
            record = RemoteRecord(log_id, log_number, position, kept.author, kept.body)
            reduced = await self._reducer.reduce(record, {collection.name: collection}.get, collection.name)
            changes = reduced.changes
            if reduced.refused:
                record_rows.put_refusal(transaction, thread.number, log_number, position, row, reduced.refused)
        self._stage_remote(transaction, changes, log_number, position)
        return self._submit(transaction, changes, None)

    async def _reduce(self, arrival: Arrival, collection_of: CollectionOf) -> Reduced:
        try:
            body = self._threads.open_body(self.reader, self._thread.id, arrival.opened.record.blocks)
        except (DecryptionError, InvalidBlockError, InvalidRecordError) as error:
            return Reduced(refused=error.text)
        position = arrival.head.counter + 1
        record = RemoteRecord(arrival.log_id, arrival.log_number, position, arrival.opened.author, body)
        return await self._reducer.reduce(record, collection_of)

    def _submit(
        self, transaction: Transaction, changes: Sequence[tuple[int, Change]], record: AppendedRecord | None
    ) -> "asyncio.Future[None]":
        committed = self.reader.submit(transaction)
        self.watch(committed, [change for _, change in changes], record)
        return committed

    def watch(
        self, committed: "asyncio.Future[None]", changes: Sequence[Change], record: AppendedRecord | None
    ) -> None:
        """Tell of changes once they are on disk; what is built next waits for them where it has to.

        Args:
            committed: Done once they are.
            changes: The changes.
            record: Their record, where it is a new one.
        """
        seen = [change for change in changes if change.is_seen]
        committed.add_done_callback(lambda done: self._observe(done, record, seen))
        self._last = committed

    def _stage_remote(
        self, transaction: Transaction, changes: Sequence[tuple[int, Change]], log_number: int, position: int
    ) -> None:
        if changes:
            all_changes = [change for _, change in changes]
            indexes.stage(transaction, self.reader, self._thread.number, all_changes, unique=False)
            self._stage(transaction, changes, log_number, position)

    def _stage(
        self, transaction: Transaction, changes: Sequence[tuple[int, Change]], log_number: int, position: int
    ) -> None:
        """Add to a transaction what a record's patches, with their places in it, make of the documents."""
        thread = self._thread.number
        progress = database_rows.get_progress(self.reader, thread)
        sequence = progress.sequence
        for index, change in changes:
            patch, collection = change.patch, change.collection.number
            place = PatchPlace(patch.timestamp, log_number, position, index)
            document_rows.put_document(transaction, thread, collection, patch.instance_id, change.after)
            document_rows.put_patch(transaction, thread, collection, patch.instance_id, place)
            if change.is_seen:
                sequence += 1
                is_hidden = change.after is None and change.collection.config.read_filter
                before = change.before if is_hidden else None
                row = ChangeRow(collection, patch.instance_id, change.action, change.after, before)
                document_rows.put_change(transaction, thread, sequence, row)
        database_rows.put_progress(transaction, thread, progress, ProgressRow(sequence, self._timestamps.last))

    def _observe(self, done: "asyncio.Future[None]", record: AppendedRecord | None, changes: Sequence[Change]) -> None:
        if not done.cancelled() and done.exception() is None:
            if record is not None:
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
        sequencer.watch(committed, built.changes, record)
    return committed
