"""Threads and their logs as this host keeps them, without any network.

A thread has one log per identity that writes to it here. What changes is put into a store transaction that the caller
commits; the transaction requires what it was built on, so that two that were built on one state cannot both succeed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from net import records
from net.crypto import Cipher, Randomness
from net.errors import KeyMismatchError, LogExistsError, MissingKeyError, ThreadExistsError, ThreadNotFoundError
from net.feed import RecordFeed
from net.keys import PrivateKey, PublicKey
from net.multiaddr import peer_address
from net.records import Record, RecordBlocks
from net.thread_id import ThreadID
from net.thread_info import AppendedRecord, KeptRecord, LogInfo, ThreadInfo
from net.thread_key import ThreadKey
from store import deletions, tables
from store import records as record_rows
from store import threads as rows
from store.deletions import Deletion
from store.engine import Reader, Transaction
from store.numbers import Numbers
from store.records import RecordRow
from store.threads import HeadRow, LogRow, ThreadRow

_T = TypeVar("_T")

_CACHED = 4096


_NO_READ_KEY = "a read-key is required to read records"


class _Cache(Generic[_T]):
    """Keeps what was made of the bytes of a row, so that a change of the row is never missed."""

    def __init__(self) -> None:
        self._kept: dict[bytes, _T] = {}

    def get(self, value: bytes) -> _T | None:
        return self._kept.get(value)

    def keep(self, value: bytes, made: _T) -> _T:
        if len(self._kept) >= _CACHED:
            del self._kept[next(iter(self._kept))]
        self._kept[value] = made
        return made


@dataclass(frozen=True, slots=True)
class _Thread:
    row: ThreadRow
    value: bytes
    service: Cipher
    read: Cipher | None


@dataclass(frozen=True, slots=True)
class _Log:
    row: LogRow
    key: PrivateKey | None


class Threads:
    """The threads of a host.

    Args:
        engine: The store, as it was opened; numbers are given out from where it stands.
        host_key: The daemon's own key.
        randomness: Gives keys and nonces.
        clock: Nanoseconds since 1970.

    Attributes:
        feed: Is told of every record by whoever commits it.
        numbers: The store's numbers. There is one such object for a store, so whoever needs numbers takes it from here.
    """

    def __init__(
        self,
        engine: Reader,
        host_key: PrivateKey,
        randomness: Randomness,
        clock: Callable[[], int],
    ) -> None:
        self.feed = RecordFeed()
        self.numbers = Numbers(engine)
        self._host_key = host_key
        self._addresses = (peer_address(host_key.public.peer_id).bytes,)
        self._randomness = randomness
        self._clock = clock
        self._threads: _Cache[_Thread] = _Cache()
        self._logs: _Cache[_Log] = _Cache()

    @property
    def host(self) -> PublicKey:
        """The daemon's public key, which is also whoever writes without a token."""
        return self._host_key.public

    def create(
        self,
        reader: Reader,
        transaction: Transaction,
        thread: ThreadID,
        *,
        identity: PublicKey,
        key: ThreadKey | None = None,
        log_key: PrivateKey | PublicKey | None = None,
    ) -> ThreadInfo:
        """Make a thread with a log for an identity, or add that log to a thread that is here.

        Args:
            reader: The state to build on.
            transaction: Where it is put. It fails with a conflict if the thread changes before its turn comes.
            thread: The thread's ID.
            identity: Whoever makes it: it owns the log.
            key: The thread's keys; random where left out.
            log_key: The log's key; random where left out. With a public key alone, the identity cannot write here.

        Returns:
            The thread as it will be.

        Raises:
            LogExistsError: The thread has the log, or the identity has one in it.
            ThreadExistsError: The host itself makes a thread that someone else made here.
            KeyMismatchError: The thread is here with other keys.
        """
        value = reader.get(tables.thread(thread.bytes))
        transaction.require(tables.thread(thread.bytes), value)
        if value is None:
            key = key or ThreadKey.random(self._randomness)
            number = self.numbers.next(transaction)
            row = ThreadRow(number, thread.bytes, key.service, key.read or b"", self._clock())
            rows.put_thread(transaction, row)
            logs: tuple[LogInfo, ...] = ()
        else:
            known = self._open(reader, thread)
            logs = tuple(self._log_infos(reader, known.row.number))
            self.check_new_log(reader, thread, identity, log_key)
            row = _join_keys(known.row, key or ThreadKey.random(self._randomness))
            if row != known.row:
                rows.put_thread(transaction, row)
        log = self._create_log(reader, transaction, row.number, identity, log_key)
        logs = tuple(sorted((*logs, self._log_info(log, HeadRow())), key=lambda info: info.id))
        return _thread_info(row, logs)

    def get(self, reader: Reader, thread: ThreadID) -> ThreadInfo:
        """Give a thread with its logs.

        Args:
            reader: The state to read.
            thread: The thread's ID.

        Raises:
            ThreadNotFoundError: It is not here.
        """
        row = self._open(reader, thread).row
        return _thread_info(row, tuple(self._log_infos(reader, row.number)))

    def key(self, reader: Reader, thread: ThreadID) -> ThreadKey:
        """Give a thread's keys.

        Args:
            reader: The state to read.
            thread: The thread's ID.

        Raises:
            ThreadNotFoundError: It is not here.
        """
        return _thread_key(self._open(reader, thread).row)

    def number(self, reader: Reader, thread: ThreadID) -> int | None:
        """Give a thread's number in this store, None where it is not here.

        Args:
            reader: The state to read.
            thread: The thread's ID.
        """
        row = rows.get_thread(reader, thread.bytes)
        return None if row is None else row.number

    def list(self, reader: Reader) -> Iterator[ThreadID]:
        """Give the IDs of all threads, in their order.

        Args:
            reader: The state to read.
        """
        return (ThreadID(row.id) for row in rows.list_threads(reader))

    def delete(self, reader: Reader, transaction: Transaction, thread: ThreadID) -> int:
        """Take a thread away. What is under it goes in slices afterwards (`store.deletions`).

        Args:
            reader: The state to build on.
            transaction: Where it is put. It fails with a conflict if the thread changes before its turn comes.
            thread: The thread's ID.

        Returns:
            The thread's number, whose slices are to be deleted.

        Raises:
            ThreadNotFoundError: It is not here.
        """
        known = self._open(reader, thread)
        transaction.require(tables.thread(thread.bytes), known.value)
        transaction.delete(tables.thread(thread.bytes))
        deletions.mark(transaction, Deletion(known.row.number))
        return known.row.number

    def check_new_log(
        self,
        reader: Reader,
        thread: ThreadID,
        identity: PublicKey,
        log_key: PrivateKey | PublicKey | None,
    ) -> None:
        """Refuse a log that a thread has already; where the thread is not here, nothing is refused.

        Args:
            reader: The state to read.
            thread: The thread's ID.
            identity: Whoever would own the log.
            log_key: The log's key; None for a random one.

        Raises:
            LogExistsError: The thread has the log, or the identity has one in it.
            ThreadExistsError: The host itself makes a thread that someone else made here.
        """
        number = self.number(reader, thread)
        if number is None:
            return
        if log_key is not None:
            public = log_key.public if isinstance(log_key, PrivateKey) else log_key
            if rows.get_log(reader, number, public.peer_id) is not None:
                raise LogExistsError
        elif rows.log_of_identity(reader, number, identity.bytes) is not None:
            raise LogExistsError
        elif identity == self.host and any(row.private_key for row in rows.logs_of(reader, number)):
            raise ThreadExistsError

    def log_for(self, reader: Reader, transaction: Transaction, thread: ThreadID, identity: PublicKey) -> LogInfo:
        """Give the log that an identity writes to here; one is made where it has none.

        Args:
            reader: The state to build on.
            transaction: Where a new log is put.
            thread: The thread's ID.
            identity: Whoever is to write.

        Returns:
            The log.

        Raises:
            ThreadNotFoundError: The thread is not here.
        """
        known = self._open(reader, thread)
        log = self._log_for(reader, transaction, known, identity)
        return self._log_info(log, rows.get_head(reader, known.row.number, log.row.number))

    def append(
        self,
        reader: Reader,
        transaction: Transaction,
        thread: ThreadID,
        identity: PublicKey,
        body: bytes,
    ) -> AppendedRecord:
        """Put a record at the end of an identity's log; the log is made where there is none.

        Args:
            reader: The state to build on, an overlay where earlier records are not on disk yet.
            transaction: Where it is put, at most one of a log. It fails with a conflict if the log's head is another
                one when its turn comes, or the thread has changed.
            thread: The thread's ID.
            identity: Whoever writes.
            body: Canonical DAG-CBOR.

        Returns:
            The record and where it is.

        Raises:
            ThreadNotFoundError: The thread is not here.
            MissingKeyError: This host has not the log's private key or the thread's read key.
        """
        known = self._open(reader, thread)
        if known.read is None:
            raise MissingKeyError("a read-key is required to create records")
        log = self._log_for(reader, transaction, known, identity)
        if log.key is None:
            raise MissingKeyError
        thread_number, log_number = known.row.number, log.row.number
        head = rows.get_head(reader, thread_number, log_number)
        record = records.build(
            body,
            service=known.service,
            read=known.read,
            log_key=log.key,
            author=identity,
            previous=head.cid or None,
            randomness=self._randomness,
        )
        position = head.counter + 1
        transaction.require(tables.thread(thread.bytes), known.value)
        record_rows.put_record(reader, transaction, thread_number, log_number, position, record_row(record))
        rows.put_head(transaction, thread_number, log_number, head, HeadRow(record.cid, position))
        return AppendedRecord(thread, thread_number, log.row.id, log_number, position, identity, record)

    def read_record(self, reader: Reader, thread: ThreadID, log_number: int, position: int) -> KeptRecord | None:
        """Open a record that is kept.

        Args:
            reader: The state to read.
            thread: The thread's ID.
            log_number: The number of its log in this store.
            position: Its place in the log.

        Returns:
            The record; None where none is kept there.

        Raises:
            ThreadNotFoundError: The thread is not here.
            MissingKeyError: The thread's read key is not here.
            NetError: What is kept is no record.
        """
        known = self._open(reader, thread)
        if known.read is None:
            raise MissingKeyError(_NO_READ_KEY)
        row = record_rows.get_record(reader, known.row.number, log_number, position)
        if row is None:
            return None
        author = PublicKey.from_bytes(records.open_envelope(row.record, known.service).author)
        blocks = RecordBlocks(row.record, row.event, row.header, row.body)
        return KeptRecord(author, records.open_body(blocks, known.read))

    def open_body(self, reader: Reader, thread: ThreadID, blocks: RecordBlocks) -> bytes:
        """Open the body of a record of a thread, whose blocks are known to belong together.

        Args:
            reader: The state to read.
            thread: The thread's ID.
            blocks: The record's blocks.

        Returns:
            DAG-CBOR.

        Raises:
            ThreadNotFoundError: The thread is not here.
            MissingKeyError: The thread's read key is not here.
            NetError: As `records.open_body`.
        """
        known = self._open(reader, thread)
        if known.read is None:
            raise MissingKeyError(_NO_READ_KEY)
        return records.open_body(blocks, known.read)

    def _open(self, reader: Reader, thread: ThreadID) -> _Thread:
        value = reader.get(tables.thread(thread.bytes))
        if value is None:
            raise ThreadNotFoundError
        known = self._threads.get(value)
        if known is not None:
            return known
        row = rows.get_thread(reader, thread.bytes)
        if row is None:
            raise ThreadNotFoundError
        read = Cipher(row.read_key) if row.read_key else None
        return self._threads.keep(value, _Thread(row, value, Cipher(row.service_key), read))

    def _log_for(self, reader: Reader, transaction: Transaction, thread: _Thread, identity: PublicKey) -> _Log:
        number = thread.row.number
        log_id = rows.log_of_identity(reader, number, identity.bytes)
        if log_id is None:
            transaction.require(tables.thread(thread.row.id), thread.value)
            return self._create_log(reader, transaction, number, identity, None)
        value = reader.get(tables.log(number, log_id))
        known = None if value is None else self._logs.get(value)
        if known is not None:
            return known
        row = rows.get_log(reader, number, log_id)
        if value is None or row is None:
            return self._create_log(reader, transaction, number, identity, None)
        return self._logs.keep(value, _log_of(row))

    def _create_log(
        self,
        reader: Reader,
        transaction: Transaction,
        thread_number: int,
        identity: PublicKey,
        key: PrivateKey | PublicKey | None,
    ) -> _Log:
        key = key or PrivateKey.random(self._randomness)
        private = key if isinstance(key, PrivateKey) else None
        public = key.public if isinstance(key, PrivateKey) else key
        row = LogRow(
            number=self.numbers.next(transaction),
            id=public.peer_id,
            public_key=public.bytes,
            private_key=private.bytes if private else b"",
            addresses=self._addresses,
            managed=True,
        )
        owned = tables.identity_log(thread_number, identity.bytes)
        transaction.require(owned, reader.get(owned))
        transaction.require(tables.log(thread_number, row.id), None)
        rows.put_log(transaction, thread_number, row)
        rows.put_log_of_identity(transaction, thread_number, identity.bytes, row.id)
        return _Log(row, private)

    def _log_infos(self, reader: Reader, thread_number: int) -> Iterator[LogInfo]:
        for row in rows.logs_of(reader, thread_number):
            yield self._log_info(_log_of(row), rows.get_head(reader, thread_number, row.number))

    @staticmethod
    def _log_info(log: _Log, head: HeadRow) -> LogInfo:
        row = log.row
        return LogInfo(
            number=row.number,
            id=row.id,
            public_key=PublicKey.from_bytes(row.public_key),
            private_key=log.key,
            addresses=row.addresses,
            head=head.cid or None,
            counter=head.counter,
            managed=row.managed,
        )


def record_row(record: Record, refused: str = "") -> RecordRow:
    """Give the row in which the store keeps a record.

    Args:
        record: The record.
        refused: Why its patches are not applied; nothing where they are.
    """
    blocks = record.blocks
    block_cids = (record.event_cid, record.header_cid, record.body_cid)
    return RecordRow(record.cid, block_cids, blocks.record, blocks.event, blocks.header, blocks.body, refused)


def _log_of(row: LogRow) -> _Log:
    return _Log(row, PrivateKey.from_bytes(row.private_key) if row.private_key else None)


def _thread_key(row: ThreadRow) -> ThreadKey:
    return ThreadKey(row.service_key, row.read_key or None)


def _thread_info(row: ThreadRow, logs: tuple[LogInfo, ...]) -> ThreadInfo:
    return ThreadInfo(row.number, ThreadID(row.id), _thread_key(row), logs, row.created)


def _join_keys(row: ThreadRow, key: ThreadKey) -> ThreadRow:
    """Complete the keys that are kept with those that came, which must not differ."""
    if key.service != row.service_key:
        raise KeyMismatchError
    if key.read and row.read_key and key.read != row.read_key:
        raise KeyMismatchError("read-key mismatch")
    read_key = row.read_key or key.read or b""
    return ThreadRow(row.number, row.id, row.service_key, read_key, row.created)
