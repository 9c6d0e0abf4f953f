"""Generated input at every method of every service on both doors.

Whatever comes in: a right status with a text, nothing written by what is refused, and a daemon that goes on answering.
"""

import asyncio
import itertools
import json
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from net.keys import PrivateKey
from net.multiaddr import Multiaddr
from net.thread_id import ThreadID
from proto import bucketsd_pb2, hubd_pb2, threads_pb2, threadsnet_pb2, usersd_pb2
from threadd.api.dispatcher import Method
from threadd.hub.api_keys import KeyKind

ALICE = PrivateKey(b"a" * 32)
THREADS = {door: bytes([1, 0x55]) + door.encode() * 4 for door in ("hub", "threads")}
PLAIN = {door: thread + b"plain" for door, thread in THREADS.items()}
KEY = bytes(range(64))
PEER = "12D3KooWPAG4BdcDEUkvGvyECFGbt9cptbsdT8DoEWGwteByj7hf"
ADDRESSES = {
    door: [
        f"/ip4/127.0.0.1/tcp/4006/p2p/{PEER}/thread/{ThreadID(thread).text}",
        f"/ip4/127.0.0.1/tcp/4006/thread/{ThreadID(thread).text}",
    ]
    for door, thread in PLAIN.items()
}
SCHEMA = json.dumps(
    {
        "properties": {
            "_id": {"type": "string"},
            "name": {"type": "string"},
            "age": {"type": "number"},
            "deep": {"type": "object", "properties": {"er": {"type": "boolean"}}},
        },
        "required": ["_id"],
    },
).encode()

NEVER = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}

ALL_MODULES = (threads_pb2, threadsnet_pb2, bucketsd_pb2, hubd_pb2, usersd_pb2, health_pb2)
METHODS = {
    method.full_name: method
    for module in ALL_MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in map(Method.of, service.methods)
}
CHANGING = (
    *(f"/threads.pb.API/{verb}" for verb in ("New", "Update", "Delete")),
    "/threads.net.pb.API/DeleteThread",
)
THREADS_DB = sorted(name for name in METHODS if name.startswith("/threads.pb.API/"))
FEEDS = {"/threads.pb.API/Listen", "/threads.net.pb.API/Subscribe"}
PEERS = {f"/threads.net.pb.API/{name}" for name in ("AddThread", "AddReplicator")}
"""What needs another host is UNAVAILABLE."""
TRANSACTIONS = {"/threads.pb.API/ReadTransaction", "/threads.pb.API/WriteTransaction"}
NETWORK = sorted(name for name in METHODS if name.startswith("/threads.net.pb.API/"))
DEVELOPERS = sorted(name for name in METHODS if name.startswith(("/api.hubd.pb.", "/api.usersd.pb.")))
OTHERS = sorted(set(METHODS) - set(THREADS_DB) - set(NETWORK) - {"/grpc.health.v1.Health/Watch"})


class Lair:
    """A house on an event loop in a thread of its own, with a channel to each door."""

    def __init__(self, loop, house, key):
        self.loop = loop
        self.house = house
        self.key = key
        self.channels = {name: grpc.insecure_channel(f"127.0.0.1:{port}") for name, port in house.ports.items()}

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def rows(self):
        async def scan():
            return self.house.rows()

        return self.run(scan())

    def settle(self):
        """Wait until what is deleted in the background is gone."""

        rows = None
        while rows != (rows := self.rows()):
            time.sleep(0.02)

    def furnish(self, door):
        """See to it that a database of the caller with a collection and an instance is there, and a plain thread."""
        thread = THREADS[door]
        metadata = self.caller(door)
        config = threads_pb2.CollectionConfig(
            name="people",
            schema=SCHEMA,
            indexes=[threads_pb2.Index(path="name"), threads_pb2.Index(path="deep.er")],
        )
        for rpc, request in [
            ("NewDB", threads_pb2.NewDBRequest(dbID=thread, name="first")),
            ("NewCollection", threads_pb2.NewCollectionRequest(dbID=thread, config=config)),
            ("UpdateCollection", threads_pb2.UpdateCollectionRequest(dbID=thread, config=config)),
            ("Save", threads_pb2.SaveRequest(dbID=thread, collectionName="people", instances=[b'{"_id":"kept"}'])),
        ]:
            self.call(door, METHODS[f"/threads.pb.API/{rpc}"], [request.SerializeToString()], metadata)
        keys = threadsnet_pb2.Keys(threadKey=KEY)
        plain = threadsnet_pb2.CreateThreadRequest(threadID=PLAIN[door], keys=keys).SerializeToString()
        self.call(door, METHODS["/threads.net.pb.API/CreateThread"], [plain], metadata)
        self.settle()

    def caller(self, door):
        """The metadata of a caller who is let in."""
        token = self.house.token(ALICE)
        return self.house.hub_metadata(self.key, token) if door == "hub" else [("authorization", f"bearer {token}")]

    def call(self, door, method, bodies, metadata):
        """Call a method; returns the code and the text."""
        channel = self.channels[door]
        try:
            if method.is_unary:
                channel.unary_unary(method.full_name)(bodies[0], metadata=metadata, timeout=20)
            else:
                stub = channel.stream_stream(method.full_name)
                for _ in stub(iter(bodies), metadata=metadata, timeout=0.3 if method.full_name in FEEDS else 20):
                    pass
        except grpc.RpcError as error:
            if method.full_name in FEEDS and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return grpc.StatusCode.OK, ""
            return error.code(), error.details()
        return grpc.StatusCode.OK, ""

    def serving(self, door):
        reply = health_pb2_grpc.HealthStub(self.channels[door]).Check(health_pb2.HealthCheckRequest(), timeout=20)
        return reply.status == health_pb2.HealthCheckResponse.SERVING


@contextmanager
def running(open_house, repo):
    ready = Future()
    stop = asyncio.Event()

    async def main():
        async with open_house(repo) as house:
            owner = house.rooms.accounts.local().public_key
            key = await house.rooms.api_keys.create(owner, KeyKind.USER)
            ready.set_result((asyncio.get_running_loop(), house, key))
            await stop.wait()

    def thread():
        try:
            asyncio.run(main())
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    worker = threading.Thread(target=thread)
    worker.start()
    lair = Lair(*ready.result(60))
    try:
        yield lair
    finally:
        for channel in lair.channels.values():
            channel.close()
        lair.loop.call_soon_threadsafe(stop.set)
        worker.join(60)


@pytest.fixture(scope="module")
def lair(open_house, tmp_path_factory):
    with running(open_house, tmp_path_factory.mktemp("lair") / "repo") as made:
        for door in THREADS:
            made.furnish(door)
        yield made


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["_id", "_mod", "name", "age", "deep"]) | st.text(max_size=5), inner, max_size=4
        )
    ),
    max_leaves=8,
)
criteria = st.fixed_dictionaries(
    {},
    optional={
        "fieldPath": st.sampled_from(["age", "name", "_id", "deep.er", "", "..", "x"]) | json_values,
        "operation": st.integers(-2, 8) | json_values,
        "value": st.fixed_dictionaries(
            {},
            optional={"string": json_values, "bool": json_values, "float": json_values},
        )
        | json_values,
    },
)
queries = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "ands": st.lists(criteria, max_size=3) | json_values,
            "Ors": st.lists(queries, max_size=2) | json_values,
            "sort": st.fixed_dictionaries({}, optional={"fieldPath": json_values, "desc": json_values}) | json_values,
            "limit": st.integers() | json_values,
            "skip": st.integers() | json_values,
            "seek": json_values,
            "index": json_values,
        },
    ),
)
schemas = st.fixed_dictionaries(
    {},
    optional={
        "$schema": json_values,
        "$ref": json_values,
        "type": json_values,
        "properties": st.dictionaries(st.sampled_from(["_id", "name"]), st.just({"type": "string"}) | json_values),
        "required": json_values,
        "definitions": json_values,
    },
)
json_texts = (json_values | queries | schemas).map(lambda value: json.dumps(value).encode()) | st.sampled_from(
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b'{"_id":"kept"}',
        b'{"_id":"kept","name":"Kay","age":1e3}',
        b'{"_id":"new"}',
        b'{"_id":null}',
        b'{"_id":""}',
        b'{"_id":"' + b"i" * 401 + b'"}',
        b'{"_id":"a/b/../c","age":1e400}',
        b'{"_id":"\\ud800"}',
        b'{"_id":"x","_id":7}',
        b"[" * 50_000,
        b'{"a":' * 20_000,
        b'{"a":' * 150 + b"1" + b"}" * 150,
        b'{"ors":[' * 500 + b"]}" * 500,
        b"1" * 10_000,
        b"\xef\xbb\xbf{}",
        b"nonsense",
        SCHEMA,
    ],
)
pool_of_bytes = (
    st.binary(max_size=70)
    | json_texts
    | st.sampled_from([*THREADS.values(), b"\x01\x55", bytes([1, 0x70]) + b"n" * 32, b"\x01\x55" + b"x" * 300])
    | st.sampled_from([ALICE.bytes, ALICE.public.bytes, ALICE.public.bytes[:-1], bytes(32), bytes(64)])
)
pool_of_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["people", "kept", "nothing", "first", "_id", "name", "age", "deep.er", "return true", "return", "i" * 500],
)


SCALARS = {
    FieldDescriptor.TYPE_BYTES: pool_of_bytes,
    FieldDescriptor.TYPE_STRING: pool_of_texts,
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: st.floats(width=32),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_ENUM: st.integers(-(2**31), 2**31 - 1),
}


def mostly(usual, other):
    return st.integers(0, 9).flatmap(lambda number: usual if number else other)


def messages(descriptor, door, depth=0):
    """Messages of a kind, most of them nearly right."""
    if depth > 3:
        return st.just({})
    usual = {
        "dbID": st.just(THREADS[door]),
        "threadID": st.sampled_from([THREADS[door], PLAIN[door]]),
        "addr": st.sampled_from(ADDRESSES[door]).map(lambda text: Multiaddr.from_text(text).bytes),
        "threadKey": st.just(KEY),
        "body": st.sampled_from([b"\xa0", b"\x07", b"\xbf\x61a\x01\xff"]),
        "collectionName": st.just("people"),
        "config": messages(threads_pb2.CollectionConfig.DESCRIPTOR, door, depth + 1) if depth == 0 else None,
        "instances": json_texts,
        "queryJSON": queries.map(lambda value: json.dumps(value).encode()),
        "schema": schemas.map(lambda value: json.dumps(value).encode()) | st.just(SCHEMA),
        "name": st.sampled_from(["people", "people", "pets"]),
        "instanceID": st.just("kept"),
        "instanceIDs": st.sampled_from(["kept", "new", ""]),
    }
    fields = {}
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        inner = field.message_type
        values = SCALARS[field.type] if inner is None else messages(inner, door, depth + 1)
        if field.name in usual:
            values = mostly(usual[field.name], values)
        fields[field.name] = st.lists(values, max_size=3) if field.is_repeated else values
    required = {name: fields.pop(name) for name in set(usual) & set(fields)}
    return mostly(
        st.fixed_dictionaries(required, optional=fields),
        st.fixed_dictionaries({}, optional=required | fields),
    )


@st.composite
def bodies_of(draw, method, door):
    """One request in bytes: a message, a damaged one, or anything."""
    kind = draw(st.integers(0, 19))
    if kind == 0:
        return draw(st.binary(max_size=100))
    body = method.request_type(**draw(messages(method.request_type.DESCRIPTOR, door))).SerializeToString()
    if kind == 1:
        return body[: draw(st.integers(0, len(body)))]
    if kind == 2 and body:
        place = draw(st.integers(0, len(body) - 1))
        return body[:place] + draw(st.binary(min_size=1, max_size=3)) + body[place + 1 :]
    if kind == 3:
        return body + draw(st.binary(max_size=8))
    return body


@st.composite
def requests_of(draw, method, door):
    """The requests of one call; those of a transaction begin as they should, most of the time."""
    if method.full_name not in TRANSACTIONS:
        return draw(st.lists(bodies_of(method, door), min_size=1, max_size=2))
    start = threads_pb2.StartTransactionRequest(dbID=THREADS[door], collectionName="people")
    first = st.just(method.request_type(startTransactionRequest=start).SerializeToString())
    return [draw(mostly(first, bodies_of(method, door))), *draw(st.lists(bodies_of(method, door), max_size=4))]


header_values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)


@st.composite
def callers_of(draw, door, lair):
    """Metadata: mostly that of a caller who is let in, else with headers missing or wrong."""
    right = lair.caller(door)
    if draw(st.integers(0, 7)):
        return right
    token = lair.house.token(ALICE)
    names = [
        "authorization",
        "x-textile-api-key",
        "x-textile-api-sig",
        "x-textile-api-sig-msg",
        "x-textile-session",
        "x-textile-org",
        "x-textile-thread",
        "x-textile-thread-name",
    ]
    chosen = dict(right)
    for name in draw(st.lists(st.sampled_from(names), max_size=3)):
        wrong = header_values | header_values.map("bearer {}".format) | st.just("bearer " + token[:-3] + "abc")
        value = draw(st.none() | wrong)
        if value is None:
            chosen.pop(name, None)
        else:
            chosen[name] = value
    return list(chosen.items())


def check(lair, door, method, bodies, metadata):
    """Hold one call to what holds for all of them; returns its code."""
    before = lair.rows()
    code, text = lair.call(door, method, bodies, metadata)
    may_be = {grpc.StatusCode.UNAVAILABLE} if method.full_name in PEERS else set()
    assert code not in NEVER - may_be, (code, text)
    if code is not grpc.StatusCode.OK:
        assert text
        assert "Exception" not in text
        assert "Traceback" not in text
        assert lair.rows() == before
    elif method.full_name.startswith(CHANGING):
        lair.furnish(door)
    assert lair.serving(door)
    return code


@pytest.mark.parametrize("door", ["threads", "hub"])
@pytest.mark.parametrize("name", NETWORK)
def test_threads(lair, door, name):
    method = METHODS[name]

    @settings(max_examples=10 if name in FEEDS else 40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        bodies=requests_of(method, door),
        metadata=callers_of(door, lair),
    )
    def whatever_comes(bodies, metadata):
        check(lair, door, method, bodies, metadata)

    whatever_comes()


@pytest.mark.parametrize("door", ["threads", "hub"])
@pytest.mark.parametrize("name", THREADS_DB)
def test_databases(lair, door, name):
    method = METHODS[name]

    @settings(max_examples=15 if name in FEEDS else 40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        bodies=requests_of(method, door),
        metadata=callers_of(door, lair),
    )
    def whatever_comes(bodies, metadata):
        check(lair, door, method, bodies, metadata)

    whatever_comes()


@pytest.mark.parametrize("door", ["threads", "hub"])
def test_everything_else(lair, door):
    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data(), name=st.sampled_from(OTHERS))
    def whatever_comes(data, name):
        method = METHODS[name]
        bodies = data.draw(requests_of(method, door))
        check(lair, door, method, bodies, data.draw(callers_of(door, lair)))

    whatever_comes()


def test_developers_and_their_organisations(lair):
    numbers = itertools.count()
    channel = lair.channels["hub"]

    def developer():
        """A new developer with an organisation and a mailbox; returns the metadata of the session."""
        name = f"dev{next(numbers)}"
        signup = hubd_pb2.SignupRequest(username=name, email=f"{name}@example.org").SerializeToString()
        reply = channel.unary_unary("/api.hubd.pb.APIService/Signup")(signup, timeout=20)
        session = [("x-textile-session", hubd_pb2.SignupResponse.FromString(reply).session)]
        organisation = hubd_pb2.CreateOrgRequest(name=f"org {name}").SerializeToString()
        channel.unary_unary("/api.hubd.pb.APIService/CreateOrg")(organisation, metadata=session, timeout=20)
        channel.unary_unary("/api.usersd.pb.APIService/SetupMailbox")(b"", metadata=session, timeout=20)
        return session, ("x-textile-org", f"org-{name}")

    session, organisation = developer()
    lair.settle()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data(), name=st.sampled_from(DEVELOPERS), for_organisation=st.booleans())
    def whatever_comes(data, name, for_organisation):
        nonlocal session, organisation
        method = METHODS[name]
        bodies = data.draw(requests_of(method, "hub"))
        metadata = [*session, organisation] if for_organisation else session
        # What was refused has changed nothing: only another answer may have left the developer without something.
        if check(lair, "hub", method, bodies, metadata) is grpc.StatusCode.OK:
            session, organisation = developer()
            lair.settle()

    whatever_comes()


@pytest.mark.parametrize("door", ["threads", "hub"])
def test_names_of_no_method(lair, door):
    @settings(max_examples=50, deadline=None)
    @given(
        name=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40).map("/{}".format)
        | st.sampled_from(
            ["/threads.pb.API/", "/threads.pb.API", "/threads.pb.API/findByID", "/net.pb.Service/GetLogs"]
        ),
        body=st.binary(max_size=20),
    )
    def whatever_comes(name, body):
        code, text = lair.call(
            door, Method(name, None, None, client_streaming=False, server_streaming=False), [body], ()
        )
        assert code is grpc.StatusCode.UNIMPLEMENTED
        assert text
        assert lair.serving(door)

    whatever_comes()
