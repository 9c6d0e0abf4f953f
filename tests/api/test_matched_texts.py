"""Every text that a published client of the Hub looks for in a refusal, and what makes this daemon say it.

The list is whole for @textile/hub 6.3.4 and the packages below it, @textile/threaddb 0.2.4, the `hub` and `buck` programs
and packages of textile v2.6.18, and go-threads 1.1.5. What these say themselves is not in it: `Auth expired`, `RST_STREAM`
and `STREAM_CLOSED`, and `Response closed without headers` (tests/web/test_web_sockets.py has what brings that about).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
import pytest

from net.keys import PrivateKey
from net.thread_id import ThreadID
from proto import bucketsd_pb2, threads_pb2
from threadd.api import buckets_service, users_service
from threadd.hub.api_keys import KeyKind

ALICE, BOB = PrivateKey(b"a" * 32), PrivateKey(b"b" * 32)
THREAD, OTHER = (bytes([1, 0x55]) + letter * 32 for letter in (b"t", b"o"))
PEOPLE = threads_pb2.CollectionConfig(name="people", schema=b'{"properties": {"_id": {"type": "string"}}}')
STRICT = threads_pb2.CollectionConfig(
    name="people",
    schema=b'{"properties": {"_id": {"type": "string"}}, "required": ["age"], "additionalProperties": false}',
)


class Clients:
    """Clients of a whole house.

    Args:
        house: The house.
        key: A key for users.
        hub: Stubs of the Hub's endpoint that carry nothing.
        threads: Stubs of the threads endpoint.
        accounts: Stubs of accounts that carry nothing.
    """

    def __init__(self, house, key, hub, threads, accounts):
        self.house = house
        self.threads = threads
        self.accounts = accounts
        self.alice, self.bob = (hub.using(house.hub_metadata(key, house.token(identity))) for identity in (ALICE, BOB))

    def named(self, name):
        return self.alice.using([*self.alice.metadata, ("x-textile-thread-name", name)])

    async def folder(self):
        """Stubs of buckets in a database of Alice, and a bucket that is there."""
        await self.alice("NewDB", dbID=THREAD)
        metadata = [*self.alice.metadata, ("x-textile-thread", ThreadID(THREAD).text)]
        stubs = self.alice.of(buckets_service.DESCRIPTOR).using(metadata)
        return stubs, (await stubs("Create")).root


@pytest.fixture
async def clients(house, hub_door, threads_door, accounts_door):
    key = await house.rooms.api_keys.create(house.rooms.accounts.local().public_key, KeyKind.USER)
    return Clients(house, key, hub_door, threads_door, accounts_door)


async def twice_at_the_hub(clients):
    await clients.alice("NewDB", dbID=THREAD, collections=[PEOPLE])
    return await clients.alice.refused("NewDB", dbID=THREAD, collections=[PEOPLE])


async def a_name_twice(clients):
    await clients.named("notes")("NewDB", dbID=THREAD)
    return await clients.named("notes").refused("NewDB", dbID=OTHER)


async def twice_at_the_threads_endpoint(clients):
    await clients.threads("NewDB", dbID=THREAD)
    return await clients.threads.refused("NewDB", dbID=THREAD)


async def of_another_at_the_hub(clients):
    await clients.bob("NewDB", dbID=THREAD)
    return await clients.alice.refused("NewDB", dbID=THREAD)


async def a_collection_twice(clients):
    await clients.alice("NewDB", dbID=THREAD, collections=[PEOPLE])
    return await clients.alice.refused("NewCollection", dbID=THREAD, config=PEOPLE)


async def a_collection_that_is_not_there(clients):
    await clients.alice("NewDB", dbID=THREAD)
    return await clients.alice.refused("Create", dbID=THREAD, collectionName="people", instances=[b"{}"])


async def a_document_that_breaks_its_schema(clients):
    await clients.alice("NewDB", dbID=THREAD, collections=[STRICT])
    document = b'{"_id":"1","color":"red"}'
    return await clients.alice.refused("Create", dbID=THREAD, collectionName="people", instances=[document])


async def a_thread_by_an_unknown_name(clients):
    return await clients.alice.of(users_service.DESCRIPTOR).refused("GetThread", name="notes")


async def an_unknown_key(clients):
    jane = await clients.accounts("Signup", username="jane", email="jane@example.org")
    signed_in = clients.accounts.using([("x-textile-session", jane.session)])
    return await signed_in.refused("InvalidateKey", key="bunknown")


async def all_databases_at_the_hub(clients):
    return await clients.alice.refused("ListDBs")


async def a_sign_up_with_a_known_address(clients):
    await clients.accounts("Signup", username="jane", email="jane@example.org")
    return await clients.accounts.refused("Signup", username="john", email="jane@example.org")


async def a_push_on_an_old_root(clients):
    stubs, bucket = await clients.folder()
    await stubs("SetPath", key=bucket.key, path="copy", cid=bucket.path.removeprefix("/ipfs/"))
    header = bucketsd_pb2.PushPathsRequest.Header(key=bucket.key, root=bucket.path)
    push = stubs.channel.stream_stream(
        "/api.bucketsd.pb.APIService/PushPaths",
        request_serializer=bucketsd_pb2.PushPathsRequest.SerializeToString,
        response_deserializer=bucketsd_pb2.PushPathsResponse.FromString,
    )
    return await ended(push(iter([bucketsd_pb2.PushPathsRequest(header=header)]), metadata=stubs.metadata, timeout=20))


async def removal_on_an_old_root(clients):
    stubs, bucket = await clients.folder()
    await stubs("SetPath", key=bucket.key, path="copy", cid=bucket.path.removeprefix("/ipfs/"))
    return await stubs.refused("RemovePath", key=bucket.key, path="copy", root=bucket.path)


async def removal_of_what_is_not_there(clients):
    stubs, bucket = await clients.folder()
    return await stubs.refused("RemovePath", key=bucket.key, path="nothing")


async def watching_as_the_daemon_ends(clients):
    await clients.alice("NewDB", dbID=THREAD)
    listen = clients.alice.channel.unary_stream(
        "/threads.pb.API/Listen",
        request_serializer=threads_pb2.ListenRequest.SerializeToString,
        response_deserializer=threads_pb2.ListenReply.FromString,
    )
    call = listen(threads_pb2.ListenRequest(dbID=THREAD), metadata=clients.alice.metadata, timeout=20)
    ending = asyncio.ensure_future(ended(call))
    await call.initial_metadata()
    clients.house.rooms.databases.end_listeners()
    return await ending


async def ended(call):
    """With which code and text a stream ends."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        async for _ in call:
            pass
    return await call.code(), await call.details()


WHOLE, PART, END = str.__eq__, str.__contains__, str.endswith


@dataclass(frozen=True)
class Matched:
    """A text that a client looks for.

    Args:
        reader: Which client, and where.
        text: The text.
        how: Whether it is the whole of what the client gets, a part, or the end.
        asked: What brings it about.
        code: The code, where the client looks at it, too.
    """

    reader: str
    text: str
    how: Callable[[str, str], bool]
    asked: Callable[[Clients], Awaitable[tuple[grpc.StatusCode, str]]]
    code: grpc.StatusCode | None = None


DUPLICATE, EXISTS = "E11000 duplicate key error", "db already exists"
OLD_ROOT, OPENS = "update is non-fast-forward", "@textile/threaddb, initialize"

TEXTS = [
    Matched(OPENS, "multiple write errors", PART, twice_at_the_hub),
    Matched(OPENS, EXISTS, PART, twice_at_the_threads_endpoint),
    Matched(OPENS, EXISTS, PART, of_another_at_the_hub),
    Matched(OPENS, "collection already registered", PART, a_collection_twice),
    Matched("textile/threaddb, NewMailbox", DUPLICATE, PART, twice_at_the_hub),
    Matched("textile/threaddb, NewMailbox", DUPLICATE, PART, a_name_twice),
    Matched("textile/threaddb, Collection", "collection not found", PART, a_collection_that_is_not_there),
    Matched(
        "textile/threaddb, Collection",
        "instance doesn't correspond to schema: (root)",
        PART,
        a_document_that_breaks_its_schema,
    ),
    Matched("@textile/buckets, getOrCreate", "Thread not found", WHOLE, a_thread_by_an_unknown_name),
    # It takes either text for a thread that is not there; this daemon says the second of keys.
    Matched("@textile/buckets, getOrCreate", "mongo: no documents in result", PART, an_unknown_key),
    Matched("@textile/hub-threads-client, listDBs", "Method is not accessible", PART, all_databases_at_the_hub),
    Matched("hub init", "Account exists", PART, a_sign_up_with_a_known_address),
    Matched("buck push", OLD_ROOT, PART, a_push_on_an_old_root),
    Matched("buck push", OLD_ROOT, PART, removal_on_an_old_root),
    Matched("buck push", "no link by that name", END, removal_of_what_is_not_there),
    Matched("buck watch", "", PART, watching_as_the_daemon_ends, grpc.StatusCode.UNAVAILABLE),
]


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: f"{row.reader}: {row.asked.__name__}")
async def test_what_clients_look_for(clients, row):
    code, text = await row.asked(clients)
    assert row.how(text, row.text), text
    assert code is row.code or row.code is None


async def test_a_name_of_another_thread_is_not_taken_for_the_thread_itself(clients):
    """`@textile/threaddb` would go on with an ID that nobody has."""
    _, text = await a_name_twice(clients)
    assert not any(part in text for part in ("multiple write errors", EXISTS))
