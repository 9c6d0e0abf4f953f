"""A query ends when its time is over, wherever it is asked; so does the work on it."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from net.thread_id import ThreadID, Variant
from threadd.db import plans, reads, scans
from threadd.db.collections import CollectionConfig, Index
from threadd.db.database import Database
from threadd.db.errors import QueryTimeError

COUNT = 4_000
SCHEMA = json.dumps({"properties": {"_id": {"type": "string"}, "v": {"type": "string"}}}).encode()
THINGS = CollectionConfig("things", SCHEMA, (Index("v"),))
SLOW = CollectionConfig("slow", SCHEMA, read_filter="while (true);")

# None of them has an end before the last row.
QUERIES = {
    "scan": {"ands": [{"fieldPath": "w", "operation": 0, "value": {"float": -1}}]},
    "sort": {"sort": {"fieldPath": "w"}},
    "long values in order": {"sort": {"fieldPath": "v"}, "limit": 10},
    "from an ID on": {
        "ands": [{"fieldPath": "v", "operation": 2, "value": {"string": ""}}],
        "seek": "z",
        "sort": {"fieldPath": "v"},
        "limit": 1,
    },
    "two ranges": {
        "ors": [{"ands": [{"fieldPath": "v", "operation": 2, "value": {"string": ""}}]}] * 2,
        "ands": [],
        "seek": "z",
    },
}

Ask = Callable[[Any, Database, bytes], Awaitable[Any]]


async def in_read_transaction(rooms: Any, database: Database, query: bytes) -> Any:
    async with database.read_transaction("things", rooms.host) as transaction:
        try:
            return await transaction.find(query)
        finally:
            assert await transaction.has(["00000"])  # It goes on.


async def in_write_transaction(rooms: Any, database: Database, query: bytes) -> Any:
    failed: QueryTimeError | None = None
    async with database.write_transaction("things", rooms.host) as transaction:
        await transaction.create([b'{"_id":"new"}'])
        try:
            found = await transaction.reads.find(query)
        except QueryTimeError as error:
            failed = error
    assert await database.has("things", ["new"], rooms.host)
    await database.delete("things", ["new"], rooms.host)
    if failed is not None:
        raise failed
    return found


WAYS: dict[str, Ask] = {
    "find": lambda rooms, database, query: database.find("things", query, rooms.host),
    "count": lambda rooms, database, query: reads.count(database, "things", query, rooms.host),
    "explain": lambda rooms, database, query: reads.explain(database, "things", query, rooms.host),
    "the operator's count": lambda rooms, database, query: reads.count(database, "things", query, None),
    "the operator's find": lambda rooms, database, query: reads.explain(database, "things", query, None),
    "read transaction": in_read_transaction,
    "write transaction": in_write_transaction,
}


def document(number: int) -> bytes:
    return json.dumps({"_id": f"{number:05}", "v": "x" * 60 + str(number), "w": COUNT - number}).encode()


async def filled(rooms: Any) -> ThreadID:
    thread = ThreadID.random(Variant.RAW, os.urandom)
    database = await rooms.manager.new_db(thread, collections=[THINGS, SLOW], identity=rooms.host)
    await database.create("things", [document(number) for number in range(COUNT)], rooms.host)
    await database.create("slow", [document(number) for number in range(3)], rooms.host)
    return thread


class Steps:
    """Counts the steps of queries, and those that were taken in one go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        real = plans.rows

        def counted(*arguments: Any) -> Iterator[Any]:
            for step in real(*arguments):
                self.number += 1
                yield step

        monkeypatch.setattr(plans, "rows", counted)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)
async def test_a_query_and_the_work_on_it_end_when_its_time_is_over(
    open_rooms: Any, monkeypatch: pytest.MonkeyPatch, ask: Ask, query: dict[str, Any]
) -> None:
    rooms = await open_rooms()
    thread = await filled(rooms)
    steps = Steps(monkeypatch)
    await ask(rooms, rooms.manager.get(thread), json.dumps(query).encode())
    whole, steps.number = steps.number, 0
    assert whole >= COUNT

    rooms = await open_rooms(query_seconds=0)
    with pytest.raises(QueryTimeError, match="the query took longer than 0 s"):
        await ask(rooms, rooms.manager.get(thread), json.dumps(query).encode())
    taken = steps.number
    # A slice of the loop is a millisecond, and no more than that is worked on.
    assert 0 < taken < whole
    for _ in range(100):
        await asyncio.sleep(0)
    assert steps.number == taken


async def test_the_clock_is_looked_at_more_often_where_a_row_takes_long(
    open_rooms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = await open_rooms()
    thread = await filled(rooms)
    steps = Steps(monkeypatch)
    condition = {"fieldPath": "w", "operation": 0, "value": {"float": -1}}
    query = json.dumps({"ors": [{"ands": [condition]}] * 1_000}).encode()
    rooms = await open_rooms(query_seconds=0)
    for ask in (WAYS["find"], WAYS["count"]):
        steps.number = 0
        with pytest.raises(QueryTimeError):
            await ask(rooms, rooms.manager.get(thread), query)
        assert 0 < steps.number < scans.ROWS_BETWEEN_LOOKS


async def test_a_page_ends_when_its_time_is_over(open_rooms: Any) -> None:
    rooms = await open_rooms()
    thread = await filled(rooms)
    query = json.dumps({"sort": {"fieldPath": "w"}}).encode()
    page = await reads.page(rooms.manager.get(thread), "things", query, rooms.host)
    rooms = await open_rooms(query_seconds=0)
    for cursor in (b"", page.cursor):
        with pytest.raises(QueryTimeError):
            await reads.page(rooms.manager.get(thread), "things", query, rooms.host, cursor=cursor)


async def test_what_a_read_filter_takes_counts(open_rooms: Any) -> None:
    rooms = await open_rooms()
    thread = await filled(rooms)
    rooms = await open_rooms(query_seconds=0.05)
    database, host = rooms.manager.get(thread), rooms.host
    asked: list[Awaitable[Any]] = [
        database.find("slow", b"{}", host),
        database.find_by_id("slow", "00000", host),
        database.has("slow", ["00000"], host),
        reads.count(database, "slow", b"{}", host),
        reads.explain(database, "slow", b"{}", host),
        reads.page(database, "slow", b"{}", host),
    ]
    for one in asked:
        with pytest.raises(QueryTimeError):
            await one
