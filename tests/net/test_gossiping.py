"""What is told by pubsub, and what of that is taken, on hosts without a network."""

import os

import pytest
from wires import Node, Wire, in_step, new_thread, until

from net.keys import PrivateKey
from proto import net_pb2 as pb


class PubSub:
    """Keeps what it is told."""

    def __init__(self):
        self.topics, self.said = set(), []

    def join(self, topic):
        self.topics.add(topic)

    def leave(self, topic):
        self.topics.remove(topic)

    def publish(self, topic, data):
        assert topic in self.topics
        self.said.append((topic, data))


@pytest.fixture
async def pair():
    """Two hosts with a thread; the first tells of its records by pubsub."""
    wire = Wire()
    one, other = Node(wire), Node(wire)
    one.pubsub = PubSub()
    one.peering.gossiping.start(one.pubsub)
    for node in (one, other):
        node.start()
    thread, key = new_thread()
    await one.network.create_thread(thread, identity=one.key.public, key=key)
    await other.verbs.add_thread(one.address(thread), identity=other.key.public, key=key)
    yield one, other, thread, wire
    for node in list(wire.nodes.values()):
        await node.stop()


async def test_records_that_are_made_here_are_told_and_taken(pair):
    one, other, thread, wire = pair
    await in_step(thread, one, other)
    wire.cut.add(one.id)
    await one.write(thread, 3)
    await until(lambda: len(one.pubsub.said) == 3)
    assert {topic for topic, _ in one.pubsub.said} == {thread.text}
    log_id = next(log for log, (_, counter) in one.heads(thread).items() if counter)
    pushed = [pb.PushRecordRequest.FromString(data) for _, data in one.pubsub.said]
    assert [(each.body.threadID, each.body.logID, each.counter) for each in pushed] == [
        (thread.bytes, log_id, position) for position in (1, 2, 3)
    ]
    for topic, data in one.pubsub.said:
        assert await other.peering.service.take_gossip(one.id, topic, data)
    await in_step(thread, one, other, seconds=1)
    wire.cut.clear()
    before = len(one.pubsub.said)
    await other.write(thread)
    await in_step(thread, one, other)
    assert len(one.pubsub.said) == before


async def test_what_comes_by_pubsub_is_judged(pair):
    one, other, thread, _ = pair
    await one.write(thread)
    await until(lambda: one.pubsub.said)
    topic, data = one.pubsub.said[0]
    take, stranger = other.peering.service.take_gossip, PrivateKey(os.urandom(32)).public.peer_id
    await in_step(thread, one, other)
    before = other.heads(thread)
    forged = pb.PushRecordRequest.FromString(data)
    forged.body.record.recordNode = forged.body.record.recordNode[:-1] + b"x"
    elsewhere = pb.PushRecordRequest.FromString(data)
    elsewhere.body.logID = stranger
    unknown = pb.PushRecordRequest.FromString(data)
    unknown.body.threadID = new_thread()[0].bytes
    for about, message in (
        (topic, b"\xff\xff"),
        (topic, b""),
        (topic, forged.SerializeToString()),
        (topic, elsewhere.SerializeToString()),
        (topic, unknown.SerializeToString()),
        (new_thread()[0].text, data),
        ("no thread", data),
    ):
        assert not await take(stranger, about, message)
    assert other.heads(thread) == before
    assert await take(stranger, topic, data)


async def test_a_thread_that_is_deleted_is_a_topic_no_longer(pair):
    one, other, thread, _ = pair
    await one.write(thread)
    await until(lambda: one.pubsub.said)
    topic, data = one.pubsub.said[0]
    await one.network.delete_thread(thread)
    assert not await one.peering.service.take_gossip(other.id, topic, data)
    assert one.pubsub.topics == set()
