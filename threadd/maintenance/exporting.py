"""Taking a database out: all that makes it what it is, as lines of JSON."""

from collections.abc import Iterator

from net.errors import ThreadNotFoundError
from net.thread_id import ThreadID
from store import accounts as account_rows
from store import branches, tables
from store import databases as database_rows
from store import documents as document_rows
from store import records as record_rows
from store import threads as thread_rows
from store.engine import Reader
from store.threads import LogRow, ThreadRow
from threadd.db.errors import DatabaseNotFoundError
from threadd.maintenance import lines
from threadd.maintenance.database_checks import instances_with_patches
from threadd.maintenance.lines import Line


def export(reader: Reader, thread_id: ThreadID) -> Iterator[Line]:
    """Give the lines of a database.

    Args:
        reader: A state.
        thread_id: The ID of its thread.

    Raises:
        ThreadNotFoundError: There is no such thread.
        DatabaseNotFoundError: The thread has no database.
    """
    thread = thread_rows.get_thread(reader, thread_id.bytes)
    if thread is None:
        raise ThreadNotFoundError
    database = database_rows.get_database(reader, thread.number)
    if database is None:
        raise DatabaseNotFoundError
    progress = database_rows.get_progress(reader, thread.number)
    yield lines.Header(
        version=lines.VERSION,
        thread=thread_id.text,
        name=database.name,
        service_key=thread.service_key,
        read_key=thread.read_key,
        created=thread.created,
        sequence=progress.sequence,
        timestamp=progress.timestamp,
    )
    for row in database_rows.list_collections(reader, thread.number):
        indexes = tuple(lines.IndexLine(index.path, index.unique) for index in row.indexes)
        yield lines.CollectionLine(row.name, row.schema.decode(), indexes, row.write_validator, row.read_filter)
    yield from _owners(reader, thread)
    logs = {row.number: row for row in thread_rows.logs_of(reader, thread.number)}
    yield from _logs(reader, thread, logs)
    records = beside = instances = 0
    for record in _records(reader, thread, logs):
        records += 1
        yield record
    for other in _beside(reader, thread, logs):
        beside += 1
        yield other
    for instance in _instances(reader, thread, logs):
        instances += 1
        yield instance
    yield lines.End(records, instances, beside)


def count_lines(reader: Reader, thread_id: ThreadID) -> int:
    """About how many lines `export` gives: one for each record and each instance; 0 where there is no such thread."""
    thread = thread_rows.get_thread(reader, thread_id.bytes)
    if thread is None:
        return 0
    logs = thread_rows.logs_of(reader, thread.number)
    records = sum(thread_rows.get_head(reader, thread.number, row.number).counter for row in logs)
    collections = database_rows.list_collections(reader, thread.number)
    ranges = [tables.documents(thread.number, row.number) for row in collections]
    return records + sum(1 for each in ranges for _ in reader.scan(*each))


def _owners(reader: Reader, thread: ThreadRow) -> Iterator[Line]:
    for owner, thread_id, row in account_rows.list_all_owned_threads(reader):
        if thread_id == thread.id:
            yield lines.OwnerLine(owner, row.name, row.api_key, row.created)


def _logs(reader: Reader, thread: ThreadRow, logs: dict[int, LogRow]) -> Iterator[Line]:
    writers: dict[bytes, list[bytes]] = {}
    for key, log_id in reader.scan(*tables.identity_logs(thread.number)):
        writers.setdefault(log_id, []).append(tables.identity_of(key))
    for row in logs.values():
        head = thread_rows.get_head(reader, thread.number, row.number)
        yield lines.LogLine(
            id=row.id,
            public_key=row.public_key,
            private_key=row.private_key,
            addresses=row.addresses,
            managed=row.managed,
            identities=tuple(writers.get(row.id, ())),
            head=head.cid,
            counter=head.counter,
        )


def _records(reader: Reader, thread: ThreadRow, logs: dict[int, LogRow]) -> Iterator[Line]:
    waiting: dict[tuple[int, int], list[str]] = {}
    for key, _ in reader.scan(*tables.all_waiting(thread.number)):
        waiting.setdefault(tables.waiting_of(key), []).append(tables.waited_collection_of(key))
    for log in logs.values():
        for position, row in record_rows.records_from(reader, thread.number, log.number):
            names = tuple(waiting.get((log.number, position), ()))
            yield lines.RecordLine(log.id, position, row.record, row.event, row.header, row.body, row.refused, names)


def _beside(reader: Reader, thread: ThreadRow, logs: dict[int, LogRow]) -> Iterator[Line]:
    rows = branches.rows_of(reader, thread.number)
    # Each comes behind the one that it follows.
    for log_number, position, cid in sorted((row.log_number, row.position, row.record.cid) for row in rows):
        found = branches.get(reader, thread.number, cid)
        if found is not None:
            row = found.record
            log = logs[log_number].id
            yield lines.BesideLine(log, position, row.record, row.event, row.header, row.body, row.refused)


def _instances(reader: Reader, thread: ThreadRow, logs: dict[int, LogRow]) -> Iterator[Line]:
    for collection in database_rows.list_collections(reader, thread.number):
        for instance_id, places in instances_with_patches(reader, thread.number, collection.number):
            text = document_rows.get_document(reader, thread.number, collection.number, instance_id)
            patches = tuple(
                lines.PatchLine(place.timestamp, logs[place.log_number].id, place.position, place.index)
                for place in places
            )
            document = None if text is None else text.decode()
            yield lines.InstanceLine(collection.name, instance_id, document, patches)
