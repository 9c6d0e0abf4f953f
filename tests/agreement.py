"""Whether what a repository keeps agrees with itself: heads, records, patches, documents and changes.

The documents are folded again here from the records alone, by the rule of the design: by time, log, position and place
in the record; a create replaces, a save merges, a delete removes. A plain module, for whichever test has a repository
that no daemon has open.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from net import patches, records
from net.crypto import Cipher
from net.keys import PublicKey
from store import databases as database_rows
from store import documents as document_rows
from store import records as record_rows
from store import threads as thread_rows
from store.documents import PatchPlace
from store.engine import Reader
from store.repository import open_repository
from store.threads import LogRow, ThreadRow
from threadd.db import documents


@dataclass(frozen=True)
class PlacedPatch:
    """A patch as a record holds it.

    Args:
        order: What it is sorted by.
        place: Where it is.
        patch: What it does.
    """

    order: tuple[int, bytes, int, int]
    place: PatchPlace
    patch: patches.Patch


async def check_repository(folder: Path, only: set[bytes] | None = None) -> int:
    """Check every thread of a repository, or those with the given IDs; returns how many records they have.

    Raises:
        AssertionError: Something does not agree.
    """
    repository = open_repository(folder)
    try:
        with repository.engine.snapshot() as snapshot:
            return sum(
                check_thread(snapshot, thread)
                for thread in thread_rows.list_threads(snapshot)
                if only is None or thread.id in only
            )
    finally:
        await repository.close()


def check_thread(reader: Reader, thread: ThreadRow) -> int:
    """Check one thread; returns how many records it has."""
    placed = []
    count = 0
    for log in thread_rows.logs_of(reader, thread.number):
        for position, opened in check_log(reader, thread, log):
            count = count + 1
            for index, patch in enumerate(patches.decode_body(opened.body or b"")):
                order = (patch.timestamp, log.id, position, index)
                place = PatchPlace(patch.timestamp, log.number, position, index)
                placed.append(PlacedPatch(order, place, patch))
    placed.sort(key=lambda one: one.order)
    assert database_rows.get_database(reader, thread.number) is not None, "a thread without its database"
    collections = {row.name: row.number for row in database_rows.list_collections(reader, thread.number)}
    for name, number in collections.items():
        check_collection(reader, thread, number, [one for one in placed if one.patch.collection == name])
    assert {one.patch.collection for one in placed} <= set(collections)
    check_progress(reader, thread, placed)
    return count


def check_log(reader: Reader, thread: ThreadRow, log: LogRow) -> Iterator[tuple[int, records.OpenedRecord]]:
    """Check that a log is a chain that ends at its head; gives its positions and opened records."""
    head = thread_rows.get_head(reader, thread.number, log.number)
    service, read = Cipher(thread.service_key), Cipher(thread.read_key)
    key = PublicKey.from_bytes(log.public_key)
    previous, last = None, 0
    for position, row in record_rows.records_from(reader, thread.number, log.number):
        assert position == last + 1, f"record {position} follows record {last}"
        blocks = records.RecordBlocks(row.record, row.event, row.header, row.body)
        opened = records.open_record(blocks, service=service, read=read, log_key=key)
        names = (opened.record.event_cid, opened.record.header_cid, opened.record.body_cid)
        assert (row.cid, row.block_cids) == (opened.record.cid, names)
        assert opened.previous == previous, f"record {position} is not chained to the one before it"
        for kind, cid in enumerate((row.cid, *names)):
            place = record_rows.find_block(reader, cid)
            assert place is not None, f"a block of record {position} cannot be found"
            assert (place.thread_number, place.log_number) == (thread.number, log.number)
            assert (place.position, place.kind) == (position, kind)
        yield position, opened
        previous, last = row.cid, position
    assert (head.cid, head.counter) == (previous or b"", last), "the head is not the last record"


def check_collection(reader: Reader, thread: ThreadRow, number: int, placed: list[PlacedPatch]) -> None:
    """Check that a collection holds just what its patches, in their order, make of it."""
    expected: dict[str, Any] = {}
    places: dict[str, set[PatchPlace]] = {}
    for one in placed:
        patch = one.patch
        places.setdefault(patch.instance_id, set()).add(one.place)
        if patch.type is patches.PatchType.DELETE:
            expected.pop(patch.instance_id, None)
            continue
        value = documents.parse(patch.json or b"")
        if patch.type is patches.PatchType.SAVE:
            value = documents.apply_merge_patch(expected.get(patch.instance_id, {}), value)
        expected[patch.instance_id] = value
    kept = {
        instance_id: documents.parse(text)
        for instance_id, text in document_rows.all_documents(reader, thread.number, number)
    }
    assert kept == expected, differences(kept, expected)
    for instance_id, wanted in places.items():
        found = set(document_rows.patches_of(reader, thread.number, number, instance_id))
        assert found == wanted, f"the patches of {instance_id} are {found} instead of {wanted}"


def check_progress(reader: Reader, thread: ThreadRow, placed: list[PlacedPatch]) -> None:
    """Check that the changes that listeners follow are as many as the patches, and none is missing."""
    progress = database_rows.get_progress(reader, thread.number)
    sequences = [sequence for sequence, _ in document_rows.changes_from(reader, thread.number)]
    assert progress.sequence == len(placed), f"{progress.sequence} changes and {len(placed)} patches"
    assert progress.timestamp >= max((one.patch.timestamp for one in placed), default=0)
    first = progress.sequence - len(sequences) + 1
    assert sequences == list(range(first, progress.sequence + 1)), "changes are missing"


def differences(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """A short text about what two collections of documents do not share."""
    ids = [one for one in found.keys() | expected.keys() if found.get(one) != expected.get(one)]
    return "; ".join(f"{one}: {found.get(one)} instead of {expected.get(one)}" for one in sorted(ids)[:5])
