"""A repository with a bit of everything, written by a real daemon."""

import json
import os
import shutil

import grpc
import pytest

from net.thread_id import ThreadID, Variant
from proto import threads_pb2

SCHEMA = {"type": "object", "properties": {"_id": {"type": "string"}, "n": {"type": "number"}}}


class Door:
    """The threads door of a daemon, called by the names of its methods."""

    def __init__(self, address):
        self._channel = grpc.insecure_channel(address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._channel.close()

    def call(self, method, **fields):
        request, reply = getattr(threads_pb2, f"{method}Request"), getattr(threads_pb2, f"{method}Reply")
        send = self._channel.unary_unary(f"/threads.pb.API/{method}", request.SerializeToString, reply.FromString)
        return send(request(**fields))

    def find(self, thread, collection):
        reply = self.call("Find", dbID=thread, collectionName=collection, queryJSON=b"{}")
        return {json.loads(text)["_id"]: text for text in reply.instances}


def fill(address):
    """Write a database with an index, a deleted collection and some history; gives its thread's ID."""
    thread = ThreadID.random(Variant.RAW, os.urandom).bytes
    schema = json.dumps(SCHEMA).encode()
    notes = threads_pb2.CollectionConfig(name="note", schema=schema, indexes=[threads_pb2.Index(path="n")])
    gone = threads_pb2.CollectionConfig(name="gone", schema=schema)
    with Door(address) as door:
        door.call("NewDB", dbID=thread, name="things", collections=[notes, gone])
        door.call("Create", dbID=thread, collectionName="gone", instances=[b'{"_id":"x"}'])
        for number in range(140):  # more than one segment of records
            instance = json.dumps({"_id": f"i{number}", "n": number, "long": "w" * (number * 3)}).encode()
            door.call("Create", dbID=thread, collectionName="note", instances=[instance])
        door.call("Save", dbID=thread, collectionName="note", instances=[b'{"_id":"i1","n":1.50}'])
        door.call("Delete", dbID=thread, collectionName="note", instanceIDs=["i2"])
        door.call("DeleteCollection", dbID=thread, name="gone")
        door.call("NewCollection", dbID=thread, config=gone)
        door.call("Create", dbID=thread, collectionName="gone", instances=[b'{"_id":"y"}'])
    return thread


@pytest.fixture
def open_door():
    return Door


@pytest.fixture(scope="session")
def _written(tmp_path_factory):
    from daemons import prepare_threadd  # noqa: PLC0415  the root conftest makes it importable

    daemon = prepare_threadd(tmp_path_factory.mktemp("written"))
    daemon.start()
    try:
        thread = fill(daemon.threads_api)
        daemon.stop()
    finally:
        daemon.kill()
    return daemon.repo, thread


@pytest.fixture
def written(_written, tmp_path):
    """A copy of a repository that nobody has open, and the ID of its thread."""
    repo, thread = _written
    return shutil.copytree(repo, tmp_path / "repo"), thread


@pytest.fixture
def running(written):
    """A daemon with a database; gives it and the ID of its thread."""
    from daemons import prepare_threadd  # noqa: PLC0415

    repo, thread = written
    daemon = prepare_threadd(repo.parent)
    daemon.start()
    yield daemon, thread
    daemon.kill()
