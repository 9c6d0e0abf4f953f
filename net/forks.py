"""Logs with two histories: both are kept, and the longer one, then the one with the smaller head, is the log.

Whoever writes a log makes one history, unless its host was put back to an earlier copy and wrote on. All hosts that
have both choose the same one. A history that is not the log is kept beside it, record by record, each with its place
by our own count; once it has come to more than the log, the two change places.
"""

from dataclasses import dataclass

from net.arrivals import Arrival, require_thread
from net.errors import OutOfOrderError
from net.records import RecordBlocks
from store import blocks, branches
from store import records as record_rows
from store import threads as rows
from store.branches import BranchRow
from store.engine import Reader, Transaction
from store.records import RecordRow
from store.threads import HeadRow

MAX_BRANCH = 10_000
"""How far behind its head a log may part: what is behind that stays as it is."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a log loses and gains where another history takes its place.

    Args:
        dropped: The records that are beside it now, with their former positions, in order.
        gained: The records that have to be put at its end, in order.
    """

    dropped: tuple[tuple[int, RecordRow], ...]
    gained: tuple[RecordBlocks, ...]


def take_beside(reader: Reader, transaction: Transaction, arrival: Arrival, row: RecordRow) -> Turn | None:
    """Take a record that belongs to another history than its log.

    Args:
        reader: The state that the arrival was opened in.
        transaction: Where it is put.
        arrival: The record; it is neither here already nor the next of its log.
        row: It, as it is kept.

    Returns:
        None where it was put beside its log. Else the log has been taken back in the transaction to where the two
        histories part: what it gains, this record at the end, remains to be put there.

    Raises:
        OutOfOrderError: The record before it is not here, or the two part too far back.
    """
    head = arrival.head
    if not arrival.position or head.counter - arrival.position >= MAX_BRANCH:
        raise OutOfOrderError
    require_thread(reader, transaction, arrival)
    if (-arrival.position, row.cid) < (-head.counter, head.cid):
        return _turn(reader, transaction, arrival, row)
    previous = arrival.opened.previous or b""
    branches.put(transaction, arrival.thread_number, BranchRow(arrival.log_number, arrival.position, previous, row))
    return None


def parting(reader: Reader, thread_number: int, record: bytes) -> tuple[int, list[BranchRow]] | None:
    """Find where the history of a record that is beside its log parts from it.

    Args:
        reader: The state to read.
        thread_number: The thread.
        record: The record's CID; nothing for what is before the first one.

    Returns:
        The position of the last record in common, and those beside the log from there to this one; None where they
        part too far back.
    """
    beside: list[BranchRow] = []
    while record:
        row = branches.get(reader, thread_number, record)
        if row is None:
            place = record_rows.find_block(reader, record, thread_number)
            return None if place is None else (place.position, beside[::-1])
        if len(beside) > MAX_BRANCH:
            return None
        beside.append(row)
        record = row.previous
    return 0, beside[::-1]


def _turn(reader: Reader, transaction: Transaction, arrival: Arrival, last: RecordRow) -> Turn:
    thread, log, head = arrival.thread_number, arrival.log_number, arrival.head
    found = parting(reader, thread, arrival.opened.previous or b"")
    if found is None or head.counter - found[0] > MAX_BRANCH:
        raise OutOfOrderError
    common, beside = found
    dropped: list[tuple[int, RecordRow]] = []
    before = record_rows.get_record(reader, thread, log, common) if common else None
    previous = b"" if before is None else before.cid
    base = HeadRow(previous, common)
    for position, row in list(record_rows.records_from(reader, thread, log, common + 1)):
        branches.put(transaction, thread, BranchRow(log, position, previous, row))
        record_rows.delete_record(transaction, thread, log, position)
        dropped.append((position, row))
        previous = row.cid
    blocks.delete_segments(reader, transaction, thread, log, common)
    for each in beside:
        branches.delete(transaction, thread, each.record.cid)
    rows.put_head(transaction, thread, log, head, base)
    gained = (*(each.record for each in beside), last)
    return Turn(tuple(dropped), tuple(RecordBlocks(row.record, row.event, row.header, row.body) for row in gained))
