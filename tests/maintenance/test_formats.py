"""Repositories of every format that was ever written are opened, and brought to the format of this version."""

import json
import logging
import tarfile
from pathlib import Path

import pytest

from net.keys import PrivateKey
from store import tables
from store.copies import restore
from store.engine import Transaction
from store.errors import FormatError, StoreError
from store.lmdb_engine import LmdbEngine
from store.migrations import migrate
from store.repository import FORMAT
from threadd.maintenance.verification import verify
from threadd.rooms import open_rooms

FORMATS = Path(__file__).parent / "formats"


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
async def test_a_repository_of_each_format_is_read(tmp_path, number):
    with tarfile.open(FORMATS / f"{number}.tar.xz") as archive:
        archive.extractall(tmp_path / "copy", filter="data")
    restore(tmp_path / "copy", tmp_path / "repo")
    async with open_rooms(tmp_path / "repo") as rooms:
        assert rooms.host_key == PrivateKey.from_bytes((tmp_path / "copy" / "host.key").read_bytes())
        (database,) = rooms.databases.list_dbs()
        assert database.name == "things"
        found = {json.loads(text)["_id"]: text for text in await database.find("note", b"{}", rooms.host_key.public)}
        assert len(found) == 139
        assert b'"n":1.50' in found["i1"]
        assert len(await database.find("gone", b"{}", rooms.host_key.public)) == 1
        await database.create("note", [b'{"_id":"new"}'], rooms.host_key.public)
        assert len(rooms.operator.list_keys()) == 1
        assert rooms.engine.get(tables.FORMAT) == str(FORMAT).encode()
    assert verify(tmp_path / "repo").faults == []


def rename(reader):
    """Renames keys, a few at a time; what is done already is not there any more."""
    transaction = Transaction()
    for key, value in reader.scan(b"old.", b"old/"):
        transaction.delete(key)
        transaction.put(b"new." + key[4:], value)
        if len(transaction.puts) >= 4:
            yield transaction
            transaction = Transaction()
    yield transaction


def broken(reader):
    yield next(rename(reader))
    raise StoreError("the disk failed")


@pytest.fixture
async def engine(tmp_path):
    opened = LmdbEngine(tmp_path, reserved_bytes=1 << 28)
    transaction = Transaction()
    transaction.put(tables.FORMAT, b"1")
    for number in range(9):
        transaction.put(b"old.%d" % number, b"x")
    opened.write_now(transaction)
    yield opened
    await opened.close()


async def test_a_step_that_was_interrupted_is_done_again(engine, caplog):
    caplog.set_level(logging.INFO, "store.migrations")
    with pytest.raises(StoreError):
        migrate(engine, 1, 2, {1: broken})
    assert engine.get(tables.FORMAT) == b"1"
    assert caplog.messages == []
    assert sum(1 for _ in engine.scan(b"new.", b"new/")) == 2
    migrate(engine, 1, 3, {1: rename, 2: lambda _: iter(())})
    assert engine.get(tables.FORMAT) == b"3"
    assert [text.partition(";")[0] for text in caplog.messages] == [
        "brought the repository from format 1 to 2",
        "brought the repository from format 2 to 3",
    ]
    assert [key for key, _ in engine.scan(b"new.", b"p")] == [b"new.%d" % number for number in range(9)]


async def test_a_format_that_no_step_leaves_is_refused(engine):
    with pytest.raises(FormatError, match="no longer reads"):
        migrate(engine, 1, 2, {})
    assert engine.get(tables.FORMAT) == b"1"
