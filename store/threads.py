"""Threads, their logs, and the heads of these."""

from collections.abc import Iterator

import msgspec

from store import tables
from store.engine import Reader, Transaction
from store.values import RowCodec


class ThreadRow(msgspec.Struct, array_like=True, frozen=True):
    """A thread.

    Args:
        number: Its number in this store.
        id: Its ID.
        service_key: 32 bytes.
        read_key: 32 bytes, or none.
        created: When it came here, in ns since 1970.
    """

    number: int
    id: bytes
    service_key: bytes
    read_key: bytes = b""
    created: int = 0


class LogRow(msgspec.Struct, array_like=True, frozen=True):
    """A log of a thread.

    Args:
        number: Its number in this store.
        id: Its peer ID.
        public_key: libp2p's protobuf form.
        private_key: libp2p's protobuf form where the log is written here, or nothing.
        addresses: Multiaddrs of the hosts that serve it.
        managed: Whether it was made here.
    """

    number: int
    id: bytes
    public_key: bytes
    private_key: bytes = b""
    addresses: tuple[bytes, ...] = ()
    managed: bool = False


class HeadRow(msgspec.Struct, array_like=True, frozen=True):
    """The last record of a log; kept apart from the log since it changes with each record.

    Args:
        cid: Its CID, or nothing for an empty log.
        counter: Its position, which is how many records there are.
    """

    cid: bytes = b""
    counter: int = 0


_threads = RowCodec(ThreadRow)
_logs = RowCodec(LogRow)
_heads = RowCodec(HeadRow)


decode_head = _heads.decode
"""Reads the value of a head."""


def get_thread(reader: Reader, thread_id: bytes) -> ThreadRow | None:
    """A thread by its ID."""
    return _threads.decode_optional(reader.get(tables.thread(thread_id)))


def list_threads(reader: Reader) -> Iterator[ThreadRow]:
    """All threads, in the order of their IDs."""
    for _, value in reader.scan(*tables.threads()):
        yield _threads.decode(value)


def put_thread(transaction: Transaction, row: ThreadRow) -> None:
    """Keep a thread."""
    transaction.put(tables.thread(row.id), _threads.encode(row))


def get_log(reader: Reader, thread_number: int, log_id: bytes) -> LogRow | None:
    """A log by its ID."""
    return _logs.decode_optional(reader.get(tables.log(thread_number, log_id)))


def logs_of(reader: Reader, thread_number: int) -> Iterator[LogRow]:
    """The logs of a thread, in the order of their IDs."""
    for _, value in reader.scan(*tables.logs(thread_number)):
        yield _logs.decode(value)


def put_log(transaction: Transaction, thread_number: int, row: LogRow) -> None:
    """Keep a log."""
    transaction.put(tables.log(thread_number, row.id), _logs.encode(row))


def get_head(reader: Reader, thread_number: int, log_number: int) -> HeadRow:
    """The head of a log; of a log without records it is empty."""
    return _heads.decode_optional(reader.get(tables.head(thread_number, log_number))) or HeadRow()


def put_head(transaction: Transaction, thread_number: int, log_number: int, old: HeadRow, new: HeadRow) -> None:
    """Move a head.

    Args:
        transaction: It fails with a conflict if the head is another one than the old when its turn comes.
        thread_number: The thread.
        log_number: The log.
        old: The head that the new record was built on.
        new: The head that it becomes.
    """
    key = tables.head(thread_number, log_number)
    if key not in transaction.requirements:
        transaction.require(key, _heads.encode(old) if old.counter else None)
    transaction.put(key, _heads.encode(new))


def log_of_identity(reader: Reader, thread_number: int, identity: bytes) -> bytes | None:
    """ID of the log that an identity writes to here, or None.

    Args:
        reader: A state.
        thread_number: The thread.
        identity: The identity's public key.
    """
    return reader.get(tables.identity_log(thread_number, identity))


def put_log_of_identity(transaction: Transaction, thread_number: int, identity: bytes, log_id: bytes) -> None:
    """Say which log an identity writes to here."""
    transaction.put(tables.identity_log(thread_number, identity), log_id)
