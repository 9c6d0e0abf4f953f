"""The Python client against a real daemon."""

import asyncio
from contextlib import aclosing

import msgspec
import pytest

from store.errors import StatusCode
from threadd.client import (
    Action,
    Client,
    CollectionConfig,
    Identity,
    OperationRefusedError,
    RefusedError,
    where,
)
from threadd.client.testing import run_daemon


class Person(msgspec.Struct, kw_only=True, omit_defaults=True):
    id: str = msgspec.field(name="_id", default="")
    name: str
    born: int = 0


async def test_instances_come_back_as_they_were_written(people):
    [ada, alan] = await people.create([{"name": "Ada", "born": 1815}, {"name": "Alan", "born": 1912}])
    assert (await people.get(ada))["name"] == "Ada"
    await people.save([{"_id": ada, "name": "Ada Lovelace", "born": 1815}])
    assert [found["name"] for found in await people.find(where("born").lt(1900))] == ["Ada Lovelace"]
    assert await people.has([ada, alan])
    await people.delete([alan])
    assert not await people.has([ada, alan])


async def test_instances_may_be_of_a_class(db, people):
    typed = db.collection("people", Person)
    [ada] = await typed.create([Person(name="Ada", born=1815)])
    assert await typed.get(ada) == Person(id=ada, name="Ada", born=1815)


async def test_queries_say_all_that_the_daemon_knows(people):
    await people.create([{"_id": str(n), "name": f"n{n % 3}", "born": n} for n in range(10)])
    query = where("name").eq("n0").and_("born").gt(2).or_(where("born").eq(1)).order_by("born", descending=True)
    assert [found["born"] for found in await people.find(query)] == [9, 6, 3, 1]
    assert [found["born"] for found in await people.find(query.skip(1).limit(2))] == [6, 3]
    assert await people.count(query) == 4
    assert await people.count(query.skip(1).limit(2)) == 2
    assert await people.count() == 10


async def test_a_query_is_explained(people):
    await people.create([{"name": "x", "born": n} for n in range(10)])
    by_index = await people.explain(where("born").eq(3))
    assert (by_index.indexes, by_index.rows_read, by_index.rows_given) == (("born",), 1, 1)
    by_scan = await people.explain(where("name").eq("y"))
    assert (by_scan.indexes, by_scan.rows_read, by_scan.rows_given) == ((), 10, 0)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("path", ["_id", "born", "name"])
async def test_pages_stay_right_under_writes(people, path, descending):
    await people.create([{"_id": f"{n:03}", "name": f"n{n % 7}", "born": n % 5} for n in range(40)])
    seen = []
    async for page in people.pages(where("born").ge(0).order_by(path, descending=descending), size=7):
        assert len(page) <= 7
        seen += [found["_id"] for found in page]
        # Whatever comes and goes elsewhere in the order is nobody else's business.
        await people.create([{"_id": f"{page[0]['_id']}x", "name": "a", "born": 0}])
        await people.delete([f"{page[0]['_id']}x", seen[0]])
    expected = [f"{n:03}" for n in range(40)]
    key = {"_id": lambda n: n, "born": lambda n: (int(n) % 5, n), "name": lambda n: (int(n) % 7, n)}[path]
    assert seen == sorted(expected, key=key, reverse=descending)


async def test_a_cursor_is_only_what_a_page_gave(people, client):
    with pytest.raises(RefusedError) as caught:
        async for _ in people.pages(where("born").ge(0).limit(3)):
            pass
    assert caught.value.status is StatusCode.INVALID_ARGUMENT


async def test_a_refusal_tells_its_status_and_text(people):
    with pytest.raises(RefusedError, match="required") as caught:
        await people.create([{"born": 1}])
    assert caught.value.status is StatusCode.UNKNOWN
    with pytest.raises(RefusedError, match=r"^instance not found$"):
        await people.get("nobody")
    with pytest.raises(RefusedError, match="required"):
        await people.verify([{"_id": "x"}])


async def test_a_write_transaction_is_all_or_nothing(people):
    async with people.write_transaction() as transaction:
        [one] = await transaction.create([{"name": "one"}])
        with pytest.raises(OperationRefusedError):
            await transaction.create([{"born": 1}])
        assert not await transaction.has([one])
        await transaction.create([{"_id": "two", "name": "two"}])
        await transaction.delete(["two"])
    assert [found["_id"] for found in await people.find()] == [one]
    with pytest.raises(ZeroDivisionError):
        async with people.write_transaction() as transaction:
            await transaction.create([{"name": "never"}])
            raise ZeroDivisionError
    async with people.write_transaction() as transaction:
        await transaction.save([{"name": "never", "_id": "x"}])
        await transaction.discard()
    assert await people.count() == 1


async def test_a_commit_that_is_refused_is_told(db, people):
    with pytest.raises(RefusedError, match="already existent instance"):
        async with people.write_transaction() as transaction:
            await transaction.create([{"_id": "same", "name": "a"}])
            await transaction.create([{"_id": "same", "name": "b"}])
    with pytest.raises(RefusedError, match="collection not found"):
        async with (
            people._connection and type(people)(people._connection, people._thread, "nothing", dict).write_transaction()
        ):
            pass


async def test_a_read_transaction_sees_one_state(people):
    [ada] = await people.create([{"name": "Ada"}])
    async with people.read_transaction() as state:
        assert await state.has([ada])
        await people.create([{"name": "later"}])
        assert len(await state.find()) == 1
        assert (await state.get(ada))["name"] == "Ada"
        with pytest.raises(OperationRefusedError, match="instance not found"):
            await state.get("nobody")


async def test_databases_and_collections_are_listed_and_changed(client, db, people):
    assert db.id in {info.thread.text for info in await client.list_dbs()}
    assert (await db.info()).name == "first"
    [config] = await db.list_collections()
    assert (config.name, config.indexes, config.unique) == ("people", ("born",), ())
    await db.update_collection(CollectionConfig("people", config.schema, ["born"], ["name"]))
    assert set((await db.list_collections())[0].indexes) == {"born", "name"}
    await db.delete_collection("people")
    assert await db.list_collections() == []
    assert client.db(db.id).id == db.id


async def take(events, number):
    return [await anext(events) for _ in range(number)]


async def test_listening_tells_all_and_goes_on_from_a_position(people):
    async with asyncio.timeout(20), aclosing(people.listen()) as events:
        assert (await anext(events)).action is Action.READY
        [one] = await people.create([{"name": "one"}])
        await people.save([{"_id": one, "name": "two"}])
        await people.delete([one])
        told = await take(events, 3)
    assert [event.action for event in told] == [Action.CREATE, Action.SAVE, Action.DELETE]
    assert [event.instance and event.instance["name"] for event in told] == ["one", "two", None]
    async with asyncio.timeout(20), aclosing(people.listen(position=told[0].position)) as events:
        again = await take(events, 3)
    assert [event.action for event in again] == [Action.READY, Action.SAVE, Action.DELETE]
    assert again[1:] == told[1:]


async def test_listening_may_begin_with_all_that_is_there(people):
    await people.create([{"_id": name, "name": name} for name in ("a", "b")])
    async with asyncio.timeout(20), aclosing(people.listen(snapshot=True)) as events:
        told = await take(events, 3)
        assert [(event.action, event.instance_id) for event in told] == [
            (Action.PRESENT, "a"),
            (Action.PRESENT, "b"),
            (Action.READY, ""),
        ]
        await people.delete(["a"])
        assert (await anext(events)).action is Action.DELETE


async def test_a_position_that_lies_ahead_is_refused(people):
    with pytest.raises(RefusedError) as caught:
        await anext(people.listen(position=999))
    assert caught.value.status is StatusCode.OUT_OF_RANGE


async def test_a_position_whose_changes_are_gone_is_refused(people):
    for _ in range(3):
        async with people.write_transaction() as transaction:
            for first in range(0, 4_000, 1_000):
                await transaction.create([{"name": str(first + n)} for n in range(1_000)])
    with pytest.raises(RefusedError, match="begin with a snapshot") as caught:
        async with asyncio.timeout(60), aclosing(people.listen(position=1)) as events:
            async for _ in events:
                pass
    assert caught.value.status is StatusCode.OUT_OF_RANGE


HIDING = """
if (instance.name === "secret") return null
return instance
"""


async def test_what_a_read_filter_hides_is_not_told_of(db):
    hidden = await db.new_collection("hidden", read_filter=HIDING)
    async with asyncio.timeout(20), aclosing(hidden.listen()) as events:
        await anext(events)
        await hidden.create([{"_id": "s", "name": "secret"}])
        await hidden.delete(["s"])
        await hidden.create([{"_id": "o", "name": "open"}])
        await hidden.delete(["o"])
        assert [(event.action, event.instance_id) for event in await take(events, 2)] == [
            (Action.CREATE, "o"),
            (Action.DELETE, "o"),
        ]
    await hidden.create([{"name": "secret"}, {"name": "open"}])
    assert await hidden.count() == 1
    assert [len(page) async for page in hidden.pages(size=1)] == [1]


async def test_a_listener_outlives_its_daemon(repo):
    with run_daemon(repo) as first:
        async with Client(first.threads_api) as client:
            db = await client.new_db()
            people = await db.new_collection("people")
            async with asyncio.timeout(60), aclosing(people.listen()) as events:
                await anext(events)
                await people.create([{"_id": "before"}])
                assert (await anext(events)).instance_id == "before"
                last = (await anext(people.listen())).position
    # A daemon on the same port, on which something was written before the listener is back.
    with run_daemon(repo, "--threads-api", first.threads_api) as second:
        async with Client(second.threads_api) as client:
            people = client.db(db.id).collection("people")
            await people.create([{"_id": "meanwhile"}])
            async with asyncio.timeout(20), aclosing(people.listen(position=last)) as events:
                assert [event.instance_id for event in await take(events, 2)] == ["", "meanwhile"]


async def test_a_broken_line_is_mended_without_a_gap(repo, tmp_path):
    with run_daemon(repo) as first:
        address = first.threads_api
        async with Client(address) as client:
            db = await client.new_db()
            await db.new_collection("people")
    async with Client(address) as listening, asyncio.timeout(90):
        events = listening.db(db.id).listen()
        with run_daemon(repo, "--threads-api", address):
            await anext(events)
        with run_daemon(repo, "--threads-api", address):
            async with Client(address) as client:
                await client.db(db.id).collection("people").create([{"_id": "after"}])
                assert (await anext(events)).instance_id == "after"
        await events.aclose()


async def test_the_hubs_door_takes_a_signed_key_and_a_token(shared_daemon):
    key = shared_daemon.create_key()
    async with Client(shared_daemon.hub_api, api_key=key) as client:
        with pytest.raises(RefusedError):
            await client.new_db()
        identity = Identity.random()
        token = await client.authenticate(Identity.from_text(identity.to_text()))
        db = await client.new_db(name="mine")
        people = await db.new_collection("people")
        [one] = await people.create([{"name": "x"}])
        assert await people.count() == 1
    async with Client(shared_daemon.hub_api, api_key=key, token=token) as client:
        assert (await client.db(db.id).collection("people").get(one))["name"] == "x"
        with pytest.raises(RefusedError):
            await client.list_dbs()
    async with Client(shared_daemon.hub_api) as client:
        with pytest.raises(RefusedError):
            await client.db(db.id).collection("people").count()


async def test_a_client_that_is_not_open_says_so():
    with pytest.raises(RuntimeError, match="async with"):
        await Client("127.0.0.1:1").list_dbs()


async def test_a_test_may_have_a_daemon_of_its_own(threadd_daemon):
    async with Client(threadd_daemon.threads_api) as client:
        assert await client.list_dbs() == []
