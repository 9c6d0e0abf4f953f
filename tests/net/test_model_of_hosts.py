"""Three hosts of ours with databases, under random writes, partitions, restarts and copies that are put back.

Everything runs on one loop whose clock jumps, over a wire in memory, from one seed: a failure prints it, and
`MODEL_SEEDS=from-to` runs others.
"""

import asyncio
import copy
import json
import os
import random

import pytest
import virtual_time
from wires import Node, Wire, new_thread

from net.keys import PrivateKey
from store import documents as document_rows
from threadd.db.collections import CollectionConfig
from threadd.db.manager import Manager

FIRST, LAST = (int(seed) for seed in os.environ.get("MODEL_SEEDS", "0-12").split("-"))
STEPS = 60
QUIET_SECONDS = 120
SCHEMA = json.dumps({"type": "object", "properties": {"_id": {"type": "string"}, "n": {"type": "integer"}}}).encode()


class Host:
    """A host with the database of one thread."""

    def __init__(self, world, number, engine=None):
        self.world, self.number = world, number
        key = PrivateKey(bytes([number + 1]) * 32)
        self.node = Node(
            world.wire,
            engine,
            key,
            scale=1,
            randomness=world.chance.randbytes,
            clock=world.time_ns,
            chance=random.Random(world.chance.random()),
            databases=lambda engine, threads: Manager(
                engine, threads, world.time_ns, randomness=world.chance.randbytes
            ),
        )
        self.writer = key.public

    @property
    def database(self):
        return self.node.databases.get(self.world.thread)

    async def stop(self):
        await self.node.stop()
        await self.node.databases.close()

    def documents(self):
        number = self.node.threads.number(self.node.engine, self.world.thread)
        row = self.database._catalogue.row("c")
        return dict(document_rows.all_documents(self.node.engine, number, row.number))


class World:
    """All hosts, their wire and their chance."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.wire = Wire()
        self.thread, self.key = new_thread(self.chance.randbytes)
        self.hosts = []

    def time_ns(self):
        return 10**18 + int(asyncio.get_running_loop().time() * 1e9)

    async def open(self):
        config = CollectionConfig("c", SCHEMA)
        self.hosts = [Host(self, number) for number in range(3)]
        for host in self.hosts:
            host.node.start()
        first = self.hosts[0]
        await first.node.databases.new_db(self.thread, key=self.key, collections=[config], identity=first.writer)
        for host in self.hosts[1:]:
            logs = await host.node.verbs.ask_for_logs(first.node.address(self.thread), self.key)
            await host.node.databases.new_db(
                self.thread, key=self.key, collections=[config], identity=host.writer, logs=logs
            )
            host.node.verbs.has_joined(self.thread)
            await host.node.verbs.pull_thread(self.thread)
        await asyncio.sleep(30)

    async def step(self):
        chance, place = self.chance, self.chance.randrange(3)
        host = self.hosts[place]
        match chance.choice(["save", "save", "save", "remove", "cut", "heal", "restart", "put back", "wait"]):
            case "save":
                for _ in range(chance.choice([1, 1, 2, 40])):
                    text = json.dumps({"_id": chance.choice("abcdef"), "n": chance.randrange(1000)}).encode()
                    await host.database.save("c", [text], host.writer)
            case "remove":
                await host.database.delete("c", [chance.choice("abcdef")], host.writer)
            case "cut":
                self.wire.cut.add(host.node.id)
            case "heal":
                self.wire.cut.discard(host.node.id)
            case "restart":
                await host.stop()
                self.hosts[place] = await self.again(place, host.node.engine)
            case "put back":
                kept = copy.deepcopy(host.node.engine)
                await asyncio.sleep(chance.random() * 5)
                await host.database.save("c", [json.dumps({"_id": "lost", "n": 1}).encode()], host.writer)
                await asyncio.sleep(chance.random() * 5)
                await host.stop()
                self.hosts[place] = await self.again(place, kept)
            case "wait":
                await asyncio.sleep(chance.random() * 20)

    async def again(self, place, engine):
        host = Host(self, place, engine)
        host.node.start()
        return host

    async def check(self):
        self.wire.cut.clear()
        for _ in range(60):
            await asyncio.sleep(10)
            if self.is_equal():
                break
        heads = [host.node.heads(self.thread) for host in self.hosts]
        assert heads[0] == heads[1] == heads[2], heads
        documents = [host.documents() for host in self.hosts]
        assert documents[0] == documents[1] == documents[2], documents
        await asyncio.sleep(QUIET_SECONDS)
        self.wire.calls.clear()
        await asyncio.sleep(QUIET_SECONDS)
        assert {method for _, _, method in self.wire.calls} <= {"ExchangeEdges"}, self.wire.calls
        assert len(self.wire.calls) <= 6 * QUIET_SECONDS / 9, len(self.wire.calls)

    def is_equal(self):
        heads = [host.node.heads(self.thread) for host in self.hosts]
        return heads[0] == heads[1] == heads[2]


async def live(seed):
    world = World(seed)
    try:
        await world.open()
        for _ in range(STEPS):
            await world.step()
        await world.check()
    except Exception as error:
        raise AssertionError(f"seed {seed}") from error
    finally:
        for host in world.hosts:
            await host.stop()


@pytest.mark.parametrize("seed", range(FIRST, LAST))
def test_hosts_end_with_the_same_heads_and_documents(seed):
    virtual_time.run(live(seed))
