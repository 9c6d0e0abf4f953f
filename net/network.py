"""The verbs of the network API on the threads of this host: all that can be done without another one.

What changes a thread is built on an overlay of that thread and enqueued at once, so that many calls may be under way
on one thread and none forks a log. Where something else has changed the thread meanwhile, the call is built again.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TypeVar

from net import arrivals, cbor, cid, forks
from net.apps import AppOf
from net.errors import (
    KeyMismatchError,
    MissingKeyError,
    NetError,
    RecordNotFoundError,
    ThreadInUseError,
    ThreadNotFoundError,
)
from net.feed import Subscription
from net.keys import PrivateKey, PublicKey
from net.records import RecordBlocks
from net.thread_id import ThreadID
from net.thread_info import AppendedRecord, ThreadInfo
from net.thread_key import ThreadKey
from net.threads import Threads, record_row
from store import background, branches, deletions
from store import records as record_rows
from store.blocks import BlockKind
from store.deletions import Deletion
from store.engine import Engine, Reader, Transaction
from store.errors import ConflictError, StoreError
from store.overlay import Overlay, Staged
from store.records import RecordRow

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.01

_RECORDS_AT_ONCE = 256

_RECORDS_TOGETHER = 32
"""How many records from elsewhere are one transaction: to check them takes about 10 ms."""

_LONG_BODY_BYTES = 64 * 1024
"""A longer body is checked in a thread: reading CBOR into values takes about 1 ms for each 10 KiB."""

T = TypeVar("T")


class Network:
    """The threads of this host, as clients that need no database use them.

    Args:
        engine: The store.
        threads: The threads.
        app_key: Gives the key of what an application keeps of a thread, by the thread's number. Where there is a value,
            the application owns the thread: nobody else deletes it or makes records in it.
        app_of: Gives that application, which takes records that were made elsewhere.
    """

    def __init__(self, engine: Engine, threads: Threads, app_key: Callable[[int], bytes], app_of: AppOf) -> None:
        self._engine = engine
        self._threads = threads
        self._app_key = app_key
        self._app_of = app_of
        self._overlays: dict[ThreadID, Overlay] = {}
        self._sweeps: set[asyncio.Task[None]] = set()
        self._sweeping = asyncio.Lock()

    async def create_thread(
        self,
        thread: ThreadID,
        *,
        identity: PublicKey,
        key: ThreadKey | None = None,
        log_key: PrivateKey | PublicKey | None = None,
    ) -> ThreadInfo:
        """Make a thread with a log for an identity, or add that log to a thread that is here.

        Args:
            thread: The thread's ID.
            identity: Whoever makes it.
            key: The thread's keys; random where left out.
            log_key: The log's key; random where left out. With a public key alone, the identity adds records that it
                made elsewhere.

        Raises:
            LogExistsError, ThreadExistsError, KeyMismatchError: As `Threads.create`.
        """

        def build(reader: Reader, transaction: Transaction) -> ThreadInfo:
            return self._threads.create(reader, transaction, thread, identity=identity, key=key, log_key=log_key)

        return await self._write(thread, build)

    async def attach_thread(
        self,
        thread: ThreadID,
        *,
        identity: PublicKey,
        key: ThreadKey | None = None,
        log_key: PrivateKey | PublicKey | None = None,
    ) -> ThreadInfo:
        """Join a thread that is here already: it gets a log for the identity.

        Args:
            thread: The thread's ID.
            identity: Whoever joins.
            key: The thread's keys. With the service key alone and no log key, no log is made.
            log_key: The log's key; random where left out.

        Raises:
            LogExistsError, ThreadExistsError: As `Threads.check_new_log`.
            ThreadNotFoundError: The thread is not here.
            MissingKeyError: No key is given.
            KeyMismatchError: The thread has other keys.
        """

        def build(reader: Reader, transaction: Transaction) -> ThreadInfo:
            self._threads.check_new_log(reader, thread, identity, log_key)
            known = self._of_self(reader, thread)
            if key is None:
                raise MissingKeyError("a service-key is required to add a thread")
            if key.read is not None or log_key is not None:
                return self._threads.create(reader, transaction, thread, identity=identity, key=key, log_key=log_key)
            if key.service != known.key.service:
                raise KeyMismatchError
            return known

        return await self._write(thread, build)

    def get_thread(self, thread: ThreadID) -> ThreadInfo:
        """Give a thread with its logs.

        Args:
            thread: The thread's ID.

        Raises:
            ThreadNotFoundError: It is not here.
        """
        return self._threads.get(self._engine, thread)

    async def delete_thread(self, thread: ThreadID) -> None:
        """Delete a thread with all that is kept of it. It is gone at once; the space comes back little by little.

        Args:
            thread: The thread's ID.

        Raises:
            ThreadNotFoundError: It is not here.
            ThreadInUseError: A database lives in it.
        """

        def build(reader: Reader, transaction: Transaction) -> int:
            self._require_free(reader, transaction, thread, "cannot delete thread", "delete the database instead")
            return self._threads.delete(reader, transaction, thread)

        await self._write(thread, build, self._start_sweep)

    async def create_record(self, thread: ThreadID, body: bytes, identity: PublicKey) -> AppendedRecord:
        """Put a record at the end of an identity's log, which is made where there is none.

        Args:
            thread: The thread's ID.
            body: DAG-CBOR; it is kept, and named, in its canonical form.
            identity: Whoever writes.

        Returns:
            The record, which is on disk.

        Raises:
            InvalidBlockError: The body is no DAG-CBOR.
            ThreadNotFoundError: The thread is not here.
            ThreadInUseError: A database lives in it, whose records are made by its own verbs.
            MissingKeyError: The log's private key or the thread's read key is not here.
        """
        long = len(body) > _LONG_BODY_BYTES
        canonical = await asyncio.to_thread(cbor.canonicalise, body) if long else cbor.canonicalise(body)

        def build(reader: Reader, transaction: Transaction) -> AppendedRecord:
            self._require_free(
                reader, transaction, thread, "cannot create record", "write through the database instead"
            )
            return self._threads.append(reader, transaction, thread, identity, canonical)

        return await self._write(thread, build, self._threads.feed.tell)

    async def add_record(self, thread: ThreadID, log_id: bytes, blocks: RecordBlocks) -> None:
        """Put one record that was made elsewhere at the end of its log; as `add_records`."""
        await self.add_records(thread, log_id, (blocks,))

    async def add_records(self, thread: ThreadID, log_id: bytes, blocks: Sequence[RecordBlocks]) -> None:
        """Put records that were made elsewhere to their log or beside it; those that are here already stay as they are.

        Args:
            thread: The thread's ID.
            log_id: The peer ID of the log.
            blocks: The records, in the order of the log. All before one that fails are kept.

        Raises:
            ThreadNotFoundError, LogNotFoundError, BadSignatureError, NetError: As `arrivals.open_arrival`.
            OutOfOrderError: The record before one is not here, or it belongs to a history of its log that parted from
                it too far back (`net.forks`).
        """
        app = self._app_of(thread)
        if app is not None:
            await app.accept(log_id, blocks)
            return
        for first in range(0, len(blocks), _RECORDS_AT_ONCE):
            # Each part is enqueued before the next is built, and all of them share a sync.
            parts = _split(blocks[first : first + _RECORDS_AT_ONCE], _RECORDS_TOGETHER)
            results = await asyncio.gather(
                *(self._add_some(thread, log_id, some) for some in parts), return_exceptions=True
            )
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def _add_some(self, thread: ThreadID, log_id: bytes, blocks: Sequence[RecordBlocks]) -> None:
        def build(reader: Reader, transaction: Transaction) -> tuple[list[AppendedRecord], NetError | None]:
            staged, appended = Staged(reader, transaction), list[AppendedRecord]()
            try:
                for each in blocks:
                    appended += self._stage_arrival(staged, transaction, thread, log_id, each)
            except NetError as error:
                if not transaction.puts:
                    raise
                return appended, error
            return appended, None

        def tell(done: tuple[list[AppendedRecord], NetError | None]) -> None:
            for record in done[0]:
                self._threads.feed.tell(record)

        _, error = await self._write(thread, build, tell)
        if error is not None:
            raise error

    def _stage_arrival(
        self, staged: Staged, transaction: Transaction, thread: ThreadID, log_id: bytes, blocks: RecordBlocks
    ) -> Iterator[AppendedRecord]:
        """Put a record to where it belongs; gives what the log gains by it."""
        arrival = arrivals.open_arrival(staged, thread, log_id, blocks)
        if arrival.is_kept:
            arrivals.require_kept(staged, transaction, arrival)
            return
        self._require_free(staged, transaction, thread, "cannot add record", "try again")
        if arrival.is_next:
            yield arrivals.stage(staged, transaction, arrival)
            return
        turn = forks.take_beside(staged, transaction, arrival, record_row(arrival.opened.record))
        for each in () if turn is None else turn.gained:
            yield arrivals.stage(staged, transaction, arrivals.open_arrival(staged, thread, log_id, each))

    async def get_record(self, thread: ThreadID, record: bytes) -> RecordBlocks:
        """Give a record of a thread.

        Args:
            thread: The thread's ID.
            record: The record's CID, in bytes.

        Raises:
            ThreadNotFoundError: The thread is not here.
            RecordNotFoundError: It has no such record here.
        """
        number = self._threads.number(self._engine, thread)
        if number is None:
            raise ThreadNotFoundError
        if not (len(record) == cid.BLOCK_CID_BYTES and record.startswith(cid.BLOCK_PREFIX)):
            raise RecordNotFoundError
        row = await self._engine.read(lambda reader: _find_record(reader, number, record))
        if row is None:
            raise RecordNotFoundError
        return RecordBlocks(row.record, row.event, row.header, row.body)

    def subscribe(self, threads: Iterable[ThreadID]) -> AbstractContextManager[Subscription]:
        """Hear of every record that comes to threads here; see `RecordFeed.subscribe`."""
        return self._threads.feed.subscribe(threads)

    def end_subscriptions(self) -> None:
        """End all subscriptions well, so that a daemon that stops need not wait for them."""
        self._threads.feed.close()

    async def close(self) -> None:
        """Stop deleting; the next start goes on with what is left."""
        self.end_subscriptions()
        sweeps = list(self._sweeps)
        for task in sweeps:
            task.cancel()
        await asyncio.gather(*sweeps, return_exceptions=True)

    async def _write(
        self,
        thread: ThreadID,
        build: Callable[[Reader, Transaction], T],
        tell: Callable[[T], None] | None = None,
    ) -> T:
        """Build a change of a thread on all changes before it, and wait until it is on disk.

        Args:
            thread: The thread.
            build: Stages the change. It is called again where somebody else changed the thread meanwhile.
            tell: Is told the result once that is on disk, in the order of the commits.

        Returns:
            What `build` returned.

        Raises:
            ConflictError: The thread changed over and over.
            StoreError: The disk did not take it.
        """
        attempt = 1
        while True:
            overlay = self._overlays.get(thread) or Overlay(self._engine)
            transaction = Transaction()
            result = build(overlay, transaction)
            self._overlays[thread] = overlay
            committed = overlay.submit(transaction)
            committed.add_done_callback(partial(self._settle, thread, overlay, result, tell))
            try:
                await asyncio.shield(committed)
            except ConflictError:
                if attempt == _ATTEMPTS:
                    raise
                attempt += 1
                await asyncio.sleep(0)  # the overlay hears of it before the next try
            else:
                return result

    def _settle(
        self,
        thread: ThreadID,
        overlay: Overlay,
        result: T,
        tell: Callable[[T], None] | None,
        done: "asyncio.Future[None]",
    ) -> None:
        if overlay.is_idle and self._overlays.get(thread) is overlay:
            del self._overlays[thread]
        if tell is not None and not done.cancelled() and done.exception() is None:
            tell(result)

    def _require_free(self, reader: Reader, transaction: Transaction, thread: ThreadID, what: str, advice: str) -> None:
        """Refuse what only the application of a thread may do, and see to it that it gets none meanwhile."""
        number = self._threads.number(reader, thread)
        if number is None:
            raise ThreadNotFoundError
        key = self._app_key(number)
        if reader.get(key) is not None:
            raise ThreadInUseError(f"{what}: {ThreadInUseError.default_text}: a database lives in it, {advice}")
        transaction.require(key, None)

    def _of_self(self, reader: Reader, thread: ThreadID) -> ThreadInfo:
        try:
            return self._threads.get(reader, thread)
        except ThreadNotFoundError as error:
            raise ThreadNotFoundError(f"cannot retrieve thread from self: {error.text}") from error

    def _start_sweep(self, thread_number: int) -> None:
        task = background.spawn("deletions", lambda: self._sweep(Deletion(thread_number)))
        self._sweeps.add(task)
        task.add_done_callback(self._sweeps.discard)

    async def _sweep(self, deletion: Deletion) -> None:
        # Where the disk refuses, the mark stays and the next start goes on.
        async with self._sweeping:
            with suppress(StoreError):
                left = True
                while left:
                    transaction = deletions.next_slice(self._engine, deletion)
                    left = not deletions.is_last(transaction, deletion)
                    await self._engine.commit(transaction)
                    await asyncio.sleep(_PAUSE_SECONDS if left else 0)


def _split(records: Sequence[RecordBlocks], size: int) -> list[Sequence[RecordBlocks]]:
    return [records[first : first + size] for first in range(0, len(records), size)]


def _find_record(reader: Reader, thread_number: int, record: bytes) -> RecordRow | None:
    beside = branches.get(reader, thread_number, record)
    if beside is not None:
        return beside.record
    place = record_rows.find_block(reader, record, thread_number)
    if place is None or place.kind != BlockKind.RECORD:
        return None
    return record_rows.get_record(reader, thread_number, place.log_number, place.position)
