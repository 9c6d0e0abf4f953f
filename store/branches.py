"""Records of histories of a log that are not its log: beside it, by their CIDs.

A log has one history for as long as whoever writes it keeps its head. Where a host was put back to an earlier copy
and wrote on, there are two, which part behind the last record that they have in common.
"""

from collections.abc import Iterator

import msgspec

from store import tables
from store.engine import Reader, Transaction
from store.records import RecordRow, cids_of
from store.values import RowCodec


class BranchRow(msgspec.Struct, array_like=True, frozen=True):
    """A record beside its log.

    Args:
        log_number: The log.
        position: Its place in its own history, from 1.
        previous: The CID of the record before it, which is in the log or beside it; nothing for a first record.
        record: The record.
    """

    log_number: int
    position: int
    previous: bytes
    record: RecordRow


_branches = RowCodec(BranchRow)


def put(transaction: Transaction, thread_number: int, row: BranchRow) -> None:
    """Keep a record beside its log."""
    transaction.put(tables.branch(thread_number, row.record.cid), _branches.encode(row))


def get(reader: Reader, thread_number: int, cid: bytes) -> BranchRow | None:
    """A record beside its log by its CID."""
    return _branches.decode_optional(reader.get(tables.branch(thread_number, cid)))


def delete(transaction: Transaction, thread_number: int, cid: bytes) -> None:
    """A record is beside its log no longer."""
    transaction.delete(tables.branch(thread_number, cid))


def rows_of(reader: Reader, thread_number: int | None = None) -> Iterator[BranchRow]:
    """All records beside their logs, or those of one thread."""
    for _, value in reader.scan(*tables.branches(thread_number)):
        yield _branches.decode(value)


def get_block(reader: Reader, cid: bytes) -> bytes | None:
    """A block of any record beside its log, by the block's CID."""
    for _, value in reader.scan(*tables.branches()):
        if cid not in value:
            continue  # a row holds the CIDs of its blocks as they are
        row = _branches.decode(value).record
        blocks = dict(zip(cids_of(row), (row.record, row.event, row.header, row.body), strict=True))
        if cid in blocks:
            return blocks[cid]
    return None
