"""Hosts that keep a database, and logs of others whose records they are given: without a network between them."""

import json
import os
import time
from dataclasses import dataclass, field

from net import records
from net.crypto import Cipher
from net.keys import PrivateKey
from net.network import Network
from net.patches import Patch, PatchType, encode_body
from net.records import RecordBlocks
from net.thread_id import ThreadID
from net.thread_key import ThreadKey
from net.threads import Threads
from store import documents as document_rows
from store import records as record_rows
from store import tables
from store.memory import MemoryEngine
from threadd.db.manager import Manager

THREAD = ThreadID(bytes.fromhex("0155") + bytes(32))
KEY = ThreadKey(b"s" * 32, b"r" * 32)
HOST = PrivateKey(b"h" * 32)
CREATE, SAVE, DELETE = PatchType.CREATE, PatchType.SAVE, PatchType.DELETE


@dataclass
class Log:
    """A log of another host."""

    seed: int
    head: bytes | None = None
    number: int = 0
    records: list[RecordBlocks] = field(default_factory=list)
    patches: list[tuple[tuple[int, bytes, int, int], Patch]] = field(default_factory=list)

    @property
    def key(self):
        return PrivateKey(bytes([self.seed]) * 32)

    @property
    def id(self):
        return self.key.public.peer_id

    def append(self, *patches):
        """A record of patches; of bytes where it is to be a body as it stands."""
        body = patches[0] if isinstance(patches[0], bytes) else encode_body(patches)
        made = records.build(
            body,
            service=Cipher(KEY.service),
            read=Cipher(KEY.read),
            log_key=self.key,
            author=self.key.public,
            previous=self.head,
            randomness=os.urandom,
        )
        self.head = made.cid
        self.records.append(made.blocks)
        position = len(self.records)
        if not isinstance(patches[0], bytes):
            self.patches += [((p.timestamp, self.id, position, i), p) for i, p in enumerate(patches)]
        return made.blocks


def patch(kind, instance_id, timestamp, collection="things", **fields):
    if kind is CREATE:
        fields = {name: value for name, value in fields.items() if value is not None}
    text = None if kind is DELETE else json.dumps(fields).encode()
    return Patch(instance_id, collection, kind, text, timestamp)


class Host:
    """A host that keeps the thread's database and knows the logs of others."""

    def __init__(self, engine=None, **options):
        self.engine = engine or MemoryEngine()
        self.threads = Threads(self.engine, HOST, os.urandom, time.time_ns)
        self.manager = Manager(self.engine, self.threads, time.time_ns, **options)
        self.manager.schemas.compile_seconds, self.manager.schemas.check_seconds = 0.5, 0.3
        self.network = Network(self.engine, self.threads, tables.database, self.manager.app_of)
        self.closed = False

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.network.close()
        await self.manager.close()
        await self.engine.close()

    async def open(self, *collections, logs=()):
        self.database = await self.manager.new_db(THREAD, key=KEY, collections=collections, identity=HOST.public)
        await self.know(*logs)
        return self.database

    async def know(self, *logs):
        for log in logs:
            public = log.key.public
            await self.network.create_thread(THREAD, identity=public, key=KEY, log_key=public)

    def documents(self, name="things"):
        row = self.database._catalogue.row(name)
        thread = self.threads.number(self.engine, THREAD)
        return {
            instance_id: json.loads(text)
            for instance_id, text in document_rows.all_documents(self.engine, thread, row.number)
        }

    def refused(self, log, position):
        thread = self.threads.get(self.engine, THREAD)
        number = next(info.number for info in thread.logs if info.id == log.id)
        return record_rows.get_record(self.engine, thread.number, number, position).refused
