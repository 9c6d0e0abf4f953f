"""Memory that does not grow: over dials that fail, and while two daemons exchange a write a second.

`FAILED_DIALS` says how many dials, `TORTURE_MINUTES` how long; `make torture` has them for an hour.
"""

import logging
import os
import socket
import time

import pytest
from peers import Api, in_step, new_thread, resident

from net.host.host import Host
from net.keys import PrivateKey
from net.multiaddr import Multiaddr
from net.peer_errors import HostError, PeerTooSlowError, PeerUnreachableError

DIALS = int(os.environ.get("FAILED_DIALS", "2000"))
MINUTES = float(os.environ.get("TORTURE_MINUTES", "0.3"))
WARM_DIALS = 500
MOST_MORE = 10 * 2**20

log = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(300 + 90 * MINUTES + DIALS / 10)


async def echo(peer, method, body):
    return body


async def test_dials_that_fail_leave_nothing_behind():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens there
        address = Multiaddr.from_text(f"/ip4/127.0.0.1/tcp/{held.getsockname()[1]}")
        host = Host(PrivateKey(os.urandom(32)), echo)
        await host.open(None, lambda _: [])
        try:
            before = 0
            for number in range(WARM_DIALS + DIALS):
                if number == WARM_DIALS:
                    before = resident()
                peer = PrivateKey(os.urandom(32)).public.peer_id
                with pytest.raises((PeerUnreachableError, PeerTooSlowError, HostError)):
                    await host.request(peer, [address], "/net.pb.Service/GetLogs", b"", 5)
            more = resident() - before
            log.info("RssAnon: %d kB and %d kB more over %d failed dials", before // 1024, more // 1024, DIALS)
            assert more < MOST_MORE
        finally:
            await host.close()


def test_a_write_a_second_between_two_daemons(start_daemon):
    one, other = Api(start_daemon()), Api(start_daemon())
    thread, key = new_thread()
    one.new_db(thread, key, "c")
    other.join_db(one, thread, key, "c")
    for number in range(100):
        (one, other)[number % 2].save(thread, {"_id": f"{number % 10}", "n": number})
    in_step(thread, one, other, logs=2)
    before = [resident(api.daemon.process.pid) for api in (one, other)]
    for number in range(int(60 * MINUTES)):
        began = time.monotonic()
        (one, other)[number % 2].save(thread, {"_id": f"{number % 10}", "n": number})
        if number % 60 == 0:
            in_step(thread, one, other, logs=2)
        time.sleep(max(0.0, began + 1 - time.monotonic()))
    in_step(thread, one, other, logs=2)
    assert one.documents(thread) == other.documents(thread)
    more = [resident(api.daemon.process.pid) - had for api, had in zip((one, other), before, strict=True)]
    log.info("RssAnon: %s bytes, and %s more over %s minutes of a write a second", before, more, MINUTES)
    assert max(more) < MOST_MORE, more
