"""Records that were made elsewhere: what is checked of them, and how one is put at the end of its log."""

from dataclasses import dataclass

from net.crypto import Cipher
from net.errors import LogNotFoundError, OutOfOrderError, ThreadNotFoundError
from net.keys import PublicKey
from net.records import OpenedRecord, RecordBlocks, open_record
from net.thread_id import ThreadID
from net.threads import AppendedRecord, record_row
from store import records as record_rows
from store import tables
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
        kept_at: Its position where it is here already, else 0.
    """

    thread: ThreadID
    thread_number: int
    log_id: bytes
    log_number: int
    head: HeadRow
    opened: OpenedRecord
    kept_at: int

    @property
    def is_next(self) -> bool:
        """Whether it follows the head of its log."""
        return _follows(self.opened, self.head)


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
    kept_at = _position(reader, row.number, log.number, head, opened)
    return Arrival(thread, row.number, log_id, log.number, head, opened, kept_at)


def stage(reader: Reader, transaction: Transaction, arrival: Arrival, refused: str = "") -> AppendedRecord | None:
    """Put a record at the end of its log.

    Args:
        reader: The state that the arrival was opened in.
        transaction: Where it is put. It fails with a conflict if the log's head or the thread is another one when its
            turn comes; for a record that is here already, if that one has gone.
        arrival: The record.
        refused: Why what it means is not applied; nothing where it is.

    Returns:
        The record and where it is; None where it is here already.

    Raises:
        OutOfOrderError: It does not follow the head.
    """
    thread, log = arrival.thread_number, arrival.log_number
    if arrival.kept_at:
        kept = tables.record(thread, log, arrival.kept_at)
        transaction.require(kept, reader.get(kept))
        return None
    opened, head = arrival.opened, arrival.head
    if not arrival.is_next:
        raise OutOfOrderError
    position = head.counter + 1
    transaction.require(tables.thread(arrival.thread.bytes), reader.get(tables.thread(arrival.thread.bytes)))
    record_rows.put_record(reader, transaction, thread, log, position, record_row(opened.record, refused))
    rows.put_head(transaction, thread, log, head, HeadRow(opened.record.cid, position))
    return AppendedRecord(arrival.thread, thread, arrival.log_id, log, position, opened.author, opened.record)


def _follows(opened: OpenedRecord, head: HeadRow) -> bool:
    return opened.previous == (head.cid or None)


def _position(reader: Reader, thread_number: int, log_number: int, head: HeadRow, opened: OpenedRecord) -> int:
    """Position of a record in its log, 0 where it is not there."""
    if _follows(opened, head):
        return 0
    if opened.record.cid == head.cid:
        return head.counter
    place = record_rows.find_block(reader, opened.record.cid, thread_number)
    is_kept = place is not None and (place.log_number, place.kind) == (log_number, BlockKind.RECORD)
    return place.position if place is not None and is_kept else 0
