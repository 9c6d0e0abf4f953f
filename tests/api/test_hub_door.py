"""The hub door end to end: keys, signatures, tokens, and who owns which thread."""

import asyncio
import json

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc

from net import tokens
from net.keys import PrivateKey
from net.thread_id import ThreadID
from proto import threads_pb2, threadsnet_pb2
from threadd.hub.api_keys import KeyKind

ALICE = PrivateKey(b"a" * 32)
BOB = PrivateKey(b"b" * 32)
STRANGER = PrivateKey(b"s" * 32)
THREAD = bytes([1, 0x55]) + b"t" * 32
OTHER = bytes([1, 0x55]) + b"o" * 32
SCHEMA = b'{"properties": {"_id": {"type": "string"}}}'
PEOPLE = threads_pb2.CollectionConfig(name="people", schema=SCHEMA)
IN = {"dbID": THREAD, "collectionName": "people"}


@pytest.fixture
async def user_key(house):
    return await house.rooms.api_keys.create(house.rooms.accounts.local().public_key, KeyKind.USER)


@pytest.fixture
async def second_key(house):
    return await house.rooms.api_keys.create(house.rooms.accounts.local().public_key, KeyKind.USER, secure=False)


@pytest.fixture
async def account_key(house):
    return await house.rooms.api_keys.create(house.rooms.accounts.local().public_key, KeyKind.ACCOUNT)


@pytest.fixture
def alice(house, hub_door, user_key):
    return hub_door.using(house.hub_metadata(user_key, house.token(ALICE)))


@pytest.fixture
def bob(house, hub_door, user_key):
    return hub_door.using(house.hub_metadata(user_key, house.token(BOB)))


def with_header(stubs, *headers):
    names = {name for name, _ in headers}
    return stubs.using([pair for pair in stubs.metadata if pair[0] not in names] + list(headers))


def without(stubs, *names):
    return stubs.using([pair for pair in stubs.metadata if pair[0] not in names])


async def test_a_users_first_program(house, hub_door, user_key):
    stub = hub_door.channel.stream_stream(
        "/threads.pb.API/GetToken",
        request_serializer=threads_pb2.GetTokenRequest.SerializeToString,
        response_deserializer=threads_pb2.GetTokenReply.FromString,
    )
    conversation = stub(metadata=house.hub_metadata(user_key), timeout=10)
    await conversation.write(threads_pb2.GetTokenRequest(key=ALICE.public.text))
    challenge = (await conversation.read()).challenge
    assert len(challenge) == 32
    await conversation.write(threads_pb2.GetTokenRequest(signature=ALICE.sign(challenge)))
    token = (await conversation.read()).token
    assert tokens.verify(token, house.rooms.host_key.public) == ALICE.public
    await conversation.done_writing()
    assert await conversation.read() is grpc.aio.EOF

    api = hub_door.using(house.hub_metadata(user_key, token))
    await api("NewDB", dbID=THREAD, name="notes")
    await api("NewCollection", dbID=THREAD, config=PEOPLE)
    ids = (await api("Create", **IN, instances=[b"{}", b'{"_id":"one"}'])).instanceIDs
    assert ids[1] == "one"
    assert (await api("Has", **IN, instanceIDs=ids)).exists
    assert (await api("GetDBInfo", dbID=THREAD)).name == "notes"
    await api("DeleteDB", dbID=THREAD)
    assert await api.refused("GetDBInfo", dbID=THREAD) == (StatusCode.PERMISSION_DENIED, "User does not own thread")


async def test_who_is_calling(house, hub_door, alice, second_key):
    await alice("NewDB", dbID=THREAD, collections=[PEOPLE])
    refusals = [
        (hub_door, StatusCode.UNAUTHENTICATED, "Session or API key required"),
        (
            hub_door.using([("x-textile-session", "none")]),
            StatusCode.UNAUTHENTICATED,
            "Invalid session",
        ),
        (
            with_header(alice, ("x-textile-api-key", "none")),
            StatusCode.NOT_FOUND,
            "API key not found or is invalid",
        ),
        (without(alice, "x-textile-api-sig"), StatusCode.UNAUTHENTICATED, "API key signature required"),
        (
            with_header(alice, ("x-textile-api-sig-msg", "2998-01-01T00:00:00Z")),
            StatusCode.UNAUTHENTICATED,
            "Bad API key signature",
        ),
        (without(alice, "authorization"), StatusCode.UNAUTHENTICATED, "Token required"),
        (with_header(alice, ("authorization", "x")), StatusCode.UNAUTHENTICATED, "Bad authorization string"),
        (with_header(alice, ("authorization", "bearer x")), StatusCode.PERMISSION_DENIED, "Bad authorization"),
        (
            with_header(alice, ("authorization", "bearer " + tokens.issue(STRANGER, ALICE.public, 1))),
            StatusCode.UNKNOWN,
            "invalid thread token",
        ),
    ]
    before = house.rows()
    for stubs, code, text in refusals:
        for rpc, fields in (("FindByID", IN), ("NewDB", {"dbID": OTHER}), ("NewDBFromAddr", {})):
            assert await stubs.refused(rpc, **fields) == (code, text)
    assert house.rows() == before
    insecure = hub_door.using(house.hub_metadata(second_key, house.token(ALICE)))
    assert (await insecure("Find", **IN, queryJSON=b"{}")).instances == []


async def test_owners_and_others(house, alice, bob, hub_door, second_key):
    await alice("NewDB", dbID=THREAD, collections=[PEOPLE])
    await bob("NewDB", dbID=OTHER)
    for rpc, fields in [
        ("GetDBInfo", {}),
        ("DeleteDB", {}),
        ("NewCollection", {"config": PEOPLE}),
        ("UpdateCollection", {"config": PEOPLE}),
        ("DeleteCollection", {"name": "people"}),
        ("GetCollectionInfo", {"name": "people"}),
        ("GetCollectionIndexes", {"name": "people"}),
        ("ListCollections", {}),
    ]:
        refused = await bob.refused(rpc, dbID=THREAD, **fields)
        assert refused == (StatusCode.PERMISSION_DENIED, "User does not own thread"), rpc
        by_header = with_header(bob, ("x-textile-thread", "not an id"))
        assert (await by_header.refused(rpc, dbID=THREAD, **fields))[0] is StatusCode.PERMISSION_DENIED
    # Whoever knows the ID may read and write; the collection's rules decide.
    await bob("Create", **IN, instances=[b'{"_id":"his"}'])
    await bob("Verify", **IN, instances=[b'{"_id":"his"}'])
    await bob("Save", **IN, instances=[b'{"_id":"his","a":1}'])
    assert (await alice("Has", **IN, instanceIDs=["his"])).exists
    assert json.loads((await bob("FindByID", **IN, instanceID="his")).instance)["a"] == 1
    assert len((await bob("Find", **IN, queryJSON=b"{}")).instances) == 1
    await bob("Delete", **IN, instanceIDs=["his"])
    # The same user with another key is not the owner as far as that key goes.
    other_key = hub_door.using(house.hub_metadata(second_key, house.token(ALICE)))
    assert await other_key.refused("GetDBInfo", dbID=THREAD) == (StatusCode.PERMISSION_DENIED, "Bad API key")


async def test_making_a_database_twice(house, alice, bob):
    named = with_header(alice, ("x-textile-thread-name", "Notes"))
    await named("NewDB", dbID=THREAD)
    shouted = with_header(alice, ("x-textile-thread-name", "NOTES"))
    for stubs, thread in ((named, OTHER), (alice, THREAD), (shouted, OTHER)):
        before = house.rows()
        code, text = await stubs.refused("NewDB", dbID=thread)
        assert code is StatusCode.UNKNOWN
        assert "E11000 duplicate key error" in text
        assert house.rows() == before
    # The header names the thread and stays on the client's later calls.
    sticky = with_header(named, ("x-textile-thread", ThreadID(THREAD).text))
    assert (await sticky("GetDBInfo", dbID=THREAD)).name == "unnamed"
    # A call that fails leaves no ownership and no name behind.
    before = house.rows()
    taken = with_header(bob, ("x-textile-thread-name", "mine"))
    assert await taken.refused("NewDB", dbID=THREAD) == (StatusCode.UNKNOWN, "db already exists")
    assert house.rows() == before
    await taken("NewDB", dbID=OTHER)
    assert (await with_header(bob, ("x-textile-thread-name", "a--b")).refused("NewDB", dbID=THREAD))[1].startswith(
        "name may only contain",
    )


async def test_an_account_key_acts_as_its_account(house, hub_door, account_key, alice):
    account = hub_door.using(house.hub_metadata(account_key))
    await account("NewDB", dbID=THREAD, collections=[PEOPLE])
    assert (await account("GetDBInfo", dbID=THREAD)).name == "unnamed"
    with_token = hub_door.using(house.hub_metadata(account_key, house.token(ALICE)))
    assert (await with_token("GetDBInfo", dbID=THREAD)).name == "unnamed"
    assert (await alice.refused("GetDBInfo", dbID=THREAD))[0] is StatusCode.PERMISSION_DENIED
    await with_token("DeleteDB", dbID=THREAD)


@pytest.mark.parametrize(
    ("service", "rpc"),
    [(threads_pb2, "ListDBs"), (threadsnet_pb2, "Subscribe")],
)
async def test_methods_that_nobody_may_call(hub_door, alice, account_key, house, service, rpc):
    descriptor = service.DESCRIPTOR.services_by_name["API"]
    for stubs in (hub_door, alice, hub_door.using(house.hub_metadata(account_key))):
        refused = await stubs.of(descriptor).refused(rpc)
        assert refused == (StatusCode.PERMISSION_DENIED, "Method is not accessible")


async def test_health_needs_no_key_on_either_door(channels):
    for channel in channels.values():
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "threads.pb.API", "api.bucketsd.pb.APIService"):
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("delay", [0, 0.0005, 0.001, 0.002, 0.004])
async def test_owner_and_database_agree_when_a_caller_goes_away(house, alice, delay):
    call = alice.channel.unary_unary("/threads.pb.API/NewDB")(
        threads_pb2.NewDBRequest(dbID=THREAD).SerializeToString(),
        metadata=alice.metadata,
        timeout=10,
    )
    await asyncio.sleep(delay)
    call.cancel()
    await asyncio.sleep(0.2)
    made = THREAD in {database.thread_id.bytes for database in house.rooms.databases.list_dbs()}
    if made:
        assert (await alice("GetDBInfo", dbID=THREAD)).name == "unnamed"
    else:
        await alice("NewDB", dbID=THREAD)
