"""A peer whose process is stopped, and neither answers nor goes away, holds up nobody and catches up afterwards."""

import os
import signal
import time

import pytest
from peers import Api, in_step, new_thread

STOPPED_SECONDS = 8
LONGEST_CALL = 5.0
"""How long a call may take meanwhile, in seconds, on a machine that is busy."""

pytestmark = pytest.mark.timeout(180)


def test_a_peer_that_is_stopped_holds_up_nobody(start_daemon):
    ours, other, third = (Api(start_daemon()) for _ in range(3))
    thread, key = new_thread()
    ours.new_db(thread, key, "c")
    for each in (other, third):
        each.join_db(ours, thread, key, "c")
    ours.save(thread, {"_id": "before"})
    in_step(thread, ours, other, third)
    os.kill(other.daemon.process.pid, signal.SIGSTOP)
    try:
        ends, written, slowest = time.monotonic() + STOPPED_SECONDS, 0, 0.0
        while time.monotonic() < ends:
            begun = time.monotonic()
            ours.save(thread, {"_id": f"{written}"})
            assert f"{written}" in ours.documents(thread)
            slowest = max(slowest, time.monotonic() - begun)
            written += 1
            time.sleep(0.05)
        assert slowest < LONGEST_CALL
        # The one that runs hears of all of it.
        in_step(thread, ours, third)
    finally:
        os.kill(other.daemon.process.pid, signal.SIGCONT)
    in_step(thread, ours, other, third, seconds=60)
    other.save(thread, {"_id": "after"})
    in_step(thread, ours, other, third, seconds=60, logs=2)
    assert ours.documents(thread) == other.documents(thread) == third.documents(thread)
    assert len(ours.documents(thread)) == written + 2
