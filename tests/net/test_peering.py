"""Hosts of ours that exchange threads over a wire in memory, one that can be cut, with the peer's clients misbehaving."""

import asyncio
import contextlib
import os
import random

import pytest
from wires import WHERE, Node, Wire, in_step, new_thread, quiet, until

from net import cbor, peer_codec
from net.errors import (
    InvalidAddressError,
    KeyMismatchError,
    LogExistsError,
    MissingKeyError,
    RecordNotFoundError,
    ThreadNotFoundError,
)
from net.keys import PrivateKey
from net.multiaddr import Multiaddr, peer_address, thread_address
from net.peer_errors import PeerRefusedError, PeerUnreachableError
from net.peer_service import CHUNK_BYTES
from net.remote_logs import edges_of
from net.thread_key import ThreadKey
from proto import net_pb2 as pb
from store.errors import StatusCode


@pytest.fixture
async def wire():
    made = Wire()
    yield made
    for node in list(made.nodes.values()):
        await node.stop()


async def two(wire, records=3):
    one, other = Node(wire).start(), Node(wire).start()
    thread, key = new_thread()
    await one.network.create_thread(thread, identity=one.key.public, key=key)
    await one.write(thread, records)
    await other.verbs.add_thread(one.address(thread), identity=other.key.public, key=key)
    return one, other, thread, key


async def test_a_join_brings_all_records_and_both_see_each_others_writes(wire):
    one, other, thread, _ = await two(wire)
    await in_step(thread, one, other)
    for _ in range(3):
        await one.write(thread)
        await other.write(thread)
        await in_step(thread, one, other, seconds=2)
    assert len(one.heads(thread)) == 2
    await quiet(wire, thread, one, other)


async def test_a_write_is_pushed_with_one_call(wire):
    one, other, thread, _ = await two(wire)
    await other.write(thread)
    await quiet(wire, thread, one, other)
    # A cycle between the write and its push would show each side that the other has something else, and both would ask.
    one.scale = other.scale = 1_000
    await asyncio.sleep(0.5)
    await quiet(wire, thread, one, other)
    wire.calls.clear()
    await one.write(thread)
    await in_step(thread, one, other)
    pushed = [call for call in wire.calls if call[2] != "ExchangeEdges"]
    assert pushed == [(one.id, other.id, "PushRecord")]


async def test_a_first_write_takes_its_log_along(wire):
    one, other, thread, _ = await two(wire)
    await quiet(wire, thread, one, other)
    await one.network.create_record(thread, cbor.text_string("x"), PrivateKey(bytes(32)).public)
    await in_step(thread, one, other, seconds=1)


async def test_many_records_come_in_chunks(wire):
    one = Node(wire).start()
    thread, key = new_thread()
    await one.network.create_thread(thread, identity=one.key.public, key=key)
    body = cbor.byte_string(bytes(200_000))
    for _ in range(60):
        await one.network.create_record(thread, body, one.key.public)
    other = Node(wire).start()
    await other.verbs.add_thread(one.address(thread), identity=other.key.public, key=key)
    await in_step(thread, one, other)
    assert sum(method == "GetRecords" for _, _, method in wire.calls) >= 60 * 200_000 // CHUNK_BYTES


async def test_a_host_that_was_away_catches_up_without_another_write(wire):
    one, other, thread, _ = await two(wire)
    await in_step(thread, one, other)
    engine, key = other.engine, other.key
    await other.stop()
    await one.write(thread, 100)
    other = Node(wire, engine, key).start()
    await in_step(thread, one, other)


async def test_what_was_written_while_all_others_were_away_reaches_them(wire):
    one, other, thread, _ = await two(wire)
    await in_step(thread, one, other)
    wire.cut.add(other.id)
    await one.write(thread, 5)
    await other.write(thread, 5)
    await asyncio.sleep(0.2)
    wire.cut.clear()
    await in_step(thread, one, other)
    await quiet(wire, thread, one, other)


async def test_a_third_joins_from_the_second_while_the_first_is_gone(wire):
    one, other, thread, key = await two(wire, 50)
    await in_step(thread, one, other)
    await one.stop()
    third = Node(wire).start()
    await third.verbs.add_thread(other.address(thread), identity=third.key.public, key=key)
    await in_step(thread, other, third)
    await third.write(thread, 2)
    await in_step(thread, other, third)
    again = Node(wire, one.engine, one.key).start()
    await in_step(thread, again, other, third)
    await quiet(wire, thread, again, other, third)


async def test_a_replicator_without_the_read_key(wire):
    one, replicator = Node(wire).start(), Node(wire).start()
    thread, key = new_thread()
    await one.network.create_thread(thread, identity=one.key.public, key=key)
    await one.write(thread, 3)
    address = WHERE.encapsulate(peer_address(replicator.id))
    assert await one.verbs.add_replicator(thread, address) == replicator.id
    await in_step(thread, one, replicator)
    assert replicator.threads.get(replicator.engine, thread).key == ThreadKey(key.service)
    await one.write(thread, 3)
    await in_step(thread, one, replicator)
    joined = Node(wire).start()
    await joined.verbs.add_thread(replicator.address(thread), identity=joined.key.public, key=key)
    await in_step(thread, one, joined, replicator)
    assert edges_of(one.engine, thread) == edges_of(replicator.engine, thread)


async def test_a_replicator_that_is_away_changes_nothing(wire):
    one = Node(wire).start()
    thread, key = new_thread()
    before = await one.network.create_thread(thread, identity=one.key.public, key=key)
    with pytest.raises(PeerUnreachableError):
        await one.verbs.add_replicator(thread, WHERE.encapsulate(peer_address(PrivateKey(bytes(32)).public.peer_id)))
    assert one.threads.get(one.engine, thread) == before
    with pytest.raises(ThreadNotFoundError):
        await one.verbs.add_replicator(new_thread()[0], WHERE.encapsulate(peer_address(one.id)))
    assert await one.verbs.add_replicator(thread, WHERE.encapsulate(peer_address(one.id))) == one.id


async def test_joins_that_fail_leave_nothing_behind(wire):
    one, other, thread, key = await two(wire)
    third = Node(wire).start()
    unknown, _ = new_thread()
    stranger = PrivateKey(bytes(32)).public.peer_id
    wrong = ThreadKey(os.urandom(32), key.read)
    join = third.verbs.add_thread
    for address, given, error in (
        (one.address(thread), wrong, PeerRefusedError),
        (one.address(unknown), key, PeerRefusedError),
        (thread_address(WHERE, stranger, thread), key, PeerUnreachableError),
        (one.address(thread), None, MissingKeyError),
        (third.address(thread), key, ThreadNotFoundError),
        (WHERE, key, InvalidAddressError),
        (WHERE.encapsulate(peer_address(one.id)), key, InvalidAddressError),
    ):
        with pytest.raises(error):
            await join(address, identity=third.key.public, key=given)
        assert list(third.threads.list(third.engine)) == []
        assert third.peering.sync.states() == []
    await join(one.address(thread), identity=third.key.public, key=key)
    with pytest.raises(LogExistsError):
        await join(one.address(thread), identity=third.key.public, key=key)
    identity = PrivateKey(b"x" * 32).public
    with pytest.raises((KeyMismatchError, PeerRefusedError)):
        await join(one.address(thread), identity=identity, key=wrong)
    await join(other.address(thread), identity=identity, key=key)
    await in_step(thread, one, other, third)


async def test_an_address_of_our_own_is_not_dialled(wire):
    one, _, thread, key = await two(wire)
    identity = PrivateKey(b"y" * 32).public
    wire.calls.clear()
    await one.verbs.add_thread(one.address(thread), identity=identity, key=key)
    # Where an address says that the host is does not count.
    elsewhere = thread_address(Multiaddr.from_text("/dns4/example.com/tcp/1"), one.id, thread)
    await one.verbs.add_thread(elsewhere, identity=PrivateKey(b"w" * 32).public, key=key)
    assert (one.id, one.id) not in {call[:2] for call in wire.calls}


async def test_a_record_that_is_elsewhere_is_pulled_once(wire):
    one, other, thread, _ = await two(wire)
    await in_step(thread, one, other)
    await other.peering.sync.close()
    wire.nodes.pop(other.id)
    (record,) = await one.write(thread)
    wire.nodes[other.id] = other
    assert await other.verbs.get_record(thread, record.record.cid) == record.record.blocks
    with pytest.raises(RecordNotFoundError):
        await other.verbs.get_record(thread, record.record.cid[:-1] + bytes([record.record.cid[-1] ^ 1]))
    wire.cut.add(one.id)
    with pytest.raises(PeerUnreachableError):
        await other.verbs.pull_thread(thread)


async def test_a_thread_that_is_deleted_is_asked_for_no_more(wire):
    one, other, thread, _ = await two(wire)
    await in_step(thread, one, other)
    await other.network.delete_thread(thread)
    await one.write(thread, 3)
    await asyncio.sleep(0.5)
    assert list(other.threads.list(other.engine)) == []
    assert all(state.threads == 0 for state in other.peering.sync.states())


class Stranger:
    """Calls a node with whatever bytes it likes."""

    def __init__(self, wire, node):
        self.id = PrivateKey(os.urandom(32)).public.peer_id
        self.end, self.node = wire.of(self.id), node

    async def call(self, method, message):
        body = message if isinstance(message, bytes) else message.SerializeToString()
        return await self.end.request(self.node.id, [], peer_codec.SERVICE + method, body, 1)

    async def refused(self, method, message):
        with pytest.raises(PeerRefusedError) as refused:
            await self.call(method, message)
        return refused.value.status


async def test_what_strangers_may_not_do(wire):
    one, other, thread, key = await two(wire)
    await in_step(thread, one, other)
    before = one.heads(thread)
    stranger = Stranger(wire, one)
    id_ = thread.bytes
    for method, request in (("GetLogs", pb.GetLogsRequest), ("GetRecords", pb.GetRecordsRequest)):
        body = request.Body
        assert await stranger.refused(method, request(body=body(threadID=id_))) == StatusCode.UNAUTHENTICATED
        wrong = body(threadID=id_, serviceKey=bytes(32))
        assert await stranger.refused(method, request(body=wrong)) == StatusCode.UNAUTHENTICATED
        short = body(threadID=id_, serviceKey=bytes(31))
        assert await stranger.refused(method, request(body=short)) == StatusCode.INTERNAL
        unknown = body(threadID=new_thread()[0].bytes, serviceKey=bytes(32))
        assert await stranger.refused(method, request(body=unknown)) == StatusCode.NOT_FOUND
        assert await stranger.refused(method, request()) == StatusCode.INVALID_ARGUMENT
        assert await stranger.refused(method, request(body=body(serviceKey=key.service))) == StatusCode.INVALID_ARGUMENT
    for method in ("GetLogs", "GetRecords", "PushLog", "PushRecord", "ExchangeEdges"):
        assert await stranger.refused(method, b"\xff\xff") == StatusCode.INVALID_ARGUMENT
        assert await stranger.refused(method, b"") == StatusCode.INVALID_ARGUMENT
    assert await stranger.refused("Nothing", b"") == StatusCode.UNIMPLEMENTED
    assert one.heads(thread) == before


async def test_pushed_logs_of_strangers(wire):
    one, other, thread, service_key = await two(wire)
    stranger = Stranger(wire, one)
    key = PrivateKey(os.urandom(32)).public
    good = {"ID": key.peer_id, "pubKey": key.bytes, "head": b"", "addrs": [b"junk", peer_address(key.peer_id).bytes]}

    def push(log, thread_id=thread.bytes, **more):
        return pb.PushLogRequest(body=pb.PushLogRequest.Body(threadID=thread_id, log=pb.Log(**log), **more))

    def pushed():
        return next(log for log in one.threads.get(one.engine, thread).logs if log.id == key.peer_id)

    for missing in ("ID", "pubKey", "head"):
        log = {name: value for name, value in good.items() if name != missing}
        assert await stranger.refused("PushLog", push(log)) == StatusCode.INVALID_ARGUMENT
    for wrong in ({"ID": other.id}, {"head": b"x"}, {"pubKey": b"x"}):
        assert await stranger.refused("PushLog", push(good | wrong)) == StatusCode.INVALID_ARGUMENT
    assert await stranger.refused("PushLog", push(good, serviceKey=bytes(32))) == StatusCode.UNAUTHENTICATED
    assert await stranger.refused("PushLog", push(good, new_thread()[0].bytes)) == StatusCode.NOT_FOUND
    await stranger.call("PushLog", push(good))
    assert pushed().addresses == ()
    stranger_log = push(good, serviceKey=service_key.service)
    await stranger.call("PushLog", stranger_log)
    assert pushed().addresses == (peer_address(key.peer_id).bytes,)


async def test_strangers_are_not_called_back_with_the_service_key(wire):
    one, other, thread, key = await two(wire)
    await in_step(thread, one, other)
    liar = Liar(wire, {})
    log = PrivateKey(os.urandom(32)).public
    told = pb.Log(ID=log.peer_id, pubKey=log.bytes, head=b"", addrs=[peer_address(liar.id).bytes])
    edges = pb.ExchangeEdgesRequest.Body.ThreadEntry(threadID=thread.bytes, addressEdge=1, headsEdge=1)
    messages = [
        ("PushLog", pb.PushLogRequest(body=pb.PushLogRequest.Body(threadID=thread.bytes, log=told))),
        ("ExchangeEdges", pb.ExchangeEdgesRequest(body=pb.ExchangeEdgesRequest.Body(threads=[edges]))),
    ]
    for method, message in messages:
        await wire.of(liar.id).request(one.id, [], peer_codec.SERVICE + method, message.SerializeToString(), 1)
    await asyncio.sleep(0.3)
    assert liar.calls == 0
    body = pb.GetLogsRequest.Body(threadID=thread.bytes, serviceKey=key.service)
    for method, message in [("GetLogs", pb.GetLogsRequest(body=body)), *messages]:
        await wire.of(liar.id).request(one.id, [], peer_codec.SERVICE + method, message.SerializeToString(), 1)
    await until(lambda: liar.calls)


async def test_who_was_given_all_that_he_lacks_is_left_to_take_it_in(wire):
    one, other, thread, key = await two(wire)
    await in_step(thread, one, other)
    log_id = next(log_id for log_id, (head, _) in one.heads(thread).items() if head is not None)
    whole, part = Liar(wire, {}), Liar(wire, {})
    for liar, limit in ((whole, 100), (part, 1)):
        entry = pb.GetRecordsRequest.Body.LogEntry(logID=log_id, offset=b"", limit=limit)
        body = pb.GetRecordsRequest.Body(threadID=thread.bytes, serviceKey=key.service, logs=[entry])
        request = pb.GetRecordsRequest(body=body).SerializeToString()
        await wire.of(liar.id).request(one.id, [], peer_codec.SERVICE + "GetRecords", request, 1)
    await until(lambda: part.calls)
    await asyncio.sleep(0.3)
    assert whole.calls == 0


async def test_pushed_records_of_strangers(wire):
    one, other, thread, _ = await two(wire)
    await in_step(thread, one, other)
    other_thread, other_key = new_thread()
    await other.network.create_thread(other_thread, identity=other.key.public, key=other_key)
    (foreign,) = await other.write(other_thread)
    log_id = next(iter(one.heads(thread)))
    before = one.heads(thread)
    stranger = Stranger(wire, one)

    def push(blocks, log=log_id):
        record = pb.Log.Record(
            recordNode=blocks.record, eventNode=blocks.event, headerNode=blocks.header, bodyNode=blocks.body
        )
        body = pb.PushRecordRequest.Body(threadID=thread.bytes, logID=log, record=record)
        return pb.PushRecordRequest(body=body, counter=2**62)

    assert await stranger.refused("PushRecord", push(foreign.record.blocks)) == StatusCode.INVALID_ARGUMENT
    assert await stranger.refused("PushRecord", push(foreign.record.blocks, b"no log")) == StatusCode.NOT_FOUND
    assert one.heads(thread) == before


@pytest.mark.parametrize("seed", range(6))
async def test_any_course_of_writes_cuts_and_restarts_ends_with_the_same_heads(wire, seed):
    chance = random.Random(seed)
    nodes = [Node(wire).start() for _ in range(3)]
    thread, key = new_thread()
    await nodes[0].network.create_thread(thread, identity=nodes[0].key.public, key=key)
    for node in nodes[1:]:
        await node.verbs.add_thread(nodes[0].address(thread), identity=node.key.public, key=key)
    for _ in range(60):
        place = chance.randrange(3)
        match chance.choice(["write", "write", "write", "cut", "heal", "restart", "wait", "pull"]):
            case "write":
                who = chance.choice([None, PrivateKey(bytes([chance.randrange(2)]) * 32).public])
                await nodes[place].write(thread, chance.randrange(1, 40), who)
            case "cut":
                wire.cut.add(nodes[place].id)
            case "heal":
                wire.cut.discard(nodes[place].id)
            case "restart":
                nodes[place] = (await nodes[place].restart()).start()
            case "pull":
                with contextlib.suppress(PeerUnreachableError):
                    await nodes[place].verbs.pull_thread(thread)
            case "wait":
                await asyncio.sleep(chance.random() / 20)
    wire.cut.clear()
    try:
        await in_step(thread, *nodes)
        await quiet(wire, thread, *nodes)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    for number, position in nodes[0].heads(thread).values():
        assert position > 0 or number is None


class Liar:
    """A host that answers as it likes to whoever asks it."""

    def __init__(self, wire, answers):
        self.id = PrivateKey(os.urandom(32)).public.peer_id
        self.peering = self
        self.service = self
        self.answers = answers
        self.calls = 0
        wire.nodes[self.id] = self

    def is_connected(self, peer, dialled):
        pass

    async def stop(self):
        pass

    async def handle(self, caller, method, body):
        self.calls += 1
        answer = self.answers.get(method.removeprefix(peer_codec.SERVICE))
        if answer is None:
            raise ThreadNotFoundError
        return answer if isinstance(answer, bytes) else answer.SerializeToString()


async def test_hosts_that_answer_nonsense_harm_nobody(wire):
    one, other, thread, key = await two(wire)
    await in_step(thread, one, other)
    good = one.threads.get(one.engine, thread)
    (foreign,) = await one.write(thread, 1, PrivateKey(b"z" * 32).public)
    await in_step(thread, one, other)
    blocks = foreign.record.blocks
    record = pb.Log.Record(
        recordNode=blocks.record, eventNode=blocks.event, headerNode=blocks.header, bodyNode=blocks.body
    )
    own = next(log for log in good.logs if log.counter)
    message = peer_codec.log_message(own, b"", 2**62)
    entry = pb.GetRecordsReply.LogEntry(logID=own.id, records=[record], log=message)
    edges = pb.ExchangeEdgesReply(
        edges=[pb.ExchangeEdgesReply.ThreadEdges(threadID=thread.bytes, addressEdge=1, headsEdge=1)]
    )
    liars = [
        Liar(wire, {"ExchangeEdges": edges, "GetLogs": b"\xff", "GetRecords": b"\xff"}),
        Liar(wire, {"ExchangeEdges": edges, "GetRecords": pb.GetRecordsReply(logs=[entry, entry])}),
        Liar(wire, {"ExchangeEdges": edges, "GetLogs": pb.GetLogsReply(logs=[pb.Log()])}),
        Liar(wire, {"ExchangeEdges": b"\x0a\xff"}),
        Liar(wire, {}),
    ]
    for liar in liars:
        log = PrivateKey(os.urandom(32)).public
        told = pb.Log(ID=log.peer_id, pubKey=log.bytes, head=b"", addrs=[peer_address(liar.id).bytes])
        body = pb.PushLogRequest.Body(threadID=thread.bytes, log=told, serviceKey=key.service)
        await Stranger(wire, one).call("PushLog", pb.PushLogRequest(body=body))
    before = one.heads(thread)
    await asyncio.sleep(1)
    assert one.heads(thread) == before
    assert all(0 < liar.calls < 150 for liar in liars), [liar.calls for liar in liars]
    await one.write(thread, 3)
    await other.write(thread, 3)
    await in_step(thread, one, other)
