"""A daemon of ours and a real go-threads daemon that bring each other records by GossipSub.

Whoever follows a thread with the service key alone, and without a log, is no host of it to the other side: nothing is
pushed to him. A go-threads daemon that does not pull has then nothing but pubsub.
"""

import time

import pytest
from peers import Api, in_step, new_thread

from proto import threadsnet_pb2 as pb

pytestmark = pytest.mark.timeout(900)

WRITES = 10


def follow(api, origin, thread, key):
    address = next(iter(origin("GetThread", threadID=thread).addrs))
    api("AddThread", addr=address, keys=pb.Keys(threadKey=key[:32]))


@pytest.fixture
def pair(start_daemon, start_godaemon):
    """Two daemons with a thread of the first that the second follows."""

    def make(origin, follower, *, pubsub=True):
        ours = Api(start_daemon(*(["--pubsub"] if pubsub else [])))
        sides = {"ours": ours, "go": Api(start_godaemon("-pubsub"))}
        thread, key = new_thread()
        one, other = sides[origin], sides[follower]
        one.create(thread, key)
        one.write(thread)
        follow(other, one, thread, key)
        if follower == "go":
            other("PullThread", threadID=thread)
        in_step(thread, one, other)
        time.sleep(5)  # ours asks for some seconds whether whoever was given records has them
        return one, other, thread

    return make


@pytest.mark.parametrize(("origin", "follower"), [("ours", "go"), ("go", "ours")])
def test_records_come_by_pubsub(pair, origin, follower):
    one, other, thread = pair(origin, follower)
    for _ in range(WRITES):
        one.write(thread)
        in_step(thread, one, other, seconds=1)
    one.write(thread, size=2**20)  # too long for pubsub
    one.write(thread)
    if follower == "go":
        other("PullThread", threadID=thread)
    in_step(thread, one, other)


def test_go_hears_nothing_of_what_is_not_told_by_pubsub(pair):
    one, other, thread = pair("ours", "go", pubsub=False)
    before = other.heads(thread)
    one.write(thread)
    time.sleep(3)
    assert other.heads(thread) == before


def test_all_goes_on_where_only_one_side_has_pubsub(start_daemon, start_godaemon):
    ours, theirs = Api(start_daemon("--pubsub")), Api(start_godaemon())
    thread, key = new_thread()
    ours.create(thread, key)
    theirs.join(ours, thread, key)
    for api in (ours, theirs):
        api.write(thread, 3)
    in_step(thread, ours, theirs, logs=2, seconds=5)
