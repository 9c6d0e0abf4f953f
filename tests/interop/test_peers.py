"""A daemon of ours and real go-threads daemons that keep threads in step, driven through their network APIs."""

import os

import grpc
import pytest
from peers import Api, in_step, new_thread

# The first build downloads and compiles the modules.
pytestmark = pytest.mark.timeout(900)


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


def test_records_that_go_no_longer_gives_to_peers_come_as_blocks(ours, start_godaemon):
    theirs = Api(start_godaemon("-pull-limit", "20"))
    thread, key = new_thread()
    theirs.create(thread, key)
    theirs.write(thread, 150)
    ours.join(theirs, thread, key)
    in_step(thread, ours, theirs)
    theirs.write(thread)
    in_step(thread, ours, theirs, seconds=5)


def test_go_joins_a_log_longer_than_a_chunk_while_it_grows(ours, theirs):
    thread, key = new_thread()
    ours.create(thread, key)
    ours.write(thread, 30, size=400_000)
    theirs.join(ours, thread, key)
    ours.write(thread, 10, size=100_000)
    in_step(thread, ours, theirs, seconds=30)
    theirs.write(thread)
    in_step(thread, ours, theirs, logs=2)
