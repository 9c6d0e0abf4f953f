"""What one client makes a gRPC endpoint keep: bounded in sum, given back when it ends, and never at the cost of others."""

import asyncio
import gc
import weakref

import grpc
import pytest
from echo import Echo
from pools import given_back, until
from raw_grpc import prefix, raw_connection, request_headers

from threadd.api.dispatcher import Dispatcher
from threadd.api.principals import Principal
from threadd.web import grpc_calls, intake
from threadd.web.grpc_door import GrpcDoor
from threadd.web.http2_frames import string
from threadd.web.http2_sending import STREAM_WINDOW

ECHO = "/tests.echo.API/"
MOST = 16 * 2**20
LARGE = 14 * 2**20
"""Two of these fit into one client's share."""


@pytest.fixture
def dispatcher(policy, echo_service):
    made = Dispatcher(policy, max_message_bytes=MOST)
    made.register(echo_service, Echo())
    return made


@pytest.fixture
async def door(dispatcher):
    opened = GrpcDoor(dispatcher, "127.0.0.1", 0)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def address(door):
    return f"127.0.0.1:{door.port}"


@pytest.fixture
def impatient(monkeypatch):
    """Requests are given up soon."""
    monkeypatch.setattr(intake, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(grpc_calls, "_LOOK_SECONDS", 0.1)


async def fill(connection, stream, sent=5):
    """Send of a message as much as the window lets through; returns how much was sent of the stream."""
    while (room := STREAM_WINDOW + connection.windows.get(stream, 0) - sent) >= 10_000 and sent < LARGE - 20_000:
        connection.data(stream, b"x" * min(16_000, room))
        sent += min(16_000, room)
        await connection.writer.drain()
    return sent


@pytest.mark.parametrize("method", ["Echo", "CountUp", "EchoAll"])
async def test_bodies_that_never_end_are_kept_within_a_share_and_given_back(dispatcher, policy, door, address, method):
    pool = dispatcher.budgets.known.bodies
    async with raw_connection(address) as connection:
        streams = [connection.open(ECHO + method) for _ in range(60)]
        for stream in streams:
            connection.data(stream, prefix(LARGE))
        sent = dict.fromkeys(streams, 5)
        for _ in range(10):
            for stream in streams:
                sent[stream] = await fill(connection, stream, sent[stream])
            await asyncio.sleep(0.01)
        (server,) = door._connections.open
        assert sum(sent.values()) <= pool.held <= pool.size // 2
        assert max(sent.values()) > 2**20
        assert connection.statuses == {}
        kept = weakref.ref(server)
        del server
        policy.admitted.clear()
    await given_back(dispatcher)
    async with asyncio.timeout(20):
        while kept() is not None:
            gc.collect()
            await asyncio.sleep(0.01)


async def test_requests_that_are_whole_and_never_ended_count_as_well(impatient, dispatcher, address):
    pool = dispatcher.budgets.known.bodies
    async with raw_connection(address) as connection:
        streams = [connection.open(ECHO + "Echo") for _ in range(100)]
        for stream in streams:
            connection.data(stream, prefix(15_000) + b"x" * 15_000)
        await connection.until(lambda: connection.settings)
        async with asyncio.timeout(10):
            while pool.held < 1_500_000:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for stream in streams:
            assert await connection.status(stream) == (4, "nothing of the request has come for 0.5 s")
        late = connection.open(ECHO + "Echo")
        connection.data(late, prefix(0))
        await asyncio.sleep(0.1)
        connection.data(late, b"", end=True)
        assert (await connection.status(late))[0] == 0
        twice = connection.open(ECHO + "Echo")
        connection.data(twice, prefix(0))
        connection.data(twice, prefix(0), end=True)
        assert await connection.status(twice) == (3, "a call of /tests.echo.API/Echo has one request, not 2")
    await given_back(dispatcher)


async def test_large_requests_wait_for_each_other_and_all_are_answered(dispatcher, address, text_message):
    body = text_message(text="y" * (MOST - 100)).SerializeToString()
    async with grpc.aio.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        calls = [channel.unary_unary(ECHO + "Echo")(body, timeout=60) for _ in range(6)]
        most = 0
        waiting = asyncio.gather(*calls)
        while not waiting.done():
            most = max(most, dispatcher.budgets.known.bodies.held)
            await asyncio.sleep(0)
        assert [len(reply) for reply in await waiting] == [len(body)] * 6
    assert MOST - 100 < most <= dispatcher.budgets.known.bodies.size // 2
    await given_back(dispatcher)


async def test_what_waits_for_room_goes_on_when_another_is_broken_off(dispatcher, address):
    async with raw_connection(address) as connection:
        streams = [connection.open(ECHO + "Echo") for _ in range(4)]
        for stream in streams:
            connection.data(stream, prefix(LARGE))
        await connection.until(lambda: len(set(streams) & connection.windows.keys()) == 2)
        first, second, *waiting = streams
        connection.reset(first)
        await connection.until(lambda: waiting[0] in connection.windows)
        assert waiting[1] not in connection.windows
        connection.data(second, b"\xff" * 10, end=True)
        assert (await connection.status(second))[0] == 3
        await connection.until(lambda: waiting[1] in connection.windows)
    await given_back(dispatcher)


async def test_a_request_that_makes_no_progress_is_ended_and_a_slow_one_goes_on(impatient, dispatcher, address):
    async with raw_connection(address) as connection:
        stalled = [connection.open(ECHO + method) for method in ("Echo", "CountUp", "EchoAll")]
        for stream in stalled:
            connection.data(stream, prefix(100))
        silent = connection.open(ECHO + "Echo")
        waiting, slow = connection.open(ECHO + "EchoAll"), connection.open(ECHO + "Echo")
        connection.data(slow, prefix(20))
        for _ in range(20):
            await asyncio.sleep(0.1)
            connection.data(slow, b"\0")
        for stream in (*stalled, silent):
            assert await connection.status(stream) == (4, "nothing of the request has come for 0.5 s")
        # A stream may be silent between its messages.
        assert not {waiting, slow} & connection.statuses.keys()
        connection.data(slow, b"", end=True)
        assert (await connection.status(slow))[0] == 3
    await given_back(dispatcher)


async def test_headers_of_open_calls_are_kept_within_a_share_and_given_back(dispatcher, address):
    pool = dispatcher.budgets.known.headers
    big = b"\x40" + string(b"x-big") + string(b"y" * 3900)
    async with raw_connection(address) as connection:
        connection.data(connection.open(ECHO + "Echo", block=request_headers(ECHO + "Echo") + big), prefix(0), end=True)
        for _ in range(3_000):
            connection.open(ECHO + "Echo", block=request_headers(ECHO + "Echo") + bytes([0x80 | 62]) * 3)
            await connection.writer.drain()
        await connection.until(lambda: len(connection.statuses) > 500)
        assert {code for stream, (code, _) in connection.statuses.items() if stream > 1} == {8}
        assert pool.size // 2 - 20_000 < pool.held <= pool.size // 2
        # A call that is refused for want of room leaves the connection as it was.
        opened = next(stream for stream in range(3, 100, 2) if stream not in connection.statuses)
        connection.data(opened, prefix(0), end=True)
        assert (await connection.status(opened))[0] == 0
    await given_back(dispatcher)


async def test_strangers_leave_the_room_of_known_callers_alone(dispatcher, policy, address):
    policy.principal = Principal()
    budgets = dispatcher.budgets
    big = b"\x40" + string(b"x-big") + string(b"y" * 3900)
    async with raw_connection(address) as connection:
        for number in range(128):
            stream = connection.open(
                ECHO + "Echo", block=request_headers(ECHO + "Echo") + (bytes([0x80 | 62]) * 3 if number else big)
            )
            connection.data(stream, prefix(60_000))
            connection.data(stream, b"x" * 16_000)
        await until(lambda: min(budgets.strangers.bodies.held, budgets.strangers.headers.held) > 1_000_000)
        assert budgets.strangers.bodies.held <= budgets.known.bodies.size // 8
        assert (budgets.known.headers.held, budgets.known.bodies.held) == (0, 0)
        policy.principal = Principal(is_known=True)
        async with raw_connection(address) as other:
            stream = other.open(ECHO + "Echo")
            other.data(stream, prefix(LARGE))
            await fill(other, stream)
            await until(lambda: budgets.known.bodies.held >= LARGE)
    await given_back(dispatcher)


async def test_every_end_of_a_call_gives_back_what_it_took(dispatcher, address, policy):
    async with raw_connection(address) as connection:
        for method in ("Echo", "CountUp", "EchoAll", "NotYet", "Nothing"):
            for body, end in (
                (prefix(0), True),
                (prefix(9) + b"x", True),
                (b"\7" * 5, True),
                (b"", True),
                (b"", False),
            ):
                stream = connection.open(ECHO + method, [(b"x-long", b"z" * 2000)])
                connection.data(stream, body, end=end)
                if not end or method == "CountUp":
                    await asyncio.sleep(0.02)
                    connection.reset(stream)
                elif method != "CountUp":
                    await connection.status(stream)
        timed = connection.open(ECHO + "Echo", [(b"grpc-timeout", b"50m")])
        assert (await connection.status(timed))[0] == 4
        await given_back(dispatcher)
