"""Databases on a real store."""

import asyncio
import json
import os

import pytest

from net.keys import PrivateKey
from net.patches import PatchType, decode_body
from net.thread_id import ThreadID, Variant
from net.thread_key import ThreadKey
from store import tables
from store import threads as thread_rows
from store.engine import Transaction
from store.errors import StoreError, StoreFullError
from store.faulty import Fault, FaultyEngine
from threadd.db.collections import CollectionConfig, Index
from threadd.db.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    CreateConflictError,
    DatabaseExistsError,
    DatabaseNotFoundError,
    InstanceExistsError,
    InstanceNotFoundError,
    InvalidInstanceError,
    InvalidNameError,
    ReadKeyRequiredError,
    SchemaViolationError,
)

SCHEMA = json.dumps(
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"_id": {"type": "string"}, "name": {"type": "string"}, "age": {"type": "integer"}},
    },
).encode()
PEOPLE = CollectionConfig("people", SCHEMA)


@pytest.fixture
def thread_id():
    return ThreadID.random(Variant.RAW, os.urandom)


@pytest.fixture
async def database(rooms, thread_id):
    return await rooms.manager.new_db(thread_id, collections=[PEOPLE], identity=rooms.host)


def doc(**fields):
    return json.dumps(fields).encode()


def without_time(text):
    document = json.loads(text)
    assert isinstance(document.pop("_mod"), int)
    return document


async def swept(rooms):
    while list(rooms.engine.scan(*tables.deletions())):  # noqa: ASYNC110  # the sweeper tells nobody
        await asyncio.sleep(0.01)


async def everyone(database, reader, query=b"{}"):
    return [without_time(text) for text in await database.find("people", query, reader)]


async def test_what_is_created_is_found(database, rooms):
    ids = await database.create("people", [doc(_id="a", name="Ann"), doc(name="Bob"), doc(_id="", age=5)], rooms.host)
    assert ids[0] == "a"
    assert all(len(made) == 26 and made == made.lower() for made in ids[1:])
    assert without_time(await database.find_by_id("people", ids[1], rooms.host)) == {"_id": ids[1], "name": "Bob"}
    assert await database.has("people", ids, rooms.host)
    assert not await database.has("people", [*ids, "x"], rooms.host)
    assert len(await everyone(database, rooms.host)) == 3


async def test_ids_that_are_made_rise(database, rooms):
    ids = await database.create("people", [doc()] * 500, rooms.host)
    assert ids == sorted(set(ids))


async def test_a_save_replaces_the_whole_instance(database, rooms):
    await database.create("people", [doc(_id="a", name="Ann", age=5, extra={"x": 1, "y": 2})], rooms.host)
    await database.save("people", [doc(_id="a", name="Ann", extra={"y": 3})], rooms.host)
    assert await everyone(database, rooms.host) == [{"_id": "a", "name": "Ann", "extra": {"y": 3}}]


async def test_a_save_of_an_unknown_instance_creates_it(database, rooms):
    await database.save("people", [doc(_id="a", name="Ann")], rooms.host)
    assert await everyone(database, rooms.host) == [{"_id": "a", "name": "Ann"}]


async def test_a_delete_passes_over_what_is_not_there(database, rooms):
    await database.create("people", [doc(_id="a"), doc(_id="b")], rooms.host)
    await database.delete("people", ["x", "a", "x" * 1000, "b"], rooms.host)
    assert await everyone(database, rooms.host) == []


@pytest.mark.parametrize(
    ("instances", "error"),
    [
        ([doc(_id="new"), doc(_id="old")], InstanceExistsError),
        ([doc(_id="new"), doc(_id="new")], CreateConflictError),
        ([doc(_id="new"), doc(name=5)], SchemaViolationError),
        ([doc(_id="new"), b"null"], InvalidInstanceError),
        ([doc(_id="new"), doc(_id="x" * 401)], InvalidInstanceError),
    ],
)
async def test_a_call_that_is_refused_leaves_nothing_behind(database, rooms, thread_id, instances, error):
    await database.create("people", [doc(_id="old")], rooms.host)
    before = list(rooms.engine.scan(b"", b"\xff"))
    with pytest.raises(error):
        await database.create("people", instances, rooms.host)
    assert list(rooms.engine.scan(b"", b"\xff")) == before


async def test_a_save_without_an_id_is_refused(database, rooms):
    for instance in (doc(name="x"), doc(_id="", name="x"), doc(_id=None)):
        with pytest.raises((InvalidInstanceError, SchemaViolationError)):
            await database.save("people", [instance], rooms.host)


async def test_verify_says_what_save_would_and_changes_nothing(database, rooms):
    await database.create("people", [doc(_id="a", age=1)], rooms.host)
    before = list(rooms.engine.scan(b"", b"\xff"))
    await database.verify("people", [doc(_id="a", age=2)], rooms.host)
    with pytest.raises(SchemaViolationError):
        await database.verify("people", [doc(_id="a", age="x")], rooms.host)
    assert list(rooms.engine.scan(b"", b"\xff")) == before


@pytest.mark.parametrize(
    "instance_id", ["a/b", "../people", "\u0000", "\u0000\u0001", "\u0000" * 200, "é" * 200, "x" * 400, " ", "%2e"]
)
async def test_an_id_is_opaque(database, rooms, instance_id):
    await database.create("people", [doc(_id=instance_id, name="1"), doc(_id="other")], rooms.host)
    await database.save("people", [doc(_id=instance_id, name="2")], rooms.host)
    assert without_time(await database.find_by_id("people", instance_id, rooms.host))["name"] == "2"
    await database.delete("people", [instance_id], rooms.host)
    assert await everyone(database, rooms.host) == [{"_id": "other"}]


async def test_an_instance_that_is_not_there_is_not_found(database, rooms):
    for instance_id in ("", "x", "x" * 1000):
        with pytest.raises(InstanceNotFoundError):
            await database.find_by_id("people", instance_id, rooms.host)


async def test_one_transaction_is_one_record_with_rising_times(database, rooms, thread_id, identities):
    writer = next(identities)
    await database.create("people", [doc(_id="a", age=1), doc(_id="b")], writer)
    await database.save("people", [doc(_id="a", age=2)], writer)
    await database.delete("people", ["b"], writer)
    thread = rooms.threads.get(rooms.engine, thread_id)
    (log,) = [log for log in thread.logs if log.counter]
    assert log.counter == 3
    records = [
        decode_body(rooms.threads.read_record(rooms.engine, thread_id, log.number, position).body)
        for position in (1, 2, 3)
    ]
    patches = [patch for record in records for patch in record]
    assert [(patch.type, patch.instance_id) for patch in patches] == [
        (PatchType.CREATE, "a"),
        (PatchType.CREATE, "b"),
        (PatchType.SAVE, "a"),
        (PatchType.DELETE, "b"),
    ]
    times = [patch.timestamp for patch in patches]
    assert times == sorted(set(times))
    assert json.loads(patches[2].json) == {"_mod": times[2], "age": 2}
    assert json.loads(patches[0].json) == {"_id": "a", "age": 1, "_mod": times[0]}


async def test_a_delete_of_nothing_makes_no_record(database, rooms, thread_id):
    await database.delete("people", ["x"], rooms.host)
    assert all(log.counter == 0 for log in rooms.threads.get(rooms.engine, thread_id).logs)


async def test_every_writer_has_a_log(database, rooms, thread_id, identities):
    for _ in range(3):
        writer = next(identities)
        await database.create("people", [doc(), doc()], writer)
        await database.create("people", [doc()], writer)
    counters = sorted(log.counter for log in rooms.threads.get(rooms.engine, thread_id).logs)
    assert counters == [0, 2, 2, 2]


async def test_concurrent_writers_do_not_lose_each_others_writes(database, rooms, identities):
    await database.create("people", [doc(_id="n", age=0)], rooms.host)
    writers = [next(identities) for _ in range(8)]

    async def write(writer, number):
        await database.create("people", [doc(_id=f"{number}")], writer)
        await database.save("people", [doc(_id="n", age=number)], writer)

    await asyncio.gather(*(write(writers[number % 8], number) for number in range(200)))
    assert len(await everyone(database, rooms.host)) == 201


async def test_everything_is_there_after_a_restart(open_rooms, thread_id, identities):
    rooms = await open_rooms()
    writer = next(identities)
    database = await rooms.manager.new_db(thread_id, name="mine", collections=[PEOPLE], identity=writer)
    await database.create("people", [doc(_id=str(number), age=number) for number in range(100)], writer)
    key = database.info().key
    rooms = await open_rooms()
    database = rooms.manager.get(thread_id)
    assert (database.name, database.info().key) == ("mine", key)
    assert len(await everyone(database, writer)) == 100
    await database.save("people", [doc(_id="5", age=500)], writer)
    assert await everyone(database, writer, b'{"ands":[{"fieldPath":"age","operation":2,"value":{"float":99}}]}') == [
        {"_id": "5", "age": 500},
    ]


async def test_times_rise_even_when_the_clock_goes_back(open_rooms, thread_id):
    rooms = await open_rooms()
    database = await rooms.manager.new_db(thread_id, collections=[PEOPLE], identity=rooms.host)
    database._sequencer._timestamps.clock = lambda: 5 * 10**18
    await database.create("people", [doc(_id="a")], rooms.host)
    rooms = await open_rooms()
    database = rooms.manager.get(thread_id)
    await database.save("people", [doc(_id="a", age=1)], rooms.host)
    assert json.loads(await database.find_by_id("people", "a", rooms.host))["_mod"] > 5 * 10**18


async def test_queries_filter_sort_skip_and_limit_in_that_order(database, rooms):
    ages = [7, 3, 9, 1, 5, 8, 2, 6, 4, 0]
    await database.create("people", [doc(_id=f"i{n}", age=age) for n, age in enumerate(ages)], rooms.host)
    await database.create("people", [doc(_id="none", name="x")], rooms.host)

    async def ages_of(**query):
        return [row.get("age") for row in await everyone(database, rooms.host, json.dumps(query).encode())]

    above = [{"fieldPath": "age", "operation": 2, "value": {"float": 2}}]
    assert await ages_of(ands=above, sort={"fieldPath": "age"}, skip=2, limit=3) == [5, 6, 7]
    assert await ages_of(ands=above, sort={"fieldPath": "age", "desc": True}, skip=1, limit=2) == [8, 7]
    assert await ages_of(sort={"fieldPath": "age"}, limit=2) == [None, 0]
    assert await ages_of(skip=9) == [0, None]
    assert await ages_of(sort={"fieldPath": "_id", "desc": True}, limit=2) == [None, 0]
    assert await ages_of(skip=9, limit=2**63 - 1) == [0, None]
    assert await ages_of(sort={"fieldPath": "age"}, skip=10**30) == []
    assert await ages_of(seek="i3", limit=2) == [1, 5]
    assert await ages_of(seek="i31", limit=2) == [5, 8]
    assert await ages_of(seek="i3", sort={"fieldPath": "_id", "desc": True}) == [1, 9, 3, 7]
    assert await ages_of(seek="z" * 1000) == []
    assert await ages_of(seek="z" * 1000, sort={"fieldPath": "_id", "desc": True}, limit=1) == [None]
    assert len(await ages_of()) == 11


async def test_a_scan_reads_one_state_and_leaves_the_loop_free(database, rooms):
    await database.create("people", [doc(_id=f"{n:05}", age=n) for n in range(5000)], rooms.host)
    finding = asyncio.create_task(database.find("people", b'{"sort":{"fieldPath":"age"}}', rooms.host))
    await asyncio.sleep(0)
    await database.delete("people", [f"{n:05}" for n in range(5000)], rooms.host)
    assert len(await finding) == 5000
    assert await everyone(database, rooms.host) == []


async def test_a_sort_with_a_limit_keeps_few_rows(database, rooms):
    await database.create("people", [doc(_id=f"{n:05}", age=n * 7919 % 3000) for n in range(3000)], rooms.host)
    rows = await everyone(database, rooms.host, b'{"sort":{"fieldPath":"age","desc":true},"limit":3,"skip":1}')
    assert [row["age"] for row in rows] == [2998, 2997, 2996]


async def test_collections_come_and_go(database, rooms):
    await database.create("people", [doc(_id="a")], rooms.host)
    with pytest.raises(CollectionExistsError):
        await database.new_collection(PEOPLE)
    with pytest.raises(CollectionNotFoundError, match="dogs"):
        await database.update_collection(CollectionConfig("dogs", SCHEMA))
    dogs = CollectionConfig("dogs", SCHEMA, (Index("age"), Index("name", unique=True)))
    await database.new_collection(dogs)
    assert database.list_collections() == [dogs, PEOPLE]
    await database.delete_collection("people")
    with pytest.raises(CollectionNotFoundError):
        await database.find_by_id("people", "a", rooms.host)
    with pytest.raises(CollectionNotFoundError):
        await database.delete_collection("people")
    await database.new_collection(PEOPLE)
    assert await everyone(database, rooms.host) == []
    await database.create("people", [doc(_id="a")], rooms.host)


async def test_a_tightened_schema_binds_writes_and_not_reads_or_deletes(database, rooms):
    await database.create("people", [doc(_id="a"), doc(_id="b")], rooms.host)
    schema = json.loads(SCHEMA) | {"required": ["name"]}
    await database.update_collection(CollectionConfig("people", json.dumps(schema).encode()))
    assert len(await everyone(database, rooms.host)) == 2
    with pytest.raises(SchemaViolationError, match="name"):
        await database.save("people", [doc(_id="a", age=1)], rooms.host)
    await database.delete("people", ["a"], rooms.host)
    await database.save("people", [doc(_id="b", name="Bob")], rooms.host)


async def test_a_schema_that_names_the_time_sees_it(database, rooms):
    schema = json.loads(SCHEMA)
    schema["properties"]["_mod"] = {"type": "integer"}
    closed = json.dumps(schema | {"additionalProperties": False, "required": ["_mod"]}).encode()
    await database.new_collection(CollectionConfig("timed", closed))
    await database.create("timed", [doc(_id="a")], rooms.host)
    await database.save("timed", [await database.find_by_id("timed", "a", rooms.host)], rooms.host)


@pytest.mark.parametrize("name", ["a_b", "a-", "-a", "a--b", "é", "a\n", "a b", "x" * 201])
async def test_a_bad_name_is_refused(database, rooms, name):
    with pytest.raises(InvalidNameError):
        await database.new_collection(CollectionConfig(name, SCHEMA))
    with pytest.raises(InvalidNameError):
        await rooms.manager.new_db(ThreadID.random(Variant.RAW, os.urandom), name=name, identity=rooms.host)


@pytest.mark.parametrize("name", ["collection", "index", "a-b-c", "0", "x" * 200])
async def test_an_ordinary_name_is_taken(database, rooms, name):
    await database.new_collection(CollectionConfig(name, SCHEMA))
    await database.create(name, [doc(_id="a")], rooms.host)


async def test_a_database_is_made_whole_or_not_at_all(rooms, thread_id):
    before = list(rooms.engine.scan(b"", b"\xff"))
    bad = CollectionConfig("dogs", b"{}")
    for collections, options in (
        ([PEOPLE, bad], {}),
        ([PEOPLE, PEOPLE], {}),
        ([PEOPLE], {"name": "a_b"}),
        ([PEOPLE], {"key": ThreadKey(os.urandom(32))}),
    ):
        with pytest.raises((Exception,)) as refused:
            await rooms.manager.new_db(thread_id, collections=collections, identity=rooms.host, **options)
        assert refused.type is not AssertionError
    assert list(rooms.engine.scan(b"", b"\xff")) == before
    with pytest.raises(ReadKeyRequiredError):
        await rooms.manager.new_db(thread_id, key=ThreadKey(os.urandom(32)), identity=rooms.host)


async def test_a_database_is_made_once(rooms, thread_id, identities):
    results = await asyncio.gather(
        *(rooms.manager.new_db(thread_id, identity=next(identities)) for _ in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, DatabaseExistsError) for result in results) == 4
    assert [database.thread_id for database in rooms.manager.list_dbs()] == [thread_id]


async def test_a_database_with_given_keys_has_them(rooms, thread_id, identities):
    key, log_key = ThreadKey.random(os.urandom), PrivateKey.random(os.urandom)
    writer = next(identities)
    database = await rooms.manager.new_db(thread_id, key=key, log_key=log_key, collections=[PEOPLE], identity=writer)
    assert database.info().key == key
    assert database.name == "unnamed"
    await database.create("people", [doc()], writer)
    (log,) = rooms.threads.get(rooms.engine, thread_id).logs
    assert (log.private_key, log.counter) == (log_key, 1)


async def test_a_deleted_database_is_gone_and_leaves_nothing(rooms, thread_id, database):
    other = await rooms.manager.new_db(
        ThreadID.random(Variant.RAW, os.urandom), collections=[PEOPLE], identity=rooms.host
    )
    await other.create("people", [doc(_id="a")], rooms.host)
    kept = {key for key, _ in rooms.engine.scan(b"", b"\xff")}
    number = thread_rows.get_thread(rooms.engine, thread_id.bytes).number
    await database.create("people", [doc(_id=str(n)) for n in range(3000)], rooms.host)
    await rooms.manager.delete_db(thread_id)
    for call in (
        lambda: database.create("people", [doc()], rooms.host),
        lambda: rooms.manager.delete_db(thread_id),
    ):
        with pytest.raises(Exception, match="not found"):
            await call()
    await swept(rooms)
    left = {key for key, _ in rooms.engine.scan(b"", b"\xff")}
    assert left < kept
    assert not [key for key in left if key[0] > 1 and key[1:5] == number.to_bytes(4, "big")]
    again = await rooms.manager.new_db(thread_id, collections=[PEOPLE], identity=rooms.host)
    assert await everyone(again, rooms.host) == []
    assert len(await everyone(other, rooms.host)) == 1


async def test_a_deletion_that_a_stop_cut_short_goes_on_at_the_next_start(open_rooms, thread_id):
    rooms = await open_rooms()
    database = await rooms.manager.new_db(thread_id, collections=[PEOPLE], identity=rooms.host)
    await database.create("people", [doc(_id=str(n)) for n in range(5000)], rooms.host)
    await database.delete_collection("people")
    await rooms.manager.delete_db(thread_id)
    rooms = await open_rooms()
    await swept(rooms)
    assert [key for key, _ in rooms.engine.scan(b"\x01", b"\xff")] == []


@pytest.mark.parametrize("fault", [Fault.FULL, Fault.REFUSED])
async def test_when_the_disk_fails_what_stood_on_it_fails_and_the_next_works(open_rooms, thread_id, fault):
    rooms = await open_rooms(wrap=FaultyEngine)
    database = await rooms.manager.new_db(thread_id, collections=[PEOPLE], identity=rooms.host)
    await database.create("people", [doc(_id="0")], rooms.host)
    rooms.engine.faults.extend([Fault.NONE, fault])
    results = await asyncio.gather(
        *(database.create("people", [doc(_id=str(n))], rooms.host) for n in range(1, 6)),
        return_exceptions=True,
    )
    assert results[0] == ["1"]
    assert all(isinstance(result, StoreError) for result in results[1:])
    assert isinstance(results[1], StoreFullError) == (fault is Fault.FULL)
    await database.create("people", [doc(_id="2")], rooms.host)
    assert [row["_id"] for row in await everyone(database, rooms.host)] == ["0", "1", "2"]
    thread = rooms.threads.get(rooms.engine, thread_id)
    assert [log.counter for log in thread.logs] == [3]


async def test_a_caller_that_goes_away_does_not_undo_what_was_enqueued(database, rooms):
    task = asyncio.create_task(database.create("people", [doc(_id="a")], rooms.host))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.create("people", [doc(_id="b")], rooms.host)
    assert "b" in [row["_id"] for row in await everyone(database, rooms.host)]


async def test_a_thread_without_a_database_is_told_from_no_thread(rooms, thread_id):
    with pytest.raises(Exception, match="thread not found"):
        rooms.manager.get(thread_id)
    transaction = Transaction()
    rooms.threads.create(rooms.engine, transaction, thread_id, identity=rooms.host)
    await rooms.engine.commit(transaction)
    with pytest.raises(DatabaseNotFoundError):
        rooms.manager.get(thread_id)
