"""Each limit has a setting and an error of its own, and what one client asks for holds up no other."""

import asyncio
import json
import os
import re

import grpc
import pytest
from actors import Door

from proto import threads_pb2
from store.errors import StatusCode
from threadd.client import Client, Identity, OperationRefusedError, RefusedError

pytestmark = pytest.mark.timeout(300)

SMALL = {
    "--max-message": "20000",
    "--max-instances": "10",
    "--max-schema": "1000",
    "--max-streams": "3",
    "--max-query-depth": "2",
    "--max-query-time": "1",
    "--max-transaction-time": "1",
}
EXHAUSTED, LATE = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED
SCHEMA = b'{"properties":{"_id":{"type":"string"}}}'


def collection(schema=SCHEMA, **fields):
    return threads_pb2.CollectionConfig(name="note", schema=schema, **fields)


async def refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


@pytest.fixture
def limited(start_daemon):
    return start_daemon(*(word for setting in SMALL.items() for word in setting))


def listen(door, thread):
    stub = door.channel.unary_stream(
        "/threads.pb.API/Listen",
        threads_pb2.ListenRequest.SerializeToString,
        threads_pb2.ListenReply.FromString,
    )
    return stub(threads_pb2.ListenRequest(dbID=thread))


async def test_each_limit_says_what_it_is(limited):
    async with Door(limited.threads_api) as door:
        large = collection(SCHEMA + b" " * 1000)
        assert await refusal(door.new_db([large])) == (
            EXHAUSTED,
            f"the schema has {len(large.schema)} bytes, and at most 1000 are taken",
        )
        thread = await door.new_db([collection()])
        changed = door.threads("UpdateCollection", dbID=thread, config=large)
        assert (await refusal(changed))[0] is EXHAUSTED

        texts = [json.dumps({"_id": f"i{number}"}).encode() for number in range(11)]
        many = "11 instances in one call, and at most 10 are taken: send several calls"
        fields = {"dbID": thread, "collectionName": "note"}
        assert await refusal(door.threads("Create", **fields, instances=texts)) == (EXHAUSTED, many)
        assert await refusal(door.threads("Save", **fields, instances=texts)) == (EXHAUSTED, many)
        assert await refusal(door.threads("Delete", **fields, instanceIDs=["x"] * 11)) == (EXHAUSTED, many)
        await door.threads("Create", **fields, instances=texts[:10])

        code, said = await refusal(door.threads("Create", **fields, instances=[b'{"t":"' + b"x" * 20_000 + b'"}']))
        assert (code, said.startswith("request of 20"), "20000 bytes" in said) == (EXHAUSTED, True, True)

        request = threads_pb2.WriteTransactionRequest
        call = door.stream("/threads.pb.API/WriteTransaction", request, threads_pb2.WriteTransactionReply)
        start = threads_pb2.StartTransactionRequest(dbID=thread, collectionName="note")
        await call.write(request(startTransactionRequest=start))
        await call.write(request(createRequest=threads_pb2.CreateRequest(instances=texts)))
        assert (await call.code(), await call.details()) == (EXHAUSTED, many)


async def test_a_query_nests_only_so_deep(limited):
    def nested(depth):
        return b'{"ors":[' * depth + b'{"ors":[],"ands":[]}' + b"]}" * depth

    too_deep = (grpc.StatusCode.INVALID_ARGUMENT, "invalid query: ors nest deeper than 2 levels")
    async with Door(limited.threads_api) as door:
        thread = await door.new_db([collection()])
        await door.threads("Create", dbID=thread, collectionName="note", instances=[b'{"_id":"a"}'])
        assert (await door.found(thread, "note", nested(2))).keys() == {"a"}
        # What is many and not deep is none of this limit's.
        wide = b'{"ors":[' + b",".join([b'{"ors":[{}]}'] * 50) + b"]}"
        assert (await door.found(thread, "note", wide)).keys() == {"a"}
        assert await refusal(door.found(thread, "note", nested(3))) == too_deep
        request = threads_pb2.ReadTransactionRequest
        call = door.stream("/threads.pb.API/ReadTransaction", request, threads_pb2.ReadTransactionReply)
        start = threads_pb2.StartTransactionRequest(dbID=thread, collectionName="note")
        await call.write(request(startTransactionRequest=start))
        await call.write(request(findRequest=threads_pb2.FindRequest(queryJSON=nested(3))))
        assert (await call.code(), await call.details()) == too_deep


async def test_a_caller_has_so_many_streams_and_no_more(limited):
    async with Door(limited.threads_api) as door:
        thread = await door.new_db([collection()])
        calls = [listen(door, thread) for _ in range(3)]
        for call in calls:
            await call.initial_metadata()
        refused = listen(door, thread)
        assert await refused.code() is EXHAUSTED
        assert await refused.details() == "3 streams are open already: end one of them first"
        calls[0].cancel()
        async with asyncio.timeout(20):
            while True:
                again = listen(door, thread)
                try:
                    await again.initial_metadata()
                    reading = asyncio.ensure_future(again.read())
                    await asyncio.sleep(0.1)
                    if not reading.done():
                        break
                    await reading
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.1)
        text = b'{"_id":"a"}'
        await door.threads("Create", dbID=thread, collectionName="note", instances=[text])
        assert json.loads((await reading).instance)["_id"] == "a"
        for call in (*calls[1:], again):
            call.cancel()


async def test_a_query_that_takes_too_long_is_given_up(limited):
    async with Door(limited.threads_api) as door:
        slow = "const end = Date.now() + 300; while (Date.now() < end); return instance"
        thread = await door.new_db([collection(readFilter=slow)])
        texts = [json.dumps({"_id": f"i{number}"}).encode() for number in range(10)]
        await door.threads("Create", dbID=thread, collectionName="note", instances=texts)
        code, said = await refusal(door.threads("Find", dbID=thread, collectionName="note", queryJSON=b"{}"))
        assert code is LATE
        assert said == "the query took longer than 1 s: ask for less, or index what it asks for"


async def test_every_kind_of_query_is_given_up(start_daemon):
    daemon = start_daemon("--max-query-time", "1")
    slow = "const end = Date.now() + 300; while (Date.now() < end); return instance"
    said = re.escape("the query took longer than 1 s: ask for less, or index what it asks for")
    ids = [f"i{number}" for number in range(10)]
    async with Client(daemon.threads_api) as client:
        await client.authenticate(Identity.random())
        db = await client.new_db()
        notes = await db.new_collection("note", read_filter=slow)
        await notes.create({"_id": instance_id} for instance_id in ids)
        for asked in (notes.find(), notes.count(), notes.explain(), anext(notes.pages()), notes.has(ids)):
            with pytest.raises(RefusedError, match=said) as caught:
                await asked
            assert caught.value.status is StatusCode.DEADLINE_EXCEEDED
        # In a transaction the reply tells of it, and the transaction goes on.
        async with notes.read_transaction() as state:
            for asked in (state.find(), state.has(ids)):
                with pytest.raises(OperationRefusedError, match=said):
                    await asked
            assert (await state.get("i1"))["_id"] == "i1"
        async with notes.write_transaction() as transaction:
            await transaction.create([{"_id": "new"}])
            with pytest.raises(OperationRefusedError, match=said):
                await transaction.find()
        assert await notes.has(["new"])


async def test_a_client_that_falls_silent_holds_up_nobody(limited):
    async with Door(limited.threads_api) as door, Door(limited.threads_api) as other:
        thread, elsewhere = await door.new_db([collection()]), await door.new_db([collection()])
        request = threads_pb2.WriteTransactionRequest
        call = door.stream("/threads.pb.API/WriteTransaction", request, threads_pb2.WriteTransactionReply)
        start = threads_pb2.StartTransactionRequest(dbID=thread, collectionName="note")
        await call.write(request(startTransactionRequest=start))
        await call.write(request(createRequest=threads_pb2.CreateRequest(instances=[b'{"_id":"held"}'])))
        await call.read()
        # It says nothing more: others read at once, write elsewhere at once, and write here once its time is over.
        async with asyncio.timeout(20):
            assert await other.found(thread, "note") == {}
            await other.threads("Create", dbID=elsewhere, collectionName="note", instances=[b'{"_id":"b"}'])
            await other.threads("Create", dbID=thread, collectionName="note", instances=[b'{"_id":"c"}'])
        assert await call.code() is grpc.StatusCode.ABORTED
        assert (await other.found(thread, "note")).keys() == {"c"}


async def test_half_open_connections_hold_up_nobody(limited):
    host, port = limited.threads_api.split(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(50)]
    for number, (_, writer) in enumerate(silent):
        writer.write((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(30))[: number % 50])
    async with Door(limited.threads_api) as door, asyncio.timeout(20):
        thread = await door.new_db([collection()])
        await door.threads("Create", dbID=thread, collectionName="note", instances=[b'{"_id":"a"}'])
        assert (await door.found(thread, "note")).keys() == {"a"}
    for _, writer in silent:
        writer.close()
