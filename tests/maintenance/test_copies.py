"""Backups are whole and of one state while writes go on; what is restored is what was copied."""

import asyncio
import json
import stat
import threading

import pytest
from daemons import DaemonError, prepare_threadd

from store.copies import CopyError, restore
from store.errors import FormatError
from store.repository import FORMAT
from threadd.maintenance.verification import verify


def modes(folder):
    return {path: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}


async def test_a_backup_under_load_is_whole_and_restores_what_was_acknowledged(running, open_door, tmp_path):
    daemon, thread = running
    copy = tmp_path / "copies" / "one"
    written = []
    begun, done = threading.Event(), threading.Event()

    def write():
        with open_door(daemon.threads_api) as door:
            while not done.is_set():
                name = f"w{len(written)}"
                door.call("Create", dbID=thread, collectionName="note", instances=[json.dumps({"_id": name}).encode()])
                written.append(name)
                if len(written) == 20:
                    begun.set()

    writing = asyncio.create_task(asyncio.to_thread(write))
    assert await asyncio.to_thread(begun.wait, 30)
    before = list(written)
    reply = json.loads(await asyncio.to_thread(daemon.run, "backup", str(copy), "--json"))
    done.set()
    await writing
    assert len(written) > len(before)
    assert reply["size"] == sum(path.stat().st_size for path in copy.rglob("*") if path.is_file())
    assert set(modes(copy).values()) == {0o700, 0o600}
    assert verify(copy).faults == []
    key = (daemon.repo / "host.key").read_bytes()
    daemon.kill()

    other = prepare_threadd(tmp_path / "other")
    other.folder.mkdir()
    other.run("restore", str(copy))
    assert (other.repo / "host.key").read_bytes() == key
    assert set(modes(other.repo).values()) == {0o700, 0o600}
    other.start()
    try:
        with open_door(other.threads_api) as door:
            found = door.find(thread, "note")
            assert set(before) <= found.keys()
            # What was written meanwhile is there up to some moment, without gaps.
            later = [name for name in written if name in found]
            assert later == written[: len(later)]
            door.call("Create", dbID=thread, collectionName="note", instances=[b'{"_id":"after"}'])
        other.stop()
    finally:
        other.kill()
    assert verify(other.repo).faults == []


def test_a_backup_without_a_daemon(written, tmp_path, start_daemon):
    repo, _ = written
    daemon = prepare_threadd(tmp_path)
    assert daemon.repo == repo
    daemon.run("backup", str(tmp_path / "copy"))
    assert verify(tmp_path / "copy").counts == verify(repo).counts


def test_what_is_there_is_never_overwritten(written, tmp_path):
    daemon = prepare_threadd(written[0].parent)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("mine")
    with pytest.raises(DaemonError, match="is not empty"):
        daemon.run("backup", str(full))
    daemon.run("backup", str(tmp_path / "copy"))
    with pytest.raises(DaemonError, match="is not empty"):
        daemon.run("restore", str(tmp_path / "copy"))
    with pytest.raises(CopyError, match="is not empty"):
        restore(tmp_path / "copy", full)
    assert [path.name for path in full.iterdir()] == ["mine"]
    assert not list(tmp_path.glob("*.unfinished"))


def test_what_is_no_backup_is_refused(written, tmp_path):
    repo, _ = written
    with pytest.raises(CopyError, match="holds no backup"):
        restore(repo, tmp_path / "new")
    prepare_threadd(tmp_path).run("backup", str(tmp_path / "copy"))
    label = tmp_path / "copy" / "backup.json"
    text = label.read_text()
    label.write_text(text.replace(f'"format":{FORMAT}', '"format":99'))
    with pytest.raises(FormatError, match="by a later version"):
        restore(tmp_path / "copy", tmp_path / "new")
    label.write_text(text)
    (tmp_path / "copy" / "blocks" / "data.mdb").unlink()
    with pytest.raises(CopyError, match="is not whole"):
        restore(tmp_path / "copy", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_verify_tells_by_its_exit_status(written, tmp_path):
    daemon = prepare_threadd(tmp_path)
    assert "no faults" in daemon.run("verify")
    data = daemon.repo / "store" / "data.mdb"
    bytes_of = bytearray(data.read_bytes())
    place = bytes_of.rindex(b'"i7"')
    bytes_of[place : place + 4] = b'"i8"'
    data.write_bytes(bytes_of)
    with pytest.raises(DaemonError, match="status 1"):
        daemon.run("verify")
    report = json.loads(json.dumps(verify(daemon.repo).fault_count))
    assert report >= 1


def test_verify_while_the_daemon_writes(running):
    daemon, _ = running
    assert json.loads(daemon.run("verify", "--json"))["fault_count"] == 0
    with pytest.raises(DaemonError, match="in use by process"):
        daemon.run("verify", "--repair")
