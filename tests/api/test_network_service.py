"""`threads.net.pb.API` end to end, with real gRPC clients over the real rooms."""

import asyncio

import grpc
import pytest
from grpc import StatusCode

from net import cbor, records, varints
from net.crypto import Cipher
from net.keys import PrivateKey
from net.multiaddr import Multiaddr, thread_address
from net.thread_id import ThreadID
from proto import threadsnet_pb2 as pb
from store import tables
from threadd.api import network_service
from threadd.hub.api_keys import KeyKind

ALICE = PrivateKey(b"a" * 32)
BOB = PrivateKey(b"b" * 32)
LOG_KEY = PrivateKey(b"l" * 32)
LOG_ID = LOG_KEY.public.peer_id
THREAD = bytes([1, 0x55]) + b"t" * 32
OTHER = bytes([1, 0x55]) + b"o" * 32
KEY = bytes(range(64))
KEYS = pb.Keys(threadKey=KEY, logKey=LOG_KEY.bytes)
PLACE = Multiaddr.from_text("/ip4/127.0.0.1/tcp/4006")
SCHEMA = b'{"properties": {"_id": {"type": "string"}}}'


@pytest.fixture
def api(threads_door, house):
    stubs = threads_door.of(network_service.DESCRIPTOR)
    return stubs.using([("authorization", f"bearer {house.token(ALICE)}")])


@pytest.fixture
def bob(api, house):
    return api.using([("authorization", f"bearer {house.token(BOB)}")])


@pytest.fixture
def subscribe(api):
    """Opens a stream that counts once this has returned."""

    async def opened(*threads):
        stub = api.channel.unary_stream(
            "/threads.net.pb.API/Subscribe",
            request_serializer=pb.SubscribeRequest.SerializeToString,
            response_deserializer=pb.NewRecordReply.FromString,
        )
        stream = stub(pb.SubscribeRequest(threadIDs=threads), metadata=api.metadata, timeout=20)
        await stream.initial_metadata()
        return stream

    return opened


def made_elsewhere(body, previous=None, log_key=LOG_KEY):
    blocks = records.build(
        body,
        service=Cipher(KEY[:32]),
        read=Cipher(KEY[32:]),
        log_key=log_key,
        author=ALICE.public,
        previous=previous,
        randomness=bytes,
    ).blocks
    return pb.Record(
        recordNode=blocks.record,
        eventNode=blocks.event,
        headerNode=blocks.header,
        bodyNode=blocks.body,
    )


async def test_a_thread_and_what_is_told_of_it(api, house):
    made = await api("CreateThread", threadID=THREAD, keys=KEYS)
    assert (made.threadID, made.threadKey) == (THREAD, KEY)
    (log,) = made.logs
    assert log.ID == LOG_ID
    assert (log.pubKey, log.privKey) == (LOG_KEY.public.bytes, LOG_KEY.bytes)
    assert [Multiaddr.from_bytes(address).peer_id() for address in log.addrs] == [house.rooms.host_key.public.peer_id]
    assert (log.head, log.counter) == (b"", bytes(8))
    for data in made.addrs:
        address = Multiaddr.from_bytes(data)
        assert address.thread_id() == ThreadID(THREAD)
        assert address.peer_id() == house.rooms.host_key.public.peer_id
    assert len(made.addrs) > 0
    assert await api("GetThread", threadID=THREAD) == made

    written = [await api("CreateRecord", threadID=THREAD, body=body) for body in (b"\xa0", b"\xbf\x61a\x01\xff")]
    assert {reply.logID for reply in written} == {log.ID}
    assert {reply.threadID for reply in written} == {THREAD}
    (log,) = (await api("GetThread", threadID=THREAD)).logs
    assert varints.decode_counter(log.counter) == 2
    read = await api("GetRecord", threadID=THREAD, recordID=log.head)
    assert read.record == written[1].record
    given = read.record
    opened = records.open_record(
        records.RecordBlocks(given.recordNode, given.eventNode, given.headerNode, given.bodyNode),
        service=Cipher(KEY[:32]),
        read=Cipher(KEY[32:]),
        log_key=LOG_KEY.public,
    )
    assert opened.body == b"\xa1\x61a\x01"
    assert opened.author == ALICE.public

    await api("PullThread", threadID=THREAD)
    await api("DeleteThread", threadID=THREAD)
    assert await api.refused("GetThread", threadID=THREAD) == (StatusCode.NOT_FOUND, "thread not found")


async def test_without_a_token_the_host_writes(threads_door, house):
    api = threads_door.of(network_service.DESCRIPTOR)
    made = await api("CreateThread", threadID=THREAD)
    assert len(made.threadKey) == 64
    reply = await api("CreateRecord", threadID=THREAD, body=b"\xa0")
    assert reply.logID == made.logs[0].ID
    key = Cipher(made.threadKey[:32])
    envelope = records.open_envelope(reply.record.recordNode, key)
    assert envelope.author == house.rooms.host_key.public.bytes


async def test_records_made_elsewhere(api):
    await api("CreateThread", threadID=THREAD, keys=pb.Keys(threadKey=KEY[:32], logKey=LOG_KEY.public.bytes))
    first = made_elsewhere(b"\xa0")
    at = {"threadID": THREAD, "logID": LOG_ID}
    for _ in range(2):
        await api("AddRecord", **at, record=first)
    (log,) = (await api("GetThread", threadID=THREAD)).logs
    assert (log.privKey, varints.decode_counter(log.counter)) == (b"", 1)
    assert (await api("GetRecord", threadID=THREAD, recordID=log.head)).record == first
    second = made_elsewhere(b"\x07", log.head)
    unknown = log.head[:-1] + bytes([log.head[-1] ^ 1])
    for fields, code, text in (
        ({}, StatusCode.INVALID_ARGUMENT, "record is required"),
        ({"record": pb.Record()}, StatusCode.INVALID_ARGUMENT, "invalid dag-cbor block"),
        ({"record": second, "logID": BOB.public.peer_id}, StatusCode.NOT_FOUND, "log not found"),
        ({"record": second, "threadID": OTHER}, StatusCode.NOT_FOUND, "thread not found"),
        ({"record": second, "threadID": b"x"}, StatusCode.INVALID_ARGUMENT, "expected 1 as the id version"),
        ({"record": made_elsewhere(b"\x07", log.head, BOB)}, StatusCode.UNAUTHENTICATED, "bad signature"),
        ({"record": made_elsewhere(b"\x08", unknown)}, StatusCode.FAILED_PRECONDITION, "does not follow the last one"),
    ):
        seen, details = await api.refused("AddRecord", **(at | fields))
        assert seen is code
        assert text in details
    await api("AddRecord", **at, record=second)
    assert await api.refused("CreateRecord", threadID=THREAD, body=b"\xa0") == (
        StatusCode.UNKNOWN,
        "a read-key is required to create records",
    )


async def test_refusals(api, bob, house):
    own, peer = house.rooms.host_key.public.peer_id, BOB.public.peer_id
    await api("CreateThread", threadID=THREAD, keys=KEYS)
    here = thread_address(PLACE, own, ThreadID(THREAD)).bytes
    there = thread_address(PLACE, peer, ThreadID(OTHER)).bytes
    before = house.rows()
    for stubs, rpc, fields, code, text in (
        (api, "CreateThread", {}, StatusCode.INVALID_ARGUMENT, "reading varint: buffer too small"),
        (api, "CreateThread", {"threadID": THREAD, "keys": KEYS}, StatusCode.UNKNOWN, "log already exists"),
        (bob, "CreateThread", {"threadID": THREAD}, StatusCode.UNKNOWN, "service-key mismatch"),
        (
            api,
            "CreateThread",
            {"threadID": OTHER, "keys": pb.Keys(threadKey=b"short")},
            StatusCode.INVALID_ARGUMENT,
            "invalid thread-key: invalid key",
        ),
        (
            api,
            "CreateThread",
            {"threadID": OTHER, "keys": pb.Keys(logKey=b"none")},
            StatusCode.INVALID_ARGUMENT,
            "invalid log-key",
        ),
        (api, "AddThread", {}, StatusCode.INVALID_ARGUMENT, "invalid multiaddr: it is empty"),
        (api, "AddThread", {"addr": b"\xff"}, StatusCode.INVALID_ARGUMENT, "invalid multiaddr"),
        (api, "AddThread", {"addr": PLACE.bytes}, StatusCode.INVALID_ARGUMENT, "/thread/"),
        (api, "AddThread", {"addr": here}, StatusCode.UNKNOWN, "log already exists"),
        (bob, "AddThread", {"addr": here}, StatusCode.UNKNOWN, "a service-key is required to add a thread"),
        (bob, "AddThread", {"addr": there, "keys": KEYS}, StatusCode.UNAVAILABLE, "does not talk to other hosts"),
        (api, "GetThread", {"threadID": OTHER}, StatusCode.NOT_FOUND, "thread not found"),
        (api, "PullThread", {"threadID": OTHER}, StatusCode.NOT_FOUND, "thread not found"),
        (api, "DeleteThread", {"threadID": OTHER}, StatusCode.NOT_FOUND, "thread not found"),
        (api, "AddReplicator", {"threadID": OTHER, "addr": there}, StatusCode.NOT_FOUND, "thread not found"),
        (
            api,
            "AddReplicator",
            {"threadID": THREAD, "addr": there},
            StatusCode.UNAVAILABLE,
            "does not talk to other hosts",
        ),
        (api, "AddReplicator", {"threadID": THREAD, "addr": PLACE.bytes}, StatusCode.INVALID_ARGUMENT, "p2p multiaddr"),
        (api, "CreateRecord", {"threadID": OTHER, "body": b"\xa0"}, StatusCode.NOT_FOUND, "thread not found"),
        (api, "CreateRecord", {"threadID": THREAD}, StatusCode.INVALID_ARGUMENT, "invalid dag-cbor block"),
        (api, "GetRecord", {"threadID": THREAD}, StatusCode.INVALID_ARGUMENT, "invalid cid"),
        (
            api,
            "GetRecord",
            {"threadID": THREAD, "recordID": b"\x01\x71\x12\x20" + bytes(32)},
            StatusCode.NOT_FOUND,
            "record not found",
        ),
        (
            api,
            "GetRecord",
            {"threadID": OTHER, "recordID": b"\x01\x71\x12\x20" + bytes(32)},
            StatusCode.NOT_FOUND,
            "thread not found",
        ),
    ):
        seen, details = await stubs.refused(rpc, **fields)
        assert (seen, text in details) == (code, True), (rpc, details)
    assert house.rows() == before


async def test_a_thread_of_this_host_is_joined_by_its_address(api, bob, house):
    made = await api("CreateThread", threadID=THREAD, keys=pb.Keys(threadKey=KEY))
    joined = await bob("AddThread", addr=made.addrs[-1], keys=KEYS)
    assert len(joined.logs) == 2
    assert joined == await api("GetThread", threadID=THREAD)
    assert (await bob("CreateRecord", threadID=THREAD, body=b"\xa0")).logID == LOG_ID
    reply = await api("AddReplicator", threadID=THREAD, addr=made.addrs[-1])
    assert reply.peerID == house.rooms.host_key.public.peer_id


async def test_a_deleted_thread_leaves_nothing(api, house):
    await api("CreateThread", threadID=OTHER)
    number_row = {tables.NUMBERS}
    before = [row for row in house.rows() if row[0] not in number_row]
    for _ in range(2):
        await api("CreateThread", threadID=THREAD, keys=KEYS)
        for _ in range(5):
            await api("CreateRecord", threadID=THREAD, body=b"\xa0")
        await api("DeleteThread", threadID=THREAD)
    for _ in range(200):
        after = [row for row in house.rows() if row[0] not in number_row]
        if after == before:
            break
        await asyncio.sleep(0.02)
    assert after == before


async def test_a_thread_of_a_database_is_not_deleted_from_under_it(api, threads_door, house, open_house, tmp_path):
    await threads_door("NewDB", dbID=THREAD)
    for rpc, fields in (("DeleteThread", {}), ("CreateRecord", {"body": b"\xa0"})):
        code, text = await api.refused(rpc, threadID=THREAD, **fields)
        assert code is StatusCode.FAILED_PRECONDITION
        assert "thread is in use: a database lives in it" in text
    assert (await api("GetThread", threadID=THREAD)).threadID == THREAD
    await threads_door("DeleteDB", dbID=THREAD)
    assert await api.refused("DeleteThread", threadID=THREAD) == (StatusCode.NOT_FOUND, "thread not found")


async def test_databases_open_after_a_refused_deletion_and_a_restart(open_house, open_channel, tmp_path):
    repo = tmp_path / "another"
    async with open_house(repo) as first, open_channel(first) as door:
        await door("NewDB", dbID=THREAD, name="kept")
        await door.of(network_service.DESCRIPTOR).refused("DeleteThread", threadID=THREAD)
    async with open_house(repo) as second, open_channel(second) as door:
        assert (await door("GetDBInfo", dbID=THREAD)).name == "kept"


async def test_records_are_told_in_commit_order(api, bob, subscribe):
    await api("CreateThread", threadID=THREAD, keys=KEYS)
    await api("CreateThread", threadID=OTHER)
    one, everything = await subscribe(THREAD), await subscribe()
    written = [
        await (api, bob)[place % 2]("CreateRecord", threadID=(THREAD, OTHER)[place % 3 == 0], body=cbor.integer(place))
        for place in range(20)
    ]
    assert [await everything.read() for _ in written] == written
    mine = [reply for reply in written if reply.threadID == THREAD]
    assert [await one.read() for _ in mine] == mine
    head = next(log.head for log in (await api("GetThread", threadID=THREAD)).logs if log.ID == LOG_ID)
    added = made_elsewhere(b"\xa0", head)
    await api("AddRecord", threadID=THREAD, logID=LOG_ID, record=added)
    assert (await one.read()).record == added
    one.cancel()
    everything.cancel()


async def test_concurrent_records_do_not_fork(api, bob, subscribe, house):
    await api("CreateThread", threadID=THREAD, keys=KEYS)
    stream = await subscribe(THREAD)
    replies = await asyncio.gather(
        *((api, bob)[place % 2]("CreateRecord", threadID=THREAD, body=b"\xa0") for place in range(60)),
    )
    told = [await stream.read() for _ in replies]
    assert {reply.record.recordNode for reply in told} == {reply.record.recordNode for reply in replies}
    heads = {}
    for reply in told:
        envelope = records.open_envelope(reply.record.recordNode, Cipher(KEY[:32]))
        assert envelope.previous == heads.get(reply.logID)
        heads[reply.logID] = envelope.cid
    logs = (await api("GetThread", threadID=THREAD)).logs
    assert {log.ID: log.head for log in logs} == heads
    assert sorted(varints.decode_counter(log.counter) for log in logs) == [30, 30]
    stream.cancel()


async def test_a_subscription_ends_well_when_the_daemon_drains(api, subscribe, house):
    await api("CreateThread", threadID=THREAD)
    stream = await subscribe(THREAD)
    await api("CreateRecord", threadID=THREAD, body=b"\xa0")
    house.rooms.network.end_subscriptions()
    assert (await stream.read()).threadID == THREAD
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is StatusCode.OK


async def test_a_subscriber_that_is_too_slow_is_told(api, subscribe, house, monkeypatch):
    monkeypatch.setattr("net.feed.MAX_QUEUED", 3)
    await api("CreateThread", threadID=THREAD)
    stream = await subscribe(THREAD)
    body = cbor.byte_string(bytes(300_000))
    # What the client does not read fills the window of the connection, then the queue.
    for _ in range(40):
        await api("CreateRecord", threadID=THREAD, body=body)

    async def read_on():
        while await stream.read() is not grpc.aio.EOF:
            pass

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read_on()
    assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
    assert "too slow" in caught.value.details()


async def test_threads_of_the_hub_have_owners(house, hub_door):
    local = house.rooms.accounts.local().public_key
    key = await house.rooms.api_keys.create(local, KeyKind.USER)
    hub = hub_door.of(network_service.DESCRIPTOR)
    alice, bob = (hub.using(house.hub_metadata(key, house.token(person))) for person in (ALICE, BOB))
    made = await alice("CreateThread", threadID=THREAD, keys=KEYS)
    await alice("CreateRecord", threadID=THREAD, body=b"\xa0")
    refused = (StatusCode.PERMISSION_DENIED, "User does not own thread")
    for rpc, fields in (
        ("GetThread", {}),
        ("DeleteThread", {}),
        ("CreateRecord", {"body": b"\xa0"}),
        ("PullThread", {}),
        ("AddReplicator", {"addr": made.addrs[0]}),
        ("GetRecord", {}),
        ("AddRecord", {}),
    ):
        assert await bob.refused(rpc, threadID=THREAD, **fields) == refused, rpc
    assert (await bob.refused("AddThread", addr=made.addrs[0], keys=pb.Keys(threadKey=bytes(64))))[1] == (
        "service-key mismatch"
    )
    assert await bob.refused("GetThread", threadID=THREAD) == refused
    assert len((await bob("AddThread", addr=made.addrs[0], keys=pb.Keys(threadKey=KEY))).logs) == 2
    assert (await bob("GetThread", threadID=THREAD)).threadKey == KEY
    await alice("DeleteThread", threadID=THREAD)
    assert await alice.refused("GetThread", threadID=THREAD) == refused
