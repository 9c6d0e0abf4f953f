"""An index never changes an answer."""

import asyncio
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from net.thread_id import ThreadID, Variant
from store import tables
from threadd.db import plans
from threadd.db.collections import CollectionConfig, Index
from threadd.db.errors import IndexNotUniqueError, UniqueConstraintError
from threadd.db.plans import Source
from threadd.db.queries import parse_query

ANYTHING = {"_id": {"type": "string"}}
PATHS = ["v", "w", "n.v", "_id"]


def config(*indexes, name="things"):
    """Values of every kind stand at indexed paths, though the schema says string there: it was tightened later."""
    properties = {
        "_id": {"type": "string"},
        "v": {"type": "string"},
        "w": {"type": "number"},
        "n": {"properties": {"v": {"type": "string"}}},
    }
    return CollectionConfig(name, json.dumps({"properties": properties}).encode(), indexes)


LOOSE = CollectionConfig("things", json.dumps({"properties": ANYTHING}).encode())
INDEXED = config(Index("v"), Index("w"), Index("n.v"))

long_text = st.sampled_from(["x" * 47, "x" * 48, "x" * 49, "x" * 60, "x" * 200]).flatmap(
    lambda head: st.sampled_from(["", "a", "b", "\u0000", "é"]).map(lambda tail: head + tail),
)
strings = st.sampled_from(["", "a", "b", "ab", "\u0000", "a\u0000", "é", "\U0001f600"]) | long_text
numbers = st.sampled_from([0, -0.0, 1, 1.5, -1, -2, 2**53, 2**53 + 1, 1e300, -1e300, 10**40, 5e-324])
scalars = st.none() | st.booleans() | numbers | strings
values = scalars | st.sampled_from([[], [1], ["a"], {}, {"a": 1}])
documents = st.fixed_dictionaries(
    {}, optional={"v": values, "w": values, "n": st.fixed_dictionaries({}, optional={"v": values}) | values}
)

criteria = st.builds(
    lambda path, operation, value: {"fieldPath": path, "operation": operation, "value": value},
    st.sampled_from(PATHS),
    st.integers(0, 5),
    strings.map(lambda text: {"string": text})
    | st.booleans().map(lambda flag: {"bool": flag})
    | numbers.map(lambda number: {"float": number}),
)
queries = st.recursive(
    st.fixed_dictionaries({}, optional={"ands": st.lists(criteria, max_size=3)}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={"ands": st.lists(criteria, max_size=2), "ors": st.lists(inner, min_size=1, max_size=3)},
    ),
    max_leaves=4,
).flatmap(
    lambda query: st.fixed_dictionaries(
        {},
        optional={
            "sort": st.builds(
                lambda path, desc: {"fieldPath": path, "desc": desc}, st.sampled_from(PATHS), st.booleans()
            ),
            "limit": st.integers(0, 6),
            "skip": st.integers(0, 4),
            "seek": st.sampled_from(["", "03", "07", "zz"]),
            "index": st.sampled_from(["v", "w", "nope"]),
        },
    ).map(lambda rest: query | rest),
)


async def collection_with(rooms, texts, after):
    """A collection that was filled while it took anything, and then got the configuration that is looked at."""
    database = await rooms.manager.new_db(
        ThreadID.random(Variant.RAW, os.urandom),
        collections=[LOOSE],
        identity=rooms.host,
    )
    await database.create("things", texts, rooms.host)
    await database.update_collection(after)
    return database


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(documents, max_size=12), st.lists(queries, min_size=1, max_size=8))
async def test_rows_are_the_same_with_and_without_an_index(rooms, contents, asked):
    texts = [json.dumps({"_id": f"{number:02}", **content}).encode() for number, content in enumerate(contents)]
    plain = await collection_with(rooms, texts, LOOSE)
    indexed = await collection_with(rooms, texts, INDEXED)
    for query in asked:
        data = json.dumps(query).encode()
        without = await database_ids(plain, data, rooms)
        assert without == await database_ids(indexed, data, rooms), query


async def database_ids(database, query, rooms):
    return [json.loads(text)["_id"] for text in await database.find("things", query, rooms.host)]


async def plan_of(database, rooms, query):
    with rooms.engine.snapshot() as snapshot:
        source = Source(snapshot, database._thread.number, database._catalogue.get("things"))
        plan = plans.choose(parse_query(json.dumps(query).encode()), source)
    return [span.index.path for span in plan.spans], plan.ordered


def where(path, operation, **value):
    return {"fieldPath": path, "operation": operation, "value": value}


async def test_the_planner_uses_indexes_by_itself(rooms):
    texts = [json.dumps({"_id": f"{n:05}", "v": str(n % 7), "w": n}).encode() for n in range(3000)]
    database = await collection_with(rooms, texts, INDEXED)
    equal, above = where("v", 0, string="3"), where("w", 2, float=2990)
    assert await plan_of(database, rooms, {"ands": [equal, above]}) == (["v"], True)
    assert await plan_of(database, rooms, {"ands": [above], "limit": 5}) == (["w"], False)
    assert await plan_of(database, rooms, {"ands": [where("w", 2, float=5)], "limit": 5}) == ([], True)
    assert await plan_of(database, rooms, {"sort": {"fieldPath": "w", "desc": True}, "limit": 5}) == (["w"], True)
    assert await plan_of(database, rooms, {"ors": [{"ands": [equal]}, {"ands": [above]}]}) == (["v", "w"], False)
    assert await plan_of(database, rooms, {"ors": [{"ands": [equal]}, {"ands": [where("z", 0, float=1)]}]}) == (
        [],
        True,
    )
    assert await plan_of(database, rooms, {"ands": [where("v", 1, string="3")]}) == ([], True)
    assert await plan_of(database, rooms, {}) == ([], True)
    rows = await database.find("things", json.dumps({"ands": [equal], "seek": "02990"}).encode(), rooms.host)
    assert [json.loads(row)["_id"] for row in rows] == ["02992", "02999"]


async def test_an_index_follows_creates_saves_and_deletes(rooms):
    database = await rooms.manager.new_db(
        ThreadID.random(Variant.RAW, os.urandom),
        collections=[config(Index("v"))],
        identity=rooms.host,
    )
    equal = json.dumps({"ands": [where("v", 0, string="x")]}).encode()

    async def found():
        return [json.loads(row)["_id"] for row in await database.find("things", equal, rooms.host)]

    await database.create("things", [b'{"_id":"a","v":"x"}', b'{"_id":"b","v":"y"}', b'{"_id":"c"}'], rooms.host)
    assert await found() == ["a"]
    await database.save("things", [b'{"_id":"a","v":"y"}', b'{"_id":"c","v":"x"}'], rooms.host)
    assert await found() == ["c"]
    await database.delete("things", ["c", "b"], rooms.host)
    assert await found() == []
    collection = database._catalogue.get("things").number
    left = list(rooms.engine.scan(*tables.index_entries_of_collection(database._thread.number, collection)))
    assert [instance_id for _, instance_id in left] == [b"a"]


async def test_an_index_that_is_no_longer_named_is_dropped(rooms):
    texts = [json.dumps({"_id": str(n), "v": "x"}).encode() for n in range(50)]
    database = await collection_with(rooms, texts, INDEXED)
    await database.update_collection(LOOSE)
    while list(rooms.engine.scan(*tables.deletions())):  # noqa: ASYNC110  # the sweeper tells nobody
        await asyncio.sleep(0.01)
    collection = database._catalogue.get("things").number
    assert list(rooms.engine.scan(*tables.index_entries_of_collection(database._thread.number, collection))) == []


async def unique(rooms):
    return await rooms.manager.new_db(
        ThreadID.random(Variant.RAW, os.urandom),
        collections=[config(Index("v", unique=True))],
        identity=rooms.host,
    )


@pytest.mark.parametrize("value", ["x", "", "x" * 48, "x" * 300])
async def test_a_unique_index_refuses_a_second_holder_of_a_value(rooms, value):
    database = await unique(rooms)

    def text(instance_id, held=value):
        return json.dumps({"_id": instance_id, "v": held}).encode()

    await database.create(
        "things", [text("a"), b'{"_id":"m1"}', b'{"_id":"m2"}', text("near", value + "y")], rooms.host
    )
    for instances in ([text("b")], [text("c", "new"), text("d", "new")]):
        with pytest.raises(UniqueConstraintError):
            await database.create("things", instances, rooms.host)
    with pytest.raises(UniqueConstraintError):
        await database.save("things", [text("m1")], rooms.host)
    await database.save("things", [text("a")], rooms.host)
    await database.save("things", [text("a", "other"), text("b")], rooms.host)
    await database.delete("things", ["b"], rooms.host)
    await database.create("things", [text("c")], rooms.host)


async def test_concurrent_creates_of_one_unique_value_leave_one(rooms):
    database = await unique(rooms)
    results = await asyncio.gather(
        *(database.create("things", [json.dumps({"v": "x"}).encode()], rooms.host) for _ in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, UniqueConstraintError) for result in results) == 19


async def test_a_unique_index_over_duplicates_is_refused_and_leaves_nothing(rooms):
    texts = [json.dumps({"_id": f"{n:04}", "v": str(n % 1500)}).encode() for n in range(3000)]
    database = await collection_with(rooms, texts, LOOSE)
    with pytest.raises(IndexNotUniqueError):
        await database.update_collection(config(Index("v", unique=True)))
    assert database.collection("things") == LOOSE
    while list(rooms.engine.scan(*tables.deletions())):  # noqa: ASYNC110  # the sweeper tells nobody
        await asyncio.sleep(0.01)
    collection = database._catalogue.get("things").number
    assert list(rooms.engine.scan(*tables.index_entries_of_collection(database._thread.number, collection))) == []
    await database.update_collection(config(Index("v")))
