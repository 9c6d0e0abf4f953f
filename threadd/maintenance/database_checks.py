"""Checks of databases: instances are the fold of their patches, indexes are what a scan finds, no patch is missing."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from net.patches import Patch, PatchType
from store import databases as database_rows
from store import documents as document_rows
from store import records as record_rows
from store import stale_indexes, tables
from store.databases import CollectionRow, IndexRow
from store.documents import PatchPlace
from store.engine import Reader
from store.errors import ThreaddError
from store.indexes import IndexPlace
from threadd.db.folding import Order, applied
from threadd.db.indexes import value_of
from threadd.maintenance.findings import Finding, Tally
from threadd.maintenance.log_checks import OpenedLog, OpenedThread

_MISSING_RECORD = "its patch is in no record that can be read"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a collection is, and how to name it in a finding."""

    thread: OpenedThread
    collection: CollectionRow

    @property
    def where(self) -> str:
        return f"{self.thread.name} collection {self.collection.name}"

    @property
    def numbers(self) -> tuple[int, int]:
        return self.thread.row.number, self.collection.number


def check_database(reader: Reader, thread: OpenedThread, tally: Tally) -> Iterator[Finding]:
    """Check the database of a thread, if it has one."""
    number = thread.row.number
    row = database_rows.get_database(reader, number)
    if row is None:
        return
    tally.counts["databases"] += 1
    if row.thread_id != thread.row.id:
        yield Finding("database", thread.name, "the database names another thread")
    collections = {one.name: one for one in database_rows.list_collections(reader, number)}
    for log in thread.logs.values():
        yield from _check_patches_are_kept(reader, thread, log, collections)
    for collection in collections.values():
        tally.counts["collections"] += 1
        yield from check_collection(reader, thread, collection, tally)
    yield from _check_changes(reader, thread)


def check_collection(
    reader: Reader, thread: OpenedThread, collection: CollectionRow, tally: Tally
) -> Iterator[Finding]:
    """Check a collection: every instance against its patches, then every index against the instances."""
    place = _Place(thread, collection)
    yield from _check_documents(reader, place, tally)
    stale = stale_indexes.stale_in(reader, thread.row.number)
    for index in collection.indexes:
        if index.number in stale:
            continue  # The daemon rebuilds it, and does not read it until then.
        tally.counts["indexes"] += 1
        try:
            yield from _check_index(reader, place, index)
        except ThreaddError as error:
            yield Finding("index", place.where, f"index {index.path} cannot be checked: {error.text}")


def folded(reader: Reader, thread: OpenedThread, instance_id: str, places: list[PatchPlace]) -> bytes | None:
    """Make an instance from its patches.

    Args:
        reader: A state.
        thread: The instance's thread.
        instance_id: The instance.
        places: All of its patches.

    Returns:
        JSON text, or None where there is no instance.

    Raises:
        LookupError: A patch is in no record.
        ThreaddError: A patch is none.
    """
    ordered = sorted((_order(thread, place), place) for place in places)
    since_replaced: list[Patch] = []
    for _, place in reversed(ordered):
        patches = thread.patches(reader, place.log_number, place.position)
        if patches is None or place.index >= len(patches):
            raise LookupError(_MISSING_RECORD)
        patch = patches[place.index]
        if patch.instance_id != instance_id or patch.timestamp != place.timestamp:
            raise LookupError(_MISSING_RECORD)
        since_replaced.append(patch)
        if patch.type is not PatchType.SAVE:
            break
    text: bytes | None = None
    for patch in reversed(since_replaced):
        text = applied(patch, text)
    return text


def _order(thread: OpenedThread, place: PatchPlace) -> Order:
    log = thread.logs.get(place.log_number)
    if log is None:
        raise LookupError(_MISSING_RECORD)
    return Order(place.timestamp, log.row.id, place.position, place.index)


def instances_with_patches(reader: Reader, thread: int, collection: int) -> Iterator[tuple[str, list[PatchPlace]]]:
    """IDs of a collection's instances, those that were deleted among them, with their patches by time."""
    keys = (key for key, _ in reader.scan(*tables.patches_of_collection(thread, collection)))
    for instance_id, group in groupby(keys, tables.patched_instance_of):
        yield instance_id, [PatchPlace(*tables.patch_order_of(key)) for key in group]


def _check_documents(reader: Reader, place: _Place, tally: Tally) -> Iterator[Finding]:
    thread, collection = place.numbers
    for instance_id, places in instances_with_patches(reader, thread, collection):
        try:
            expected = folded(reader, place.thread, instance_id, places)
        except (LookupError, ThreaddError) as error:
            yield Finding("patch", place.where, f"instance {instance_id!r}: {error}")
            continue
        if document_rows.get_document(reader, thread, collection, instance_id) != expected:
            key = tables.document(thread, collection, instance_id)
            text = f"instance {instance_id!r} is not what its patches make of it"
            yield Finding("document", place.where, text, ((key, expected),))
    for instance_id, _ in document_rows.all_documents(reader, thread, collection):
        tally.counts["documents"] += 1
        if not any(True for _ in document_rows.patches_of(reader, thread, collection, instance_id)):
            yield Finding("document", place.where, f"instance {instance_id!r} has no patches")


def _check_index(reader: Reader, place: _Place, index: IndexRow) -> Iterator[Finding]:
    thread, collection = place.numbers
    where = IndexPlace(thread, collection, index.number)
    wanted = 0
    for instance_id, text in document_rows.all_documents(reader, thread, collection):
        wanted += 1
        key = where.key(value_of(index, text), instance_id)
        if reader.get(key) != instance_id.encode():
            said = f"index {index.path} lacks instance {instance_id!r}"
            yield Finding("index", place.where, said, ((key, instance_id.encode()),))
    for key, value in reader.scan(*where.range):
        wanted -= 1
        instance_id = value.decode(errors="replace")
        kept = document_rows.get_document(reader, thread, collection, instance_id)
        if kept is None or where.key(value_of(index, kept), instance_id) != key:
            said = f"index {index.path} has instance {instance_id!r} where it is not"
            yield Finding("index", place.where, said, ((key, None),))


def _check_patches_are_kept(
    reader: Reader, thread: OpenedThread, log: OpenedLog, collections: dict[str, CollectionRow]
) -> Iterator[Finding]:
    """Check that from the first patch on that a collection took from a log, it took all.

    Those before may be of a collection of the same name that was deleted.
    """
    number, log_number = thread.row.number, log.row.number
    begun: set[str] = set()
    for position, record in record_rows.records_from(reader, number, log_number):
        if record.refused or thread.read is None:
            continue
        for index, patch in enumerate(thread.patches_in(record) or ()):
            collection = collections.get(patch.collection)
            if collection is None:
                continue
            order = (patch.timestamp, log_number, position, index)
            key = tables.patch(number, collection.number, patch.instance_id, order)
            if reader.get(key) is not None:
                begun.add(patch.collection)
            elif patch.collection in begun and not _waits(reader, number, patch.collection, log_number, position):
                where = f"{thread.name} collection {collection.name}"
                yield Finding("patch", where, f"a patch of record {position} is not applied", ((key, b""),))


def _waits(reader: Reader, thread: int, collection: str, log_number: int, position: int) -> bool:
    return reader.get(tables.waiting(thread, collection, log_number, position)) is not None


def _check_changes(reader: Reader, thread: OpenedThread) -> Iterator[Finding]:
    """Check that the changes which are kept end where the database is, and none is missing between."""
    number = thread.row.number
    progress = database_rows.get_progress(reader, number)
    expected: int | None = None
    for sequence, _ in document_rows.changes_from(reader, number):
        if expected not in {None, sequence}:
            yield Finding("change", thread.name, f"change {sequence} follows change {sequence - 1} that is missing")
        expected = sequence + 1
    if expected is not None and expected != progress.sequence + 1:
        said = f"the last change is {expected - 1} and the database has come to {progress.sequence}"
        yield Finding("change", thread.name, said)
