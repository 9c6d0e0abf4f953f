"""Hosts of ours that exchange threads over a wire in memory, one that can be cut."""

import asyncio
import os
import random

from net import cbor, peer_codec
from net.keys import PrivateKey
from net.multiaddr import Multiaddr, thread_address
from net.network import Network
from net.peer_errors import PeerRefusedError, PeerUnreachableError
from net.peering import Peering
from net.thread_id import ThreadID
from net.thread_key import ThreadKey
from net.threads import Threads
from store import tables
from store.errors import ThreaddError
from store.memory import MemoryEngine

WHERE = Multiaddr.from_text("/ip4/127.0.0.1/tcp/4006")


class Wire:
    """Carries calls between nodes, as the host does: unknown peers and cut ones cannot be reached."""

    def __init__(self):
        self.nodes, self.cut, self.calls, self.dialled = {}, set(), [], set()

    def of(self, caller):
        return _End(self, caller)


class _End:
    def __init__(self, wire, caller):
        self.wire, self.caller = wire, caller

    async def request(self, peer, addresses, method, body, seconds):
        wire = self.wire
        await asyncio.sleep(0)
        if peer not in wire.nodes or {peer, self.caller} & wire.cut:
            raise PeerUnreachableError
        node = wire.nodes[peer]
        if (self.caller, peer) not in wire.dialled and self.caller in wire.nodes:
            wire.dialled |= {(self.caller, peer), (peer, self.caller)}
            node.peering.is_connected(self.caller, dialled=False)
        wire.calls.append((self.caller, peer, method.removeprefix(peer_codec.SERVICE)))
        try:
            return await node.peering.service.handle(self.caller, method, body)
        except ThreaddError as error:
            raise PeerRefusedError(error.code, error.text) from error

    async def fetch(self, peer, addresses, cids, seconds):
        if peer not in self.wire.nodes or {peer, self.caller} & self.wire.cut:
            raise PeerUnreachableError
        return await self.wire.nodes[peer].peering.blocks(list(cids))


class Node:
    def __init__(
        self,
        wire,
        engine=None,
        key=None,
        scale=0.02,
        *,
        randomness=os.urandom,
        clock=lambda: 1,
        chance=None,
        databases=None,
    ):
        self.wire = wire
        self.engine = engine or MemoryEngine()
        self.key = key or PrivateKey(randomness(32))
        self.id = self.key.public.peer_id
        self.threads = Threads(self.engine, self.key, randomness, clock)
        self.databases = databases(self.engine, self.threads) if databases else None
        app_of = self.databases.app_of if self.databases else lambda _: None
        self.network = Network(self.engine, self.threads, tables.database, app_of)

        self.scale = scale

        async def sleep(seconds):
            await asyncio.sleep(seconds * self.scale)

        self.peering = Peering(
            self.engine,
            self.threads,
            self.network,
            wire.of(self.id),
            clock,
            sleep=sleep,
            chance=chance or random.Random(1),
        )
        self.verbs = self.peering.replication
        wire.nodes[self.id] = self

    def start(self):
        self.peering.sync.start()
        return self

    async def stop(self):
        self.wire.nodes.pop(self.id, None)
        self.wire.dialled = {pair for pair in self.wire.dialled if self.id not in pair}
        await self.peering.sync.close()
        await self.network.close()

    async def restart(self):
        await self.stop()
        return Node(self.wire, self.engine, self.key)

    def address(self, thread):
        return thread_address(WHERE, self.id, thread)

    async def write(self, thread, number=1, who=None):
        return [
            await self.network.create_record(thread, cbor.text_string(f"{n}"), who or self.key.public)
            for n in range(number)
        ]

    def heads(self, thread):
        return {log.id: (log.head, log.counter) for log in self.threads.get(self.engine, thread).logs}


def new_thread(randomness=os.urandom):
    return ThreadID(b"\1\x55" + randomness(32)), ThreadKey(randomness(32), randomness(32))


async def until(condition, seconds=10):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


async def in_step(thread, *nodes, seconds=10):
    def equal():
        first, *others = [node.heads(thread) for node in nodes]
        return all(other == first for other in others)

    try:
        await until(equal, seconds)
    except TimeoutError:
        raise AssertionError([(node.heads(thread), node.peering.sync.states()) for node in nodes]) from None


async def quiet(wire, thread, *nodes):
    """Wait until all know that all is equal; then cycles are all that goes on."""
    await in_step(thread, *nodes)
    for _ in range(10):
        wire.calls.clear()
        await asyncio.sleep(0.5)
        if {method for _, _, method in wire.calls} <= {"ExchangeEdges"}:
            return
    raise AssertionError(wire.calls)
