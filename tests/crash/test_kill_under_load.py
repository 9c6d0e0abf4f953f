"""A daemon that is killed at any instant under 16 writers keeps all that it answered, whole, and agrees with itself."""

import asyncio
import json
import os
import random
import secrets
from dataclasses import dataclass, field

import grpc
import pytest
from agreement import check_repository, differences

from net.thread_id import ThreadID, Variant
from proto import threads_pb2

ROUNDS = 20
WRITERS = 16
LONGEST_LOAD_SECONDS = 0.7
COLLECTION = "note"
SCHEMA = {
    "type": "object",
    "properties": {"_id": {"type": "string"}, "rank": {"type": "integer"}, "text": {"type": "string"}},
    "required": ["_id", "rank", "text"],
}

pytestmark = pytest.mark.timeout(300)


class Client:
    """The methods of the threads door that this test calls, by their names."""

    def __init__(self, address):
        options = [("grpc.max_receive_message_length", -1)]
        self._channel = grpc.aio.insecure_channel(address, options)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self._channel.close()

    async def call(self, method, **fields):
        request, reply = getattr(threads_pb2, f"{method}Request"), getattr(threads_pb2, f"{method}Reply")
        call = self._channel.unary_unary(
            f"/threads.pb.API/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=reply.FromString,
        )
        return await call(request(**fields))

    async def new_db(self):
        thread = ThreadID.random(Variant.RAW, os.urandom).bytes
        collection = threads_pb2.CollectionConfig(name=COLLECTION, schema=json.dumps(SCHEMA).encode())
        await self.call("NewDB", dbID=thread, collections=[collection])
        return thread

    async def notes(self, thread):
        reply = await self.call("Find", dbID=thread, collectionName=COLLECTION, queryJSON=b"{}")
        found = {}
        for text in reply.instances:
            note = json.loads(text)
            assert note.pop("_mod") > 0
            found[note["_id"]] = note
        return found


@dataclass
class Writer:
    """Writes notes that nobody else writes, one call after the other.

    `answered` is what must be there; `pending` is what the call in flight would make of some notes (None: gone).
    """

    client: Client
    thread: bytes
    name: str
    dice: random.Random
    answered: dict = field(default_factory=dict)
    pending: dict = field(default_factory=dict)
    calls: int = 0

    async def run(self):
        while True:
            try:
                await self.write()
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return
                raise
            self.calls += 1
            for note_id, note in self.pending.items():
                if note is None:
                    del self.answered[note_id]
                else:
                    self.answered[note_id] = note
            self.pending = {}

    async def write(self):
        chance = self.dice.random()
        ids = list(self.answered)
        if chance < 0.15 and ids:
            gone = self.dice.sample(ids, min(2, len(ids)))
            self.pending = dict.fromkeys(gone)
            await self.send("Delete", instanceIDs=gone)
        elif chance < 0.4 and ids:
            self.pending = {note_id: self.note(note_id) for note_id in self.dice.sample(ids, 1)}
            await self.send("Save", instances=self.texts())
        else:
            fresh = [f"{self.name}-{self.dice.getrandbits(64):x}" for _ in range(self.dice.choice([1, 1, 1, 5]))]
            self.pending = {note_id: self.note(note_id) for note_id in fresh}
            await self.send("Create", instances=self.texts())

    async def send(self, method, **fields):
        await self.client.call(method, dbID=self.thread, collectionName=COLLECTION, **fields)

    def note(self, note_id):
        rank = self.dice.getrandbits(40)
        return {"_id": note_id, "rank": rank, "text": f"{rank} " * self.dice.randrange(1, 60)}

    def texts(self):
        return [json.dumps(note).encode() for note in self.pending.values()]

    def check(self, found):
        """Its notes are those of the answered calls, with or without all of what the call in flight wrote."""
        mine = {note_id: note for note_id, note in found.items() if note_id.rpartition("-")[0] == self.name}
        after = {note_id: note for note_id, note in (self.answered | self.pending).items() if note is not None}
        assert mine in (self.answered, after), differences(mine, self.answered)
        self.answered, self.pending = mine, {}


@dataclass
class Founder:
    """Makes databases, one after the other."""

    client: Client
    made: list = field(default_factory=list)

    async def run(self):
        while True:
            try:
                self.made.append(await self.client.new_db())
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return
                raise
            await asyncio.sleep(0.02)


async def load(daemon, dice, writers, founder):
    """Have all of them write until the daemon is killed."""
    async with Client(daemon.threads_api) as client:
        for one in (*writers, founder):
            one.client = client
        async with asyncio.TaskGroup() as group:
            for one in (*writers, founder):
                group.create_task(one.run())
            await asyncio.sleep(dice.uniform(0.02, LONGEST_LOAD_SECONDS))
            assert daemon.alive()
            daemon.kill()


async def check_answers(daemon, writers, founder, earlier):
    """Ask the daemon that was started again for all that was written, now and in earlier rounds."""
    async with Client(daemon.threads_api) as client:
        found = {}
        for thread in {writer.thread for writer in writers}:
            found[thread] = await client.notes(thread)
        for writer in writers:
            writer.check(found[writer.thread])
        listed = {db.dbID for db in (await client.call("ListDBs")).dbs}
        assert set(founder.made) <= listed
        for thread in listed - set(found):
            assert await client.notes(thread) == earlier.get(thread, {})
    earlier.update(found)


async def test_killed_twenty_times_under_sixteen_writers(start_daemon):
    seed = secrets.randbits(32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    dice = random.Random(seed)
    daemon = start_daemon()
    async with Client(daemon.threads_api) as client:
        old = await client.new_db()
    veterans = [Writer(client, old, f"old-{number}", dice) for number in range(WRITERS // 2)]
    founder = Founder(client)
    earlier = {}
    for number in range(ROUNDS):
        async with Client(daemon.threads_api) as client:
            new = await client.new_db()
        recruits = [Writer(client, new, f"{number}-{name}", dice) for name in range(WRITERS // 2)]
        writers = veterans + recruits
        before = sum(writer.calls for writer in writers)
        await load(daemon, dice, writers, founder)
        answered = sum(writer.calls for writer in writers) - before
        print(f"round {number}: {answered} calls answered, {len(founder.made)} databases")  # noqa: T201
        await check_repository(daemon.repo, {old, new})
        daemon.start()
        await check_answers(daemon, writers, founder, earlier)
    assert sum(writer.calls for writer in veterans) > ROUNDS
    daemon.stop()
    await check_repository(daemon.repo)
