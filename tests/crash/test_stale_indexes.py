"""A daemon that is killed while it rebuilds indexes goes on at its next start, and answers rightly all the while."""

import contextlib
import signal
from collections.abc import Callable

import pytest
from daemons import Daemon, DaemonError
from format_1 import write_as_format_1

from store.failpoints import VARIABLE, Failpoint
from store.repository import open_repository
from threadd.client import Client, Identity, where
from threadd.client.instances import encode
from threadd.db.collections import Index
from threadd.maintenance.verification import verify

SCHEMA = {
    "properties": {"_id": {"type": "string"}, "größe": {"type": "number"}, "имя": {"type": "string"}},
}
COUNT = 1_800


async def fill(daemon: Daemon) -> str:
    async with Client(daemon.threads_api) as client:
        await client.authenticate(Identity.random())
        db = await client.new_db()
        things = await db.new_collection("things", schema=SCHEMA)
        await things.create({"_id": f"{n:04}", "größe": n, "имя": f"n{n}"} for n in range(COUNT))
    return db.thread.text


async def check(daemon: Daemon, thread: str) -> tuple[str, ...]:
    """Ask in all ways, and give the indexes that are used."""
    async with Client(daemon.threads_api) as client:
        await client.authenticate(Identity.random())
        things = client.db(thread).collection("things")
        assert [found["_id"] for found in await things.find(where("größe").eq(7))] == ["0007"]
        assert await things.count(where("имя").eq("n7")) == 1
        last = await things.find(where("größe").ge(0).order_by("größe", descending=True).limit(1))
        assert [found["_id"] for found in last] == [f"{COUNT - 1:04}"]
        explained = [await things.explain(where("größe").eq(7)), await things.explain(where("имя").eq("n7"))]
    return tuple(path for one in explained for path in one.indexes)


@pytest.mark.parametrize("place", [Failpoint.INDEX_SLICE, Failpoint.INDEX_BUILT, Failpoint.SWEEP_SLICE])
async def test_a_kill_while_indexes_are_rebuilt(start_daemon: Callable[..., Daemon], place: Failpoint) -> None:
    daemon = start_daemon()
    thread = await fill(daemon)
    daemon.stop()
    repository = open_repository(daemon.repo)
    indexes = [Index("größe", unique=True), Index("имя")]
    await write_as_format_1(repository.engine, "things", indexes, schema=encode(SCHEMA))
    await repository.close()
    for count in (1, 2):
        daemon.variables = {VARIABLE: f"{place}=kill@{count}"}
        with contextlib.suppress(DaemonError):  # It may die on its way up.
            daemon.start()
        assert daemon.process.wait(30) == -signal.SIGKILL, daemon.said()
        assert verify(daemon.repo).faults == []
    daemon.variables = {}
    daemon.start()
    await check(daemon, thread)
    async with Client(daemon.threads_api) as client:
        await client.authenticate(Identity.random())
        await client.db(thread).collection("things").create([{"_id": "x"}])
    assert await check(daemon, thread) == ("größe", "имя")
    daemon.stop()
    assert verify(daemon.repo).faults == []
