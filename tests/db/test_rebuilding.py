"""Indexes that the first version kept wrongly are made anew, once, and no answer depends on whether they are."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from format_1 import write_as_format_1
from structlog.testing import capture_logs

from net.thread_id import ThreadID, Variant
from store import failpoints, stale_indexes, tables
from store.engine import Transaction
from store.failpoints import VARIABLE, Failpoint
from threadd.db import reads
from threadd.db.collections import CollectionConfig, Index
from threadd.db.database import Database
from threadd.db.errors import UniqueConstraintError
from threadd.maintenance.findings import Fault
from threadd.maintenance.verification import report

NAMES = ["größe", "prénom", "имя", "名前"]
SCHEMA = json.dumps(
    {
        "properties": {
            "_id": {"type": "string"},
            "": {"type": "number"},
            "ascii": {"type": "number"},
            "a": {"properties": {"é": {"type": "number"}}},
            "é": {"properties": {"a": {"type": "number"}}},
            **{name: {"type": "number"} for name in NAMES},
        }
    }
).encode()
PATHS = [*NAMES, "ascii", "a.é", "é.a"]
PLAIN = CollectionConfig("things", SCHEMA)

Open = Callable[..., Awaitable[Any]]


def document(number: int) -> bytes:
    content = {**dict.fromkeys(NAMES, number), "ascii": number, "": -number, "a": {"é": number}, "é": {"a": number}}
    return json.dumps({"_id": f"{number:05}", **content}).encode()


async def old_repository(open_rooms: Open, documents: list[bytes], *indexes: Index) -> ThreadID:
    """A repository of format 1, to be opened again."""
    rooms = await open_rooms()
    thread = ThreadID.random(Variant.RAW, os.urandom)
    database = await rooms.manager.new_db(thread, collections=[PLAIN], identity=rooms.host)
    await database.create("things", documents, rooms.host)
    await write_as_format_1(rooms.engine, "things", indexes, schema=SCHEMA)
    return thread


def equal(path: str, number: float) -> bytes:
    return json.dumps({"ands": [{"fieldPath": path, "operation": 0, "value": {"float": number}}]}).encode()


async def found(rooms: Any, database: Database, query: bytes) -> list[str]:
    return [json.loads(text)["_id"] for text in await database.find("things", query, rooms.host)]


async def check_all_reads(rooms: Any, database: Database, path: str, *, is_indexed: bool) -> None:
    assert await found(rooms, database, equal(path, 3)) == ["00003"]
    downwards = json.dumps({"sort": {"fieldPath": path, "desc": True}, "limit": 2}).encode()
    assert await found(rooms, database, downwards) == ["00009", "00008"]
    assert await reads.count(database, "things", equal(path, 3), rooms.host) == 1
    explained = await reads.explain(database, "things", equal(path, 3), rooms.host)
    assert len(explained.instances) == 1
    assert explained.indexes == ((path,) if is_indexed else ())
    pages: list[list[str]] = []
    cursor = b""
    upwards = json.dumps({"sort": {"fieldPath": path, "desc": False}}).encode()
    while cursor or not pages:
        page = await reads.page(database, "things", upwards, rooms.host, size=4, cursor=cursor)
        pages.append([json.loads(text)["_id"] for text in page.instances])
        cursor = page.cursor
    assert [name for page in pages for name in page] == [f"{number:05}" for number in range(10)]


async def rebuilt(rooms: Any) -> None:
    while rooms.manager._rebuilder is not None and not rooms.manager._rebuilder.done():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def swept(rooms: Any) -> None:
    while list(rooms.engine.scan(*tables.deletions())):  # noqa: ASYNC110  # the sweeper tells nobody
        await asyncio.sleep(0.01)


def faults(rooms: Any) -> list[Fault]:
    """What `threadd verify` says."""
    with rooms.engine.snapshot() as reader, rooms.repository.blocks.snapshot() as blocks:
        return report(reader, blocks).faults


@pytest.mark.parametrize("path", PATHS)
async def test_reads_are_right_before_and_after_an_index_is_rebuilt(open_rooms: Open, path: str) -> None:
    documents = [document(number) for number in range(10)]
    thread = await old_repository(open_rooms, documents, *map(Index, PATHS))
    rooms = await open_rooms()
    database = rooms.manager.get(thread)
    was_right = path.split(".", maxsplit=1)[0].isascii()
    # Nothing has run since the opening but this: the rebuilding comes later.
    assert database._catalogue.has_stale_indexes
    await check_all_reads(rooms, database, path, is_indexed=was_right)
    await rebuilt(rooms)
    assert not database._catalogue.has_stale_indexes
    await check_all_reads(rooms, database, path, is_indexed=True)
    await swept(rooms)
    assert faults(rooms) == []
    assert list(rooms.engine.scan(*tables.stale_indexes())) == []


async def test_only_indexes_on_such_fields_are_rebuilt_and_only_once(open_rooms: Open) -> None:
    thread = await old_repository(open_rooms, [document(1)], *map(Index, PATHS))
    rooms = await open_rooms()
    numbers = {index.path: index.number for index in rooms.manager.get(thread)._catalogue.row("things").indexes}
    await rebuilt(rooms)
    for _ in range(2):
        row = rooms.manager.get(thread)._catalogue.row("things")
        assert {index.path for index in row.indexes if index.number != numbers[index.path]} == {*NAMES, "é.a"}
        numbers = {
            index.path: index.number if index.path in {"ascii", "a.é"} else numbers[index.path] for index in row.indexes
        }
        rooms = await open_rooms()
        assert rooms.manager._rebuilder is None


async def test_writes_wait_for_the_rebuilding_and_are_found_by_the_index(open_rooms: Open) -> None:
    documents = [document(number) for number in range(2_500)]
    thread = await old_repository(open_rooms, documents, Index("größe", unique=True))
    rooms = await open_rooms()
    database = rooms.manager.get(thread)
    # The first calls of all, each before the rebuilding has begun.
    with pytest.raises(UniqueConstraintError):
        await database.create("things", [b'{"_id":"x","gr\xc3\xb6\xc3\x9fe":7}'], rooms.host)
    await database.save("things", [b'{"_id":"00007","gr\xc3\xb6\xc3\x9fe":70000}'], rooms.host)
    await database.delete("things", ["00008"], rooms.host)
    await database.create("things", [b'{"_id":"x","gr\xc3\xb6\xc3\x9fe":7}'], rooms.host)
    explained = await reads.explain(database, "things", equal("größe", 7), rooms.host)
    assert explained.indexes == ("größe",)
    assert [json.loads(text)["_id"] for text in explained.instances] == ["x"]
    await swept(rooms)
    assert faults(rooms) == []


async def test_a_writer_who_gives_up_does_not_end_the_rebuilding(open_rooms: Open) -> None:
    thread = await old_repository(open_rooms, [document(number) for number in range(1_500)], Index("größe"))
    rooms = await open_rooms()
    database = rooms.manager.get(thread)
    writing = asyncio.create_task(database.create("things", [b'{"_id":"x"}'], rooms.host))
    while database._rebuilding._task is None:  # noqa: ASYNC110
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert database._catalogue.has_stale_indexes
    assert not database._rebuilding._task.done()
    await database._rebuilding._task
    assert await found(rooms, database, equal("größe", 3)) == ["00003"]
    assert await rooms.manager.get(thread).has("things", ["00001"], rooms.host)


async def test_duplicates_that_were_let_in_stay_and_are_named_and_further_ones_are_refused(open_rooms: Open) -> None:
    held = [b'{"_id":"%d","gr\xc3\xb6\xc3\x9fe":7}' % number for number in range(3)]
    others = [document(number) for number in range(1_500) if number != 7]
    thread = await old_repository(open_rooms, [*held, *others, b'{"_id":"z"}'], Index("größe", unique=True))
    with capture_logs() as logs:
        rooms = await open_rooms()
        database = rooms.manager.get(thread)
        await rebuilt(rooms)
    [warning] = [line for line in logs if line["log_level"] == "warning"]
    assert warning["thread"] == thread.text
    assert (warning["collection"], warning["path"], warning["duplicates"]) == ("things", "größe", 2)
    assert set(warning["documents"]) == {"0", "1", "2"}
    assert await found(rooms, database, equal("größe", 7)) == ["0", "1", "2"]
    for text in (b'{"_id":"new","gr\xc3\xb6\xc3\x9fe":7}', b'{"_id":"new","gr\xc3\xb6\xc3\x9fe":8}'):
        with pytest.raises(UniqueConstraintError):
            await database.create("things", [text], rooms.host)
    # What shares its value already can be written, and put right.
    await database.save("things", [b'{"_id":"0","gr\xc3\xb6\xc3\x9fe":7,"ascii":1}'], rooms.host)
    await database.save("things", [b'{"_id":"0","gr\xc3\xb6\xc3\x9fe":7000}'], rooms.host)
    with pytest.raises(UniqueConstraintError):
        await database.save("things", [b'{"_id":"0","gr\xc3\xb6\xc3\x9fe":7}'], rooms.host)
    await database.delete("things", ["1", "2"], rooms.host)
    await database.save("things", [b'{"_id":"0","gr\xc3\xb6\xc3\x9fe":7}'], rooms.host)


async def test_a_rebuilding_that_fails_or_stops_goes_on(open_rooms: Open) -> None:
    documents = [document(number) for number in range(2_500)]
    thread = await old_repository(open_rooms, documents, Index("größe"), Index("имя", unique=True))
    failpoints.arm({VARIABLE: f"{Failpoint.INDEX_SLICE}=raise@4"})  # in the second index
    with capture_logs() as logs:
        rooms = await open_rooms()
        await rebuilt(rooms)
    assert [line["log_level"] for line in logs if "next write" in line["event"]] == ["warning"]
    database = rooms.manager.get(thread)
    assert len(stale_indexes.marked(rooms.engine, database._thread.number)) == 1
    assert await found(rooms, database, equal("имя", 3)) == ["00003"]
    # A daemon that stops in the middle of it.
    writing = asyncio.create_task(database.create("things", [b'{"_id":"x"}'], rooms.host))
    while not list(rooms.engine.scan(*tables.deletions())):  # noqa: ASYNC110
        await asyncio.sleep(0)
    rooms = await open_rooms()
    assert isinstance((await asyncio.gather(writing, return_exceptions=True))[0], Exception)
    database = rooms.manager.get(thread)
    assert len(stale_indexes.marked(rooms.engine, database._thread.number)) == 1
    await rebuilt(rooms)
    assert (await reads.explain(database, "things", equal("имя", 3), rooms.host)).indexes == ("имя",)
    await swept(rooms)
    assert faults(rooms) == []


@pytest.mark.parametrize("deleted", ["database", "collection"])
async def test_what_is_deleted_meanwhile_leaves_nothing(open_rooms: Open, deleted: str) -> None:
    thread = await old_repository(open_rooms, [document(number) for number in range(1_500)], Index("größe"))
    rooms = await open_rooms()
    if deleted == "database":
        await rooms.manager.delete_db(thread)
    else:
        await rooms.manager.get(thread).delete_collection("things")
    await rebuilt(rooms)
    await swept(rooms)
    assert list(rooms.engine.scan(*tables.stale_indexes())) == []
    assert faults(rooms) == []


async def test_a_check_leaves_stale_indexes_to_the_daemon(open_rooms: Open) -> None:
    documents = [document(number) for number in range(10)]
    thread = await old_repository(open_rooms, documents, Index("größe"), Index("ascii"))
    rooms = await open_rooms()
    await rooms.manager.close()
    for kept in (b"2", b"1"):
        transaction = Transaction()
        transaction.put(tables.FORMAT, kept)
        await rooms.engine.commit(transaction)
        assert faults(rooms) == []
    rooms = await open_rooms()
    await rebuilt(rooms)
    await check_all_reads(rooms, rooms.manager.get(thread), "größe", is_indexed=True)
