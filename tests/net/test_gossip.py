"""GossipSub: the router on its own, hosts that gossip, and daemons with `--pubsub`."""

import asyncio
import itertools
import os
import random
import time

import pytest
from peers import Api, in_step, new_thread
from wires import until

from net import varints
from net.host import gossip
from net.host.gossip import BadGossipError, GossipRouter
from net.host.host import Host
from net.host.library import RPC, IOException, PubSubMessage
from net.keys import PrivateKey
from net.multiaddr import Multiaddr
from proto import threadsnet_pb2 as pb

TOPIC = "a topic"


class World:
    """Routers whose messages are carried when `carry` is called."""

    def __init__(self):
        self.now, self.routers, self.heard, self.cut = 0.0, {}, {}, set()

    def add(self, *topics):
        key = PrivateKey(os.urandom(32))
        router = GossipRouter(key, 1, lambda: self.now, lambda _: None, random.Random(1))
        self.routers[key.public.peer_id], self.heard[key.public.peer_id] = router, []
        for topic in topics:
            router.join(topic)
        router.id = key.public.peer_id
        return router

    def connect(self, one, other):
        one.connect(other.id)
        other.connect(one.id)

    def carry(self, *, good=True):
        busy = True
        while busy:
            busy = False
            for sender, router in self.routers.items():
                for receiver, target in self.routers.items():
                    while data := router.data_to_send(receiver):
                        busy = True
                        if (sender, receiver) in self.cut:
                            continue
                        _, start = varints.decode(data)
                        for said in target.receive(sender, data[start:]):
                            self.heard[receiver].append((said.topic, said.data))
                            (target.pass_on(said, sender) if good else target.forget(said))

    def beat(self, seconds=1):
        for _ in range(seconds):
            self.now += 1
            for router in self.routers.values():
                router.beat()
            self.carry()


@pytest.fixture
def world():
    return World()


def line(world, number):
    """Routers in a line, each connected to the one before."""
    routers = [world.add(TOPIC) for _ in range(number)]
    for one, other in itertools.pairwise(routers):
        world.connect(one, other)
    world.carry()
    world.beat()
    return routers


def test_a_message_goes_through_all_that_hear_of_its_topic_and_to_each_once(world):
    first, *others = line(world, 5)
    stranger = world.add("something else")
    world.connect(first, stranger)
    world.carry()
    assert first.publish(TOPIC, b"said")
    world.carry()
    for router in others:
        assert world.heard[router.id] == [(TOPIC, b"said")]
    assert world.heard[first.id] == world.heard[stranger.id] == []


def test_what_is_not_good_goes_no_further(world):
    first, second, third = line(world, 3)
    first.publish(TOPIC, b"bad")
    world.carry(good=False)
    world.beat(3)
    assert world.heard[second.id] == [(TOPIC, b"bad")]
    assert world.heard[third.id] == []


def test_a_message_that_was_lost_is_asked_for(world):
    routers = [world.add(TOPIC) for _ in range(16)]
    for number, one in enumerate(routers):
        for other in routers[:number]:
            world.connect(one, other)
    world.carry()
    world.beat(3)
    first, last = routers[0], routers[-1]
    world.cut = {(each.id, last.id) for each in routers}
    first.publish(TOPIC, b"said")
    world.carry()
    assert world.heard[last.id] == []
    world.cut = set()
    world.beat(3)
    assert world.heard[last.id] == [(TOPIC, b"said")]


def test_nobody_hears_of_a_topic_that_was_left(world):
    first, second = line(world, 2)
    second.leave(TOPIC)
    world.carry()
    assert first.peers_of(TOPIC) == set()
    assert not second.publish(TOPIC, b"said")
    second.join(TOPIC)
    world.carry()
    first.disconnect(second.id)
    assert first.peers_of(TOPIC) == set()


def test_a_peer_that_is_pruned_is_left_alone_for_a_while(world):
    first, second = line(world, 2)
    rpc = RPC()
    rpc.control.prune.add(topicID=TOPIC)
    first.receive(second.id, rpc.SerializeToString())
    first.beat()
    assert not first.data_to_send(second.id)
    world.now += gossip.BACKOFF_SECONDS + 1
    first.beat()
    _, start = varints.decode(data := first.data_to_send(second.id))
    assert [graft.topicID for graft in RPC.FromString(data[start:]).control.graft] == [TOPIC]


def signed(key, topic=TOPIC, data=b"said", number=1):
    message = PubSubMessage(from_id=key.public.peer_id, data=data, seqno=number.to_bytes(8, "big"), topicIDs=[topic])
    message.signature = key.sign(b"libp2p-pubsub:" + message.SerializeToString())
    return message


def test_messages_that_are_not_signed_by_their_author_are_refused(world):
    router, key = world.add(TOPIC), PrivateKey(os.urandom(32))
    router.connect(key.public.peer_id)
    whole = signed(key)
    (heard,) = router.receive(key.public.peer_id, RPC(publish=[whole]).SerializeToString())
    assert heard.data == b"said"
    assert router.receive(key.public.peer_id, RPC(publish=[whole]).SerializeToString()) == []
    for change in (
        {"data": b"else"},
        {"signature": b""},
        {"from_id": PrivateKey(os.urandom(32)).public.peer_id},
        {"from_id": b"nobody"},
    ):
        forged = signed(key, number=2)
        for name, value in change.items():
            setattr(forged, name, value)
        with pytest.raises(BadGossipError):
            router.receive(key.public.peer_id, RPC(publish=[forged]).SerializeToString())
    assert router.receive(key.public.peer_id, RPC(publish=[signed(key, "other")]).SerializeToString()) == []
    with pytest.raises(BadGossipError):
        router.receive(key.public.peer_id, b"\xff\xff")


def test_a_peer_does_not_fill_the_memory(world):
    router, key = world.add(TOPIC), PrivateKey(os.urandom(32))
    router.connect(key.public.peer_id)
    for number in range(gossip.MAX_TOPICS + 100):
        said = [RPC.SubOpts(subscribe=True, topicid=f"{number}")]
        router.receive(key.public.peer_id, RPC(subscriptions=said).SerializeToString())
    assert len(router._peers[key.public.peer_id].topics) == gossip.MAX_TOPICS
    router.receive(
        key.public.peer_id, RPC(subscriptions=[RPC.SubOpts(subscribe=False, topicid="1")]).SerializeToString()
    )
    router.receive(
        key.public.peer_id, RPC(subscriptions=[RPC.SubOpts(subscribe=True, topicid=TOPIC)]).SerializeToString()
    )
    assert router.peers_of(TOPIC) == {key.public.peer_id}
    for _ in range(gossip.MAX_QUEUED + 50):
        assert router.publish(TOPIC, b"x")
    assert router.dropped > 0
    assert len(router._peers[key.public.peer_id].queue) == gossip.MAX_QUEUED
    assert not router.publish(TOPIC, bytes(gossip.MAX_MESSAGE_BYTES))


class Hearer:
    """A host that keeps what it hears."""

    def __init__(self):
        self.heard, self.good = [], True
        self.host = Host(PrivateKey(os.urandom(32)), self.echo, gossip=self.take)
        self.id = self.host._key.public.peer_id

    async def echo(self, peer, method, body):
        return body

    async def take(self, peer, topic, data):
        if data == b"a bug":
            raise RuntimeError
        self.heard.append((peer, topic, data))
        return self.good

    async def peers(self, topic):
        return await self.host.gossip_peers(topic)


@pytest.fixture
async def hearers():
    """Two hosts that are connected and both hear of a topic."""
    one, other = Hearer(), Hearer()
    try:
        where = await one.host.open(Multiaddr.from_text("/ip4/127.0.0.1/tcp/0"), lambda _: [])
        await other.host.open(None, lambda _: [])
        for hearer in (one, other):
            hearer.host.join(TOPIC)
        assert await other.host.request(one.id, [where], "/a/b", b"x", 5) == b"x"
        async with asyncio.timeout(5):
            while not (await one.peers(TOPIC) and await other.peers(TOPIC)):  # noqa: ASYNC110 - as `until`
                await asyncio.sleep(0.01)
        yield one, other
    finally:
        await other.host.close()
        await one.host.close()


async def test_hosts_hear_each_other(hearers):
    one, other = hearers
    one.host.publish(TOPIC, b"from one")
    other.host.publish(TOPIC, bytes(gossip.MAX_MESSAGE_BYTES))
    other.host.publish(TOPIC, b"from other")
    await until(lambda: one.heard and other.heard)
    assert one.heard == [(other.id, TOPIC, b"from other")]
    assert other.heard == [(one.id, TOPIC, b"from one")]


async def test_garbage_and_what_is_too_long_is_refused_and_counted_and_nothing_else_ends(hearers):
    one, other = hearers

    async def write(data):
        (connection,) = other.host._require().connections()
        stream = await connection._open(*gossip.PROTOCOLS)
        await stream.write(data)
        try:
            assert not await stream.read(1)
        except IOException:
            return

    async def refused(reason):
        async with asyncio.timeout(5):
            while not (await one.host.gossip_refused()).get(reason):  # noqa: ASYNC110 - as `until`
                await asyncio.sleep(0.01)

    forged = RPC(publish=[signed(PrivateKey(os.urandom(32)))])
    forged.publish[0].data = b"else"
    forged = forged.SerializeToString()
    for reason, data in (
        ("oversized", varints.encode(gossip.MAX_MESSAGE_BYTES + 1)),
        ("garbage", varints.encode(2) + b"\xff\xff"),
        ("garbage", b"\xff" * 20),
        ("garbage", varints.encode(len(forged)) + forged),
    ):
        before = await one.host.gossip_refused()
        await other.host._thread.in_trio(write, data)
        await refused(reason)
        after = await one.host.gossip_refused()
        assert sum(after.values()) == sum(before.values()) + 1
    other.host.publish(TOPIC, b"a bug")
    await refused("unwanted")
    other.host.publish(TOPIC, b"still here")
    await until(lambda: one.heard)
    assert one.heard == [(other.id, TOPIC, b"still here")]
    assert await other.host.request(one.id, [], "/a/b", b"y", 5) == b"y"


def follow(api, origin, thread, key):
    """Join a thread so that its other hosts do not learn of it: with the service key alone and without a log."""
    address = next(iter(origin("GetThread", threadID=thread).addrs))
    api("AddThread", addr=address, keys=pb.Keys(threadKey=key[:32]))


def test_two_daemons_bring_each_other_records_by_pubsub(start_daemon):
    one, other = Api(start_daemon("--pubsub")), Api(start_daemon("--pubsub"))
    thread, key = new_thread()
    one.create(thread, key)
    one.write(thread)
    follow(other, one, thread, key)
    in_step(thread, one, other)
    time.sleep(5)  # who was given records is asked for some seconds whether it has them
    for _ in range(10):
        one.write(thread)
        in_step(thread, one, other, seconds=1)
