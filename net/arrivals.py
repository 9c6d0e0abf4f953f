"""Records that were made elsewhere: what is checked of them, where they stand, and how one is put there.

A record stands at the end of its log, or beside it where it belongs to another history of the log (`net.forks`). Its
position is our own count along the records before it; what a peer says of it is not asked.
"""

from dataclasses import dataclass

from net.crypto import Cipher
from net.errors import LogNotFoundError, ThreadNotFoundError
from net.keys import PublicKey
from net.records import OpenedRecord, RecordBlocks, open_record
from net.thread_id import ThreadID
from net.thread_info import AppendedRecord
from net.threads import record_row
from store import branches, tables
from store import records as record_rows
from store import threads as rows
from store.blocks import BlockKind
from store.engine import Reader, Transaction
from store.threads import HeadRow

_MAX_LOG_ID_BYTES = 128


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record from elsewhere that is whole and signed with the key of its log.

    Args:
        thread: The thread.
        thread_number: Its number in this store.
        log_id: The peer ID of the log.
        log_number: Its number in this store.
        head: The head of the log here.
        opened: The record; its body is not opened (`records.open_body`).
        position: Its place in its history, from 1; 0 where the record before it is not here.
        is_kept: Whether it is here already, in its log or beside it.
        is_beside: Whether it is, or is to be, beside its log.
    """

    thread: ThreadID
    thread_number: int
    log_id: bytes
    log_number: int
    head: HeadRow
    opened: OpenedRecord
    position: int
    is_kept: bool = False
    is_beside: bool = False

    @property
    def is_next(self) -> bool:
        """Whether it follows the head of its log."""
        return self.position > 0 and not (self.is_kept or self.is_beside)


def open_arrival(reader: Reader, thread: ThreadID, log_id: bytes, blocks: RecordBlocks) -> Arrival:
    """Check a record against the log that it is said to stand in.

    Args:
        reader: The state to read.
        thread: The thread's ID.
        log_id: The peer ID of the log.
        blocks: As they were sent.

    Returns:
        The record, and where it stands.

    Raises:
        ThreadNotFoundError: The thread is not here.
        LogNotFoundError: The thread has no such log here.
        DecryptionError, InvalidBlockError, InvalidRecordError, BadSignatureError: As `records.open_record`.
    """
    row = rows.get_thread(reader, thread.bytes)
    if row is None:
        raise ThreadNotFoundError
    log = rows.get_log(reader, row.number, log_id) if len(log_id) <= _MAX_LOG_ID_BYTES else None
    if log is None:
        raise LogNotFoundError
    log_key = PublicKey.from_bytes(log.public_key)
    opened = open_record(blocks, service=Cipher(row.service_key), read=None, log_key=log_key)
    head = rows.get_head(reader, row.number, log.number)

    def found(position: int, *, is_kept: bool = False, is_beside: bool = False) -> Arrival:
        return Arrival(thread, row.number, log_id, log.number, head, opened, position, is_kept, is_beside)

    if opened.previous == (head.cid or None):
        return found(head.counter + 1)
    kept, is_beside = place_of(reader, row.number, log.number, opened.record.cid)
    if kept:
        return found(kept, is_kept=True, is_beside=is_beside)
    if opened.previous is None:
        return found(1, is_beside=True)
    previous, _ = place_of(reader, row.number, log.number, opened.previous)
    return found(previous + 1 if previous else 0, is_beside=True)


def place_of(reader: Reader, thread_number: int, log_number: int, record: bytes) -> tuple[int, bool]:
    """Where a record of a log is.

    Args:
        reader: The state to read.
        thread_number: The thread's number.
        log_number: The log's.
        record: The record's CID.

    Returns:
        Its position, 0 where it is not here, and whether it is beside the log.
    """
    head = rows.get_head(reader, thread_number, log_number)
    if record == head.cid:
        return head.counter, False
    row = branches.get(reader, thread_number, record)
    if row is not None and row.log_number == log_number:
        return row.position, True
    place = record_rows.find_block(reader, record, thread_number)
    if place is not None and (place.log_number, place.kind) == (log_number, BlockKind.RECORD):
        return place.position, False
    return 0, False


def stage(reader: Reader, transaction: Transaction, arrival: Arrival, refused: str = "") -> AppendedRecord:
    """Put a record at the end of its log.

    Args:
        reader: The state that the arrival was opened in.
        transaction: Where it is put. It fails with a conflict if the log's head or the thread is another one when its
            turn comes.
        arrival: The record, which is the next of its log.
        refused: Why what it means is not applied; nothing where it is.

    Returns:
        The record and where it is.
    """
    thread, log, opened, position = arrival.thread_number, arrival.log_number, arrival.opened, arrival.position
    require_thread(reader, transaction, arrival)
    record_rows.put_record(reader, transaction, thread, log, position, record_row(opened.record, refused))
    rows.put_head(transaction, thread, log, arrival.head, HeadRow(opened.record.cid, position))
    return AppendedRecord(arrival.thread, thread, arrival.log_id, log, position, opened.author, opened.record)


def require_thread(reader: Reader, transaction: Transaction, arrival: Arrival) -> None:
    """Have a transaction fail with a conflict if the thread of a record is another one when its turn comes."""
    name = tables.thread(arrival.thread.bytes)
    transaction.require(name, reader.get(name))


def require_kept(reader: Reader, transaction: Transaction, arrival: Arrival) -> None:
    """Have a transaction fail with a conflict if a record that is here already has gone when its turn comes.

    Args:
        reader: The state that the arrival was opened in.
        transaction: The transaction; where it holds the record itself, nothing is required.
        arrival: The record.
    """
    thread = arrival.thread_number
    beside = tables.branch(thread, arrival.opened.record.cid)
    name = beside if arrival.is_beside else tables.record(thread, arrival.log_number, arrival.position)
    if name not in transaction.puts:
        transaction.require(name, reader.get(name))
