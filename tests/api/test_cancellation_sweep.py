"""Each call is cancelled at each of its awaits in turn: nothing is left behind, nobody is held up, and all agrees."""

import asyncio
import json
import os
import types
from contextlib import aclosing, asynccontextmanager
from functools import partial

import pytest
from houses import services_of

from net.keys import PrivateKey
from net.thread_id import ThreadID, Variant
from proto import bucketsd_pb2, threads_pb2, threadsnet_pb2, usersd_pb2
from threadd.api.dispatcher import CallHead
from threadd.api.doors import hub_dispatcher, threads_dispatcher
from threadd.api.health_service import Health
from threadd.api.statuses import CallError
from threadd.hub.api_keys import KeyKind
from threadd.maintenance.verification import verify
from threadd.rooms import open_rooms

MOST_AWAITS = 400
SECONDS = 20
SCHEMA = json.dumps({"type": "object", "properties": {"_id": {"type": "string"}, "n": {"type": "number"}}}).encode()

pytestmark = pytest.mark.timeout(300)


class Steps:
    """Cancels the task that runs a coroutine as it is about to wait for the so many-th time."""

    def __init__(self, coroutine, at):
        self.coroutine, self.at, self.waits = coroutine, at, 0

    @types.coroutine
    def run(self):
        step = partial(self.coroutine.send, None)
        while True:
            try:
                waited_for = step()
            except StopIteration as stopped:
                return stopped.value
            if self.waits == self.at:
                asyncio.current_task().cancel()
            self.waits += 1
            try:
                step = partial(self.coroutine.send, (yield waited_for))
            except BaseException as error:  # noqa: BLE001  whatever comes is for the coroutine
                step = partial(self.coroutine.throw, error)


async def cancelled_at(coroutine, at):
    """Run a coroutine and cancel it at an await; gives whether it had fewer."""

    async def run():
        return await steps.run()

    steps = Steps(coroutine, at)
    task = asyncio.ensure_future(run())
    async with asyncio.timeout(SECONDS):
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
    if steps.waits <= at:
        assert not isinstance(outcome, BaseException), outcome
        return True
    assert not isinstance(outcome, Exception) or isinstance(outcome, CallError), outcome
    return False


class World:
    """The dispatchers of both doors on one repository."""

    def __init__(self, rooms):
        self.rooms = rooms
        services = services_of(rooms, Health())
        self.dispatchers = {"threads": threads_dispatcher(services), "hub": hub_dispatcher(services, rooms.hub)}
        self.metadata = []

    async def open(self):
        self.thread = self.fresh_thread()
        self.metadata = [("x-textile-thread", ThreadID(self.thread).text)]
        await self.threads("NewDB", dbID=self.thread, collections=[self.collection("note")])
        await self.write("first")
        self.bucket = (await self.buckets("Create", name="files")).root.key
        return self

    async def user(self):
        """A user with a mailbox, and what its calls carry."""
        account = self.rooms.accounts.local().public_key
        key = await self.rooms.api_keys.create(account, KeyKind.USER, secure=False)
        identity = PrivateKey(os.urandom(32))
        token = await self._token(identity, key.key)
        carried = [("x-textile-api-key", key.key), ("authorization", f"bearer {token}")]
        await self.call("hub", usersd_pb2, "Users", "SetupMailbox", carried)
        return identity, carried

    async def _token(self, identity, key):
        challenges = asyncio.Queue()

        async def requests():
            yield threads_pb2.GetTokenRequest(key=identity.public.text).SerializeToString()
            challenge = await challenges.get()
            yield threads_pb2.GetTokenRequest(signature=identity.sign(challenge)).SerializeToString()

        call = self.dispatchers["hub"].admit(CallHead("/threads.pb.API/GetToken", [("x-textile-api-key", key)]))
        async with aclosing(self.dispatchers["hub"].invoke_stream(call, requests())) as replies:
            async for body in replies:
                reply = threads_pb2.GetTokenReply.FromString(body)
                if reply.token:
                    return reply.token
                challenges.put_nowait(reply.challenge)
        raise AssertionError

    @staticmethod
    def fresh_thread():
        return ThreadID.random(Variant.RAW, os.urandom).bytes

    @staticmethod
    def collection(name, *paths):
        indexes = [threads_pb2.Index(path=path) for path in paths]
        return threads_pb2.CollectionConfig(name=name, schema=SCHEMA, indexes=indexes)

    async def call(self, door, module, _service, method, metadata=None, requests=None, **fields):
        """Call a method whose messages are named after it; gives its replies, or the one of a unary call."""
        (service,) = [each for each in module.DESCRIPTOR.services_by_name.values() if method in each.methods_by_name]
        described = self.dispatchers[door].methods[f"/{service.full_name}/{method}"]
        head = CallHead(described.full_name, self.metadata if metadata is None else metadata)
        call = self.dispatchers[door].admit(head)
        if described.is_unary:
            body = described.request_type(**fields).SerializeToString()
            return described.reply_type.FromString(await self.dispatchers[door].invoke_unary(call, body))
        given = [described.request_type(**each).SerializeToString() for each in requests or [fields]]

        async def bodies():
            for body in given:
                await asyncio.sleep(0)
                yield body

        async with aclosing(self.dispatchers[door].invoke_stream(call, bodies())) as replies:
            return [described.reply_type.FromString(reply) async for reply in replies]

    async def threads(self, method, **fields):
        return await self.call("threads", threads_pb2, "API", method, **fields)

    async def network(self, method, **fields):
        return await self.call("threads", threadsnet_pb2, "API", method, **fields)

    async def buckets(self, method, **fields):
        return await self.call("threads", bucketsd_pb2, "APIService", method, **fields)

    async def write(self, name, method="Create", collection="note"):
        text = json.dumps({"_id": name, "n": len(name)}).encode()
        await self.threads(method, dbID=self.thread, collectionName=collection, instances=[text])

    async def check(self, number):
        """Others go on at once, and what is there is whole."""
        async with asyncio.timeout(SECONDS):
            await self.write(f"other-{number}")
            reply = await self.threads("Find", dbID=self.thread, collectionName="note", queryJSON=b"{}")
            found = [json.loads(text) for text in reply.instances]
            assert f"other-{number}" in {one["_id"] for one in found}
            assert all(one["n"] in {len(one["_id"]), 0} for one in found)
            for name in [one.name for one in (await self.threads("ListCollections", dbID=self.thread)).collections]:
                await self.threads("Find", dbID=self.thread, collectionName=name, queryJSON=b"{}")
            await self.buckets("ListPath", key=self.bucket, path="")


async def created(world, number):
    return world.write(f"new-{number}")


async def saved(world, _):
    return world.threads(
        "Save", dbID=world.thread, collectionName="note", instances=[b'{"_id":"first","n":5}', b'{"_id":"more","n":4}']
    )


async def deleted(world, number):
    await world.write(f"going-{number}")
    return world.threads("Delete", dbID=world.thread, collectionName="note", instanceIDs=[f"going-{number}"])


async def found(world, _):
    return world.threads("Find", dbID=world.thread, collectionName="note", queryJSON=b"{}")


async def made(world, _):
    thread = world.fresh_thread()
    return world.threads("NewDB", dbID=thread, collections=[world.collection("note", "n")])


async def unmade(world, _):
    thread = world.fresh_thread()
    await world.threads("NewDB", dbID=thread, collections=[world.collection("note", "n")])
    return world.threads("DeleteDB", dbID=thread)


async def added(world, number):
    return world.threads("NewCollection", dbID=world.thread, config=world.collection(f"c{number}", "n"))


async def indexed(world, number):
    await world.threads("NewCollection", dbID=world.thread, config=world.collection(f"c{number}"))
    await world.write("a", collection=f"c{number}")
    return world.threads("UpdateCollection", dbID=world.thread, config=world.collection(f"c{number}", "n"))


async def removed(world, number):
    await world.threads("NewCollection", dbID=world.thread, config=world.collection(f"c{number}", "n"))
    await world.write("a", collection=f"c{number}")
    return world.threads("DeleteCollection", dbID=world.thread, name=f"c{number}")


async def transacted(world, number):
    texts = [json.dumps({"_id": f"{name}-{number}", "n": len(f"{name}-{number}")}).encode() for name in "ab"]
    requests = [
        {"startTransactionRequest": threads_pb2.StartTransactionRequest(dbID=world.thread, collectionName="note")},
        {"createRequest": threads_pb2.CreateRequest(instances=texts)},
        {"findRequest": threads_pb2.FindRequest(queryJSON=b"{}")},
        {"deleteRequest": threads_pb2.DeleteRequest(instanceIDs=[f"b-{number}"])},
    ]
    return world.threads("WriteTransaction", requests=requests)


async def recorded(world, _):
    thread = world.fresh_thread()
    await world.network("CreateThread", threadID=thread)
    return world.network("CreateRecord", threadID=thread, body=b"\x41a")


async def bucket_made(world, number):
    return world.buckets("Create", name=f"bucket-{number}")


async def bucket_removed(world, number):
    key = (await world.buckets("Create", name=f"bucket-{number}")).root.key
    return world.buckets("Remove", key=key)


async def pushed(world, number):
    header = bucketsd_pb2.PushPathRequest.Header(key=world.bucket, path=f"file-{number}")
    chunks = [{"chunk": os.urandom(300_000)} for _ in range(3)]
    return world.buckets("PushPath", requests=[{"header": header}, *chunks])


async def moved(world, number):
    header = bucketsd_pb2.PushPathRequest.Header(key=world.bucket, path=f"file-{number}")
    await world.buckets("PushPath", requests=[{"header": header}, {"chunk": b"text"}])
    return world.buckets("MovePath", key=world.bucket, from_path=f"file-{number}", to_path=f"moved-{number}")


async def mailed(world, _):
    identity, carried = await world.user()
    body = os.urandom(20)
    signature = identity.sign(body)
    parts = {"to_body": body, "to_signature": signature, "from_body": body, "from_signature": signature}
    return world.call("hub", usersd_pb2, "Users", "SendMessage", carried, to=identity.public.text, **parts)


async def made_at_the_hub(world, _):
    _, carried = await world.user()
    return world.call("hub", threads_pb2, "API", "NewDB", carried, dbID=world.fresh_thread())


CALLS = (
    *(created, saved, deleted, found, made, unmade, added, indexed, removed, transacted, recorded),
    *(bucket_made, bucket_removed, pushed, moved, mailed, made_at_the_hub),
)


@asynccontextmanager
async def world_of(folder):
    async with open_rooms(folder) as rooms:
        yield await World(rooms).open()


@pytest.mark.parametrize("prepare", CALLS, ids=lambda prepare: prepare.__name__)
async def test_a_call_may_be_cancelled_at_each_await(tmp_path, prepare):
    folder = tmp_path / "repo"
    async with world_of(folder) as world:
        for at in range(MOST_AWAITS):
            ended = await cancelled_at(await prepare(world, at), at)
            await world.check(at)
            if ended:
                break
        else:
            pytest.fail("it does not end")
    assert verify(folder).faults == []
    async with open_rooms(folder) as rooms:
        assert rooms.engine.is_sound
