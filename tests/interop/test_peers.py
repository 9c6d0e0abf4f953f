"""A daemon of ours and real go-threads daemons that keep threads in step, driven through their network APIs."""

import os
import time

import grpc
import pytest
from google.protobuf import message_factory

from net import cbor
from net.multiaddr import Multiaddr
from proto import threadsnet_pb2 as pb

# The first build downloads and compiles the modules.
pytestmark = pytest.mark.timeout(900)

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["API"]


class Api:
    """The network API of a daemon."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.channel = grpc.insecure_channel(daemon.threads_api, options=[("grpc.max_receive_message_length", -1)])
        self.id = self("GetHostID").peerID

    def __call__(self, method, request=None, timeout=30, **fields):
        described = DESCRIPTOR.methods_by_name[method]
        answer = message_factory.GetMessageClass(described.output_type)
        request = request or message_factory.GetMessageClass(described.input_type)(**fields)
        call = self.channel.unary_unary(
            f"/{DESCRIPTOR.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return call(request, timeout=timeout, wait_for_ready=True)

    def create(self, thread, key):
        self("CreateThread", threadID=thread, keys=pb.Keys(threadKey=key))

    def join(self, other, thread, key):
        address = next(iter(other("GetThread", threadID=thread).addrs))
        return self("AddThread", addr=address, keys=pb.Keys(threadKey=key))

    def write(self, thread, number=1, size=10):
        for n in range(number):
            self("CreateRecord", threadID=thread, body=cbor.byte_string(os.urandom(size)) if size else bytes([n]))

    def heads(self, thread):
        return {log.ID: log.head for log in self("GetThread", threadID=thread).logs if log.head}

    def host_address(self):
        address = Multiaddr(next(iter(self("GetThread", threadID=self.probe()).addrs)))
        return address.until("thread").bytes

    def probe(self):
        thread = new_thread()[0]
        self.create(thread, os.urandom(64))
        return thread


def new_thread():
    return b"\1\x55" + os.urandom(32), os.urandom(64)


def in_step(thread, *apis, seconds=20, logs=1):
    ends = time.monotonic() + seconds
    while True:
        heads = [api.heads(thread) for api in apis]
        if len(heads[0]) >= logs and all(each == heads[0] for each in heads):
            return
        if time.monotonic() > ends:
            said = "\n".join(api.daemon.said() for api in apis)
            raise AssertionError(f"{heads}\n{said}")
        time.sleep(0.02)


@pytest.fixture
def ours(start_daemon):
    return Api(start_daemon())


@pytest.fixture
def theirs(start_godaemon):
    return Api(start_godaemon())


def test_we_join_from_go(ours, theirs):
    thread, key = new_thread()
    theirs.create(thread, key)
    theirs.write(thread, 20)
    ours.join(theirs, thread, key)
    in_step(thread, ours, theirs)
    for _ in range(3):
        theirs.write(thread)
        in_step(thread, ours, theirs, seconds=5)
        ours.write(thread)
        in_step(thread, ours, theirs, seconds=5, logs=2)


def test_go_joins_from_us(ours, theirs):
    thread, key = new_thread()
    ours.create(thread, key)
    ours.write(thread, 20)
    theirs.join(ours, thread, key)
    in_step(thread, ours, theirs)
    for _ in range(3):
        theirs.write(thread)
        in_step(thread, ours, theirs, seconds=5, logs=2)
        ours.write(thread)
        in_step(thread, ours, theirs, seconds=5, logs=2)


def test_we_replicate_for_go(ours, theirs):
    thread, key = new_thread()
    theirs.create(thread, key)
    theirs.write(thread, 5)
    theirs("AddReplicator", threadID=thread, addr=ours.host_address())
    in_step(thread, ours, theirs)
    theirs.write(thread, 5)
    in_step(thread, ours, theirs, seconds=5)


def test_go_replicates_for_us(ours, theirs):
    thread, key = new_thread()
    ours.create(thread, key)
    ours.write(thread, 5)
    assert ours("AddReplicator", threadID=thread, addr=theirs.host_address()).peerID == theirs.id
    in_step(thread, ours, theirs)
    ours.write(thread, 5)
    in_step(thread, ours, theirs, seconds=5)


def test_two_of_ours_and_go(start_daemon, ours, theirs):
    third = Api(start_daemon())
    thread, key = new_thread()
    theirs.create(thread, key)
    theirs.write(thread, 5)
    ours.join(theirs, thread, key)
    third.join(ours, thread, key)
    in_step(thread, ours, theirs, third)
    for api in (ours, theirs, third):
        api.write(thread, 3)
    in_step(thread, ours, theirs, third, logs=3)


def test_we_are_away_and_catch_up(ours, theirs):
    thread, key = new_thread()
    theirs.create(thread, key)
    ours.join(theirs, thread, key)
    theirs.write(thread)
    in_step(thread, ours, theirs)
    ours.daemon.kill()
    theirs.write(thread, 100)
    ours.daemon.start()
    in_step(thread, ours, theirs, seconds=15)
    ours.write(thread)
    in_step(thread, ours, theirs, logs=2)


def test_go_is_away_and_catches_up(ours, theirs):
    thread, key = new_thread()
    theirs.create(thread, key)
    ours.join(theirs, thread, key)
    theirs.write(thread)
    in_step(thread, ours, theirs)
    theirs.daemon.stop()
    ours.write(thread, 100)
    theirs.daemon.start()
    in_step(thread, ours, theirs, seconds=15, logs=2)
    theirs.write(thread)
    in_step(thread, ours, theirs, logs=2)


def test_a_wrong_key_opens_nothing_and_leaves_nothing(ours, theirs):
    thread, key = new_thread()
    theirs.create(thread, key)
    theirs.write(thread)
    with pytest.raises(grpc.RpcError):
        ours.join(theirs, thread, os.urandom(64))
    with pytest.raises(grpc.RpcError) as gone:
        ours("GetThread", threadID=thread)
    assert gone.value.code() == grpc.StatusCode.NOT_FOUND
    ours.join(theirs, thread, key)
    in_step(thread, ours, theirs)
