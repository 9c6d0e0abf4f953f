"""Costly schemas on every way into a database: who brings one is refused, the event loop stays free, logs go on."""

import asyncio

import msgspec
import pytest
from costly_schemas import TOO_COSTLY, TOO_COSTLY_TO_COMPILE, WRONG_AND_DEEP, doc, loop_stays_free, text
from hosts import CREATE, HOST, KEY, THREAD, Host, Log, patch

from net.patches import Patch
from store import databases as database_rows
from store.engine import Transaction
from store.repository import open_repository
from threadd.db.collections import CollectionConfig
from threadd.db.errors import InvalidSchemaError, SchemaCostError, SchemaViolationError
from threadd.db.joint import Creation, create_together
from threadd.db.workers import WorkerPool

PATTERNS = TOO_COSTLY_TO_COMPILE["patterns that repeat repeats"]
OTHER = CollectionConfig("other", text())
REFUSED = {**TOO_COSTLY, **WRONG_AND_DEEP}


async def create(database, data):
    await database.create("things", [data], HOST.public)


async def save(database, data):
    await database.save("things", [data], HOST.public)


async def verify(database, data):
    await database.verify("things", [data], HOST.public)


async def write_in_a_transaction(database, data):
    async with database.write_transaction("things", HOST.public) as transaction:
        await transaction.create([data])


async def create_with_others(database, data):
    await create_together([Creation(database, "other", doc()), Creation(database, "things", data)], HOST.public)


WRITES = [create, save, verify, write_in_a_transaction, create_with_others]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(("schema", "data"), REFUSED.values(), ids=REFUSED)
async def test_a_write_that_is_costly_to_check_is_refused_and_the_next_one_is_taken(write, schema, data):
    async with Host() as host:
        database = await host.open(CollectionConfig("things", schema), OTHER)
        with loop_stays_free(), pytest.raises((SchemaCostError, SchemaViolationError)) as refused:
            await write(database, data)
        assert len(refused.value.text) < 1_000
        assert host.documents() == host.documents("other") == {}
        await database.create("other", [doc()], HOST.public)


async def test_a_schema_that_takes_too_long_to_compile_leaves_nothing_behind():
    costly = CollectionConfig("things", PATTERNS)
    async with Host() as host:
        with loop_stays_free(), pytest.raises(InvalidSchemaError, match="takes too long"):
            await host.manager.new_db(THREAD, key=KEY, collections=[costly], identity=HOST.public)
        database = await host.open(OTHER)
        with loop_stays_free(), pytest.raises(InvalidSchemaError, match="takes too long"):
            await database.new_collection(costly)
        with loop_stays_free(), pytest.raises(InvalidSchemaError, match="takes too long"):
            await database.update_collection(CollectionConfig("other", PATTERNS))
        assert database.list_collections() == [OTHER]


def costly_log(data):
    log = Log(1)
    log.append(patch(CREATE, "before", 1))
    log.append(Patch("a", "things", CREATE, data, 2))
    log.append(patch(CREATE, "after", 3, collection="other"))
    return log


@pytest.mark.parametrize(("schema", "data"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after its collection came"])
async def test_a_record_of_a_peer_that_is_costly_to_check_is_marked_and_the_log_goes_on(schema, data, waits):
    log = costly_log(data)
    things = CollectionConfig("things", schema)
    async with Host() as host:
        await host.open(*([OTHER] if waits else [things, OTHER]), logs=[log])
        with loop_stays_free():
            await host.database.accept(log.id, log.records)
            if waits:
                await host.database.new_collection(things)
        assert host.refused(log, 2) != ""
        assert host.refused(log, 3) == ""
        assert set(host.documents("other")) == {"after"}
        assert "a" not in host.documents()


async def test_writers_have_their_turn_between_costly_records():
    schema, data = TOO_COSTLY["references twice over"]
    log = Log(1)
    for number in range(3):
        log.append(Patch(str(number), "things", CREATE, data, number))
    async with Host() as host:
        database = await host.open(CollectionConfig("things", schema), OTHER, logs=[log])
        accepted = asyncio.create_task(database.accept(log.id, log.records))
        await asyncio.sleep(0)
        await database.create("other", [doc()], HOST.public)
        assert not accepted.done()
        await accepted
        assert all(host.refused(log, position) for position in (1, 2, 3))


async def test_a_kept_schema_that_compiles_too_slowly_refuses_writes_and_marks_records():
    """One that an earlier version took is still there: reads go on, and an update mends it."""
    log = costly_log(doc())
    async with Host() as host:
        await host.open(CollectionConfig("things", text()), OTHER, logs=[log])
        await host.database.create("things", [doc(_id="kept")], HOST.public)
        thread = host.threads.number(host.engine, THREAD)
        row = msgspec.structs.replace(host.database._catalogue.row("things"), schema=PATTERNS)
        transaction = Transaction()
        database_rows.put_collection(transaction, thread, row)
        await host.engine.commit(transaction)
        host.manager._forget(host.database)
        host.database = host.manager.get(THREAD)
        with loop_stays_free():
            with pytest.raises(SchemaCostError):
                await create(host.database, doc())
            await host.database.accept(log.id, log.records)
        assert "takes too long" in host.refused(log, 1)
        assert host.refused(log, 3) == ""
        assert await host.database.has("things", ["kept"], HOST.public)
        await host.database.update_collection(CollectionConfig("things", text()))
        await create(host.database, doc())


@pytest.mark.parametrize(("schema", "data"), REFUSED.values(), ids=REFUSED)
async def test_after_a_restart_nothing_that_is_kept_is_checked_again(schema, data, tmp_path, monkeypatch):
    log = costly_log(data)
    repository = open_repository(tmp_path / "repo")
    async with Host(repository.engine) as host:
        await host.open(CollectionConfig("things", schema), OTHER, logs=[log])
        await host.database.accept(log.id, log.records)
    await repository.close()
    log.append(patch(CREATE, "later", 4, collection="other"))

    async def refuse(*_):
        raise AssertionError("a worker is asked")

    monkeypatch.setattr(WorkerPool, "call", refuse)
    repository = open_repository(tmp_path / "repo")
    async with Host(repository.engine) as host:
        with loop_stays_free():
            host.database = host.manager.get(THREAD)
            await host.database.accept(log.id, log.records)
        assert set(host.documents("other")) == {"after", "later"}
        assert host.refused(log, 2) != ""
        await host.database.update_collection(CollectionConfig("things", text()))
    await repository.close()
