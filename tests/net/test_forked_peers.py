"""Hosts of which one was put back to an earlier copy and wrote on: all end with the same history of its log."""

import copy
import os

import pytest
from wires import Node, Wire, in_step, new_thread, quiet

from net.keys import PrivateKey
from net.peer_client import PeerClient


@pytest.fixture
async def wire():
    made = Wire()
    yield made
    for node in list(made.nodes.values()):
        await node.stop()


async def put_back(wire, common, lost, written, more_nodes=0):
    """One host writes, is put back to a copy of before, writes again while it is alone, and comes back."""
    one, other = Node(wire).start(), Node(wire).start()
    thread, key = new_thread()
    await one.network.create_thread(thread, identity=one.key.public, key=key)
    first = await one.write(thread, common)
    await other.verbs.add_thread(one.address(thread), identity=other.key.public, key=key)
    await in_step(thread, one, other)
    kept = copy.deepcopy(one.engine)
    gone = await one.write(thread, lost)
    await in_step(thread, one, other)
    await one.stop()
    wire.cut.add(one.id)
    one = Node(wire, kept, one.key)
    again = await one.write(thread, written)
    wire.cut.clear()
    one.start()
    return one, other, thread, first, gone, again


@pytest.mark.parametrize(
    ("common", "lost", "written"),
    [(3, 2, 1), (3, 1, 2), (3, 2, 2), (200, 40, 90), (200, 90, 40), (0, 3, 5), (5, 150, 1)],
)
async def test_all_choose_the_same_history_and_keep_both(wire, common, lost, written):
    one, other, thread, first, gone, again = await put_back(wire, common, lost, written)
    await quiet(wire, thread, one, other)
    longer = min((gone, again), key=lambda records: (-len(records), records[-1].record.cid))
    ((head, counter),) = [entry for entry in one.heads(thread).values() if entry[1]]
    assert (head, counter) == (longer[-1].record.cid, common + len(longer))
    for record in (*first, *longer):
        for node in (one, other):
            assert await node.network.get_record(thread, record.record.cid) == record.record.blocks
    assert await other.network.get_record(thread, gone[0].record.cid) == gone[0].record.blocks
    assert await one.network.get_record(thread, again[0].record.cid) == again[0].record.blocks
    assert list(await one.peering.blocks([again[0].record.body_cid])) == [again[0].record.body_cid]
    for node in (one, other, one):
        await node.write(thread, 2)
        await in_step(thread, one, other)


async def test_two_that_write_one_log_end_with_one_history(wire):
    one, other, thread, *_ = await put_back(wire, 3, 2, 2)
    await in_step(thread, one, other)
    twin = Node(wire, copy.deepcopy(one.engine), PrivateKey(os.urandom(32)))
    twin.start()
    for _ in range(3):
        await twin.write(thread, 3, one.key.public)
        await one.write(thread, 2)
        await in_step(thread, one, other, twin)


async def test_a_head_that_nobody_signed_makes_nobody_look(wire, monkeypatch):
    one, other, thread, *_ = await put_back(wire, 10, 1, 0)
    await in_step(thread, one, other)
    await quiet(wire, thread, one, other)
    told = await PeerClient(wire.of(other.id), other.peering.book).get_logs(
        one.id, thread, one.threads.key(one.engine, thread).service
    )
    false = [type(log)(log.log, log.head and log.head[:-1] + b"?", 2**62) for log in told]

    async def get_logs(*_):
        return false

    async def get_records(*_, **__):
        asked.append(1)
        return []

    asked = []
    monkeypatch.setattr(other.peering.replication._puller._client, "get_logs", get_logs)
    monkeypatch.setattr(other.peering.replication._puller._client, "get_records", get_records)
    for _ in range(3):
        await other.peering.replication._puller.pull_records(one.id, thread)
    assert len(asked) == 3
