"""Following the changes of a database, without a wire."""

import asyncio
import json
import os
import random
from collections import deque

import pytest

from net.patches import PatchType
from net.thread_id import ThreadID, Variant
from store.errors import StatusCode, StoreFullError
from store.faulty import Fault, FaultyEngine
from threadd.db import listeners
from threadd.db.collections import CollectionConfig
from threadd.db.errors import (
    CollectionNotFoundError,
    DatabaseNotFoundError,
    ListenerTooSlowError,
    ScriptError,
    StoppingError,
    TransactionEndedError,
    WriteDeniedError,
)
from threadd.db.listeners import Event, ListenFilter

SCHEMA = json.dumps({"properties": {"_id": {"type": "string"}, "age": {"type": "integer"}}}).encode()
CREATE, SAVE, DELETE = PatchType.CREATE, PatchType.SAVE, PatchType.DELETE


def doc(**fields):
    return json.dumps(fields).encode()


async def made(rooms, **parts):
    """A database with the collections `people`, made with some parts, and `more`."""
    configs = [CollectionConfig("people", SCHEMA, **parts), CollectionConfig("more", SCHEMA)]
    return await rooms.manager.new_db(
        ThreadID.random(Variant.RAW, os.urandom), collections=configs, identity=rooms.host
    )


def short(event):
    """An event with the age of the instance instead of the instance."""
    document = None if event.instance is None else json.loads(event.instance)
    if document is not None:
        assert document["_id"] == event.instance_id
        assert document["_mod"] > 0
    return event.collection, event.action, event.instance_id, document and document.get("age")


async def heard(listener, number):
    """The next events of a listener, in short."""
    events = listener.events()
    try:
        async with asyncio.timeout(20):
            return [short(await anext(events)) for _ in range(number)]
    finally:
        await events.aclose()


async def rest(listener):
    """All events until the listener ends, in short, and its end."""
    events = []
    try:
        async with asyncio.timeout(20):
            async for event in listener.events():
                events.append(short(event))  # noqa: PERF401 - what came before the end is kept
    except (ListenerTooSlowError, DatabaseNotFoundError, CollectionNotFoundError, StoppingError, ScriptError) as error:
        return events, error
    raise AssertionError


def people(action, instance_id, age=None):
    return "people", action, instance_id, age


async def test_every_change_comes_with_its_value_at_that_change(rooms):
    database = await made(rooms)
    await database.create("people", [doc(_id="before")], rooms.host)
    with database.listen((), rooms.host) as listener:
        await database.create("people", [doc(_id="a", age=1), doc(_id="b")], rooms.host)
        async with database.write_transaction("people", rooms.host) as transaction:
            await transaction.create([doc(_id="x")])
            await transaction.save([doc(_id="x", age=1)])
            await transaction.save([doc(_id="x", age=2)])
            await transaction.delete(["x"])
        await database.save("people", [doc(_id="a", age=3)], rooms.host)
        await database.delete("people", ["nobody", "a", "b"], rooms.host)
        assert await heard(listener, 9) == [
            people(CREATE, "a", 1),
            people(CREATE, "b"),
            people(CREATE, "x"),
            people(SAVE, "x", 1),
            people(SAVE, "x", 2),
            people(DELETE, "x"),
            people(SAVE, "a", 3),
            people(DELETE, "a"),
            people(DELETE, "b"),
        ]


async def test_a_write_is_told_before_it_is_answered(rooms):
    database = await made(rooms)
    with database.listen((), rooms.host) as listener:
        for number in range(20):
            await database.create("people", [doc(_id=str(number))], rooms.host)
            assert len(listener._queue) == number + 1


async def test_what_is_not_committed_is_not_told(open_rooms):
    faults = deque()
    rooms = await open_rooms(wrap=lambda engine: FaultyEngine(engine, faults))
    database = await made(rooms, write_validator="return event.patch.instance_id !== 'bad'")
    with database.listen((), rooms.host) as listener:
        with pytest.raises(WriteDeniedError):
            await database.create("people", [doc(_id="good"), doc(_id="bad")], rooms.host)
        with pytest.raises(TransactionEndedError):
            async with database.write_transaction("people", rooms.host) as transaction:
                await transaction.create([doc(_id="discarded")])
                transaction.discard()
        await database.verify("people", [doc(_id="verified")], rooms.host)
        await database.delete("people", ["nobody"], rooms.host)
        faults.append(Fault.FULL)
        with pytest.raises(StoreFullError):
            await database.create("people", [doc(_id="full")], rooms.host)
        await database.create("people", [doc(_id="kept")], rooms.host)
        assert await heard(listener, 1) == [people(CREATE, "kept")]
        assert not listener._queue


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ([], [0, 1, 2, 3, 4]),
        ([ListenFilter()], [0, 1, 2, 3, 4]),
        ([ListenFilter(collection="more")], [1]),
        ([ListenFilter(instance_id="a")], [0, 1, 3]),
        ([ListenFilter(action=CREATE)], [0, 1, 2]),
        ([ListenFilter(action=SAVE)], [3]),
        ([ListenFilter(action=DELETE)], [4]),
        ([ListenFilter("people", "b", CREATE)], [2]),
        ([ListenFilter("more"), ListenFilter(action=DELETE), ListenFilter(instance_id="a", action=CREATE)], [0, 1, 4]),
        ([ListenFilter("nobody")], []),
    ],
)
async def test_a_listener_hears_what_any_of_its_filters_accepts(rooms, filters, wanted):
    database = await made(rooms)
    with database.listen(filters, rooms.host) as listener:
        await database.create("people", [doc(_id="a")], rooms.host)
        await database.create("more", [doc(_id="a")], rooms.host)
        await database.create("people", [doc(_id="b")], rooms.host)
        await database.save("people", [doc(_id="a", age=1)], rooms.host)
        await database.delete("people", ["b"], rooms.host)
        await rooms.manager.delete_db(database.thread_id)
        everything = [
            people(CREATE, "a"),
            ("more", CREATE, "a", None),
            people(CREATE, "b"),
            people(SAVE, "a", 1),
            people(DELETE, "b"),
        ]
        events, _ = await rest(listener)
        assert events == [everything[number] for number in wanted]


async def test_what_the_read_filter_hides_is_no_event(rooms, identities):
    owner, other = next(identities), next(identities)
    body = f"if (reader === '{owner.text}') return instance; if (instance._id === 'h') return null; delete instance.age; return instance"
    database = await made(rooms, read_filter=body)
    with database.listen((), owner) as one, database.listen((), other) as two:
        await database.create("people", [doc(_id="h", age=1), doc(_id="a", age=1)], owner)
        await database.save("people", [doc(_id="h", age=2)], owner)
        await database.delete("people", ["h", "a"], owner)
        assert await heard(two, 2) == [people(CREATE, "a"), people(DELETE, "a")]
        assert await heard(one, 5) == [
            people(CREATE, "h", 1),
            people(CREATE, "a", 1),
            people(SAVE, "h", 2),
            people(DELETE, "h"),
            people(DELETE, "a"),
        ]


async def test_a_read_filter_that_fails_ends_the_stream_rather_than_leave_a_gap(rooms):
    database = await made(rooms, read_filter="if (instance._id === 'bad') throw new Error('no'); return instance")
    with database.listen((), rooms.host) as listener:
        await database.create("people", [doc(_id="a"), doc(_id="bad"), doc(_id="c")], rooms.host)
        events, error = await rest(listener)
        assert events == [people(CREATE, "a")]
        assert isinstance(error, ScriptError)


async def test_sixteen_writers_are_heard_in_commit_order_by_all(rooms, identities):
    database = await made(rooms)
    writers = [next(identities) for _ in range(16)]

    async def write(writer, number):
        dice = random.Random(number)
        for turn in range(20):
            instance_id = str(dice.randrange(10))
            if dice.random() < 0.3:
                await database.delete("people", [instance_id], writer)
            else:
                await database.save("people", [doc(_id=instance_id, age=number * 100 + turn)], writer)

    with database.listen((), rooms.host) as one, database.listen((), rooms.host) as two:
        await asyncio.gather(*(write(writer, number) for number, writer in enumerate(writers)))
        await database.create("people", [doc(_id="last")], rooms.host)
        stored = {
            text["_id"]: text.get("age") for text in map(json.loads, await database.find("people", b"{}", rooms.host))
        }
        await rooms.manager.delete_db(database.thread_id)
        events, _ = await rest(one)
        assert (await rest(two))[0] == events
    replayed = {}
    for _, action, instance_id, age in events:
        assert (action is CREATE) == (instance_id == "last")
        assert action is not DELETE or instance_id in replayed
        replayed[instance_id] = age
        if action is DELETE:
            del replayed[instance_id]
    assert replayed == stored


async def test_a_listener_that_is_too_slow_is_given_everything_before_and_then_ended(rooms, monkeypatch):
    monkeypatch.setattr(listeners, "MAX_QUEUED", 10)
    database = await made(rooms)
    with (
        database.listen((), rooms.host) as slow,
        database.listen((ListenFilter(instance_id="11"),), rooms.host) as quick,
    ):
        for number in range(12):
            await database.create("people", [doc(_id=str(number))], rooms.host)
        events, error = await rest(slow)
        assert [event[2] for event in events] == [str(number) for number in range(10)]
        assert isinstance(error, ListenerTooSlowError)
        assert error.code is StatusCode.RESOURCE_EXHAUSTED
        assert await heard(quick, 1) == [people(CREATE, "11")]
        await database.create("people", [doc(_id="more")], rooms.host)
        assert not slow._queue


async def test_large_changes_make_a_listener_too_slow_sooner(rooms, monkeypatch):
    monkeypatch.setattr(listeners, "MAX_QUEUED_BYTES", 100_000)
    database = await made(rooms)
    with database.listen((), rooms.host) as slow:
        for number in range(20):
            await database.create("people", [doc(_id=str(number), text="x" * 30_000)], rooms.host)
        events, error = await rest(slow)
        assert 1 < len(events) < 6
        assert isinstance(error, ListenerTooSlowError)
    with database.listen((), rooms.host) as one:
        await database.create("people", [doc(_id="large", text="x" * 300_000)], rooms.host)
        assert await heard(one, 1) == [people(CREATE, "large")]
        for number in range(20):
            await database.save("people", [doc(_id=str(number), text="y" * 30_000)], rooms.host)
            await heard(one, 1)


async def test_a_listener_ends_with_its_database(rooms):
    database = await made(rooms)
    with database.listen((), rooms.host) as one, database.listen((ListenFilter("people"),), rooms.host) as two:
        waiting = asyncio.create_task(rest(two))
        await database.create("people", [doc(_id="a")], rooms.host)
        await rooms.manager.delete_db(database.thread_id)
        for events, error in (await rest(one), await waiting):
            assert events == [people(CREATE, "a")]
            assert isinstance(error, DatabaseNotFoundError)
    with pytest.raises(DatabaseNotFoundError), database.listen((), rooms.host):
        pass


async def test_a_listener_of_one_collection_ends_with_it_and_others_go_on(rooms):
    database = await made(rooms)
    with (
        database.listen((ListenFilter("people"), ListenFilter("people", "a")), rooms.host) as people_only,
        database.listen((ListenFilter("people"), ListenFilter("more")), rooms.host) as both,
        database.listen((), rooms.host) as everything,
    ):
        await database.create("people", [doc(_id="a")], rooms.host)
        await database.delete_collection("people")
        events, error = await rest(people_only)
        assert events == [people(CREATE, "a")]
        assert isinstance(error, CollectionNotFoundError)
        await database.create("more", [doc(_id="b")], rooms.host)
        for listener in (both, everything):
            assert await heard(listener, 2) == [people(CREATE, "a"), ("more", CREATE, "b", None)]


async def test_a_listener_of_a_collection_that_is_not_there_yet_hears_of_it(rooms):
    database = await made(rooms)
    with database.listen((ListenFilter("later"),), rooms.host) as listener:
        await database.new_collection(CollectionConfig("later", SCHEMA))
        await database.create("later", [doc(_id="a")], rooms.host)
        assert await heard(listener, 1) == [("later", CREATE, "a", None)]


async def test_all_listeners_end_when_the_daemon_stops(rooms):
    database = await made(rooms)
    with database.listen((), rooms.host) as listener:
        await database.create("people", [doc(_id="a")], rooms.host)
        rooms.manager.end_listeners()
        events, error = await rest(listener)
        assert events == [people(CREATE, "a")]
        assert isinstance(error, StoppingError)


async def test_one_that_is_cancelled_leaves_no_listener_behind(rooms):
    database = await made(rooms)

    async def listen():
        with database.listen((), rooms.host) as listener:
            return await heard(listener, 2)

    tasks = [asyncio.create_task(listen()) for _ in range(100)]
    await asyncio.sleep(0)
    assert len(database._listeners) == 100
    await database.create("people", [doc(_id="a")], rooms.host)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(database._listeners) == 0
    await database.create("people", [doc(_id="b")], rooms.host)


async def test_an_event_is_what_the_listener_may_see(rooms):
    database = await made(rooms)
    with database.listen((), rooms.host) as listener:
        await database.create("people", [doc(_id="a")], rooms.host)
        events = listener.events()
        text = await database.find_by_id("people", "a", rooms.host)
        assert await anext(events) == Event("people", "a", CREATE, text)
        await events.aclose()
