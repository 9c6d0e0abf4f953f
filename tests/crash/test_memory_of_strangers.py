"""What a client without any credentials makes a daemon keep, in the memory of its process."""

import asyncio
from pathlib import Path

import pytest
from actors import Door
from raw_grpc import prefix, raw_connection, request_headers

from threadd.web.http2_frames import string
from threadd.web.http2_sending import STREAM_WINDOW

pytestmark = pytest.mark.timeout(300)

CREATE = "/threads.pb.API/Create"
LARGE = 15 * 2**20
MOST_MORE = 64 * 2**20


def memory_of(daemon):
    """The bytes of memory that a daemon has."""
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    (resident,) = [line for line in lines if line.startswith("VmRSS:")]
    return int(resident.split()[1]) * 1024


async def fill(connection):
    """Begin forty large requests, and send of each as much as the daemon lets through."""
    sent = {connection.open(CREATE): 5 for _ in range(40)}
    for stream in sent:
        connection.data(stream, prefix(LARGE))
    for _ in range(20):
        for stream, size in sent.items():
            allowed = min(STREAM_WINDOW + connection.windows.get(stream, 0), LARGE - 1)
            for at in range(size, allowed, 16_000):
                connection.data(stream, b"x" * min(16_000, allowed - at))
                await connection.writer.drain()
            sent[stream] = max(size, allowed)
        await asyncio.sleep(0.05)
    return sum(sent.values())


async def test_neither_headers_nor_bodies_take_much_and_others_are_served_meanwhile(start_daemon):
    daemon = start_daemon()
    async with Door(daemon.threads_api) as door:
        await door.threads("ListDBs")
        before = memory_of(daemon)
        async with raw_connection(daemon.threads_api) as headers, raw_connection(daemon.threads_api) as bodies:
            first = request_headers(CREATE) + b"\x40" + string(b"x-big") + string(b"y" * 3900)
            headers.data(headers.open(CREATE, block=first), prefix(0), end=True)
            # It is an entry of the table now, and one byte stands for 3.9 kB.
            block = request_headers(CREATE) + bytes([0x80 | 62]) * 4
            for _ in range(9_000):
                headers.open(CREATE, block=block)
                await headers.writer.drain()
            await headers.until(lambda: len(headers.statuses) > 7_000, seconds=120)
            assert await fill(bodies) > LARGE - 2**20
            await door.threads("ListDBs")
            assert memory_of(daemon) - before < MOST_MORE
        async with asyncio.timeout(60):
            # What the allocator keeps of it for later is a part of what was taken.
            while memory_of(daemon) - before > MOST_MORE // 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    daemon.stop()
