"""Clients that write until their daemon dies, each knowing what was acknowledged and what was on its way.

Each has `run`, which ends when the daemon goes away, and `check`, which asks the daemon that was started again: what was
acknowledged is there, what was on its way is there whole or not at all.
"""

import asyncio
import json
import os
from dataclasses import dataclass, field

import grpc
import msgspec

from net.keys import PrivateKey
from net.thread_id import ThreadID, Variant
from proto import bucketsd_pb2, threads_pb2, usersd_pb2
from store.errors import StatusCode
from threadd.control_client import ControlClient, ControlError, NoDaemonError
from threadd.maintenance import lines
from threadd.verbs import ImportDatabase

SCHEMA = json.dumps({"type": "object", "properties": {"_id": {"type": "string"}, "rank": {"type": "number"}}}).encode()
_THREADS = "/threads.pb.API/"
_BUCKETS = "/api.bucketsd.pb.APIService/"
_USERS = "/api.usersd.pb.APIService/"


def is_gone(error):
    """Whether a call failed because the daemon died; anything else is a fault."""
    # The last is what this client says where a stream broke while it wrote.
    return error.code() is grpc.StatusCode.UNAVAILABLE or error.details() == "Internal error from Core"


async def reply_of(call):
    """The next reply of a stream."""
    reply = await call.read()
    if reply is grpc.aio.EOF:
        raise grpc.aio.AioRpcError(await call.code(), (), (), details=await call.details())
    return reply


class Door:
    """A door of a daemon, whose methods are called by name.

    Args:
        address: HOST:PORT.
        metadata: What each call carries.
    """

    def __init__(self, address, metadata=()):
        self.channel = grpc.aio.insecure_channel(address, [("grpc.max_receive_message_length", -1)])
        self.metadata = list(metadata)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.channel.close()

    async def threads(self, method, **fields):
        types = getattr(threads_pb2, f"{method}Request"), getattr(threads_pb2, f"{method}Reply")
        return await self._unary(_THREADS + method, *types, fields)

    async def buckets(self, method, **fields):
        types = getattr(bucketsd_pb2, f"{method}Request"), getattr(bucketsd_pb2, f"{method}Response")
        return await self._unary(_BUCKETS + method, *types, fields)

    async def users(self, method, **fields):
        types = getattr(usersd_pb2, f"{method}Request"), getattr(usersd_pb2, f"{method}Response")
        return await self._unary(_USERS + method, *types, fields)

    async def _unary(self, name, request, reply, fields):
        call = self.channel.unary_unary(name, request.SerializeToString, reply.FromString)
        return await call(request(**fields), metadata=self.metadata)

    def stream(self, name, request, reply, requests=None):
        make = self.channel.stream_stream(name, request.SerializeToString, reply.FromString)
        return make(requests, metadata=self.metadata)

    async def new_db(self, collections=()):
        thread = ThreadID.random(Variant.RAW, os.urandom).bytes
        await self.threads("NewDB", dbID=thread, collections=collections)
        return thread

    async def found(self, thread, collection, query=b"{}"):
        reply = await self.threads("Find", dbID=thread, collectionName=collection, queryJSON=query)
        return {json.loads(text)["_id"]: json.loads(text) for text in reply.instances}

    async def token(self, identity):
        """A token for a private key, as GetToken gives it."""
        request, reply = threads_pb2.GetTokenRequest, threads_pb2.GetTokenReply
        call = self.stream(_THREADS + "GetToken", request, reply)
        await call.write(request(key=identity.public.text))
        challenge = (await reply_of(call)).challenge
        await call.write(request(signature=identity.sign(challenge)))
        token = (await reply_of(call)).token
        await call.done_writing()
        return token


class Actor:
    """Does one thing after the other until its daemon is gone; `step` does one."""

    steps = 0

    async def run(self, door):
        try:
            while True:
                await self.step(door)
                self.steps += 1
        except grpc.aio.AioRpcError as error:
            if not is_gone(error):
                raise


@dataclass
class Transactor(Actor):
    """Moves points between two accounts of a database, in transactions: their sum stays as it is."""

    dice: object
    thread: bytes | None = None
    acknowledged: int = 0
    steps: int = 0

    async def step(self, door):
        if self.thread is None:
            thread = await door.new_db([threads_pb2.CollectionConfig(name="account", schema=SCHEMA)])
            accounts = [b'{"_id":"a","rank":1000}', b'{"_id":"b","rank":0}', b'{"_id":"count","rank":0}']
            await door.threads("Create", dbID=thread, collectionName="account", instances=accounts)
            self.thread, self.acknowledged = thread, 0
        request, reply = threads_pb2.WriteTransactionRequest, threads_pb2.WriteTransactionReply
        call = door.stream(_THREADS + "WriteTransaction", request, reply)
        start = threads_pb2.StartTransactionRequest(dbID=self.thread, collectionName="account")
        await call.write(request(startTransactionRequest=start))
        find = threads_pb2.FindRequest(queryJSON=b"{}")
        await call.write(request(findRequest=find))
        texts = (await reply_of(call)).findReply.instances
        ranks = {one["_id"]: one["rank"] for one in map(json.loads, texts)}
        moved = self.dice.randrange(1, 10)
        new = {"a": ranks["a"] - moved, "b": ranks["b"] + moved, "count": self.acknowledged + 1}
        for name, rank in new.items():
            save = threads_pb2.SaveRequest(instances=[json.dumps({"_id": name, "rank": rank}).encode()])
            await call.write(request(saveRequest=save))
            assert not (await reply_of(call)).saveReply.transactionError
        await call.done_writing()
        if await call.code() is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(await call.code(), (), (), details=await call.details())
        self.acknowledged += 1

    async def check(self, door):
        if self.thread is None:
            return
        ranks = {name: one["rank"] for name, one in (await door.found(self.thread, "account")).items()}
        assert ranks["a"] + ranks["b"] == 1000
        assert ranks["count"] in {self.acknowledged, self.acknowledged + 1}
        self.acknowledged = ranks["count"]


@dataclass
class Shaper(Actor):
    """Makes collections, fills and indexes them, and deletes them, in a database of its own.

    `acknowledged` holds the IDs in each collection; `pending` says what the call in flight does to one (None: gone).
    """

    dice: object
    thread: bytes | None = None
    acknowledged: dict = field(default_factory=dict)
    pending: tuple = ()
    steps: int = 0

    async def step(self, door):
        if self.thread is None:
            self.thread = await door.new_db()
            self.acknowledged = {}
        name = f"c{self.dice.randrange(4)}"
        known = self.acknowledged.get(name)
        chance = self.dice.random()
        if known is None:
            self.pending = (name, set())
            config = threads_pb2.CollectionConfig(name=name, schema=SCHEMA, indexes=self._indexes())
            await door.threads("NewCollection", dbID=self.thread, config=config)
        elif chance < 0.15:
            self.pending = (name, None)
            await door.threads("DeleteCollection", dbID=self.thread, name=name)
        elif chance < 0.5:
            self.pending = (name, known)
            config = threads_pb2.CollectionConfig(name=name, schema=SCHEMA, indexes=self._indexes())
            await door.threads("UpdateCollection", dbID=self.thread, config=config)
        else:
            fresh = {f"{self.dice.getrandbits(48):x}" for _ in range(self.dice.choice([5, 300]))}
            self.pending = (name, known | fresh)
            texts = [json.dumps({"_id": one, "rank": self.dice.randrange(9)}).encode() for one in sorted(fresh)]
            await door.threads("Create", dbID=self.thread, collectionName=name, instances=texts)
        self._settle()

    def _indexes(self):
        return [threads_pb2.Index(path="rank")] if self.dice.random() < 0.6 else []

    def _settle(self):
        if self.pending:
            name, ids = self.pending
            self.pending = ()
            if ids is None:
                self.acknowledged.pop(name, None)
            else:
                self.acknowledged[name] = ids

    async def check(self, door):
        if self.thread is None:
            return
        listed = (await door.threads("ListCollections", dbID=self.thread)).collections
        found = {one.name: set(await door.found(self.thread, one.name)) for one in listed}
        before = dict(self.acknowledged)
        self._settle()
        assert found in (before, self.acknowledged)
        self.acknowledged = found
        for name, ids in found.items():
            ranked = set()
            for rank in range(9):
                query = {"ands": [{"fieldPath": "rank", "operation": 0, "value": {"float": rank}}]}
                ranked |= set(await door.found(self.thread, name, json.dumps(query).encode()))
            assert ranked == ids


@dataclass
class Pusher(Actor):
    """Puts files into a bucket and takes them out again."""

    dice: object
    thread: bytes | None = None
    key: str = ""
    acknowledged: dict = field(default_factory=dict)
    pending: tuple = ()
    steps: int = 0

    async def step(self, door):
        if not self.key:
            thread = await door.new_db()
            door.metadata = [("x-textile-thread", ThreadID(thread).text)]
            made = await door.buckets("Create", name="files")
            self.thread, self.key = thread, made.root.key
        door.metadata = [("x-textile-thread", ThreadID(self.thread).text)]
        path = f"f{self.dice.randrange(5)}"
        if path in self.acknowledged and self.dice.random() < 0.3:
            self.pending = (path, None)
            await door.buckets("RemovePath", key=self.key, path=path)
        else:
            data = os.urandom(self.dice.choice([10, 5_000, 600_000]))
            self.pending = (path, data)
            request, reply = bucketsd_pb2.PushPathRequest, bucketsd_pb2.PushPathResponse
            header = request(header=request.Header(key=self.key, path=path))
            chunks = [request(chunk=data[at : at + 100_000]) for at in range(0, len(data), 100_000)]
            async for _ in door.stream(_BUCKETS + "PushPath", request, reply, iter([header, *chunks])):
                pass
        self._settle()

    def _settle(self):
        if self.pending:
            path, data = self.pending
            self.pending = ()
            if data is None:
                self.acknowledged.pop(path, None)
            else:
                self.acknowledged[path] = data

    async def check(self, door):
        if not self.key:
            return
        door.metadata = [("x-textile-thread", ThreadID(self.thread).text)]
        names = [item.name for item in (await door.buckets("ListPath", key=self.key, path="")).item.items]
        found = {name: await self._pull(door, name) for name in names if not name.startswith(".")}
        before = dict(self.acknowledged)
        self._settle()
        assert found in (before, self.acknowledged), found.keys()
        self.acknowledged = found

    async def _pull(self, door, path):
        request, reply = bucketsd_pb2.PullPathRequest, bucketsd_pb2.PullPathResponse
        make = door.channel.unary_stream(_BUCKETS + "PullPath", request.SerializeToString, reply.FromString)
        replies = make(request(key=self.key, path=path), metadata=door.metadata)
        return b"".join([reply.chunk async for reply in replies])


@dataclass
class Mailer(Actor):
    """Makes databases and sends itself messages through the Hub's door: into both boxes or none.

    Args:
        api_key: An insecure user group key.
    """

    api_key: str
    identity: PrivateKey = field(default_factory=lambda: PrivateKey(os.urandom(32)))
    token: str = ""
    has_box: bool = False
    sent: list = field(default_factory=list)
    made: list = field(default_factory=list)
    steps: int = 0

    async def step(self, door):
        door.metadata = [("x-textile-api-key", self.api_key)]
        if not self.token:
            self.token = await door.token(self.identity)
        door.metadata.append(("authorization", f"bearer {self.token}"))
        if not self.has_box:
            await door.users("SetupMailbox")
            self.has_box = True
        body = os.urandom(20)
        signed = {"to_body": body, "to_signature": self.identity.sign(body)}
        signed |= {"from_body": body, "from_signature": self.identity.sign(body)}
        reply = await door.users("SendMessage", to=self.identity.public.text, **signed)
        self.sent.append(reply.id)
        if len(self.made) < 20:
            self.made.append(await door.new_db())
        await asyncio.sleep(0.01)

    async def check(self, door):
        if not self.has_box:
            return
        door.metadata = [("x-textile-api-key", self.api_key), ("authorization", f"bearer {self.token}")]
        inbox = await self._all(door, "ListInboxMessages")
        sentbox = await self._all(door, "ListSentboxMessages")
        assert inbox == sentbox
        assert set(self.sent) <= inbox
        assert len(inbox) - len(self.sent) in {0, 1}
        self.sent = list(inbox)
        for thread in self.made:
            await door.threads("GetDBInfo", dbID=thread)

    async def _all(self, door, method):
        found, seek = set(), ""
        while True:
            page = [one.id for one in (await door.users(method, seek=seek, limit=1000, ascending=True)).messages]
            if set(page) <= found:
                return found
            found |= set(page)
            seek = page[-1]


def moving(exported, collection):
    """What an exported database is where its records came from other hosts and no collection is there yet.

    Args:
        exported: Its lines.
        collection: What all of its records wait for.

    Returns:
        The lines, the thread's ID, and the IDs of the instances.
    """
    taken, found = [], set()
    for line in map(lines.decode, exported):
        match line:
            case lines.Header():
                thread = ThreadID.from_text(line.thread).bytes
                taken.append(msgspec.structs.replace(line, sequence=0))
            case lines.RecordLine():
                taken.append(msgspec.structs.replace(line, waiting=(collection,)))
            case lines.InstanceLine():
                found.add(line.id)
            case lines.End():
                taken.append(lines.End(line.records, 0))
            case lines.CollectionLine():
                pass
            case _:
                taken.append(line)
    return [lines.encode(line) for line in taken], thread, found


@dataclass
class Mover(Actor):
    """Imports a database whose records wait, fills its collection, indexes that, deletes all, and begins again.

    Args:
        repo: The daemon's repository.
        file: What is imported.
        thread: Its ID.
        collection: What its records wait for.
        ids: The instances in it.
    """

    repo: object
    file: object
    thread: bytes
    collection: str
    ids: set
    stage: int = 0
    steps: int = 0

    async def step(self, door):
        config = threads_pb2.CollectionConfig(name=self.collection, schema=SCHEMA)
        match self.stage:
            case 0:
                await asyncio.to_thread(self._import)
            case 1:
                await door.threads("NewCollection", dbID=self.thread, config=config)
            case 2:
                config.indexes.add(path="rank")
                await door.threads("UpdateCollection", dbID=self.thread, config=config)
            case 3:
                await door.threads("DeleteDB", dbID=self.thread)
        self.stage = (self.stage + 1) % 4

    def _import(self):
        try:
            client = ControlClient(self.repo)
        except NoDaemonError as error:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, (), (), details=error.text) from error
        try:
            client.call(msgspec.json.encode(ImportDatabase(str(self.file))))
        except ControlError as error:
            if error.status is not StatusCode.UNAVAILABLE:
                raise
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, (), (), details=error.text) from error
        finally:
            client.close()

    async def check(self, door):
        found = await self._found(door)
        assert found in {self.stage, (self.stage + 1) % 4}
        self.stage = found

    async def _found(self, door):
        listed = {one.dbID for one in (await door.threads("ListDBs")).dbs}
        if self.thread not in listed:
            return 0
        collections = (await door.threads("ListCollections", dbID=self.thread)).collections
        if not collections:
            return 1
        (collection,) = collections
        assert set(await door.found(self.thread, collection.name)) == self.ids
        if not collection.indexes:
            return 2
        query = {"ands": [{"fieldPath": "rank", "operation": 4, "value": {"float": 0}}], "index": "rank"}
        assert set(await door.found(self.thread, collection.name, json.dumps(query).encode())) == self.ids
        return 3
