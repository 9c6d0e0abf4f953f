"""`threadd verify` sees what does not agree, rebuilds what can be rebuilt, and leaves the rest as it is."""

import pytest

from store import blocks, databases, documents, tables, threads
from store import records as record_rows
from store.engine import Transaction
from store.indexes import IndexPlace
from store.repository import open_repository
from threadd.db.indexes import value_of
from threadd.maintenance.verification import repair, verify


class Found:
    """What a case is about."""

    def __init__(self, reader, thread_id):
        self.reader = reader
        self.thread = threads.get_thread(reader, thread_id)
        self.log = max(
            threads.logs_of(reader, self.thread.number),
            key=lambda log: threads.get_head(reader, self.thread.number, log.number).counter,
        )
        rows = {row.name: row for row in databases.list_collections(reader, self.thread.number)}
        self.notes, self.index = rows["note"], rows["note"].indexes[0]

    def document(self, name="i1"):
        return tables.document(self.thread.number, self.notes.number, name)

    def entry(self):
        text = self.reader.get(self.document())
        return IndexPlace(self.thread.number, self.notes.number, self.index.number).key(
            value_of(self.index, text), "i1"
        )


def lost_document(found):
    return {found.document(): None}


def changed_document(found):
    return {found.document(): b'{"_id":"i1"}'}


def revived_document(found):
    return {found.document("i2"): b'{"_id":"i2"}'}


def lost_entry(found):
    return {found.entry(): None}


def wrong_entry(found):
    place = IndexPlace(found.thread.number, found.notes.number, found.index.number)
    return {place.key(b"\x20\xff", "i1"): b"i1"}


def lost_segment(found):
    return {tables.segment(found.thread.number, found.log.number, 0): None}


def segment_of_nothing(found):
    return {tables.segment(found.thread.number, found.log.number, 5): b"\x00" * 8}


def lost_patch(found):
    # The last of an instance: from the first patch of a log on, all have to be there.
    place = next(documents.patches_of(found.reader, found.thread.number, found.notes.number, "i2", reverse=True))
    order = (place.timestamp, place.log_number, place.position, place.index)
    return {tables.patch(found.thread.number, found.notes.number, "i2", order): None}


def left_over_document(found):
    return {tables.document(found.thread.number, 999, "a"): b'{"_id":"a"}'}


def left_over_thread(found):
    return {tables.document(888, 999, "a"): b'{"_id":"a"}'}


def left_over_index(found):
    return {tables.index_entry(found.thread.number, found.notes.number, 777, b"\x05", "a"): b"a"}


def lost_record(found):
    return {tables.record(found.thread.number, found.log.number, 3): None}


def changed_record(found):
    row = record_rows.get_record(found.reader, found.thread.number, found.log.number, 3)
    other = record_rows.get_record(found.reader, found.thread.number, found.log.number, 4)
    transaction = Transaction()
    changed = record_rows.RecordRow(row.cid, row.block_cids, row.record, row.event, row.header, other.body)
    record_rows.put_refusal(transaction, found.thread.number, found.log.number, 3, changed, "")
    return transaction.puts


def early_head(found):
    transaction = Transaction()
    head = threads.get_head(found.reader, found.thread.number, found.log.number)
    threads.put_head(
        transaction, found.thread.number, found.log.number, head, threads.HeadRow(head.cid, head.counter - 1)
    )
    return transaction.puts


def lost_change(found):
    return {tables.change(found.thread.number, 100): None}


def lost_progress(found):
    return {tables.progress(found.thread.number): None}


def unreadable_thread(found):
    return {tables.thread(found.thread.id): b"\xff"}


def garbled_name(found):
    key = tables.database(found.thread.number)
    return {key: found.reader.get(key).replace(b"things", b"\xff" * 6)}


REPAIRED = (
    *(lost_document, changed_document, revived_document, lost_entry, wrong_entry, lost_segment, segment_of_nothing),
    *(lost_patch, left_over_document, left_over_thread, left_over_index),
)
LOST = (lost_record, changed_record, early_head, lost_change, lost_progress, unreadable_thread, garbled_name)


async def damage(repo, thread_id, case):
    repository = open_repository(repo)
    transaction = Transaction()
    transaction.puts.update(case(Found(repository.engine, thread_id)))
    await repository.engine.commit(transaction)
    await repository.close()


async def rows(repo):
    repository = open_repository(repo)
    found = dict(repository.engine.scan(b"\x00", b"\xff"))
    await repository.close()
    return found


def test_what_agrees_is_sound(written):
    report = verify(written[0])
    assert report.faults == []
    assert report.counts["records"] == 144
    assert report.counts["documents"] == 140
    assert {"threads", "logs", "databases", "collections", "indexes"} <= report.counts.keys()


@pytest.mark.parametrize("case", REPAIRED)
async def test_what_can_be_rebuilt_is_repaired(written, case):
    repo, thread_id = written
    before = await rows(repo)
    await damage(repo, thread_id, case)
    found = verify(repo)
    assert found.faults
    assert all(fault.repairable for fault in found.faults), found.faults
    repaired = await repair(repo)
    assert repaired.repaired >= 1
    assert repaired.faults == []
    assert verify(repo).faults == []
    if not case.__name__.startswith("left_over"):
        assert await rows(repo) == before


@pytest.mark.parametrize("case", LOST)
async def test_what_is_lost_is_said_and_left_alone(written, case):
    repo, thread_id = written
    await damage(repo, thread_id, case)
    found = verify(repo)
    assert any(not fault.repairable for fault in found.faults)
    assert (await repair(repo)).faults


def test_segments_are_looked_at(written):
    assert blocks.SEGMENT_RECORDS < 144
