"""Where the blocks of records are, by their CIDs, without a key for each block.

CIDs are random, so a key for each would make every record dirty four pages all over the file. Instead the records of a
log are named in segments: one value for so many of them holds the beginnings of their blocks' digests, in order, and is
written with the last of them. The records behind the last whole segment of a log are looked at one by one.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum

import msgspec

from store import tables
from store.engine import Reader, Transaction

SEGMENT_RECORDS = 127
"""How many records a segment names, so that it fits one page."""

_DIGEST_BYTES = 32
_PREFIX_BYTES = 8
_BLOCKS = 4


class BlockKind(IntEnum):
    """Which of a record's blocks one is."""

    RECORD = 0
    EVENT = 1
    HEADER = 2
    BODY = 3


class BlockPlace(msgspec.Struct, frozen=True):
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


def completes_segment(position: int) -> bool:
    """Whether the record at a position is the last of a segment."""
    return position % SEGMENT_RECORDS == 0


def put_segment(
    transaction: Transaction,
    thread_number: int,
    log_number: int,
    last: int,
    cids: Sequence[tuple[bytes, bytes, bytes, bytes]],
) -> None:
    """Name the blocks of the records of a segment.

    Args:
        transaction: What it is a part of.
        thread_number: The thread.
        log_number: The log.
        last: The position of its last record, a multiple of `SEGMENT_RECORDS`.
        cids: The CIDs of the blocks of each record, in order.
    """
    names = b"".join(_prefix(cid) for record in cids for cid in record)
    transaction.put(tables.segment(thread_number, log_number, last // SEGMENT_RECORDS - 1), names)


def delete_segments(reader: Reader, transaction: Transaction, thread_number: int, log_number: int, last: int) -> None:
    """Forget what names the blocks of records that leave a log.

    Args:
        reader: The state that the transaction builds on.
        transaction: What it is a part of.
        thread_number: The thread.
        log_number: The log.
        last: The position of the last record that stays; a segment that holds more than it stays not.
    """
    first = tables.segment(thread_number, log_number, last // SEGMENT_RECORDS)
    for key, _ in reader.scan(first, tables.segment(thread_number, log_number + 1, 0)):
        transaction.delete(key)


def candidates(reader: Reader, cid: bytes, thread_number: int | None) -> Iterator[BlockPlace]:
    """Where a block may be, according to the segments; the newest come first.

    Args:
        reader: A state.
        cid: The block's CID.
        thread_number: The thread to look in; None for all.
    """
    wanted = _prefix(cid)
    for key, names in reader.scan(*tables.segments(thread_number), reverse=True):
        found = names.find(wanted)
        while found >= 0:
            if found % _PREFIX_BYTES == 0:
                record, kind = divmod(found // _PREFIX_BYTES, _BLOCKS)
                thread, log, number = tables.segment_of(key)
                yield BlockPlace(thread, log, number * SEGMENT_RECORDS + record + 1, BlockKind(kind))
            found = names.find(wanted, found + 1)


def _prefix(cid: bytes) -> bytes:
    return cid[-_DIGEST_BYTES:][:_PREFIX_BYTES]
