"""The daemon that comes with the client, and databases in it."""

from pathlib import Path

import pytest

from threadd.client import Client, Identity
from threadd.client.testing import run_daemon, threadd_daemon  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory):
    with run_daemon(tmp_path_factory.mktemp("client") / "repo") as daemon:
        yield daemon


@pytest.fixture
async def client(shared_daemon):
    async with Client(shared_daemon.threads_api) as opened:
        await opened.authenticate(Identity.random())
        yield opened


@pytest.fixture
async def db(client):
    made = await client.new_db(name="first")
    yield made
    await made.delete()


SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"_id": {"type": "string"}, "name": {"type": "string"}, "born": {"type": "number"}},
    "required": ["name"],
}


@pytest.fixture
async def people(db):
    return await db.new_collection("people", schema=SCHEMA, indexes=["born"])


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return tmp_path / "repo"
