"""Records of logs, by position, and where each of their blocks is."""

from collections.abc import Iterator

import msgspec

from store import blocks, tables
from store.blocks import BlockKind, BlockPlace
from store.engine import Reader, Transaction
from store.threads import decode_head
from store.values import RowCodec


class RecordRow(msgspec.Struct, array_like=True, frozen=True):
    """A record: four blocks.

    Args:
        cid: The record's CID.
        block_cids: The CIDs of event, header and body.
        record: The outer block, sealed with the service key.
        event: The event block.
        header: The header block, sealed with the read key.
        body: The body block, sealed with the event's own key.
        refused: Why its patches are not applied, or nothing.
    """

    cid: bytes
    block_cids: tuple[bytes, bytes, bytes]
    record: bytes
    event: bytes
    header: bytes
    body: bytes
    refused: str = ""


_records = RowCodec(RecordRow)


def put_record(
    reader: Reader,
    transaction: Transaction,
    thread_number: int,
    log_number: int,
    position: int,
    row: RecordRow,
) -> None:
    """Keep a record, and what names its blocks once it completes a segment.

    Args:
        reader: The state that the transaction builds on.
        transaction: What it is a part of.
        thread_number: The thread.
        log_number: The log.
        position: Its position, from 1; the records before it are kept already.
        row: The record.
    """
    transaction.put(tables.record(thread_number, log_number, position), _records.encode(row))
    if position % blocks.SEGMENT_RECORDS == 0:
        first = position - blocks.SEGMENT_RECORDS + 1
        rows = [earlier for _, earlier in records_from(reader, thread_number, log_number, first)]
        blocks.put_segment(transaction, thread_number, log_number, position, [cids_of(each) for each in (*rows, row)])


def put_refusal(
    transaction: Transaction,
    thread_number: int,
    log_number: int,
    position: int,
    row: RecordRow,
    reason: str,
) -> None:
    """Say why a record that is kept is not applied."""
    transaction.put(
        tables.record(thread_number, log_number, position),
        _records.encode(msgspec.structs.replace(row, refused=reason)),
    )


def delete_record(transaction: Transaction, thread_number: int, log_number: int, position: int) -> None:
    """Take a record out of its log; those behind it go as well, and what names their blocks."""
    transaction.delete(tables.record(thread_number, log_number, position))


def cids_of(row: RecordRow) -> tuple[bytes, bytes, bytes, bytes]:
    """The CIDs of a record's four blocks: record, event, header, body."""
    return (row.cid, *row.block_cids)


def get_record(reader: Reader, thread_number: int, log_number: int, position: int) -> RecordRow | None:
    """A record by its position."""
    return _records.decode_optional(reader.get(tables.record(thread_number, log_number, position)))


def records_from(
    reader: Reader,
    thread_number: int,
    log_number: int,
    first: int = 1,
) -> Iterator[tuple[int, RecordRow]]:
    """Positions and records of a log, from a position on."""
    for key, value in reader.scan(*tables.records(thread_number, log_number, first)):
        yield tables.position_of(key)[1], _records.decode(value)


def find_block(reader: Reader, cid: bytes, thread_number: int | None = None) -> BlockPlace | None:
    """Where a block is.

    Args:
        reader: A state.
        cid: The block's CID.
        thread_number: The thread to look in; None for all.
    """
    for place in blocks.candidates(reader, cid, thread_number):
        row = get_record(reader, place.thread_number, place.log_number, place.position)
        if row is not None and cids_of(row)[place.kind] == cid:
            return place
    for thread, log, first in _tails(reader, thread_number):
        for position, row in records_from(reader, thread, log, first):
            if cid in cids_of(row):
                return BlockPlace(thread, log, position, BlockKind(cids_of(row).index(cid)))
    return None


def _tails(reader: Reader, thread_number: int | None) -> Iterator[tuple[int, int, int]]:
    """Thread, log and first position of the records that are in no segment yet."""
    for key, value in reader.scan(*tables.heads(thread_number)):
        thread, log = tables.head_of(key)
        if log:
            counter = decode_head(value).counter
            first = counter - counter % blocks.SEGMENT_RECORDS + 1
            if first <= counter:
                yield thread, log, first


def get_block(reader: Reader, cid: bytes, thread_number: int | None = None) -> bytes | None:
    """A block by its CID; arguments as `find_block`."""
    place = find_block(reader, cid, thread_number)
    row = get_record(reader, place.thread_number, place.log_number, place.position) if place else None
    if place is None or row is None:
        return None
    return (row.record, row.event, row.header, row.body)[place.kind]
