"""A stream that is open ends with UNAUTHENTICATED once its caller's token, session or key counts no longer."""

import asyncio
import json
import os

import grpc
import pytest
from actors import SCHEMA, Door, reply_of

from net import multibase
from net.keys import PrivateKey
from net.thread_id import ThreadID
from proto import bucketsd_pb2, hubd_pb2, threads_pb2, threadsnet_pb2

pytestmark = pytest.mark.timeout(180)

SECONDS = 20
COLLECTION = threads_pb2.CollectionConfig(name="note", schema=SCHEMA)
WITHDRAWN = grpc.StatusCode.UNAUTHENTICATED


async def started(call):
    await call.initial_metadata()
    return call


def listening(door, thread, **credentials):
    make = door.channel.unary_stream(
        "/threads.pb.API/Listen", threads_pb2.ListenRequest.SerializeToString, threads_pb2.ListenReply.FromString
    )
    return started(make(threads_pb2.ListenRequest(dbID=thread), metadata=metadata_of(**credentials)))


def subscribing(door, thread, **credentials):
    request, reply = threadsnet_pb2.SubscribeRequest, threadsnet_pb2.NewRecordReply
    make = door.channel.unary_stream("/threads.net.pb.API/Subscribe", request.SerializeToString, reply.FromString)
    return started(make(request(threadIDs=[thread]), metadata=metadata_of(**credentials)))


async def writing(door, thread, **credentials):
    request = threads_pb2.WriteTransactionRequest
    door.metadata = metadata_of(**credentials)
    call = door.stream("/threads.pb.API/WriteTransaction", request, threads_pb2.WriteTransactionReply)
    start = threads_pb2.StartTransactionRequest(dbID=thread, collectionName="note")
    await call.write(request(startTransactionRequest=start))
    await call.write(request(createRequest=threads_pb2.CreateRequest(instances=[b'{"_id":"never"}'])))
    await reply_of(call)
    return call


async def pushing(door, thread, key, **credentials):
    request, reply = bucketsd_pb2.PushPathRequest, bucketsd_pb2.PushPathResponse
    door.metadata = [*metadata_of(**credentials), ("x-textile-thread", ThreadID(thread).text)]
    call = door.stream("/api.bucketsd.pb.APIService/PushPath", request, reply)
    await call.write(request(header=request.Header(key=key, path="never")))
    await call.write(request(chunk=os.urandom(1000)))
    return call


def metadata_of(token="", key="", session=""):
    given = {"authorization": token and f"bearer {token}", "x-textile-api-key": key, "x-textile-session": session}
    return [(name, value) for name, value in given.items() if value]


async def outcomes(calls):
    async with asyncio.timeout(SECONDS):
        return [await call.code() for call in calls]


async def goes_on(door, thread, calls):
    """Whether streams that were not ended hear of what is written."""
    door.metadata = []
    await door.threads("Create", dbID=thread, collectionName="note", instances=[b'{"_id":"more"}'])
    async with asyncio.timeout(SECONDS):
        for call in calls:
            assert (await reply_of(call)).instanceID == "more"
            call.cancel()


async def test_of_a_token(start_daemon):
    daemon = start_daemon()
    jane, john = PrivateKey(os.urandom(32)), PrivateKey(os.urandom(32))
    async with Door(daemon.threads_api) as door:
        thread = await door.new_db([COLLECTION])
        door.metadata = [("x-textile-thread", ThreadID(thread).text)]
        key = (await door.buckets("Create", name="files")).root.key
        door.metadata = []
        token, other = await door.token(jane), await door.token(john)
        make = [listening, subscribing]
        calls = [await one(door, thread, token=token) for one in make]
        staying = [await listening(door, thread, token=other), await listening(door, thread)]
        web, of_web = await web_listen(daemon.threads_web, thread, token)
        calls.append(await pushing(door, thread, key, token=token))
        calls.append(await writing(door, thread, token=token))
        daemon.run("tokens", "revoke", jane.public.text)
        assert await outcomes(calls) == [WITHDRAWN] * 4
        assert {await call.details() for call in calls} == {"invalid thread token"}
        async with asyncio.timeout(SECONDS):
            assert b"grpc-status:16" in (await web.read()).replace(b" ", b"")
        of_web.close()
        await goes_on(door, thread, staying)
        assert (await door.found(thread, "note")).keys() == {"more"}
        door.metadata = [("x-textile-thread", ThreadID(thread).text)]
        names = [item.name for item in (await door.buckets("ListPath", key=key, path="")).item.items]
        assert "never" not in names
        # Whoever asks for a new token is let in again.
        door.metadata = []
        again = await listening(door, thread, token=await door.token(jane))
        again.cancel()
    daemon.stop()


async def web_listen(address, thread, token):
    """Listen by grpc-web over HTTP/1.1; gives what reads the rest of the answer, and its other half."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    message = threads_pb2.ListenRequest(dbID=thread).SerializeToString()
    body = b"\x00" + len(message).to_bytes(4, "big") + message
    head = (
        f"POST /threads.pb.API/Listen HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/grpc-web+proto\r\n"
        f"authorization: bearer {token}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    assert b" 200 " in await reader.readline()
    return reader, writer


async def hub_call(door, method, **fields):
    request, reply = getattr(hubd_pb2, f"{method}Request"), getattr(hubd_pb2, f"{method}Response")
    make = door.channel.unary_unary(f"/api.hubd.pb.APIService/{method}", request.SerializeToString, reply.FromString)
    return await make(request(**fields), metadata=door.metadata)


@pytest.mark.parametrize("by", ["token", "key"])
async def test_of_a_token_or_a_key_at_the_hub(start_daemon, by):
    daemon = start_daemon()
    keys = [json.loads(daemon.run("keys", "create", "--type", "user", "--insecure", "--json"))["key"] for _ in range(2)]
    jane = PrivateKey(os.urandom(32))
    async with Door(daemon.hub_api) as hub, Door(daemon.threads_api) as plain:
        tokens, threads = [], []
        for key in keys:
            hub.metadata = metadata_of(key=key)
            tokens.append(await hub.token(jane if by == "token" or not tokens else PrivateKey(os.urandom(32))))
            hub.metadata = metadata_of(key=key, token=tokens[-1])
            threads.append(await hub.new_db([COLLECTION]))
        ending, staying = [
            await listening(hub, thread, key=key, token=token)
            for thread, key, token in zip(threads, keys, tokens, strict=True)
        ]
        if by == "token":
            daemon.run("tokens", "revoke", jane.public.text)
            assert await outcomes([ending, staying]) == [WITHDRAWN, WITHDRAWN]
        else:
            daemon.run("keys", "invalidate", keys[0])
            assert await outcomes([ending]) == [WITHDRAWN]
            await goes_on(plain, threads[1], [staying])
    daemon.stop()


@pytest.mark.parametrize("by", ["Signout", "DestroyAccount", "tokens revoke"])
async def test_of_a_session(start_daemon, by):
    daemon = start_daemon("--confirm", "auto")
    async with Door(daemon.hub_api) as hub, Door(daemon.threads_api) as plain:
        people = []
        for name in ("jane", "john"):
            hub.metadata = []
            people.append(await hub_call(hub, "Signup", username=name, email=f"{name}@example.org"))
        threads = []
        for person in people:
            hub.metadata = metadata_of(session=person.session)
            threads.append(await hub.new_db([COLLECTION]))
        ending, staying = [
            await listening(hub, thread, session=person.session) for thread, person in zip(threads, people, strict=True)
        ]
        hub.metadata = metadata_of(session=people[0].session)
        if by == "tokens revoke":
            daemon.run("tokens", "revoke", "b" + multibase.encode(people[0].key)[1:])
        else:
            await hub_call(hub, by)
        codes = await outcomes([ending])
        # With an account go its threads, and whoever listens to one hears of that first.
        assert codes == ([grpc.StatusCode.NOT_FOUND] if by == "DestroyAccount" else [WITHDRAWN])
        await goes_on(plain, threads[1], [staying])
    daemon.stop()


async def test_of_who_leaves_an_organisation(start_daemon):
    daemon = start_daemon("--confirm", "auto")
    async with Door(daemon.hub_api) as hub:
        people = [
            await hub_call(hub, "Signup", username=name, email=f"{name}@example.org") for name in ("jane", "john")
        ]
        jane, john = ([("x-textile-session", person.session)] for person in people)
        hub.metadata = jane
        organisation = (await hub_call(hub, "CreateOrg", name="both")).org_info.slug
        of_both = ("x-textile-org", organisation)
        hub.metadata = [*jane, of_both]
        await hub_call(hub, "InviteToOrg", email="john@example.org")
        thread = await hub.new_db([COLLECTION])
        make = hub.channel.unary_stream(
            "/threads.pb.API/Listen", threads_pb2.ListenRequest.SerializeToString, threads_pb2.ListenReply.FromString
        )
        calls = [
            await started(make(threads_pb2.ListenRequest(dbID=thread), metadata=[*who, of_both]))
            for who in (john, jane)
        ]
        hub.metadata = [*john, of_both]
        await hub_call(hub, "LeaveOrg")
        assert await outcomes(calls[:1]) == [WITHDRAWN]
        assert await calls[0].details() == "User is not an org member"
        hub.metadata = [*jane, of_both]
        await hub.threads("Create", dbID=thread, collectionName="note", instances=[b'{"_id":"more"}'])
        async with asyncio.timeout(SECONDS):
            assert (await reply_of(calls[1])).instanceID == "more"
        calls[1].cancel()
    daemon.stop()
