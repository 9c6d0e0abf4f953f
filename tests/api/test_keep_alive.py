"""Keep-alive pings of clients are welcome at any rate, with and without streams."""

import asyncio
import struct

import pytest

from threadd.api.dispatcher import Dispatcher
from threadd.web.grpc_door import GrpcDoor

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY, HEADERS = 4, 6, 7, 1
ACK = 1


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


async def read_frame(reader):
    head = await reader.readexactly(9)
    return head[3], head[4], await reader.readexactly(int.from_bytes(head[:3], "big"))


@pytest.mark.parametrize("with_stream", [False, True])
async def test_many_pings_are_all_answered(policy, echo_service, with_stream):
    dispatcher = Dispatcher(policy)
    dispatcher.register(echo_service, object())
    door = GrpcDoor(dispatcher, "127.0.0.1", 0)
    port = await door.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(PREFACE + frame(SETTINGS))
    if with_stream:
        block = b"".join(
            literal(*pair)
            for pair in [
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":path", b"/tests.echo.API/Echo"),
                (b":authority", b"localhost"),
                (b"te", b"trailers"),
                (b"content-type", b"application/grpc"),
            ]
        )
        writer.write(frame(HEADERS, flags=4, stream=1, payload=block))
    answered = 0
    async with asyncio.timeout(20):
        for number in range(20):
            writer.write(frame(PING, payload=struct.pack(">Q", number)))
            while True:
                kind, flags, payload = await read_frame(reader)
                assert kind != GOAWAY, payload
                if kind == PING and flags & ACK:
                    assert payload == struct.pack(">Q", number)
                    answered += 1
                    break
    assert answered == 20
    writer.close()
    await writer.wait_closed()
    await door.close()
