"""Work that waits for its turn of the loop."""

import asyncio
import datetime as dt
import ssl

import pytest

from threadd import certificates
from threadd.tls import Tls
from threadd.web.turns import RECEIVE_BYTES, TURN_SECONDS, Turns, TurnsProtocol


class Clock:
    """Counts on by what each part takes."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Work:
    def __init__(self, clock, done, name, parts, seconds):
        self.clock, self.done, self.name, self.parts, self.seconds = clock, done, name, parts, seconds

    def part(self):
        self.clock.now += self.seconds
        self.done.append(self.name)
        self.parts -= 1
        return self.parts > 0


async def test_what_waits_is_served_in_turn_and_a_turn_of_the_loop_takes_only_so_long():
    clock, done = Clock(), []
    turns = Turns(clock)
    for name in "abc":
        turns.add(Work(clock, done, name, 4, TURN_SECONDS / 2).part)
    assert done == []
    in_turns = []
    while len(done) < 12:
        before = len(done)
        await asyncio.sleep(0)
        in_turns.append(len(done) - before)
    assert done == list("abcabcabcabc")
    assert max(in_turns) <= 3
    await asyncio.sleep(0)
    assert len(done) == 12


async def test_short_parts_are_done_in_one_turn_of_the_loop():
    clock, done = Clock(), []
    Turns(clock).add(Work(clock, done, "a", 100, TURN_SECONDS / 1_000).part)
    await asyncio.sleep(0)
    assert len(done) == 100


async def test_work_that_fails_holds_up_no_other():
    failed, done = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))
    turns = Turns(Clock())

    def fails():
        raise ZeroDivisionError

    turns.add(fails)
    turns.add(Work(Clock(), done, "a", 2, 0).part)
    for _ in range(3):
        await asyncio.sleep(0)
    assert done == ["a", "a"]
    assert [type(error) for error in failed] == [ZeroDivisionError]


@pytest.mark.parametrize("size", [1, RECEIVE_BYTES])
async def test_what_is_received_is_no_view_of_the_buffer_that_others_use(size):
    class Kept(TurnsProtocol):
        kept = b""

        def data_received(self, data):
            self.kept += data

    protocols = [Kept(), Kept()]
    for protocol, byte in zip(protocols, b"xy", strict=True):
        protocol.get_buffer(-1)[:size] = bytes((byte,)) * size
        protocol.buffer_updated(size)
    assert [protocol.kept for protocol in protocols] == [b"x" * size, b"y" * size]


async def test_what_comes_over_tls_is_received_as_it_was_sent(tmp_path):
    """Of asyncio's own loop, which fills the buffer record by record; the daemon's is of uvloop."""
    received = asyncio.get_running_loop().create_future()
    sent = bytes(range(256)) * 4096

    class Kept(TurnsProtocol):
        kept = b""

        def data_received(self, data):
            self.kept += data
            if len(self.kept) == len(sent):
                received.set_result(self.kept)

    files = certificates.make(tmp_path, dt.datetime.now(dt.UTC))
    context = Tls.load(files.certificate, files.key).context
    server = await asyncio.get_running_loop().create_server(Kept, "127.0.0.1", 0, ssl=context)
    trusting = ssl.create_default_context(cafile=str(files.authority))
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        writer.write(sent)
        async with asyncio.timeout(20):
            assert await received == sent
        writer.close()
