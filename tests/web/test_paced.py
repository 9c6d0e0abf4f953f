"""What one client of an endpoint over HTTP/1.1 sends is taken a little at a time, and others have their turn."""

import asyncio
from base64 import b64encode

import pytest
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode

from threadd.web.paced import PART_BYTES, PacedProtocol
from threadd.web.turns import RECEIVE_BYTES, Turns

URL = "/tests.echo.API/Echo"
HEAD = (
    f"POST {URL} HTTP/1.1\r\nhost: here\r\ncontent-type: application/grpc-web+proto\r\n"
    "transfer-encoding: chunked\r\n\r\n"
).encode()
CHUNKS = b"1\r\nx\r\n" * 40_000
UPGRADE = (
    f"GET {URL} HTTP/1.1\r\nhost: here\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    f"sec-websocket-key: {b64encode(bytes(16)).decode()}\r\nsec-websocket-version: 13\r\n\r\n"
).encode()


class Transport(asyncio.Transport):
    """Says whether it is read."""

    is_read = True
    is_over = False

    def pause_reading(self):
        self.is_read = False

    def resume_reading(self):
        self.is_read = True

    def is_closing(self):
        return self.is_over

    def abort(self):
        self.is_over = True


class Inner(asyncio.Protocol):
    """Keeps what it is given, and fails if it is told to."""

    fails = False

    def __init__(self):
        self.given = []

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.fails:
            raise ZeroDivisionError
        self.given.append(data)


@pytest.fixture
async def paced():
    made = PacedProtocol(Turns(), Inner())
    made.connection_made(Transport())
    return made


async def turns_of_the_loop():
    for _ in range(200):
        await asyncio.sleep(0)


async def test_bytes_are_given_in_small_parts_and_none_is_read_meanwhile(paced):
    data = bytes(range(256)) * 100
    paced.data_received(data)
    assert paced.inner.given == [data[:PART_BYTES]]
    assert not paced._transport.is_read
    await turns_of_the_loop()
    assert b"".join(paced.inner.given) == data
    assert max(map(len, paced.inner.given)) == PART_BYTES
    assert paced._transport.is_read


async def test_nothing_is_given_while_none_is_wanted_or_what_was_sent_is_not_read(paced):
    paced.inner.transport.pause_reading()
    paced.data_received(b"first")
    assert paced.inner.given == []
    paced.pause_writing()
    paced.inner.transport.resume_reading()
    await turns_of_the_loop()
    assert paced.inner.given == []
    assert not paced._transport.is_read
    paced.resume_writing()
    await turns_of_the_loop()
    assert paced.inner.given == [b"first"]
    assert paced._transport.is_read


async def test_what_waits_is_given_to_no_connection_that_has_ended(paced):
    paced.data_received(bytes(10 * PART_BYTES))
    paced.inner.transport.abort()
    await turns_of_the_loop()
    paced.connection_lost(None)
    await turns_of_the_loop()
    assert len(paced.inner.given) < 10


async def test_a_connection_whose_bytes_cannot_be_taken_is_hung_up_on(paced):
    failed = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))
    paced.data_received(bytes(10 * PART_BYTES))
    paced.inner.fails = True
    await turns_of_the_loop()
    assert paced._transport.is_over
    assert [type(error) for error in failed] == [ZeroDivisionError]


async def waiting(door):
    """The first connection of the endpoint that waits for its turn."""
    connections = door._server.server_state.connections
    async with asyncio.timeout(20):
        while True:
            for connection in connections:
                paced = connection.transport._paced
                if paced._is_waiting:
                    return paced
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("head", "flood"), [(HEAD, CHUNKS), (UPGRADE, Frame(Opcode.PING, b"").serialize(mask=True) * 40_000)]
)
async def test_many_small_chunks_or_frames_leave_others_their_turn(door, frame, head, flood):
    """A call of another connection is answered while one is at work on what came, not only after all of it."""
    innocent, client = await asyncio.open_connection("127.0.0.1", door.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(head)
    if head is UPGRADE:
        await reader.readuntil(b"\r\n\r\n")
    reading = asyncio.ensure_future(reader.read())
    writer.write(flood)
    busy = await waiting(door)
    body = frame("x")
    length = f"POST {URL} HTTP/1.1\r\nhost: here\r\ncontent-type: application/grpc-web+proto\r\n"
    client.write(f"{length}content-length: {len(body)}\r\n\r\n".encode() + body)
    async with asyncio.timeout(20):
        assert b"grpc-status: 0" in await innocent.readuntil(b"grpc-status: 0")
    assert busy._is_waiting
    assert len(busy._unread) <= RECEIVE_BYTES
    for each in (client, writer):
        each.transport.abort()
    await asyncio.gather(reading, return_exceptions=True)


async def test_pings_of_a_websocket_whose_answers_are_not_read_are_not_taken(door):
    url = f"ws://127.0.0.1:{door.port}{URL}"
    async with connect(url, subprotocols=["grpc-websockets"], compression=None) as socket:
        (server,) = door._server.server_state.connections
        socket.transport.pause_reading()
        pings = Frame(Opcode.PING, bytes(125)).serialize(mask=True) * 10_000
        for _ in range(20):
            socket.transport.write(pings)
            await turns_of_the_loop()
        async with asyncio.timeout(20):
            while server.transport._paced._is_writable:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert server.transport._transport.get_write_buffer_size() < 200_000
        assert len(server.transport._paced._unread) <= RECEIVE_BYTES
        socket.transport.abort()
