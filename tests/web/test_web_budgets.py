"""What calls over HTTP and websockets make an endpoint keep: bounded in sum, and given back when they end."""

import asyncio
import struct

import pytest
from echo import Echo, make_service
from pools import given_back, until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from threadd.api.dispatcher import Dispatcher
from threadd.web import calls, intake
from threadd.web.door import WebDoor

METADATA = b"content-type: application/grpc-web+proto\r\n"
LARGE = 12 * 2**20


@pytest.fixture
def dispatcher(policy):
    made = Dispatcher(policy)
    made.register(make_service(), Echo())
    return made


@pytest.fixture
async def large_door(dispatcher):
    opened = WebDoor(dispatcher, "127.0.0.1", 0)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(intake, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(calls, "STALL_SECONDS", 0.5)


def opened(door, method="EchoAll"):
    url = f"ws://127.0.0.1:{door.port}/tests.echo.API/{method}"
    return connect(url, subprotocols=["grpc-websockets"], compression=None, max_size=None)


async def post(door, method, announced):
    """Begin a call over HTTP, whose body never ends, with a message of so many bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = (
        f"POST /tests.echo.API/{method} HTTP/1.1\r\nhost: here\r\ncontent-type: application/grpc-web+proto\r\n"
        "transfer-encoding: chunked\r\n\r\n"
    )
    writer.write(head.encode() + chunk(struct.pack(">BI", 0, announced)))
    return reader, writer


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


async def push(writer, size):
    """Send so much of a body as is taken; returns when nothing more is."""
    try:
        async with asyncio.timeout(1):
            for _ in range(size // 50_000):
                writer.write(chunk(b"x" * 50_000))
                await writer.drain()
    except (TimeoutError, ConnectionError):
        return


async def test_bodies_over_http_are_kept_within_a_share_and_given_back(dispatcher, large_door):
    pool = dispatcher.budgets.known.bodies
    halves = [await post(large_door, ("Echo", "EchoAll")[number % 2], LARGE) for number in range(20)]
    await asyncio.gather(*(push(writer, LARGE - 100_000) for _, writer in halves))
    assert 2 * LARGE <= pool.held <= pool.size // 2
    for _, writer in halves:
        writer.transport.abort()
    await given_back(dispatcher)


async def test_messages_of_websockets_are_kept_within_a_share_and_given_back(dispatcher, large_door):
    pool = dispatcher.budgets.known.bodies
    sockets = [await opened(large_door) for _ in range(8)]
    sent = 0
    for socket in sockets:
        await socket.send(METADATA)
    for socket in sockets:
        # The first part of a frame that is announced as a whole.
        whole = Frame(Opcode.BINARY, b"\0" + struct.pack(">BI", 0, LARGE) + bytes(LARGE)).serialize(mask=True)
        try:
            for at in range(0, LARGE - 100_000, 500_000):
                socket.transport.write(whole[at : at + 500_000])
                sent += 500_000
                while socket.transport.get_write_buffer_size() and not socket.transport.is_closing():  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                if socket.transport.is_closing():
                    break
        except ConnectionError:
            pass
        assert pool.held <= pool.size // 2
    assert pool.held > 2**24
    assert sent > pool.size // 2
    for socket in sockets:
        socket.transport.abort()
    await given_back(dispatcher)


async def test_small_fragments_count_as_what_they_take(dispatcher, large_door):
    socket = await opened(large_door)
    await socket.send(METADATA)
    fragment = Frame(Opcode.BINARY, b"\0", fin=False).serialize(mask=True)
    more = Frame(Opcode.CONT, b"\0", fin=False).serialize(mask=True) * 1000
    socket.transport.write(fragment + more)
    await until(lambda: dispatcher.budgets.known.bodies.held >= 64_000)
    socket.transport.abort()
    await given_back(dispatcher)


async def test_before_a_call_is_admitted_a_websocket_keeps_little(large_door):
    socket = await opened(large_door)
    with pytest.raises(ConnectionClosed):
        await socket.send(b"x" * 1_000_000)
        await socket.recv()
    assert socket.close_code == 1009
    await socket.close()


async def test_a_large_message_right_behind_the_metadata_is_taken(dispatcher, large_door):
    body = b"\x0a" + b"\x80\x80\x80\x01" + b"y" * 2_097_152
    async with opened(large_door, "Echo") as socket:
        socket.transport.write(
            Frame(Opcode.BINARY, METADATA).serialize(mask=True)
            + Frame(Opcode.BINARY, b"\0" + struct.pack(">BI", 0, len(body)) + body).serialize(mask=True)
            + Frame(Opcode.BINARY, b"\1").serialize(mask=True)
        )
        pieces = []
        with pytest.raises(ConnectionClosed):
            while True:
                pieces.append(await socket.recv())
    assert pieces[1][5:] == body
    await given_back(dispatcher)


async def test_a_request_that_makes_no_progress_is_ended(impatient, dispatcher, large_door, parse):
    reader, writer = await post(large_door, "Echo", 100)
    async with asyncio.timeout(20):
        assert b"grpc-status: 4\r\n" in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    async with opened(large_door, "Echo") as socket:
        await socket.send(METADATA)
        async with asyncio.timeout(20):
            _, fields = parse(await socket.recv())
    assert (fields["grpc-status"], fields["grpc-message"]) == ("4", "nothing of the request has come for 0.5 s")
    await given_back(dispatcher)


async def test_a_slow_request_goes_on(impatient, dispatcher, large_door, parse):
    body = b"\x0a\x0a" + b"slow steps"
    whole = Frame(Opcode.BINARY, b"\0" + struct.pack(">BI", 0, len(body)) + body).serialize(mask=True)
    async with opened(large_door, "Echo") as socket:
        await socket.send(METADATA)
        for at in range(len(whole)):
            socket.transport.write(whole[at : at + 1])
            await asyncio.sleep(0.08)
        received = await socket.recv() + await socket.recv()
    assert parse(received)[0] == ["slow steps"]
    await given_back(dispatcher)
