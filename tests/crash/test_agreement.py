"""The check that the crash tests rely on sees each thing that can be missing."""

import json
import shutil

import grpc
import pytest
from agreement import check_repository

from net.thread_id import ThreadID, Variant
from proto import threads_pb2
from store import databases, documents, tables, threads
from store.engine import Transaction
from store.repository import open_repository


@pytest.fixture
def written(start_daemon):
    """A repository with a few records."""
    daemon = start_daemon()
    thread = ThreadID.random(Variant.RAW, lambda size: b"\x07" * size).bytes
    schema = json.dumps({"properties": {"_id": {"type": "string"}}}).encode()
    collection = threads_pb2.CollectionConfig(name="note", schema=schema)
    with grpc.insecure_channel(daemon.threads_api) as channel:

        def call(method, **fields):
            request = getattr(threads_pb2, f"{method}Request")
            reply = getattr(threads_pb2, f"{method}Reply")
            send = channel.unary_unary(f"/threads.pb.API/{method}", request.SerializeToString, reply.FromString)
            return send(request(dbID=thread, **fields))

        call("NewDB", collections=[collection])
        call("Create", collectionName="note", instances=[b'{"_id":"a","n":1}', b'{"_id":"b"}'])
        call("Save", collectionName="note", instances=[b'{"_id":"a","m":1.50}'])
        call("Delete", collectionName="note", instanceIDs=["b"])
    daemon.stop()
    return daemon.repo


def document(reader, thread, log, collection):
    return tables.document(thread.number, collection.number, "a")


def revived_document(reader, thread, log, collection):
    return tables.document(thread.number, collection.number, "b")


def patch(reader, thread, log, collection):
    place = next(documents.patches_of(reader, thread.number, collection.number, "b"))
    order = (place.timestamp, place.log_number, place.position, place.index)
    return tables.patch(thread.number, collection.number, "b", order)


def first_record(reader, thread, log, collection):
    return tables.record(thread.number, log.number, 1)


def last_record(reader, thread, log, collection):
    return tables.record(thread.number, log.number, 3)


def head(reader, thread, log, collection):
    return tables.head(thread.number, log.number)


def change(reader, thread, log, collection):
    return tables.change(thread.number, 2)


def progress(reader, thread, log, collection):
    return tables.progress(thread.number)


def database(reader, thread, log, collection):
    return tables.database(thread.number)


def collection(reader, thread, log, collection):
    return tables.collection(thread.number, "note")


async def test_what_agrees_passes(written):
    assert await check_repository(written) == 3


async def test_what_is_missing_is_seen(written, tmp_path, subtests):
    cases = (document, patch, first_record, last_record, head, change, progress, database, collection)
    for case in (*cases, revived_document):
        with subtests.test(case.__name__):
            copy = shutil.copytree(written, tmp_path / case.__name__)
            repository = open_repository(copy)
            engine = repository.engine
            thread = next(threads.list_threads(engine))
            log = next(threads.logs_of(engine, thread.number))
            note = next(databases.list_collections(engine, thread.number))
            transaction = Transaction()
            key = case(engine, thread, log, note)
            if case is revived_document:
                transaction.put(key, b"{}")
            else:
                assert engine.get(key) is not None
                transaction.delete(key)
            await engine.commit(transaction)
            await repository.close()
            with pytest.raises(AssertionError):
                await check_repository(copy)
