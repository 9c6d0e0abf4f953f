"""A manager of databases on a real store."""

import itertools
import os
import time

import pytest

from net.keys import PrivateKey
from net.threads import Threads
from store.repository import open_repository
from threadd.db.manager import Manager

HOST = PrivateKey.random(os.urandom)


class Rooms:
    def __init__(self, folder, wrap=lambda engine: engine, **options):
        self.repository = open_repository(folder, wrap=wrap)
        self.engine = self.repository.engine
        self.threads = Threads(self.engine, HOST, os.urandom, time.time_ns)
        self.manager = Manager(self.engine, self.threads, time.time_ns, **options)
        self.host = HOST.public

    async def close(self):
        await self.manager.close()
        await self.repository.close()


@pytest.fixture
async def open_rooms(tmp_path):
    """Opens the rooms on a folder, once or again; what is open is closed at the end."""
    opened = []

    async def open_(folder=tmp_path / "repo", **options):
        if opened:
            await opened.pop().close()
        opened.append(Rooms(folder, **options))
        return opened[-1]

    yield open_
    for rooms in opened:
        await rooms.close()


@pytest.fixture
async def rooms(open_rooms):
    return await open_rooms()


@pytest.fixture
def identities():
    """People, one after the other."""
    return (PrivateKey.random(os.urandom).public for _ in itertools.count())
