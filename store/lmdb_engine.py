"""The engine that keeps everything: LMDB with one writer thread and group commit.

One thread owns every write transaction. It takes all that is queued into one LMDB transaction with one sync, so that
many callers share the price of the disk; while it waits for the disk, the next batch queues up.
"""

import asyncio
import errno
import os
import queue
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import lmdb

from store import background, failpoints
from store.engine import Commit, Snapshot, Transaction
from store.errors import ConflictError, StoreError, StoreFullError
from store.failpoints import Failpoint
from store.files import sync
from store.keys import MAX_KEY_BYTES

T = TypeVar("T")

RESERVED_BYTES = 1 << 40
"""Address space for the map. LMDB does not extend the file to it, so the map need never grow (decision 0003)."""

_SMALLEST_RESERVED_BYTES = 1 << 30
MAX_READERS = 1024
MAX_BATCH = 1024
"""How many transactions share a sync at most; it bounds what a failing disk fails at once."""

_NO_ROOM_BYTES = 1 << 20
"""With less room than this an I/O error is a write that was cut short: one that is takes all the room there was, and
what is left beside that is what other files gave back since."""

_GATHER_SECONDS = 0.0003
"""How long a batch waits for more, once the one before had more than one transaction: callers that were answered
together come again together. Seen: 1.1 times as many creates with 16 callers, as many with one."""


@dataclass(slots=True)
class _Job:
    transaction: Transaction
    future: "asyncio.Future[None]"


class LmdbSnapshot:
    """A read transaction of LMDB."""

    __slots__ = ("_environment", "_transaction")

    def __init__(self, environment: lmdb.Environment) -> None:
        self._environment = environment
        self._transaction = _begin(environment)

    def get(self, key: bytes) -> bytes | None:
        """See `Reader`."""
        return self._transaction.get(key)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """See `Reader`."""
        with self._transaction.cursor() as cursor:
            if not reverse:
                coming = iter(cursor) if cursor.set_range(start) else iter(())
            elif cursor.prev() if cursor.set_range(stop) else cursor.last():
                coming = cursor.iterprev()
            else:
                coming = iter(())
            for key, value in coming:
                if key < start or key >= stop:
                    return
                yield key, value

    def copy(self, folder: Path) -> None:
        """Write this state, without the space that is free in it, into an empty folder; it blocks.

        Raises:
            StoreFullError: There is no space for it.
            StoreError: It cannot be written.
        """
        try:
            self._environment.copy(str(folder), compact=True, txn=self._transaction)
        except lmdb.DiskError as error:
            raise StoreFullError(f"no space is left for a copy in {folder}") from error
        except lmdb.Error as error:
            raise StoreError(f"cannot write a copy into {folder}: {error}") from error

    def close(self) -> None:
        """See `Snapshot`."""
        self._transaction.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class LmdbEngine:
    """See `store.engine.Engine`.

    Args:
        folder: Where the files are; it exists.
        reserved_bytes: Address space for the map, in bytes; halved until the system gives it.

    Attributes:
        batches: How many LMDB transactions were committed.
        transactions: How many transactions they held.
    """

    def __init__(self, folder: Path, *, reserved_bytes: int = RESERVED_BYTES) -> None:
        self._environment = _open(folder, reserved_bytes)
        self._environment.reader_check()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._broken: StoreError | None = None
        self.batches = 0
        self.transactions = 0
        self._writer = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._writer.start()

    @property
    def is_sound(self) -> bool:
        """Whether the disk has done all that it was asked to; a full one counts as sound."""
        return self._broken is None

    def get(self, key: bytes) -> bytes | None:
        """See `Reader`."""
        with _begin(self._environment) as transaction:
            return transaction.get(key)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """See `Reader`; the whole range is of one state."""
        with self.snapshot() as snapshot:
            yield from snapshot.scan(start, stop, reverse=reverse)

    def snapshot(self) -> LmdbSnapshot:
        """See `Engine`."""
        return LmdbSnapshot(self._environment)

    async def read(self, function: Callable[[Snapshot], T]) -> T:
        """See `Engine`; the function runs in a thread."""

        def run() -> T:
            with self.snapshot() as snapshot:
                return function(snapshot)

        return await asyncio.to_thread(run)

    def commit(self, transaction: Transaction) -> "asyncio.Future[None]":
        """See `Engine`."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future = Commit(loop=loop)
        if self._closed:
            future.set_exception(StoreError("the store is closed"))
        else:
            self._jobs.put(_Job(transaction, future))
        return future

    def write_now(self, transaction: Transaction) -> None:
        """Write a transaction before there is a loop; for opening and for tools.

        Raises:
            StoreError: It was not written.
        """
        try:
            with self._environment.begin(write=True) as written:
                _apply(written, transaction.puts.items())
        except lmdb.Error as error:
            raise self._failure(error) from error

    async def close(self) -> None:
        """See `Engine`."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            await asyncio.to_thread(self._writer.join)
            self._environment.close()

    def close_now(self) -> None:
        """Let the files go before there is a loop; for an opening that ends in a refusal."""
        self._closed = True
        self._jobs.put(None)
        self._writer.join()
        self._environment.close()

    def _write(self) -> None:
        """The writer thread: batches until the end of the queue."""
        ended = crowded = False
        while not ended:
            batch: list[_Job] = []
            job = self._jobs.get()
            if crowded:
                time.sleep(_GATHER_SECONDS)
            while job is not None:
                batch.append(job)
                if len(batch) == MAX_BATCH:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            ended = job is None
            crowded = len(batch) > 1
            if batch:
                try:
                    outcomes = self._commit_batch(batch)
                except Exception as error:  # noqa: BLE001  every caller gets it, and nothing more is written
                    background.record_failure("store writer", error)
                    self._broken = StoreError(f"the store failed ({error}): restart the daemon")
                    outcomes = [(job, self._broken) for job in batch]
                self._report(outcomes)

    def _commit_batch(self, batch: list[_Job]) -> list[tuple[_Job, StoreError | None]]:
        """Write a batch: each transaction whose requirements hold, all with one sync."""
        if self._broken is not None:
            return [(job, self._broken) for job in batch]
        outcomes: list[tuple[_Job, StoreError | None]] = []
        try:
            failpoints.hit(Failpoint.BEFORE_BATCH)
            with self._environment.begin(write=True) as written:
                for job in batch:
                    refusal = _refusal(written, job.transaction)
                    if refusal is None:
                        _apply(written, job.transaction.puts.items())
                    outcomes.append((job, refusal))
                failpoints.hit(Failpoint.BEFORE_COMMIT)
            failpoints.hit(Failpoint.AFTER_COMMIT)
        except Exception as error:  # noqa: BLE001  # whatever it is, callers must hear of it and nothing was written
            failure = self._failure(error)
            return [(job, failure) for job in batch]
        self.batches += 1
        self.transactions += len(batch)
        return outcomes

    def _failure(self, error: Exception) -> StoreError:
        """What a failed batch means.

        On a full disk or map nothing was written and the next batch may work. Anything else is a disk that cannot be
        trusted: a sync that failed is never tried again as if it had worked.
        """
        if self._is_full(error) and not self._has_given_up():
            return StoreFullError()
        self._broken = StoreError(f"the disk failed ({error}): restart the daemon once it is sound")
        return self._broken

    def _is_full(self, error: Exception) -> bool:
        """Whether a batch failed for want of room, and for nothing else."""
        if isinstance(error, lmdb.MapFullError):
            return True
        code = getattr(error, "code", None) if isinstance(error, lmdb.Error) else None
        # A write that was cut short by the end of the disk, or of what a process may write, comes as an I/O error. LMDB
        # has let go of the transaction then, and the next one writes all its pages itself.
        no_room = code == errno.EIO and _room(Path(self._environment.path())) < _NO_ROOM_BYTES
        return code in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} or no_room

    def _has_given_up(self) -> bool:
        """Whether LMDB neither writes nor reads any more: it could not write the page that makes a commit count."""
        try:
            self._environment.begin().abort()
        except lmdb.Error as error:
            return isinstance(error, lmdb.PanicError)
        return False

    def _report(self, outcomes: list[tuple[_Job, StoreError | None]]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and with it every caller
                self._loop.call_soon_threadsafe(_settle, outcomes)


def _begin(environment: lmdb.Environment) -> "lmdb.Transaction[bytes]":
    """Begin to read.

    Raises:
        StoreError: There are too many who read, or LMDB has given up on its files.
    """
    try:
        return environment.begin()
    except lmdb.ReadersFullError as error:
        environment.reader_check()
        raise StoreError("too many reads at once: try again") from error
    except lmdb.PanicError as error:
        raise StoreError(f"the disk failed ({error}): restart the daemon once it is sound") from error


def _room(folder: Path) -> int:
    """How many bytes the files in a folder can still grow by."""
    try:
        free = os.statvfs(folder)
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        allowed = sys.maxsize if limit == resource.RLIM_INFINITY else limit - (folder / "data.mdb").stat().st_size
    except OSError:
        return sys.maxsize
    return min(free.f_bavail * free.f_frsize, allowed)


def _settle(outcomes: Iterable[tuple[_Job, StoreError | None]]) -> None:
    for job, error in outcomes:
        if job.future.done():
            continue  # whoever asked has gone away
        if error is None:
            job.future.set_result(None)
        else:
            job.future.set_exception(error)


def _refusal(written: lmdb.Transaction, transaction: Transaction) -> StoreError | None:
    """Why a transaction cannot be written, or None; so that it is known before anything of it is."""
    if any(not 0 < len(key) <= MAX_KEY_BYTES for key in transaction.puts):
        return StoreError(f"a key is empty or longer than {MAX_KEY_BYTES} bytes")
    if any(written.get(key) != value for key, value in transaction.requirements.items()):
        return ConflictError()
    return None


def _apply(written: lmdb.Transaction, puts: Iterable[tuple[bytes, bytes | None]]) -> None:
    for key, value in puts:
        if value is None:
            written.delete(key)
        else:
            written.put(key, value)


@contextmanager
def reading(folder: Path) -> Iterator[LmdbSnapshot]:
    """One state of a store that another process may have open and write to.

    Args:
        folder: Where its files are; this process has them open nowhere else.

    Raises:
        StoreError: The files are no store or cannot be opened.
    """
    environment = _open(folder, RESERVED_BYTES, readonly=True)
    try:
        with LmdbSnapshot(environment) as snapshot:
            yield snapshot
    finally:
        environment.close()


def _open(folder: Path, reserved_bytes: int, *, readonly: bool = False) -> lmdb.Environment:
    """Open the files, and make sure that they stay there after a loss of power.

    Raises:
        StoreError: The files are no store or cannot be opened.
    """
    while True:
        try:
            environment = lmdb.open(
                str(folder), map_size=reserved_bytes, max_readers=MAX_READERS, mode=0o600, readonly=readonly
            )
        except lmdb.MemoryError as error:
            if reserved_bytes <= _SMALLEST_RESERVED_BYTES:
                raise StoreError(f"no address space for the store in {folder}: raise the limit on it") from error
            reserved_bytes //= 2
        except lmdb.Error as error:
            raise StoreError(f"cannot open the store in {folder}: {error}") from error
        else:
            try:
                sync(folder)
            except OSError as error:
                environment.close()
                raise StoreError(f"cannot open the store in {folder}: {error.strerror}") from error
            return environment
