"""A daemon that is killed in the middle of a push: the bucket is as it was, and the space comes back."""

import os
import threading

import grpc
import pytest

from net.thread_id import ThreadID
from proto import bucketsd_pb2 as pb
from proto import threads_pb2
from store import tables
from threadd.buckets.instances import Actor
from threadd.rooms import open_rooms

pytestmark = pytest.mark.timeout(180)

THREAD = ThreadID(bytes([1, 0x55]) + b"c" * 32)
METADATA = [("x-textile-thread", THREAD.text)]
CHUNK = bytes(1 << 20)


def call(channel, rpc, request, reply):
    return channel.unary_unary(f"/{rpc}", response_deserializer=reply.FromString)(
        request.SerializeToString(), metadata=METADATA, timeout=30
    )


def push(channel, key, path, chunks):
    """Upload a file whose chunks are made as they are sent; yields its events."""

    def requests():
        yield pb.PushPathRequest(header=pb.PushPathRequest.Header(key=key, path=path))
        for chunk in chunks:
            yield pb.PushPathRequest(chunk=chunk)

    stub = channel.stream_stream(
        "/api.bucketsd.pb.APIService/PushPath",
        request_serializer=pb.PushPathRequest.SerializeToString,
        response_deserializer=pb.PushPathResponse.FromString,
    )
    yield from stub(requests(), metadata=METADATA, timeout=60)


@pytest.mark.parametrize("private", [False, True])
async def test_killed_in_the_middle_of_a_push(start_daemon, private):
    daemon = start_daemon()
    kept = os.urandom(700_000)
    with grpc.insecure_channel(daemon.threads_api) as channel:
        call(channel, "threads.pb.API/NewDB", threads_pb2.NewDBRequest(dbID=THREAD.bytes), threads_pb2.NewDBReply)
        request = pb.CreateRequest(private=private)
        key = call(channel, "api.bucketsd.pb.APIService/Create", request, pb.CreateResponse).root.key
        root = list(push(channel, key, "kept", [kept]))[-1].event.root
        unsent = threading.Event()

        def endless():
            while not unsent.is_set():
                yield os.urandom(len(CHUNK))

        with pytest.raises(grpc.RpcError):
            for reply in push(channel, key, "big", endless()):
                if reply.event.bytes > 24 << 20:
                    daemon.kill()
                    unsent.set()
    async with open_rooms(daemon.repo) as rooms:
        actor = Actor(rooms.host_key.public, named=False)
        bucket = await rooms.buckets.get(THREAD, actor, key)
        assert bucket.path == root.path
        await rooms.buckets.sweeping.sweep()
        blocks = list(rooms.buckets._blocks._engine.scan(*tables.file_block_uses()))
        assert len(blocks) <= 8
        assert b"".join([piece async for piece in (await rooms.buckets.contents.file(bucket, "kept")).read()]) == kept
    daemon.start()
    with grpc.insecure_channel(daemon.threads_api) as channel:
        assert list(push(channel, key, "again", [CHUNK]))[-1].event.path
    daemon.stop()
