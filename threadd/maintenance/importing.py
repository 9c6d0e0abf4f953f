"""Bringing a database in that was taken out elsewhere: the same thread, the same heads, the same instances.

It is written in transactions of bounded size under a mark that has it deleted; the last transaction takes the mark away
and shows it. So a stop in between, or a line that is wrong, leaves nothing behind.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar, NoReturn

import msgspec

from net import records
from net.crypto import Cipher
from net.keys import PublicKey
from net.records import RecordBlocks
from net.thread_id import ThreadID
from store import accounts as account_rows
from store import branches, deletions, failpoints
from store import databases as database_rows
from store import documents as document_rows
from store import indexes as index_rows
from store import records as record_rows
from store import threads as thread_rows
from store.accounts import OwnedThreadRow
from store.blocks import completes_segment
from store.branches import BranchRow
from store.databases import CollectionRow, DatabaseRow, ProgressRow
from store.deletions import Deletion
from store.documents import PatchPlace
from store.engine import Engine, Transaction
from store.errors import StatusCode, ThreaddError
from store.failpoints import Failpoint
from store.indexes import IndexPlace
from store.numbers import Numbers
from store.overlay import Overlay
from store.records import RecordRow
from store.threads import HeadRow, LogRow, ThreadRow
from threadd.db.collections import CollectionConfig, Index, check_name, new_row
from threadd.db.errors import DatabaseExistsError
from threadd.db.indexes import value_of
from threadd.db.schema_checks import SchemaChecks
from threadd.db.sweeper import Sweeper
from threadd.maintenance import lines
from threadd.maintenance.database_checks import folded
from threadd.maintenance.lines import (
    BesideLine,
    CollectionLine,
    End,
    Header,
    InstanceLine,
    LogLine,
    OwnerLine,
    RecordLine,
)
from threadd.maintenance.log_checks import OpenedLog, OpenedThread, branch_fault, follows_the_log

_KEYS_PER_COMMIT = 1_000


class ImportFileError(ThreaddError):
    """What is to be imported is no exported database, or not a whole one."""

    code: ClassVar[StatusCode] = StatusCode.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True)
class Imported:
    """What was brought in.

    Args:
        thread: The thread.
        name: The name of its database.
        records: How many records it has.
        instances: How many instances it has.
    """

    thread: ThreadID
    name: str
    records: int
    instances: int


async def import_database(
    engine: Engine, numbers: Numbers, sweeper: Sweeper, schemas: SchemaChecks, source: Iterable[bytes]
) -> Imported:
    """Bring a database in.

    Args:
        engine: The store.
        numbers: Its numbers.
        sweeper: Deletes what is not finished.
        schemas: Compiles the collections' schemas.
        source: The lines, as `exporting.export` gives them and `lines.encode` writes them.

    Returns:
        What it is.

    Raises:
        DatabaseExistsError: The thread is here already.
        ImportFileError: A line is wrong or missing; the text says which.
        StoreError: The disk does not take it.
    """
    reading = enumerate(source, start=1)
    number, header = 1, _decode(1, next((line for _, line in reading), b""))
    if not isinstance(header, Header) or header.version > lines.VERSION:
        raise ImportFileError("this is not an exported database, or it is one of a later version")
    async with _importing(engine, numbers, sweeper, schemas, header) as one:
        for number, line in reading:
            await one.take(number, _decode(number, line))
        await one.finish(number)
    return Imported(one.id, header.name, one.records, one.instances)


def _decode(number: int, line: bytes) -> lines.Line:
    try:
        decoded: lines.Line = lines.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ImportFileError(f"line {number} cannot be read: {error}") from error
    return decoded


@asynccontextmanager
async def _importing(
    engine: Engine, numbers: Numbers, sweeper: Sweeper, schemas: SchemaChecks, header: Header
) -> "AsyncGenerator[_Import, None]":
    """Have a thread that is deleted again unless the body ends well."""
    try:
        thread_id = ThreadID.from_text(header.thread)
        ciphers = Cipher(header.service_key), Cipher(header.read_key)
        check_name(header.name)
    except ThreaddError as error:
        raise ImportFileError(f"line 1: {error.text}") from error
    if thread_rows.get_thread(engine, thread_id.bytes) is not None:
        raise DatabaseExistsError
    marked = Transaction()
    number = numbers.next(marked)
    mark = Deletion(number)
    deletions.mark(marked, mark)
    sweeper.held.add(mark)
    try:
        await engine.commit(marked)
        row = ThreadRow(number, thread_id.bytes, header.service_key, header.read_key, header.created)
        opened = OpenedThread(row, thread_id.text, *ciphers)
        yield _Import(Overlay(engine), numbers, schemas, header, thread_id, opened, mark)
    finally:
        sweeper.held.discard(mark)
        sweeper.wake()


@dataclass(slots=True)
class _Import:
    """A database on its way in."""

    overlay: Overlay
    numbers: Numbers
    schemas: SchemaChecks
    header: Header
    id: ThreadID
    thread: OpenedThread
    mark: Deletion
    records: int = 0
    instances: int = 0
    _logs: dict[bytes, LogLine] = field(default_factory=dict)
    _numbers: dict[bytes, int] = field(default_factory=dict)
    _heads: dict[bytes, HeadRow] = field(default_factory=dict)
    _beside: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    _collections: dict[str, CollectionRow] = field(default_factory=dict)
    _owners: list[OwnerLine] = field(default_factory=list)
    _pending: Transaction = field(default_factory=Transaction)
    _ended: bool = False

    async def take(self, number: int, line: lines.Line) -> None:
        """Take a line."""
        if self._ended:
            raise ImportFileError(f"line {number}: there is nothing after the end")
        # What some lines are made of or held against is read back.
        match line:
            case RecordLine():
                is_due = completes_segment(line.position)
            case BesideLine():
                is_due = not self._beside
            case _:
                is_due = isinstance(line, InstanceLine) and self.instances == 0
        if is_due:
            await self._commit()
        try:
            await self._take(line)
        except KeyError as error:
            raise ImportFileError(f"line {number}: a patch is in no log that came before") from error
        except (ThreaddError, LookupError) as error:
            raise ImportFileError(f"line {number}: {error}") from error
        await self._commit(more_than=_KEYS_PER_COMMIT)

    async def _take(self, line: lines.Line) -> None:
        match line:
            case CollectionLine():
                await self._take_collection(line)
            case LogLine():
                self._take_log(line)
            case RecordLine():
                self._take_record(line)
            case BesideLine():
                self._take_beside(line)
            case InstanceLine():
                self._take_instance(line)
            case OwnerLine():
                self._owners.append(line)
            case End():
                self._check_end(line)
            case Header():
                _refuse("a second database")

    async def finish(self, number: int) -> None:
        """Show the database, once all lines were taken."""
        if not self._ended:
            raise ImportFileError(f"the file ends at line {number}, before its end: it was cut short")
        await self._commit()
        last, thread = Transaction(), self.thread.row
        key_of_thread = Transaction()
        thread_rows.put_thread(key_of_thread, thread)
        for key in key_of_thread.puts:
            last.require(key, None)
        last.puts.update(key_of_thread.puts)
        deletions.unmark(last, self.mark)
        database_rows.put_database(last, thread.number, DatabaseRow(thread.id, self.header.name))
        for line in self._owners:
            name = line.name
            if name and account_rows.find_owned_thread(self.overlay, line.key, name) is not None:
                name = ""  # its owner has another thread of that name here
            owned = OwnedThreadRow(name=name, api_key=line.api_key, is_db=True, created=line.created)
            account_rows.put_owned_thread(last, line.key, thread.id, owned)
        await asyncio.shield(self.overlay.submit(last))

    async def _commit(self, more_than: int = 0) -> None:
        if len(self._pending.puts) > more_than:
            committed = self.overlay.submit(self._pending)
            self._pending = Transaction()
            await asyncio.shield(committed)
            failpoints.hit(Failpoint.IMPORT_SLICE)

    async def _take_collection(self, line: CollectionLine) -> None:
        indexes = tuple(Index(index.path, index.unique) for index in line.indexes)
        config = CollectionConfig(line.name, line.schema.encode(), indexes, line.write_validator, line.read_filter)
        await self.schemas.check_configs([config])
        if line.name in self._collections:
            _refuse("the collection comes twice")
        row = self._collections[line.name] = new_row(self._pending, self.numbers, config)
        database_rows.put_collection(self._pending, self.thread.row.number, row)

    def _take_log(self, line: LogLine) -> None:
        key = PublicKey.from_bytes(line.public_key)
        if key.peer_id != line.id or line.id in self._logs:
            _refuse("the log's ID is not that of its key, or it comes twice")
        number = self._numbers[line.id] = self.numbers.next(self._pending)
        row = LogRow(number, line.id, line.public_key, line.private_key, line.addresses, line.managed)
        thread = self.thread.row.number
        thread_rows.put_log(self._pending, thread, row)
        for identity in line.identities:
            thread_rows.put_log_of_identity(self._pending, thread, PublicKey.from_bytes(identity).bytes, line.id)
        self._logs[line.id] = line
        self._heads[line.id] = HeadRow()
        self.thread.logs[number] = OpenedLog(row, key)

    def _open(self, line: RecordLine | BesideLine) -> tuple[RecordRow, bytes]:
        """A record as it is kept, and the CID of the one before it."""
        if line.log not in self._logs:
            _refuse("the record is of no log that came before")
        log = self.thread.logs[self._numbers[line.log]]
        blocks = RecordBlocks(line.record, line.event, line.header, line.body)
        opened = records.open_record(blocks, service=self.thread.service, read=None, log_key=log.key)
        record = opened.record
        names = (record.event_cid, record.header_cid, record.body_cid)
        row = RecordRow(record.cid, names, line.record, line.event, line.header, line.body, line.refused)
        return row, opened.previous or b""

    def _take_beside(self, line: BesideLine) -> None:
        row, previous = self._open(line)
        thread, number, head = self.thread.row.number, self._numbers[line.log], self._heads[line.log]
        branch = BranchRow(number, line.position, previous, row)
        is_next = self._beside.get(previous) == (number, line.position - 1)
        is_next = is_next or follows_the_log(self.overlay, thread, branch)
        if fault := branch_fault(head, branch, is_next=is_next):
            _refuse(f"the record beside its log: {fault}")
        branches.put(self._pending, thread, branch)
        self._beside[row.cid] = (number, line.position)

    def _take_record(self, line: RecordLine) -> None:
        row, previous = self._open(line)
        number, head = self._numbers[line.log], self._heads[line.log]
        if line.position != head.counter + 1 or previous != head.cid:
            _refuse("the record does not follow the one before it")
        thread = self.thread.row.number
        record_rows.put_record(self.overlay, self._pending, thread, number, line.position, row)
        for name in line.waiting:
            check_name(name)
            document_rows.put_waiting(self._pending, thread, name, number, line.position)
        self._heads[line.log] = new = HeadRow(row.cid, line.position)
        thread_rows.put_head(self._pending, thread, number, HeadRow(), new)
        self._pending.requirements.clear()
        self.records += 1

    def _take_instance(self, line: InstanceLine) -> None:
        collection = self._collections.get(line.collection)
        if collection is None:
            _refuse("the instance is of no collection that came before")
        thread = self.thread.row.number
        places = [
            PatchPlace(patch.timestamp, self._numbers[patch.log], patch.position, patch.index) for patch in line.patches
        ]
        text = None if line.document is None else line.document.encode()
        if folded(self.overlay, self.thread, line.id, places) != text:
            _refuse(f"the instance {line.id!r} is not what its patches make of it")
        for place in places:
            document_rows.put_patch(self._pending, thread, collection.number, line.id, place)
        if text is not None:
            document_rows.put_document(self._pending, thread, collection.number, line.id, text)
            for index in collection.indexes:
                place_of_index = IndexPlace(thread, collection.number, index.number)
                index_rows.put_entry(self._pending, place_of_index, value_of(index, text), line.id)
        self.instances += 1

    def _check_end(self, line: End) -> None:
        if (line.records, line.instances, line.beside) != (self.records, self.instances, len(self._beside)):
            _refuse("records or instances are missing")
        for log_id, log in self._logs.items():
            if self._heads[log_id] != HeadRow(log.head, log.counter):
                _refuse("a log does not end at its head")
        progress = ProgressRow(self.header.sequence, self.header.timestamp)
        database_rows.put_progress(self._pending, self.thread.row.number, ProgressRow(), progress)
        self._ended = True


def _refuse(text: str) -> NoReturn:
    raise ImportFileError(text)
