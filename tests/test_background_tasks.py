"""Each kind of work in the background, made to fail once in a way that nobody foresaw: it is counted, and goes on."""

import asyncio
import os
import random

import pytest
import trio
from wires import Node, Wire, in_step, new_thread, until

from net.host.bridge import TrioThread
from net.host.guards import guarded
from net.host.host import Host
from net.keys import PrivateKey
from net.multiaddr import Multiaddr
from net.thread_id import ThreadID
from store import background, tables
from store.engine import Transaction
from store.errors import StoreError
from store.lmdb_engine import LmdbEngine
from threadd.db import sweeper as sweepers
from threadd.rooms import open_rooms
from threadd.web import grpc_door, measuring, metrics
from threadd.web.console import events

THREAD = ThreadID(bytes([1, 0x55]) + b"t" * 32)
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def failures():
    """How often work of a name has failed since the test began."""
    before = background.failures()
    return lambda name: background.failures().get(name, 0) - before.get(name, 0)


@pytest.fixture
def once():
    """Makes a method that raises at its first call, and is itself again then."""

    def make(method):
        calls = []

        def first_fails(*args, **kwargs):
            calls.append(args)
            if len(calls) == 1:
                raise ZeroDivisionError("of the test")
            return method(*args, **kwargs)

        return first_fails

    return make


@pytest.fixture
async def rooms(tmp_path):
    async with open_rooms(tmp_path / "repo") as made:
        yield made


async def test_deletions(rooms, failures, once, monkeypatch):
    monkeypatch.setattr(sweepers, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(sweepers.deletions, "next_slice", once(sweepers.deletions.next_slice))
    await rooms.databases.new_db(THREAD, identity=rooms.host_key.public)
    await rooms.databases.delete_db(THREAD)
    await until(lambda: not list(rooms.engine.scan(*tables.deletions())))
    assert failures("deletions") == 1


async def test_sweeps_of_blocks(rooms, failures, once, monkeypatch):
    await rooms.buckets.sweeping.close()
    swept = []
    sweeping = rooms.buckets.sweeping
    sweeping.rest = 0.01

    async def sweep(_self):
        swept.append(None)
        return 0

    monkeypatch.setattr(type(sweeping), "sweep", once(sweep))
    monkeypatch.setattr("threadd.buckets.sweeping._REST_FACTOR", 0)
    sweeping.start()
    await until(lambda: swept)
    assert failures("sweep of blocks") == 1


async def test_measuring_and_what_metrics_say_of_failures(rooms, failures, once, monkeypatch, tmp_path):
    monkeypatch.setattr(measuring, "SAMPLE_SECONDS", 0.01)
    measures = measuring.Measures(rooms.engine, rooms.databases, tmp_path, dict, lambda: True)
    measures._totals = once(measures._totals)
    measures.start()
    try:
        await until(lambda: measures.samples)
        assert failures("measuring") == 1
        count = background.failures()["measuring"]
        text = metrics.exposition(measures).decode()
        assert f'threadd_background_task_failures_total{{task="measuring"}} {float(count)}' in text
    finally:
        await measures.close()


async def test_the_watch_for_silent_connections(failures, once, monkeypatch):
    monkeypatch.setattr(grpc_door, "_LOOK_SECONDS", 0.01)
    looks = []
    monkeypatch.setattr(grpc_door.GrpcDoor, "_look", once(lambda _: looks.append(None)))
    door = grpc_door.GrpcDoor(None, "127.0.0.1", 0)
    await door.open()
    try:
        await until(lambda: looks)
        assert failures("keepalive") == 1
    finally:
        await door.close()


@pytest.mark.parametrize("method", ["_push_some", "_exchange", "_compare", "_written"])
async def test_the_exchange_with_peers(failures, once, method):
    wire = Wire()
    one, other = Node(wire), Node(wire)
    setattr(one.peering.sync, method, once(getattr(one.peering.sync, method)))
    one.start()
    other.start()
    try:
        thread, key = new_thread()
        await one.network.create_thread(thread, identity=one.key.public, key=key)
        await other.verbs.add_thread(one.address(thread), identity=other.key.public, key=key)
        await one.write(thread)
        await in_step(thread, one, other)
        await one.write(thread)
        await until(lambda: failures("exchange with peers") == 1)
        await in_step(thread, one, other)
        await one.write(thread)
        await in_step(thread, one, other)
    finally:
        await one.stop()
        await other.stop()
    assert failures("exchange with peers") == 1


async def test_events_of_the_console_end_for_the_page(rooms, failures, once, monkeypatch):
    database = await rooms.databases.new_db(THREAD, identity=rooms.host_key.public)
    monkeypatch.setattr(events, "_message", once(events._message))
    told = [piece async for piece in events.stream(database, rooms.host_key.public, None)]
    assert len(told) == 1
    assert told[0].startswith(b"event: end\n")
    assert failures("events of the console") == 1


async def test_the_writer_of_the_store(tmp_path, failures, monkeypatch):
    engine = LmdbEngine(tmp_path)
    transaction = Transaction()
    transaction.put(b"key", b"value")

    def fails(_batch):
        raise ZeroDivisionError("of the test")

    monkeypatch.setattr(engine, "_commit_batch", fails)
    with pytest.raises(StoreError, match="restart the daemon"):
        await engine.commit(transaction)
    monkeypatch.undo()
    assert failures("store writer") == 1
    assert not engine.is_sound
    with pytest.raises(StoreError):
        await engine.commit(transaction)
    await engine.close()


async def test_work_on_the_trio_side_goes_on_and_ends_nothing_else(failures):
    thread, done = TrioThread("test host"), []

    async def work():
        done.append(None)
        if len(done) < 3:
            raise ExceptionGroup("of the test", [ValueError("x")])

    async def fails():
        raise ZeroDivisionError

    async def start():
        thread.nursery.start_soon(guarded, "trio", work, 0.0)
        thread.nursery.start_soon(guarded, "once", fails)

    await thread.open()
    await thread.in_trio(start)
    await until(lambda: len(done) == 3 and failures("once") == 1)
    assert failures("trio") == 2
    await thread.in_trio(trio.lowlevel.checkpoint)
    await thread.close()


async def test_a_thread_that_ends_with_an_error_is_counted(failures):
    thread = TrioThread("broken host")

    async def fails():
        raise ZeroDivisionError

    async def start():
        thread.nursery.start_soon(fails)

    await thread.open()
    await thread.in_trio(start)
    await until(lambda: failures("broken host") == 1)
    await thread.close()


async def test_a_call_of_a_peer(failures):
    calls = []

    async def answer(_peer, _method, body):
        calls.append(body)
        if len(calls) == 1:
            raise ZeroDivisionError
        return body

    keys = [PrivateKey(random.randbytes(32)) for _ in range(2)]
    one, other = (Host(key, answer) for key in keys)
    where = Multiaddr.from_text("/ip4/127.0.0.1/tcp/0")
    try:
        address = await one.open(where, lambda found: [found.bytes] if found else [])
        await other.open(where, lambda found: [found.bytes] if found else [])
        one_id = keys[0].public.peer_id
        body = os.urandom(8)
        with pytest.raises(Exception, match="internal error"):
            await other.request(one_id, [address], "/net.pb.Service/GetLogs", body, 10)
        assert await other.request(one_id, [address], "/net.pb.Service/GetLogs", body, 10) == body
        assert failures("calls of peers") == 1
    finally:
        await one.close()
        await other.close()


async def test_a_call_that_fails_past_all_handlers(failures):
    async def fails():
        await asyncio.sleep(0)
        raise ZeroDivisionError

    task = asyncio.ensure_future(fails())
    background.watch("calls", task)
    await asyncio.wait({task})
    assert failures("calls") == 1
