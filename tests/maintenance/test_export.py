"""What is exported and imported is the same database: thread, keys, heads, instances, and it goes on from there."""

import json
import shutil
import stat

import pytest
from daemons import DaemonError, prepare_threadd

from net.thread_id import ThreadID
from store import databases, documents, threads
from store import records as record_rows
from store.copies import open_to_read
from threadd.maintenance.importing import ImportFileError
from threadd.maintenance.verification import verify
from threadd.rooms import open_rooms
from threadd.verbs import ImportDatabase


def essence(repo, thread_id):
    """What makes a database what it is, without the numbers that a store gives."""
    with open_to_read(repo) as (reader, _):
        thread = threads.get_thread(reader, thread_id)
        logs = {}
        for log in threads.logs_of(reader, thread.number):
            rows = [row for _, row in record_rows.records_from(reader, thread.number, log.number)]
            logs[log.id] = (log.public_key, log.private_key, log.addresses, log.managed, rows)
            logs[log.id] += (threads.get_head(reader, thread.number, log.number),)
        collections = {}
        for row in databases.list_collections(reader, thread.number):
            texts = dict(documents.all_documents(reader, thread.number, row.number))
            indexes = [(index.path, index.unique) for index in row.indexes]
            collections[row.name] = (row.schema, indexes, row.write_validator, row.read_filter, texts)
        progress = databases.get_progress(reader, thread.number)
        name = databases.get_database(reader, thread.number).name
        return thread.service_key, thread.read_key, thread.created, name, logs, collections, progress


@pytest.fixture(scope="module")
def _exported(_written, tmp_path_factory):
    file = tmp_path_factory.mktemp("exported") / "things.jsonl"
    prepare_threadd(_written[0].parent).run("export", ThreadID(_written[1]).text, "--output", str(file))
    return file


@pytest.fixture
def exported(written, _exported, tmp_path):
    repo, thread = written
    return prepare_threadd(repo.parent), thread, shutil.copy(_exported, tmp_path / "things.jsonl")


def test_import_gives_the_same_database(exported, tmp_path, open_door):
    daemon, thread, file = exported
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0]["type"] == "database"
    assert lines[-1] == {"type": "end", "records": 144, "instances": 141, "beside": 0}
    (tmp_path / "other").mkdir()
    other = prepare_threadd(tmp_path / "other")
    other.start()
    try:
        done = json.loads(other.run("import", str(file), "--json"))
        assert (done["id"], done["records"], done["instances"]) == (ThreadID(thread).text, 144, 141)
        assert essence(other.repo, thread) == essence(daemon.repo, thread)
        with pytest.raises(DaemonError, match="already exists"):
            other.run("import", str(file))
        with open_door(other.threads_api) as door:
            assert json.loads(door.find(thread, "note")["i1"])["n"] == 1.5
            assert door.find(thread, "gone").keys() == {"y"}
            door.call("Create", dbID=thread, collectionName="note", instances=[b'{"_id":"new","n":7}'])
            door.call("Save", dbID=thread, collectionName="note", instances=[b'{"_id":"i1","n":2}'])
            assert json.loads(door.find(thread, "note")["i1"])["n"] == 2
        other.stop()
    finally:
        other.kill()
    assert verify(other.repo).faults == []


def test_twice_exported_is_the_same(exported, tmp_path):
    _, thread, file = exported
    (tmp_path / "other").mkdir()
    other = prepare_threadd(tmp_path / "other")
    other.run("import", str(file))
    assert other.run("export", ThreadID(thread).text).splitlines() == file.read_text().splitlines()


@pytest.mark.parametrize("spoiled", ["cut", "record", "instance", "order", "no start", "no JSON"])
async def test_what_is_not_whole_leaves_nothing(exported, tmp_path, spoiled):
    _, thread, file = exported
    lines = file.read_text().splitlines()
    of = {kind: [n for n, line in enumerate(lines) if f'"type":"{kind}"' in line] for kind in ("record", "instance")}
    match spoiled:
        case "cut":
            lines = lines[:-1]
        case "record":
            del lines[of["record"][50]]
        case "instance":
            lines[of["instance"][3]] = lines[of["instance"][3]].replace("www", "wvw", 1)
        case "order":
            one, two = of["record"][10:12]
            lines[one], lines[two] = lines[two], lines[one]
        case "no start":
            lines = lines[1:]
        case "no JSON":
            lines[20] = lines[20][:-5]
    file.write_text("\n".join(lines))
    other = tmp_path / "other"
    async with open_rooms(other) as rooms:
        with pytest.raises(ImportFileError, match=r"^(line|the file|this is no)"):
            await rooms.operator.handle(ImportDatabase(str(file)))
    with open_to_read(other) as (reader, _):
        assert threads.get_thread(reader, thread) is None
    assert verify(other).faults == []


def test_what_is_not_there_cannot_be_exported(written, tmp_path):
    daemon = prepare_threadd(tmp_path)
    with pytest.raises(DaemonError, match="thread not found"):
        daemon.run(
            "export", "bafkxd5bjgi6k4zivuoyxo4ua4mzyy3iypunoyf34o5krmqsnm4dd5ei", "--output", str(tmp_path / "x")
        )
    assert not (tmp_path / "x").exists()
