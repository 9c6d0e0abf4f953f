"""A long log joins whole between two daemons; `JOINED_RECORDS` says how long, and `make torture` has 100,000."""

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from peers import Api, in_step, new_thread, resident

RECORDS = int(os.environ.get("JOINED_RECORDS", "10000"))
WRITERS = 32

log = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(120 + RECORDS / 50)


def test_a_long_log_joins_whole(start_daemon):
    one, other = Api(start_daemon()), Api(start_daemon())
    thread, key = new_thread()
    one.create(thread, key)
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(lambda _: one.write(thread), range(RECORDS)):
            pass
    before = [resident(api.daemon.process.pid) for api in (one, other)]
    began = time.monotonic()
    other.join(one, thread, key)
    in_step(thread, one, other, seconds=30 + RECORDS / 200)
    seconds = time.monotonic() - began
    after = [resident(api.daemon.process.pid) for api in (one, other)]
    log.info("%d records joined in %.1f s; RssAnon: %s bytes before, %s after", RECORDS, seconds, before, after)
    one.write(thread)
    other.write(thread)
    in_step(thread, one, other, logs=2)
