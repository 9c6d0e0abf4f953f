"""A daemon that is killed at any instant under 20 writers keeps all that it answered, whole, and agrees with itself.

`TORTURE_ROUNDS` says how often it is killed; `make torture` does so thousands of times.
"""

import asyncio
import json
import os
import random
import secrets
import shutil
import signal
from collections import Counter
from dataclasses import dataclass, field

import grpc
import pytest
from actors import Door, Mailer, Mover, Pusher, Shaper, Transactor, is_gone
from agreement import check_repository, differences
from daemons import DaemonError

from net.thread_id import ThreadID, Variant
from proto import threads_pb2
from store.failpoints import VARIABLE, Failpoint
from threadd.maintenance.verification import verify

ROUNDS = int(os.environ.get("TORTURE_ROUNDS", "20"))
ROUNDS_OF_A_DAEMON = 20
WRITERS = 16
LONGEST_LOAD_SECONDS = 1.5
COLLECTION = "note"
SCHEMA = {
    "type": "object",
    "properties": {"_id": {"type": "string"}, "rank": {"type": "integer"}, "text": {"type": "string"}},
    "required": ["_id", "rank", "text"],
}

MOST_HITS = 12
RARE = {
    *(Failpoint.INDEX_SLICE, Failpoint.INDEX_BUILT, Failpoint.FILL_SLICE, Failpoint.SWEEP_SLICE),
    *(Failpoint.OWNED, Failpoint.IMPORT_SLICE),
}
MOST_RARE_HITS = 2
"""A failpoint kills when it is come by for the so many-th time at most."""

pytestmark = pytest.mark.timeout(600 + 60 * ROUNDS)


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
                if is_gone(error):
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
                if is_gone(error):
                    return
                raise
            await asyncio.sleep(0.02)


@dataclass
class Crew:
    """All who write to one daemon, and what they know of it."""

    dice: random.Random
    veterans: list
    founder: Founder
    actors: list
    recruits: list = field(default_factory=list)
    earlier: dict = field(default_factory=dict)
    deaths: Counter = field(default_factory=Counter)
    answered: int = 0

    @property
    def writers(self):
        return self.veterans + self.recruits

    @property
    def calls(self):
        return sum(writer.calls for writer in self.writers) + sum(actor.steps for actor, _ in self.actors)


async def load(daemon, crew):
    """Have all of them write until the daemon dies; tells whether it did so by itself, at a failpoint."""
    async with Client(daemon.threads_api) as client:
        for one in (*crew.writers, crew.founder):
            one.client = client
        async with asyncio.TaskGroup() as group:
            for one in (*crew.writers, crew.founder):
                group.create_task(one.run())
            for actor, address in crew.actors:
                group.create_task(act(actor, address))
            await asyncio.sleep(crew.dice.uniform(0.1, LONGEST_LOAD_SECONDS))
            died = not daemon.alive()
            daemon.kill()
    return died


async def act(actor, address):
    async with Door(address) as door:
        await actor.run(door)


async def check_answers(daemon, crew):
    """Ask the daemon that was started again for all that was written, now and in earlier rounds."""
    async with Client(daemon.threads_api) as client:
        found = {}
        for thread in {writer.thread for writer in crew.writers}:
            found[thread] = await client.notes(thread)
        for writer in crew.writers:
            writer.check(found[writer.thread])
        listed = {db.dbID for db in (await client.call("ListDBs")).dbs}
        assert set(crew.founder.made) <= listed
        for thread in set(crew.founder.made) | set(crew.earlier) - set(found):
            assert await client.notes(thread) == crew.earlier.get(thread, {})
    crew.earlier.update(found)
    for actor, address in crew.actors:
        async with Door(address) as door:
            await actor.check(door)


async def start_and_check(daemon, crew, armed):
    """Start the daemon, check what it kept, and make a database; gives its thread."""
    daemon.variables = {VARIABLE: armed}
    daemon.start()
    await check_answers(daemon, crew)
    async with Client(daemon.threads_api) as client:
        return await client.new_db()


async def one_round(daemon, crew, number):
    """Start the daemon, perhaps with a failpoint armed, check what it kept, and write until it dies."""
    dice = crew.dice
    armed = ""
    if dice.random() < 0.7:
        place = dice.choice(list(Failpoint))
        armed = f"{place}=kill@{dice.randint(1, MOST_RARE_HITS if place in RARE else MOST_HITS)}"
    try:
        new = await start_and_check(daemon, crew, armed)
    except (DaemonError, grpc.aio.AioRpcError):
        # It died at its failpoint already, on its way up or while it was asked.
        daemon.process.wait(10)
        assert armed
        crew.deaths[armed.partition("=")[0]] += 1
        assert daemon.process.returncode == -signal.SIGKILL, daemon.said()
        new = await start_and_check(daemon, crew, "")
    crew.recruits = [Writer(None, new, f"{number}-{name}", dice) for name in range(WRITERS // 2)]
    before = crew.calls
    died = await load(daemon, crew)
    assert daemon.process.returncode == -signal.SIGKILL, daemon.said()
    if died:
        crew.deaths[armed.partition("=")[0]] += 1
    end = f"died at {armed}" if died else "killed"
    crew.answered += crew.calls - before
    print(f"round {number}: {crew.calls - before} calls answered; {end}")  # noqa: T201
    faults = verify(daemon.repo).faults
    assert not faults, faults
    await check_repository(daemon.repo, {writer.thread for writer in crew.writers})


async def test_killed_again_and_again_under_twenty_writers(start_daemon, moved):
    seed = int(os.environ.get("TORTURE_SEED", "0")) or secrets.randbits(32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    dice = random.Random(seed)
    deaths, calls = Counter(), 0
    for first in range(0, ROUNDS, ROUNDS_OF_A_DAEMON):
        daemon = start_daemon()
        key = json.loads(daemon.run("keys", "create", "--type", "user", "--insecure", "--json"))["key"]
        async with Client(daemon.threads_api) as client:
            old = await client.new_db()
        veterans = [Writer(client, old, f"old-{number}", dice) for number in range(WRITERS // 2)]
        doors = daemon.threads_api, daemon.hub_api
        on_threads = Transactor(dice), Shaper(dice), Pusher(dice), Mover(daemon.repo, *moved)
        actors = [*((actor, doors[0]) for actor in on_threads), (Mailer(key), doors[1])]
        crew = Crew(dice, veterans, Founder(client), actors)
        daemon.kill()
        for number in range(first, min(first + ROUNDS_OF_A_DAEMON, ROUNDS)):
            await one_round(daemon, crew, number)
        assert crew.answered > ROUNDS_OF_A_DAEMON
        await start_and_check(daemon, crew, "")
        daemon.stop()
        assert not verify(daemon.repo).faults
        shutil.rmtree(daemon.folder)
        deaths += crew.deaths
        calls += crew.answered
        print(f"{calls} calls answered; deaths at a failpoint: {dict(deaths)}")  # noqa: T201
