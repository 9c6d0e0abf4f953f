"""Logs with two histories: `threadd verify` walks both, and what is exported and imported has both and their meaning."""

import json
import shutil

import pytest

from net.records import RecordBlocks
from net.thread_id import ThreadID
from store import branches, tables, threads
from store import records as record_rows
from store.copies import open_to_read
from store.engine import Transaction
from store.repository import open_repository
from threadd.maintenance.exporting import export
from threadd.maintenance.importing import ImportFileError
from threadd.maintenance.lines import encode
from threadd.maintenance.verification import repair, verify
from threadd.rooms import open_rooms
from threadd.verbs import ImportDatabase

COLLECTION = "note"


async def write(repo, thread, *names):
    """Write notes as the host itself."""
    async with open_rooms(repo) as rooms:
        database = rooms.databases.get(ThreadID.from_bytes(thread))
        for name in names:
            text = json.dumps({"_id": name, "n": len(name)}).encode()
            await database.create(COLLECTION, [text], rooms.host_key.public)


async def take(repo, thread, source):
    """Give a repository all records of another."""
    with open_to_read(source) as (reader, _):
        row = threads.get_thread(reader, thread)
        logs = {
            log.id: [
                RecordBlocks(each.record, each.event, each.header, each.body)
                for _, each in record_rows.records_from(reader, row.number, log.number)
            ]
            for log in threads.logs_of(reader, row.number)
        }
    async with open_rooms(repo) as rooms:
        for log_id, records in logs.items():
            if records:
                await rooms.network.add_records(ThreadID.from_bytes(thread), log_id, records)


async def notes(repo, thread):
    async with open_rooms(repo) as rooms:
        database = rooms.databases.get(ThreadID.from_bytes(thread))
        found = [json.loads(text) for text in database.stored(COLLECTION)]
    return {note["_id"] for note in found if not note["_id"].startswith("i")}


def beside(repo, thread):
    """The records beside the logs, without the numbers that a store gives."""
    with open_to_read(repo) as (reader, _):
        row = threads.get_thread(reader, thread)
        ids = {log.number: log.id for log in threads.logs_of(reader, row.number)}
        return sorted(
            (ids[each.log_number], each.position, each.previous, each.record.cid)
            for each in branches.rows_of(reader, row.number)
        )


def heads(repo, thread):
    with open_to_read(repo) as (reader, _):
        row = threads.get_thread(reader, thread)
        return {log.id: threads.get_head(reader, row.number, log.number) for log in threads.logs_of(reader, row.number)}


@pytest.fixture
async def parted(written, tmp_path):
    """Two copies of a repository that both wrote on, and the one with the shorter history took the longer.

    Gives it, one that goes on with what is the shorter history, and the thread.
    """
    repo, thread = written
    longer = shutil.copytree(repo, tmp_path / "longer")
    await write(repo, thread, "short-1", "short-2")
    going_on = shutil.copytree(repo, tmp_path / "going-on")
    await write(longer, thread, "long-1", "long-2", "long-3")
    await take(repo, thread, longer)
    return repo, going_on, thread


@pytest.fixture
def lines(parted):
    repo, _, thread = parted
    with open_to_read(repo) as (reader, _):
        return [encode(line) for line in export(reader, ThreadID.from_bytes(thread))]


async def test_both_histories_are_sound(parted):
    repo, _, thread = parted
    assert await notes(repo, thread) == {"long-1", "long-2", "long-3"}
    report = verify(repo)
    assert report.faults == []
    assert report.counts["records beside logs"] == 2


async def test_what_is_imported_has_both_and_goes_on_as_what_was_exported(parted, lines, tmp_path):
    repo, going_on, thread = parted
    file, other = tmp_path / "both.jsonl", tmp_path / "other"
    file.write_bytes(b"\n".join(lines))
    async with open_rooms(other) as rooms:
        await rooms.operator.handle(ImportDatabase(str(file)))
    assert verify(other).faults == []
    assert beside(other, thread) == beside(repo, thread)
    assert len(beside(repo, thread)) == 2
    with open_to_read(other) as (reader, _):
        assert [encode(line) for line in export(reader, ThreadID.from_bytes(thread))] == lines
    # The history that is beside the log becomes it, in both, once it is the longer one.
    await write(going_on, thread, "short-3", "short-4")
    for one in (repo, other):
        await take(one, thread, going_on)
        assert await notes(one, thread) == {"short-1", "short-2", "short-3", "short-4"}
        report = verify(one)
        assert report.faults == []
        assert report.counts["records beside logs"] == 3
    assert heads(other, thread) == heads(repo, thread)
    assert beside(other, thread) == beside(repo, thread)


def lost_first(rows, thread, _):
    return {tables.branch(thread, rows[0].record.cid): None}


def other_body(rows, thread, _):
    transaction = Transaction()
    one, other = rows[0].record, rows[1].record
    changed = record_rows.RecordRow(one.cid, one.block_cids, one.record, one.event, one.header, other.body)
    branches.put(transaction, thread, branches.BranchRow(rows[0].log_number, rows[0].position, b"", changed))
    return transaction.puts


def other_log(rows, thread, _):
    transaction = Transaction()
    branches.put(transaction, thread, branches.BranchRow(9_999, rows[1].position, rows[1].previous, rows[1].record))
    return transaction.puts


def other_place(rows, thread, _):
    transaction = Transaction()
    row = rows[1]
    branches.put(transaction, thread, branches.BranchRow(row.log_number, row.position - 1, row.previous, row.record))
    return transaction.puts


def better_than_the_log(rows, thread, _):
    transaction = Transaction()
    row = rows[1]
    branches.put(transaction, thread, branches.BranchRow(row.log_number, row.position + 9, row.previous, row.record))
    return transaction.puts


def other_name(rows, thread, reader):
    key = tables.branch(thread, rows[1].record.cid)
    return {key: None, tables.branch(thread, rows[1].record.cid[:-1] + b"\x00"): reader.get(key)}


def no_row(rows, thread, _):
    return {tables.branch(thread, rows[1].record.cid): b"\xff"}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lost_first, "the record that it follows is not there"),
        (other_body, "block"),
        (other_log, "a log that is not there"),
        (other_place, "the record that it follows is not there"),
        (better_than_the_log, "should be the log"),
        (other_name, "under the name of another"),
        (no_row, "cannot be read"),
    ],
)
async def test_what_is_wrong_beside_a_log_is_said(parted, damage, said):
    repo, _, thread_id = parted
    opened = open_repository(repo)
    thread = threads.get_thread(opened.engine, thread_id).number
    rows = sorted(branches.rows_of(opened.engine, thread), key=lambda row: row.position)
    transaction = Transaction()
    transaction.puts.update(damage(rows, thread, opened.engine))
    await opened.engine.commit(transaction)
    await opened.close()
    found = verify(repo)
    assert any(said in fault.text for fault in found.faults), found.faults
    # It holds what cannot be made again, so it is left as it is.
    assert (await repair(repo)).faults == found.faults


def without_first(lines, places):
    del lines[places[0]]


def turned_round(lines, places):
    lines[places[0]], lines[places[1]] = lines[places[1]], lines[places[0]]


def without_last(lines, places):
    del lines[places[1]]


def too_late(lines, places):
    lines[places[1]] = encode({**json.loads(lines[places[1]]), "position": 10_000})


@pytest.mark.parametrize("spoil", [without_first, turned_round, without_last, too_late])
async def test_what_is_not_whole_beside_a_log_is_not_imported(parted, lines, tmp_path, spoil):
    _, _, thread = parted
    file, other = tmp_path / "spoiled.jsonl", tmp_path / "other"
    spoil(lines, [number for number, line in enumerate(lines) if json.loads(line)["type"] == "beside"])
    file.write_bytes(b"\n".join(lines))
    async with open_rooms(other) as rooms:
        with pytest.raises(ImportFileError, match=r"^line \d+: "):
            await rooms.operator.handle(ImportDatabase(str(file)))
    with open_to_read(other) as (reader, _):
        assert threads.get_thread(reader, thread) is None
    assert verify(other).faults == []


async def test_what_the_version_before_exported_is_imported(written, tmp_path):
    repo, thread = written
    with open_to_read(repo) as (reader, _):
        lines = [json.loads(encode(line)) for line in export(reader, ThreadID.from_bytes(thread))]
    lines[0]["version"] = 1
    del lines[-1]["beside"]
    file, other = tmp_path / "version-1.jsonl", tmp_path / "other"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    async with open_rooms(other) as rooms:
        await rooms.operator.handle(ImportDatabase(str(file)))
    assert verify(other).faults == []
    assert heads(other, thread) == heads(repo, thread)
