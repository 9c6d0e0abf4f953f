"""`threads.pb.API` end to end on the threads door, with real gRPC clients over the real rooms."""

import json

import pytest
from grpc import StatusCode

from net.keys import PrivateKey
from net.multiaddr import Multiaddr
from net.thread_id import ThreadID
from proto import threads_pb2 as pb

ALICE = PrivateKey(b"a" * 32)
THREAD = bytes([1, 0x55]) + b"t" * 32
OTHER = bytes([1, 0x55]) + b"o" * 32
SCHEMA = json.dumps(
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"_id": {"type": "string"}, "name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["_id", "name"],
    },
).encode()
PEOPLE = pb.CollectionConfig(name="people", schema=SCHEMA, indexes=[pb.Index(path="name"), pb.Index(path="age")])
IN = {"dbID": THREAD, "collectionName": "people"}


@pytest.fixture
async def api(threads_door):
    await threads_door("NewDB", dbID=THREAD, name="first", collections=[PEOPLE])
    return threads_door


def text(**fields):
    return json.dumps(fields).encode()


async def test_a_database_and_what_is_told_of_it(api, house):
    info = await api("GetDBInfo", dbID=THREAD)
    assert info.name == "first"
    assert len(info.key) == 64
    addresses = [Multiaddr.from_bytes(data) for data in info.addrs]
    assert addresses
    for address in addresses:
        assert address.thread_id() == ThreadID.from_bytes(THREAD)
        assert address.peer_id() == house.rooms.host_key.public.peer_id
        assert address.value("tcp") == "4006"
    await api("NewDB", dbID=OTHER, key=bytes(range(64)))
    assert (await api("GetDBInfo", dbID=OTHER)).key == bytes(range(64))
    listed = {entry.dbID: entry.info.name for entry in (await api("ListDBs")).dbs}
    assert listed == {THREAD: "first", OTHER: "unnamed"}
    await api("DeleteDB", dbID=THREAD)
    assert [entry.dbID for entry in (await api("ListDBs")).dbs] == [OTHER]
    code, details = await api.refused("GetDBInfo", dbID=THREAD)
    assert code is StatusCode.NOT_FOUND
    assert details == "thread not found"


@pytest.mark.parametrize("log_key", [ALICE.bytes, ALICE.public.bytes, b""])
async def test_log_keys_of_every_kind(threads_door, log_key):
    await threads_door("NewDB", dbID=THREAD, logKey=log_key)
    assert (await threads_door("GetDBInfo", dbID=THREAD)).name == "unnamed"


async def test_collections(api):
    pets = pb.CollectionConfig(name="pets", schema=SCHEMA, writeValidator="return true", readFilter="return instance")
    await api("NewCollection", dbID=THREAD, config=pets)
    info = await api("GetCollectionInfo", dbID=THREAD, name="pets")
    assert (info.name, info.writeValidator, info.readFilter) == ("pets", "return true", "return instance")
    assert json.loads(info.schema) == json.loads(SCHEMA)
    assert len(info.indexes) == 0
    await api(
        "UpdateCollection",
        dbID=THREAD,
        config=pb.CollectionConfig(name="pets", schema=SCHEMA, indexes=[pb.Index(path="age")]),
    )
    reply = await api("GetCollectionIndexes", dbID=THREAD, name="pets")
    assert [(index.path, index.unique) for index in reply.indexes] == [("age", False)]
    listed = (await api("ListCollections", dbID=THREAD)).collections
    assert {entry.name: len(entry.indexes) for entry in listed} == {"people": 2, "pets": 1}
    await api("DeleteCollection", dbID=THREAD, name="pets")
    assert [entry.name for entry in (await api("ListCollections", dbID=THREAD)).collections] == ["people"]
    assert await api.refused("GetCollectionInfo", dbID=THREAD, name="pets") == (
        StatusCode.NOT_FOUND,
        "collection not found",
    )


async def test_instances_through_all_verbs(api):
    given = [text(_id="one", name="Ann", age=30), text(name="Bob"), text(_id="", name="Cid", age=50)]
    ids = list((await api("Create", **IN, instances=given)).instanceIDs)
    assert ids[0] == "one"
    assert len(set(ids)) == 3
    found = json.loads((await api("FindByID", **IN, instanceID="one")).instance)
    assert found.pop("_mod") > 0
    assert found == {"_id": "one", "name": "Ann", "age": 30}

    query = text(ands=[{"fieldPath": "age", "operation": 2, "value": {"float": 29}}], sort={"fieldPath": "age"})
    rows = (await api("Find", **IN, queryJSON=query)).instances
    assert [json.loads(row)["name"] for row in rows] == ["Ann", "Cid"]
    assert len((await api("Find", **IN, queryJSON=b"{}")).instances) == 3

    assert (await api("Has", **IN, instanceIDs=ids)).exists
    assert not (await api("Has", **IN, instanceIDs=[*ids, "nobody"])).exists

    await api("Verify", **IN, instances=[text(_id="one", name="Anna")])
    assert json.loads((await api("FindByID", **IN, instanceID="one")).instance)["name"] == "Ann"
    await api("Save", **IN, instances=[text(_id="one", name="Anna"), text(_id="two", name="Dot")])
    saved = json.loads((await api("FindByID", **IN, instanceID="one")).instance)
    del saved["_mod"]
    assert saved == {"_id": "one", "name": "Anna"}

    await api("Delete", **IN, instanceIDs=["one", "nobody"])
    assert not (await api("Has", **IN, instanceIDs=["one"])).exists
    assert await api.refused("FindByID", **IN, instanceID="one") == (StatusCode.UNKNOWN, "instance not found")
    assert (await api("Has", **IN, instanceIDs=["two"])).exists


async def test_a_token_names_the_writer(api, house):
    as_alice = api.using([("authorization", "bearer " + house.token(ALICE))])
    await as_alice("Create", **IN, instances=[text(_id="hers", name="Ann")])
    assert json.loads((await api("FindByID", **IN, instanceID="hers")).instance)["name"] == "Ann"
    for value, expected in [
        ("bearer", (StatusCode.UNAUTHENTICATED, "Bad authorization string")),
        ("basic x", (StatusCode.UNAUTHENTICATED, "Request unauthenticated with bearer")),
        ("bearer x", (StatusCode.UNKNOWN, "thread token not found")),
        ("bearer x.y.z", (StatusCode.UNKNOWN, "invalid thread token")),
    ]:
        assert await api.using([("authorization", value)]).refused("FindByID", **IN, instanceID="hers") == expected


NAME_RULE = "name may only contain alphanumeric characters or non-consecutive hyphens"


@pytest.mark.parametrize(
    ("method", "fields", "code", "part"),
    [
        ("NewDB", {}, StatusCode.INVALID_ARGUMENT, "varint"),
        ("NewDB", {"dbID": b"\x01\x55"}, StatusCode.INVALID_ARGUMENT, "random id bytes"),
        ("NewDB", {"dbID": b"\x02\x55abc"}, StatusCode.INVALID_ARGUMENT, "expected 1 as the id version number"),
        ("NewDB", {"dbID": b"\x01\x56abc"}, StatusCode.INVALID_ARGUMENT, "expected Raw or AccessControlled"),
        ("NewDB", {"dbID": b"\x01\x55" + b"x" * 1000}, StatusCode.INVALID_ARGUMENT, "long"),
        ("NewDB", {"dbID": OTHER, "key": b"short"}, StatusCode.INVALID_ARGUMENT, "invalid key"),
        ("NewDB", {"dbID": OTHER, "key": b"k" * 32}, StatusCode.INVALID_ARGUMENT, "read key is required"),
        ("NewDB", {"dbID": OTHER, "logKey": b"nonsense"}, StatusCode.INVALID_ARGUMENT, "invalid log-key"),
        ("NewDB", {"dbID": OTHER, "name": "a--b"}, StatusCode.INVALID_ARGUMENT, NAME_RULE),
        ("NewDB", {"dbID": OTHER, "collections": [pb.CollectionConfig()]}, StatusCode.INVALID_ARGUMENT, NAME_RULE),
        ("NewDB", {"dbID": THREAD}, StatusCode.UNKNOWN, "db already exists"),
        ("GetDBInfo", {"dbID": OTHER}, StatusCode.NOT_FOUND, "thread not found"),
        ("GetDBInfo", {"dbID": b"x"}, StatusCode.INVALID_ARGUMENT, ""),
        ("DeleteDB", {"dbID": OTHER}, StatusCode.NOT_FOUND, "thread not found"),
        ("NewCollection", {"dbID": THREAD}, StatusCode.INVALID_ARGUMENT, "config is required"),
        ("NewCollection", {"dbID": THREAD, "config": PEOPLE}, StatusCode.UNKNOWN, "collection already registered"),
        ("UpdateCollection", {"dbID": THREAD}, StatusCode.INVALID_ARGUMENT, "config is required"),
        (
            "UpdateCollection",
            {"dbID": THREAD, "config": pb.CollectionConfig(name="nothing", schema=SCHEMA)},
            StatusCode.NOT_FOUND,
            "collection not found",
        ),
        (
            "NewCollection",
            {"dbID": THREAD, "config": pb.CollectionConfig(name="x", schema=b"not json")},
            StatusCode.INVALID_ARGUMENT,
            "",
        ),
        ("DeleteCollection", {"dbID": THREAD, "name": "none"}, StatusCode.NOT_FOUND, "collection not found"),
        ("Create", {"dbID": THREAD, "instances": [b"{}"]}, StatusCode.NOT_FOUND, "collection not found"),
        ("Create", {"dbID": OTHER, "collectionName": "people"}, StatusCode.NOT_FOUND, "thread not found"),
        ("Create", {**IN, "instances": [b""]}, StatusCode.INVALID_ARGUMENT, "unmarshaling json instance"),
        ("Create", {**IN, "instances": [b"null"]}, StatusCode.INVALID_ARGUMENT, "JSON object"),
        ("Create", {**IN, "instances": [b"[" * 100_000]}, StatusCode.INVALID_ARGUMENT, "nests"),
        ("Create", {**IN, "instances": [b"\xff\xfe"]}, StatusCode.INVALID_ARGUMENT, "UTF-8"),
        ("Create", {**IN, "instances": [text(name=1)]}, StatusCode.UNKNOWN, "instance doesn't correspond to schema"),
        ("Create", {**IN, "instances": [text(_id=5, name="x")]}, StatusCode.INVALID_ARGUMENT, "_id is a string"),
        ("Create", {**IN, "instances": [text(_id="i" * 401, name="x")]}, StatusCode.INVALID_ARGUMENT, "401 bytes"),
        (
            "Create",
            {**IN, "instances": [text(_id="kept", name="x")]},
            StatusCode.UNKNOWN,
            "can't create already existing instance",
        ),
        (
            "Create",
            {**IN, "instances": [text(_id="new", name="x"), text(_id="new", name="y")]},
            StatusCode.UNKNOWN,
            "can't create already existent instance",
        ),
        ("Save", {**IN, "instances": [text(_id="kept", name=None)]}, StatusCode.UNKNOWN, "doesn't correspond"),
        ("Verify", {**IN, "instances": [text(_id="kept")]}, StatusCode.UNKNOWN, "doesn't correspond"),
        ("Find", {**IN}, StatusCode.INVALID_ARGUMENT, ""),
        ("Find", {**IN, "queryJSON": b"nonsense"}, StatusCode.INVALID_ARGUMENT, ""),
        (
            "Find",
            {**IN, "queryJSON": text(ands=[{"fieldPath": "age", "operation": 9, "value": {"float": 1}}])},
            StatusCode.INVALID_ARGUMENT,
            "",
        ),
        ("FindByID", {**IN, "instanceID": "i" * 5000}, StatusCode.UNKNOWN, "instance not found"),
        ("FindByID", {**IN, "instanceID": ""}, StatusCode.UNKNOWN, "instance not found"),
        ("NewDBFromAddr", {}, StatusCode.INVALID_ARGUMENT, "invalid multiaddr: it is empty"),
    ],
)
async def test_what_is_refused_writes_nothing(api, house, method, fields, code, part):
    await api("Create", **IN, instances=[text(_id="kept", name="Kay")])
    before = house.rows()
    seen, details = await api.refused(method, **fields)
    assert seen is code, details
    assert part in details
    assert details
    assert house.rows() == before
    assert len((await api("Find", **IN, queryJSON=b"{}")).instances) == 1


@pytest.mark.parametrize("instance_id", ["a/b/../c", "/", "i" * 400, "é" * 200, "\x00", " "])
async def test_an_id_is_an_opaque_string(api, instance_id):
    reply = await api("Create", **IN, instances=[text(_id=instance_id, name="x")])
    assert list(reply.instanceIDs) == [instance_id]
    assert json.loads((await api("FindByID", **IN, instanceID=instance_id)).instance)["_id"] == instance_id


async def test_an_instance_of_5_mib(house, api, open_channel):
    big = text(_id="big", name="x" * 5 * 2**20)
    await api("Create", **IN, instances=[big])
    async with open_channel(house, [("grpc.max_receive_message_length", -1)]) as patient:
        found = (await patient("FindByID", **IN, instanceID="big")).instance
    assert json.loads(found)["name"] == json.loads(big)["name"]
    # A client takes 4 MiB unless it asks for more, and says so itself.
    assert (await api.refused("FindByID", **IN, instanceID="big"))[0] is StatusCode.RESOURCE_EXHAUSTED


async def test_a_request_above_the_limit(api, house):
    before = house.rows()
    code, details = await api.refused("Create", **IN, instances=[text(_id="big", name="x" * 17 * 2**20)])
    assert code is StatusCode.RESOURCE_EXHAUSTED
    assert "smaller parts" in details
    assert house.rows() == before


async def test_what_was_answered_is_there_after_a_restart(tmp_path, open_house, open_channel):
    async with open_house(tmp_path / "again") as house, open_channel(house) as api:
        await api("NewDB", dbID=THREAD, name="first", collections=[PEOPLE])
        await api("Create", **IN, instances=[text(_id="kept", name="Kay")])
        peer_id = house.rooms.host_key.public.peer_id
        token = house.token(ALICE)
    async with open_house(tmp_path / "again") as house, open_channel(house) as api:
        assert house.rooms.host_key.public.peer_id == peer_id
        as_alice = api.using([("authorization", "bearer " + token)])
        assert json.loads((await as_alice("FindByID", **IN, instanceID="kept")).instance)["name"] == "Kay"
