"""Transactions that a client holds open, without a wire."""

import asyncio
import json
import os
import time

import pytest

from net.thread_id import ThreadID, Variant
from store.errors import StatusCode
from threadd.db.collections import CollectionConfig, Index
from threadd.db.errors import (
    CollectionNotFoundError,
    CreateConflictError,
    DatabaseNotFoundError,
    InstanceExistsError,
    InstanceNotFoundError,
    SchemaViolationError,
    ScriptError,
    TransactionEndedError,
    TransactionTooOldError,
    UniqueConstraintError,
    WriteDeniedError,
)

SCHEMA = json.dumps(
    {"properties": {"_id": {"type": "string"}, "name": {"type": "string"}, "age": {"type": "integer"}}},
).encode()
ENDLESS = "while (true) {}"


class Watched:
    """Passes everything on to an engine, and counts the snapshots that are open."""

    def __init__(self, engine):
        self.engine = engine
        self.open = 0

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def snapshot(self):
        return WatchedSnapshot(self, self.engine.snapshot())


class WatchedSnapshot:
    def __init__(self, watched, snapshot):
        watched.open += 1
        self.watched = watched
        self.snapshot = snapshot

    def __getattr__(self, name):
        return getattr(self.snapshot, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.watched.open -= 1
        self.snapshot.close()


def doc(**fields):
    return json.dumps(fields).encode()


def seen(text):
    document = json.loads(text)
    assert document.pop("_mod") > 0
    return document


async def filled(rooms, *instances, **parts):
    """A database whose collection `people` has some instances."""
    config = CollectionConfig("people", SCHEMA, **parts)
    thread = ThreadID.random(Variant.RAW, os.urandom)
    database = await rooms.manager.new_db(thread, collections=[config], identity=rooms.host)
    if instances:
        await database.create("people", instances, rooms.host)
    return database


async def everyone(database, reader):
    return {document["_id"]: document for document in map(seen, await database.find("people", b"{}", reader))}


async def opened(transaction):
    """A task that holds a transaction open until it is cancelled; it has begun."""
    begun = asyncio.Event()

    async def hold():
        async with transaction:
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hold())
    waiting = asyncio.create_task(begun.wait())
    try:
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    finally:
        waiting.cancel()
    return task


def is_free(database):
    return not database._sequencer._turn.locked() and not database._transactions


async def test_reads_in_a_write_transaction_see_the_state_before_it(rooms):
    database = await filled(rooms, doc(_id="a", name="A"), doc(_id="d"))
    async with database.write_transaction("people", rooms.host) as transaction:
        await transaction.create([doc(_id="x")])
        await transaction.save([doc(_id="a", name="B")])
        await transaction.delete(["d"])
        assert not await transaction.reads.has(["x"])
        assert await transaction.reads.has(["a", "d"])
        assert seen(await transaction.reads.find_by_id("a"))["name"] == "A"
        assert len(await transaction.reads.find(b"{}")) == 2
        assert len(await database.find("people", b"{}", rooms.host)) == 2
    assert await everyone(database, rooms.host) == {"a": {"_id": "a", "name": "B"}, "x": {"_id": "x"}}


async def test_operations_build_on_each_other(rooms):
    database = await filled(rooms, doc(_id="a", name="A"))
    async with database.write_transaction("people", rooms.host) as transaction:
        await transaction.create([doc(_id="x", name="X")])
        await transaction.save([doc(_id="x", age=1)])
        await transaction.delete(["a"])
        assert await transaction.create([doc(_id="a", age=2)]) == ["a"]
        await transaction.create([doc(_id="y")])
        await transaction.delete(["y", "nobody"])
        await transaction.save([doc(_id="z", name="1"), doc(_id="z", name="2")])
    assert await everyone(database, rooms.host) == {
        "a": {"_id": "a", "age": 2},
        "x": {"_id": "x", "age": 1},
        "z": {"_id": "z", "name": "2"},
    }


async def test_all_of_a_transaction_is_one_record(rooms):
    database = await filled(rooms)
    async with database.write_transaction("people", rooms.host) as transaction:
        for number in range(10):
            await transaction.create([doc(_id=str(number))])
    async with database.write_transaction("people", rooms.host):
        pass
    (log,) = rooms.threads.get(rooms.engine, database.thread_id).logs
    assert log.counter == 1


async def test_what_is_refused_is_left_out_and_the_rest_is_committed(rooms):
    database = await filled(rooms, doc(_id="a", name="A"))
    async with database.write_transaction("people", rooms.host) as transaction:
        with pytest.raises(InstanceExistsError):
            await transaction.create([doc(_id="one"), doc(_id="a")])
        with pytest.raises(SchemaViolationError):
            await transaction.save([doc(_id="two"), doc(_id="a", age="x")])
        with pytest.raises(SchemaViolationError):
            await transaction.verify([doc(_id="a", age="x")])
        with pytest.raises(InstanceNotFoundError):
            await transaction.reads.find_by_id("one")
        await transaction.verify([doc(_id="three")])
        await transaction.create([doc(_id="b")])
    assert set(await everyone(database, rooms.host)) == {"a", "b"}


async def test_an_operation_that_is_refused_does_not_count_for_later_ones(rooms):
    database = await filled(rooms, doc(_id="a", name="A"))
    async with database.write_transaction("people", rooms.host) as transaction:
        with pytest.raises(SchemaViolationError):
            await transaction.create([doc(_id="x"), doc(_id="x"), doc(_id="y", age="x")])
        await transaction.create([doc(_id="x", age=1)])
    assert (await everyone(database, rooms.host))["x"] == {"_id": "x", "age": 1}


async def test_two_creates_of_one_id_fail_the_end(rooms):
    database = await filled(rooms)
    with pytest.raises(CreateConflictError, match="already existent instance"):
        async with database.write_transaction("people", rooms.host) as transaction:
            await transaction.create([doc(_id="other")])
            await transaction.create([doc(_id="x")])
            await transaction.create([doc(_id="x")])
    assert await everyone(database, rooms.host) == {}
    assert is_free(database)


async def test_a_create_of_what_was_there_before_is_refused_though_an_operation_changed_it(rooms):
    database = await filled(rooms, doc(_id="a", name="A"), doc(_id="b", name="B"))
    async with database.write_transaction("people", rooms.host) as transaction:
        await transaction.save([doc(_id="a", age=1)])
        with pytest.raises(InstanceExistsError):
            await transaction.create([doc(_id="a", age=2)])
        await transaction.delete(["b"])
        await transaction.create([doc(_id="b", age=3)])
    assert await everyone(database, rooms.host) == {"a": {"_id": "a", "age": 1}, "b": {"_id": "b", "age": 3}}


async def test_what_is_discarded_still_answers_and_fails_the_end(rooms):
    database = await filled(rooms, doc(_id="a"))
    with pytest.raises(TransactionEndedError, match="can't commit discarded/committed txn"):
        async with database.write_transaction("people", rooms.host) as transaction:
            await transaction.create([doc(_id="x")])
            transaction.discard()
            transaction.discard()
            assert await transaction.create([doc(_id="y")]) == ["y"]
            assert await transaction.reads.has(["a"])
    assert set(await everyone(database, rooms.host)) == {"a"}


async def test_a_body_that_fails_writes_nothing(rooms):
    database = await filled(rooms)
    with pytest.raises(ZeroDivisionError):
        async with database.write_transaction("people", rooms.host) as transaction:
            await transaction.create([doc(_id="x")])
            raise ZeroDivisionError
    assert await everyone(database, rooms.host) == {}
    assert is_free(database)


async def test_the_validator_is_asked_at_the_end_about_the_state_before(rooms):
    body = "return instance === undefined ? event.patch.instance_id !== 'bad' : instance.name"
    database = await filled(rooms, write_validator=body)
    with pytest.raises(WriteDeniedError):
        async with database.write_transaction("people", rooms.host) as transaction:
            await transaction.create([doc(_id="x", name="old"), doc(_id="bad")])
    async with database.write_transaction("people", rooms.host) as transaction:
        await transaction.create([doc(_id="x", name="old")])
        await transaction.save([doc(_id="x", name="new")])
    with pytest.raises(WriteDeniedError, match="new"):
        async with database.write_transaction("people", rooms.host) as transaction:
            await transaction.delete(["x"])
            with pytest.raises(WriteDeniedError, match="new"):
                await transaction.verify([doc(_id="x")])
    assert set(await everyone(database, rooms.host)) == {"x"}


async def test_a_validator_that_does_not_end_refuses_the_end(rooms):
    database = await filled(rooms, write_validator=ENDLESS)
    with pytest.raises(ScriptError, match="timed out"):
        async with database.write_transaction("people", rooms.host) as transaction:
            await transaction.create([doc(_id="x")])
    assert is_free(database)


async def test_a_save_keeps_what_the_read_filter_hides(rooms, identities):
    owner, other = next(identities), next(identities)
    body = f"if (reader === '{owner.text}') return instance; if (instance._id === 'h') return null; delete instance.age; return instance"
    database = await filled(rooms, doc(_id="a", name="A", age=1), doc(_id="h"), read_filter=body)
    async with database.write_transaction("people", other) as transaction:
        assert seen(await transaction.reads.find_by_id("a")) == {"_id": "a", "name": "A"}
        assert not await transaction.reads.has(["h"])
        await transaction.save([doc(_id="a", name="B")])
        with pytest.raises(WriteDeniedError):
            await transaction.save([doc(_id="a", name="C"), doc(_id="h", name="B")])
    assert await everyone(database, owner) == {"a": {"_id": "a", "name": "B", "age": 1}, "h": {"_id": "h"}}


async def test_unique_values_are_those_at_the_end(rooms):
    database = await filled(
        rooms, doc(_id="a", name="A"), doc(_id="b", name="B"), indexes=(Index("name", unique=True),)
    )
    async with database.write_transaction("people", rooms.host) as transaction:
        await transaction.save([doc(_id="a", name="B")])
        await transaction.save([doc(_id="b", name="A")])
        await transaction.create([doc(_id="c", name="A")])
        await transaction.delete(["c"])
    with pytest.raises(UniqueConstraintError):
        async with database.write_transaction("people", rooms.host) as transaction:
            await transaction.create([doc(_id="x", name="X")])
            await transaction.create([doc(_id="y", name="X")])
    stored = await everyone(database, rooms.host)
    assert {key: document["name"] for key, document in stored.items()} == {"a": "B", "b": "A"}


async def test_a_read_transaction_keeps_its_state(rooms):
    database = await filled(rooms, doc(_id="a", name="A"), doc(_id="b", name="B"), indexes=(Index("name"),))
    query = json.dumps({"ands": [{"fieldPath": "name", "operation": 0, "value": {"string": "A"}}]}).encode()
    async with database.read_transaction("people", rooms.host) as transaction:
        await database.save("people", [doc(_id="a", name="C"), doc(_id="b", name="A")], rooms.host)
        await database.update_collection(CollectionConfig("people", SCHEMA))
        await database.create("people", [doc(_id="c", name="A")], rooms.host)
        await asyncio.sleep(0.2)
        assert [seen(text)["_id"] for text in await transaction.find(query)] == ["a"]
        assert await transaction.has(["a", "b"])
        assert not await transaction.has(["c"])
        assert seen(await transaction.find_by_id("b"))["name"] == "B"
    assert {seen(text)["_id"] for text in await database.find("people", query, rooms.host)} == {"b", "c"}


async def test_an_unknown_collection_has_no_transactions(rooms):
    database = await filled(rooms)
    for begin in (database.read_transaction, database.write_transaction):
        with pytest.raises(CollectionNotFoundError):
            async with begin("nobody", rooms.host):
                pass
    assert is_free(database)


async def test_a_transaction_that_is_open_for_too_long_is_aborted_and_frees_the_sequence(open_rooms):
    rooms = await open_rooms(transaction_seconds=0.3)
    database = await filled(rooms, doc(_id="a"))
    for begin in (database.read_transaction, database.write_transaction):
        started = time.monotonic()
        with pytest.raises(TransactionTooOldError) as aborted:
            async with begin("people", rooms.host) as transaction:
                if begin == database.write_transaction:
                    await transaction.create([doc(_id="x")])
                await asyncio.sleep(60)
        assert aborted.value.code is StatusCode.ABORTED
        assert 0.25 < time.monotonic() - started < 2
        assert is_free(database)
    assert set(await everyone(database, rooms.host)) == {"a"}


async def test_a_busy_transaction_has_the_same_limit(open_rooms):
    rooms = await open_rooms(transaction_seconds=0.3)
    database = await filled(rooms, *(doc(_id=str(number)) for number in range(100)), read_filter="return instance")
    with pytest.raises(TransactionTooOldError):
        async with database.write_transaction("people", rooms.host) as transaction:
            while True:
                await transaction.reads.find(b"{}")
    assert is_free(database)


async def test_a_silent_client_holds_nobody_up_for_longer_than_that(open_rooms):
    rooms = await open_rooms(transaction_seconds=0.3)
    database = await filled(rooms, doc(_id="a"))
    holding = await opened(database.write_transaction("people", rooms.host))
    started = time.monotonic()
    writers = [
        database.save("people", [doc(_id="a")], rooms.host),
        database.verify("people", [doc(_id="a")], rooms.host),
        database.update_collection(CollectionConfig("people", SCHEMA)),
    ]
    await asyncio.gather(*writers)
    assert time.monotonic() - started < 2
    with pytest.raises(TransactionTooOldError):
        await holding


async def test_readers_and_other_databases_do_not_wait_for_a_transaction(rooms):
    database, other = await filled(rooms, doc(_id="a")), await filled(rooms, doc(_id="a"))
    holding = await opened(database.write_transaction("people", rooms.host))
    async with asyncio.timeout(2):
        assert await database.has("people", ["a"], rooms.host)
        await database.find("people", b"{}", rooms.host)
        async with database.read_transaction("people", rooms.host) as transaction:
            assert await transaction.has(["a"])
        await other.save("people", [doc(_id="a")], rooms.host)
        await other.delete_collection("people")
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)


async def test_what_is_cancelled_leaves_nothing_behind(open_rooms):
    rooms = await open_rooms(wrap=Watched)
    database = await filled(rooms, doc(_id="a"))
    holding = await opened(database.write_transaction("people", rooms.host))
    reading = await opened(database.read_transaction("people", rooms.host))
    waiting = [
        asyncio.create_task(database.save("people", [doc(_id="b")], rooms.host)),
        asyncio.create_task(opened(database.write_transaction("people", rooms.host))),
    ]
    await asyncio.sleep(0.05)
    assert rooms.engine.open == 2
    for task in [*waiting, holding, reading]:
        task.cancel()
    await asyncio.gather(*waiting, holding, reading, return_exceptions=True)
    assert rooms.engine.open == 0
    assert is_free(database)
    await database.save("people", [doc(_id="c")], rooms.host)
    assert set(await everyone(database, rooms.host)) == {"a", "c"}


async def test_one_that_is_cancelled_while_a_script_runs_leaves_nothing_behind(open_rooms):
    rooms = await open_rooms(wrap=Watched)
    database = await filled(rooms, write_validator=ENDLESS)

    async def write():
        async with database.write_transaction("people", rooms.host) as transaction:
            await transaction.create([doc(_id="x")])

    task = asyncio.create_task(write())
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rooms.engine.open == 0
    assert is_free(database)
    assert await everyone(database, rooms.host) == {}


@pytest.mark.parametrize("kind", ["read_transaction", "write_transaction"])
async def test_deleting_a_collection_ends_its_transactions_at_once(rooms, kind):
    database = await filled(rooms, doc(_id="a"))
    holding = await opened(getattr(database, kind)("people", rooms.host))
    async with asyncio.timeout(2):
        await asyncio.gather(
            database.delete_collection("people"), database.delete_collection("people"), return_exceptions=True
        )
    with pytest.raises(CollectionNotFoundError):
        await holding
    await database.new_collection(CollectionConfig("people", SCHEMA))
    async with database.write_transaction("people", rooms.host) as transaction:
        await transaction.create([doc(_id="a")])


async def test_a_transaction_that_waits_for_another_does_not_hold_a_deletion_up(rooms):
    database = await filled(rooms, doc(_id="a"))
    holding = await opened(database.write_transaction("people", rooms.host))
    waiting = asyncio.create_task(opened(database.write_transaction("people", rooms.host)))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        await database.delete_collection("people")
    for task in (holding, await waiting):
        with pytest.raises(CollectionNotFoundError):
            await task
    assert is_free(database)


@pytest.mark.parametrize("kind", ["read_transaction", "write_transaction"])
async def test_deleting_a_database_ends_its_transactions_at_once(rooms, kind):
    database = await filled(rooms, doc(_id="a"))
    holding = await opened(getattr(database, kind)("people", rooms.host))
    deletions = [asyncio.create_task(rooms.manager.delete_db(database.thread_id)) for _ in range(2)]
    async with asyncio.timeout(2):
        done = await asyncio.gather(*deletions, return_exceptions=True)
    assert None in done
    with pytest.raises(DatabaseNotFoundError):
        await holding
    for begin in (database.read_transaction, database.write_transaction):
        with pytest.raises(DatabaseNotFoundError):
            async with begin("people", rooms.host):
                pass


async def test_deleting_twice_while_a_script_of_a_transaction_is_ended(rooms):
    database = await filled(rooms, doc(_id="a"), read_filter=ENDLESS)

    async def read():
        async with database.read_transaction("people", rooms.host) as transaction:
            await transaction.find_by_id("a")

    task = asyncio.create_task(read())
    await asyncio.sleep(0.5)
    deletions = [asyncio.create_task(rooms.manager.delete_db(database.thread_id)) for _ in range(2)]
    first, second = await asyncio.gather(*deletions, return_exceptions=True)
    assert first is None
    assert isinstance(second, DatabaseNotFoundError)
    with pytest.raises(DatabaseNotFoundError):
        await task


async def test_a_deletion_that_is_given_up_leaves_the_database(rooms):
    database = await filled(
        rooms, doc(_id="a"), write_validator=ENDLESS.replace("true", "event.patch.instance_id === 'x'") + "return true"
    )
    writing = asyncio.create_task(database.create("people", [doc(_id="x")], rooms.host))
    await asyncio.sleep(0.3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await rooms.manager.delete_db(database.thread_id)
    with pytest.raises(ScriptError):
        await writing
    again = rooms.manager.get(database.thread_id)
    await again.save("people", [doc(_id="b")], rooms.host)
    assert set(await everyone(again, rooms.host)) == {"a", "b"}
