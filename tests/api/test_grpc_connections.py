"""How connections of the gRPC endpoint end, and what one does to the others."""

import asyncio
import gc
import struct
import weakref

import grpc
import pytest
from echo import Echo
from raw_grpc import raw_connection, request_headers

from threadd.api.dispatcher import Dispatcher
from threadd.web import grpc_door
from threadd.web.frames import message_frame
from threadd.web.grpc_door import GrpcDoor
from threadd.web.http2_frames import MAX_FRAME_BYTES, PREFACE, ErrorCode, Kind, frame
from threadd.web.turns import RECEIVE_BYTES

PING = frame(Kind.PING, 0, 0, bytes(8))
LARGE_WINDOWS = frame(Kind.SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 30)) + frame(
    Kind.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)
)


@pytest.fixture
async def door_of(policy, echo_service):
    """Opens endpoints of the echo service."""
    doors = []

    async def opened():
        dispatcher = Dispatcher(policy)
        dispatcher.register(echo_service, Echo())
        doors.append(GrpcDoor(dispatcher, "127.0.0.1", 0))
        await doors[-1].open()
        return doors[-1]

    yield opened
    for door in doors:
        await door.close()


@pytest.fixture
async def door(door_of):
    return await door_of()


@pytest.fixture
def body(text_message):
    return lambda text: message_frame(text_message(text=text).SerializeToString())


async def connections(door, count):
    """Wait until the endpoint has so many connections; returns them."""
    async with asyncio.timeout(20):
        while len(door._connections.open) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return list(door._connections.open)


@pytest.fixture
def often(monkeypatch):
    """Connections are looked at often, and those that are silent do not last."""
    monkeypatch.setattr(grpc_door, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(grpc_door, "_KEEPALIVE_SECONDS", 60.0)
    monkeypatch.setattr(grpc_door, "_SILENCE_SECONDS", 0.5)


async def test_a_connection_that_was_looked_at_last_is_not_kept(often, door_of):
    door = await door_of()
    async with raw_connection(f"127.0.0.1:{door.port}"):
        ended = weakref.ref(*await connections(door, 1))
        await asyncio.sleep(0.1)
    await connections(door, 0)
    await asyncio.sleep(0)
    gc.collect()
    assert ended() is None


async def test_a_request_that_is_not_whole_goes_with_its_connection(door, body):
    async with raw_connection(f"127.0.0.1:{door.port}") as connection:
        stream = connection.open("/tests.echo.API/Echo")
        connection.data(stream, body("x" * 100_000)[:10_000])
        (server,) = await connections(door, 1)
        async with asyncio.timeout(10):
            while stream not in server._http2._open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        kept = server._http2._open[stream]
        assert kept.owner is not None
    await connections(door, 0)
    assert kept.owner is None
    assert server._http2.is_idle


async def test_a_client_that_speaks_and_reads_nothing_is_hung_up_on(often, door_of, body):
    door = await door_of()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.transport.pause_reading()
    request = frame(Kind.HEADERS, 4, 1, request_headers("/tests.echo.API/EchoAll"))
    writer.write(PREFACE + LARGE_WINDOWS + request + frame(Kind.DATA, 0, 1, body("flood" * 1_000)))
    (server,) = await connections(door, 1)

    async def speak():
        while True:
            writer.write(PING)
            await asyncio.sleep(0.05)

    speaking = asyncio.create_task(speak())
    await connections(door, 0)
    speaking.cancel()
    assert server._http2.is_idle
    writer.close()
    reader.feed_eof()


async def test_pings_whose_answers_are_not_read_end_the_connection(door):
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1024)
    writer.write(PREFACE + frame(Kind.SETTINGS, 0, 0, b""))
    writer.transport.pause_reading()
    (server,) = await connections(door, 1)
    with pytest.raises(ConnectionError):
        for _ in range(2_000):
            writer.write(PING * 10_000)
            await writer.drain()
            assert server._http2._sender._size < 200_000
    await connections(door, 0)
    writer.close()
    reader.feed_eof()


async def test_a_client_that_breaks_the_rules_reads_why_and_is_hung_up_on(door):
    async with raw_connection(f"127.0.0.1:{door.port}") as connection:
        connection.writer.write(frame(Kind.PING, 0, 1, bytes(8)))
        await connection.until(lambda: connection.ended)
        assert connection.goodbye == ErrorCode.PROTOCOL_ERROR
    await connections(door, 0)


async def test_a_long_reply_arrives_whole_while_the_endpoint_closes(door, text_message):
    request = text_message(text="wait 0.3 " + "x" * 3_000_000).SerializeToString()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{door.port}") as channel:
        running = asyncio.ensure_future(channel.unary_unary("/tests.echo.API/Echo")(request, timeout=20))
        (server,) = await connections(door, 1)
        async with asyncio.timeout(10):
            while not server.tasks:  # noqa: ASYNC110
                await asyncio.sleep(0)
        await door.close(grace=5)
        assert await running == request


async def test_what_came_and_waits_for_its_turn_is_little(door):
    """Hundreds of connections that send more than can be looked at keep what is left in their sockets."""
    writers = [(await asyncio.open_connection("127.0.0.1", door.port))[1] for _ in range(20)]
    for writer in writers:
        writer.write(PREFACE + frame(Kind.PRIORITY, 0, 1, bytes(5)) * 40_000)
    servers = await connections(door, 20)
    async with asyncio.timeout(20):
        while not all(server._is_behind for server in servers):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert max(len(server._http2._unread) for server in servers) <= RECEIVE_BYTES + MAX_FRAME_BYTES
    for writer in writers:
        writer.transport.abort()


async def test_many_small_frames_leave_others_their_turn(door, body):
    """A call of another connection is answered while one is at work on what came, not only after all of it."""
    flood = frame(Kind.PRIORITY, 0, 1, bytes(5)) * 18_000
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    async with raw_connection(f"127.0.0.1:{door.port}") as innocent:
        await connections(door, 2)
        server = next(
            each
            for each in door._connections.open
            if each._transport.get_extra_info("peername") == writer.get_extra_info("sockname")
        )
        server.data_received(PREFACE + flood)
        assert server._is_behind
        stream = innocent.open("/tests.echo.API/Echo")
        innocent.data(stream, body("x"), end=True)
        assert (await innocent.status(stream))[0] == 0
        async with asyncio.timeout(10):
            while server._is_behind:  # noqa: ASYNC110
                await asyncio.sleep(0)
    writer.close()
    reader.feed_eof()
