"""Writes to several databases at once: all or none, in the order of each, and never waiting for each other."""

import asyncio
import itertools
import json
import os

import pytest

from net.thread_id import ThreadID, Variant
from store.errors import StoreError, StoreFullError
from store.faulty import Fault, FaultyEngine
from threadd.db.collections import CollectionConfig
from threadd.db.errors import (
    CollectionNotFoundError,
    CreateConflictError,
    DatabaseNotFoundError,
    InstanceExistsError,
    SchemaViolationError,
    WriteDeniedError,
)
from threadd.db.joint import Creation, create_together

SCHEMA = b'{"properties": {"_id": {"type": "string"}, "n": {"type": "number"}}}'


@pytest.fixture
async def made(open_rooms, identities):
    """Two databases with a collection each, on an engine that can be told to fail, and who made them."""
    rooms = await open_rooms(wrap=FaultyEngine)
    writer = next(identities)
    config = CollectionConfig("people", SCHEMA)
    databases = [
        await rooms.manager.new_db(ThreadID.random(Variant.RAW, os.urandom), collections=[config], identity=writer)
        for _ in range(2)
    ]
    return rooms, databases, writer


def creation(database, instance_id, n=0, collection="people"):
    return Creation(database, collection, json.dumps({"_id": instance_id, "n": n}).encode())


async def ids(database, reader):
    return [json.loads(found)["_id"] for found in await database.find("people", b"{}", reader)]


async def test_all_of_them(made):
    rooms, (one, other), writer = made
    with one.listen((), writer) as first, other.listen((), writer) as second:
        await create_together([creation(one, "a"), creation(other, "b"), creation(one, "c")], writer)
        heard = [await anext(listener.events()) for listener in (first, second)]
    assert [event.instance_id for event in heard] == ["a", "b"]
    assert await ids(one, writer) == ["a", "c"]
    assert await ids(other, writer) == ["b"]
    # One record each; what is written next stands on it.
    for database, count in ((one, 2), (other, 1)):
        await database.create("people", [b'{"_id": "later"}'], writer)
        assert len(await ids(database, writer)) == count + 1
        (log,) = rooms.threads.get(rooms.engine, database.thread_id).logs
        assert log.counter == 2


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (lambda database: creation(database, "taken"), InstanceExistsError),
        (lambda database: creation(database, "b", "no number"), SchemaViolationError),
        (lambda database: creation(database, "b", collection="nowhere"), CollectionNotFoundError),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
async def test_none_of_them_where_one_is_refused(made, second, error, turned):
    _, (one, other), writer = made
    await other.create("people", [b'{"_id": "taken"}'], writer)
    creations = [creation(one, "a"), second(other)]
    with pytest.raises(error):
        await create_together(creations[::-1] if turned else creations, writer)
    assert await ids(one, writer) == []
    assert await ids(other, writer) == ["taken"]


async def test_none_of_them_where_a_validator_refuses_or_two_contradict_each_other(made):
    _, (one, other), writer = made
    await other.update_collection(CollectionConfig("people", SCHEMA, write_validator="return false"))
    with pytest.raises(WriteDeniedError):
        await create_together([creation(one, "a"), creation(other, "b")], writer)
    with pytest.raises(CreateConflictError):
        await create_together([creation(one, "a"), creation(one, "a")], writer)
    assert await ids(one, writer) == await ids(other, writer) == []


async def test_none_of_them_where_a_database_is_gone(made):
    rooms, (one, other), writer = made
    await rooms.manager.delete_db(other.thread_id)
    with pytest.raises(DatabaseNotFoundError):
        await create_together([creation(one, "a"), creation(other, "b")], writer)
    assert await ids(one, writer) == []


@pytest.mark.parametrize("fault", [Fault.FULL, Fault.REFUSED])
async def test_none_of_them_where_the_disk_refuses(made, fault):
    rooms, (one, other), writer = made
    await create_together([creation(one, "a"), creation(other, "a")], writer)
    rooms.engine.faults.append(fault)
    with pytest.raises(StoreFullError if fault is Fault.FULL else StoreError):
        await create_together([creation(one, "b"), creation(other, "b")], writer)
    assert await ids(one, writer) == await ids(other, writer) == ["a"]
    await create_together([creation(one, "b"), creation(other, "b")], writer)
    assert await ids(one, writer) == await ids(other, writer) == ["a", "b"]


async def test_what_stands_on_a_joint_write_fails_with_it(made):
    rooms, (one, other), writer = made
    rooms.engine.faults.append(Fault.FULL)
    joint = asyncio.ensure_future(create_together([creation(one, "a"), creation(other, "a")], writer))
    stacked = [asyncio.ensure_future(each.create("people", [b'{"_id": "b"}'], writer)) for each in (one, other)]
    results = await asyncio.gather(joint, *stacked, return_exceptions=True)
    assert all(isinstance(result, StoreError) for result in results), results
    assert await ids(one, writer) == await ids(other, writer) == []
    await create_together([creation(one, "a"), creation(other, "a")], writer)


async def test_nobody_waits_for_somebody_who_waits_for_him(made, identities):
    _, (one, other), writer = made
    pairs = [(one, other), (other, one), (one, one), (other, other)] * 10
    names = map(str, itertools.count())
    async with asyncio.timeout(30):
        await asyncio.gather(
            *(create_together([creation(a, next(names)), creation(b, next(names))], writer) for a, b in pairs),
            *(each.create("people", [json.dumps({"_id": next(names)}).encode()], writer) for each in (one, other)),
        )
    assert len(await ids(one, writer)) == len(await ids(other, writer)) == 41


async def test_it_is_there_after_a_restart(made, open_rooms):
    rooms, (one, other), writer = made
    threads = [database.thread_id for database in (one, other)]
    await create_together([creation(one, "a"), creation(other, "b")], writer)
    again = await open_rooms(rooms.repository.folder)
    found = [await ids(again.manager.get(thread), writer) for thread in threads]
    assert found == [["a"], ["b"]]
