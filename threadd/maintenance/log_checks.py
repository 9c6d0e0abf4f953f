"""Checks of threads and their logs: keys, chains of records, signatures, heads, names of blocks, and their patches."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from net import records
from net.crypto import Cipher
from net.errors import NetError
from net.keys import PrivateKey, PublicKey
from net.patches import Patch, decode_body
from net.records import RecordBlocks
from net.thread_id import ThreadID
from store import blocks, branches, tables
from store import records as record_rows
from store import threads as thread_rows
from store.branches import BranchRow
from store.engine import Reader, Transaction
from store.errors import ThreaddError
from store.records import RecordRow
from store.threads import HeadRow, LogRow, ThreadRow
from threadd.maintenance.findings import Finding, Puts, Tally

_BODIES_KEPT = 256
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class OpenedLog:
    """A log with what opens it.

    Args:
        row: The log.
        key: What verifies its records.
    """

    row: LogRow
    key: PublicKey


@dataclass(slots=True)
class OpenedThread:
    """A thread that can be read.

    Args:
        row: The thread.
        name: The text of its ID.
        service: Opens records.
        read: Opens their bodies; None where the key is not here.
        logs: Its logs by their numbers.
    """

    row: ThreadRow
    name: str
    service: Cipher
    read: Cipher | None
    logs: dict[int, OpenedLog] = field(default_factory=dict)
    _bodies: "OrderedDict[tuple[int, int], list[Patch] | None]" = field(default_factory=OrderedDict)

    def patches(self, reader: Reader, log_number: int, position: int) -> list[Patch] | None:
        """The patches of a record that is kept; None where there is none or it cannot be read."""
        key = (log_number, position)
        if key not in self._bodies:
            row = record_rows.get_record(reader, self.row.number, log_number, position)
            self._bodies[key] = None if row is None else self.patches_in(row)
            if len(self._bodies) > _BODIES_KEPT:
                self._bodies.popitem(last=False)
        return self._bodies[key]

    def patches_in(self, row: RecordRow) -> list[Patch] | None:
        """The patches of a record; None where its body cannot be read."""
        if self.read is None:
            return None
        try:
            return decode_body(records.open_body(blocks_of(row), self.read))
        except NetError:
            return None


def blocks_of(row: RecordRow) -> RecordBlocks:
    """The blocks of a record as `net.records` takes them."""
    return RecordBlocks(row.record, row.event, row.header, row.body)


def open_thread(reader: Reader, row: ThreadRow) -> OpenedThread | Finding:
    """Make a thread readable, or say why it is not."""
    try:
        name = ThreadID.from_bytes(row.id).text
        read = Cipher(row.read_key) if row.read_key else None
        thread = OpenedThread(row, name, Cipher(row.service_key), read)
        for log in thread_rows.logs_of(reader, row.number):
            thread.logs[log.number] = OpenedLog(log, PublicKey.from_bytes(log.public_key))
    except ThreaddError as error:
        return Finding("thread", row.id.hex(), f"cannot be read: {error.text}")
    return thread


def check_thread(reader: Reader, thread: OpenedThread, tally: Tally) -> Iterator[Finding]:
    """Check what a thread's rows say, and each of its logs."""
    tally.counts["threads"] += 1
    number = thread.row.number
    known = {log.row.id: log.row for log in thread.logs.values()}
    if len(known) != len(thread.logs) or len(known) != sum(1 for _ in thread_rows.logs_of(reader, number)):
        yield Finding("log", thread.name, "two logs have the same number or the same ID")
    for key, log_id in reader.scan(*tables.identity_logs(number)):
        if log_id not in known:
            yield Finding("log", thread.name, "an identity's log is not there", ((key, None),))
    for key, _ in reader.scan(*tables.heads(number)):
        if tables.head_of(key)[1] not in thread.logs:
            yield Finding("head", thread.name, "a head is of a log that is not there")
    for log in thread.logs.values():
        yield from check_log(reader, thread, log, tally)
    yield from check_branches(reader, thread, tally)


def check_log(reader: Reader, thread: OpenedThread, log: OpenedLog, tally: Tally) -> Iterator[Finding]:
    """Check that a log is a chain of whole and signed records that ends at its head."""
    tally.counts["logs"] += 1
    row, number = log.row, thread.row.number
    where = f"{thread.name} log {row.number}"
    if log.key.peer_id != row.id:
        yield Finding("log", where, "its ID is not that of its key")
    if row.private_key and not _is_pair(row.private_key, log.key):
        yield Finding("log", where, "its private key is not that of its public key")
    previous, last = b"", 0
    names: list[tuple[bytes, bytes, bytes, bytes]] = []
    for position, record in record_rows.records_from(reader, number, row.number):
        tally.counts["records"] += 1
        if position != last + 1:
            yield Finding("record", where, f"record {position} follows record {last}")
        text = _fault_of(thread, log, record, previous)
        if text:
            yield Finding("record", where, f"record {position}: {text}")
        previous, last = record.cid, position
        names.append(record_rows.cids_of(record))
        if position % blocks.SEGMENT_RECORDS == 0:
            yield from _check_segment(reader, thread, row.number, position, names, where)
            names.clear()
    head = thread_rows.get_head(reader, number, row.number)
    if head != HeadRow(previous, last):
        yield Finding("head", where, f"the head is record {head.counter} and the last record is {last}")
    yield from _check_no_more_segments(reader, thread, row.number, last, where)


def check_branches(reader: Reader, thread: OpenedThread, tally: Tally) -> Iterator[Finding]:
    """Check the records beside the logs of a thread: each is whole and signed, and follows another of its log."""
    number = thread.row.number
    for key, _ in reader.scan(*tables.branches(number)):
        tally.counts["records beside logs"] += 1
        row = branches.get(reader, number, tables.branch_cid_of(key))
        if row is None:
            continue
        log = thread.logs.get(row.log_number)
        where = f"{thread.name} log {row.log_number}"
        if log is None:
            yield Finding("branch", where, "a record is beside a log that is not there")
            continue
        head = thread_rows.get_head(reader, number, row.log_number)
        text = _fault_of(thread, log, row.record, row.previous)
        if not text and key != tables.branch(number, row.record.cid):
            text = "it is kept under the name of another"
        is_next = _follows_beside(reader, number, row) or follows_the_log(reader, number, row)
        text = text or branch_fault(head, row, is_next=is_next)
        if text:
            yield Finding("branch", where, f"record {row.position} beside it: {text}")


def branch_fault(head: HeadRow, row: BranchRow, *, is_next: bool) -> str:
    """What is wrong with the place of a record beside its log, in words; nothing for one that is right.

    Args:
        head: The head of the log.
        row: The record.
        is_next: Whether the record that it follows is at the position before it, in the log or beside it.
    """
    if (-row.position, row.record.cid) <= (-head.counter, head.cid):
        return "its history is the one that should be the log"
    if row.position == 1:
        return "" if not row.previous else "a first record follows another"
    return "" if is_next else "the record that it follows is not there"


def follows_the_log(reader: Reader, thread_number: int, row: BranchRow) -> bool:
    """Whether a record beside its log follows one that is in the log."""
    kept = record_rows.get_record(reader, thread_number, row.log_number, row.position - 1)
    return kept is not None and kept.cid == row.previous


def _follows_beside(reader: Reader, thread_number: int, row: BranchRow) -> bool:
    before = branches.get(reader, thread_number, row.previous)
    return before is not None and (before.log_number, before.position) == (row.log_number, row.position - 1)


def _fault_of(thread: OpenedThread, log: OpenedLog, row: RecordRow, previous: bytes) -> str:
    """What is wrong with a record, in words; nothing for one that is sound."""
    try:
        # A body that is no body is kept and marked: the record is sound all the same.
        read = None if row.refused else thread.read
        opened = records.open_record(blocks_of(row), service=thread.service, read=read, log_key=log.key)
    except NetError as error:
        return error.text
    record = opened.record
    if record_rows.cids_of(row) != (record.cid, record.event_cid, record.header_cid, record.body_cid):
        return "its blocks are not those that it is kept under"
    if (opened.previous or b"") != previous:
        return "it is not chained to the one before it"
    return ""


def _is_pair(private_key: bytes, public: PublicKey) -> bool:
    try:
        return PrivateKey.from_bytes(private_key).public == public
    except NetError:
        return False


def _check_segment(
    reader: Reader,
    thread: OpenedThread,
    log_number: int,
    position: int,
    names: list[tuple[bytes, bytes, bytes, bytes]],
    where: str,
) -> Iterator[Finding]:
    if len(names) != blocks.SEGMENT_RECORDS:
        return  # a record is missing, and that was said
    transaction = Transaction()
    blocks.put_segment(transaction, thread.row.number, log_number, position, names)
    for key, value in transaction.puts.items():
        if reader.get(key) != value:
            first = position - blocks.SEGMENT_RECORDS + 1
            yield Finding(
                "segment", where, f"the blocks of records {first} to {position} are not named", ((key, value),)
            )


def _check_no_more_segments(
    reader: Reader, thread: OpenedThread, log_number: int, last: int, where: str
) -> Iterator[Finding]:
    behind: Puts = tuple(
        (key, None)
        for key, _ in reader.scan(*tables.segments(thread.row.number))
        if tables.segment_of(key)[1] == log_number and tables.segment_of(key)[2] >= last // blocks.SEGMENT_RECORDS
    )
    if behind:
        yield Finding("segment", where, "blocks are named of records that are not there", behind)
