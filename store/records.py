"""Records of logs, by position, and where each of their blocks is."""

import struct
from collections.abc import Iterator
from enum import IntEnum

import msgspec

from store import tables
from store.engine import Reader, Transaction
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


class BlockKind(IntEnum):
    """Which of a record's blocks one is."""

    RECORD = 0
    EVENT = 1
    HEADER = 2
    BODY = 3


class BlockPlace(msgspec.Struct, array_like=True, frozen=True):
    """Where a block is.

    Args:
        thread_number: The thread.
        log_number: The log.
        position: The position of its record, from 1.
        kind: Which of the record's blocks it is.
    """

    thread_number: int
    log_number: int
    position: int
    kind: BlockKind


_records = RowCodec(RecordRow)
_PLACE = struct.Struct(">IIQB")


def put_record(transaction: Transaction, thread_number: int, log_number: int, position: int, row: RecordRow) -> None:
    """Keep a record and where its blocks are.

    Args:
        transaction: What it is a part of.
        thread_number: The thread.
        log_number: The log.
        position: Its position, from 1.
        row: The record.
    """
    transaction.put(tables.record(thread_number, log_number, position), _records.encode(row))
    for kind, cid in enumerate((row.cid, *row.block_cids)):
        transaction.put(tables.block(cid), _PLACE.pack(thread_number, log_number, position, kind))


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


def find_block(reader: Reader, cid: bytes) -> BlockPlace | None:
    """Where a block is, by its CID."""
    value = reader.get(tables.block(cid))
    if value is None:
        return None
    thread_number, log_number, position, kind = _PLACE.unpack(value)
    return BlockPlace(thread_number, log_number, position, BlockKind(kind))


def get_block(reader: Reader, cid: bytes) -> bytes | None:
    """A block by its CID."""
    place = find_block(reader, cid)
    row = get_record(reader, place.thread_number, place.log_number, place.position) if place else None
    if place is None or row is None:
        return None
    return (row.record, row.event, row.header, row.body)[place.kind]
