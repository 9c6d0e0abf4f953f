"""Calls that have ended leave nothing behind that only the garbage collector would free, requests least of all."""

import asyncio
import gc

import grpc
import pytest
from echo import Echo

from store.errors import StatusCode, ThreaddError
from threadd.api.dispatcher import Call, CallHead, Dispatcher
from threadd.web.door import WebDoor
from threadd.web.frames import message_frame
from threadd.web.grpc_door import GrpcDoor

MAX_MESSAGE = 100_000
NO_MESSAGE = b"\xff\xff\xff"
KINDS = {
    "answered": ("Echo", b"\x0a\x01x"),
    "not decoded": ("Echo", NO_MESSAGE),
    "failed": ("Echo", b"\x0a\x04long"),
    "too large": ("Echo", bytes(MAX_MESSAGE + 1)),
    "unknown": ("Nothing", b""),
    "of many answered": ("EchoAll", b"\x0a\x01x"),
    "of many not decoded": ("EchoAll", NO_MESSAGE),
    "of many too large": ("EchoAll", bytes(MAX_MESSAGE + 1)),
}


class NotYouError(ThreaddError):
    code = StatusCode.UNAUTHENTICATED


class Forgetful:
    """Keeps no head of a call, unlike the policy of other tests."""

    def append(self, _head):
        pass


@pytest.fixture
def dispatcher(policy, echo_service):
    policy.admitted = Forgetful()
    made = Dispatcher(policy, max_message_bytes=MAX_MESSAGE)
    made.register(echo_service, Echo())
    return made


@pytest.fixture
def uncollected():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def none_left():
    """Wait until no call is left; the garbage collector does nothing meanwhile."""
    kinds = (Call, CallHead)
    async with asyncio.timeout(10):
        while [each for each in gc.get_objects() if isinstance(each, kinds)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def over_grpc(port, method, body):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        path = f"/tests.echo.API/{method}"
        try:
            if method == "Echo":
                return [await channel.unary_unary(path)(body)]
            return [answer async for answer in channel.stream_stream(path)(iter([body]))]
        except grpc.aio.AioRpcError as error:
            return error.code()


async def over_http(port, method, body):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    framed = message_frame(body)
    head = (
        f"POST /tests.echo.API/{method} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n"
        f"content-type: application/grpc-web+proto\r\ncontent-length: {len(framed)}\r\n\r\n"
    )
    writer.write(head.encode() + framed)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("door_of", "ask"), [(GrpcDoor, over_grpc), (WebDoor, over_http)], ids=["grpc", "http"])
async def test_a_call_is_gone_when_it_has_ended(dispatcher, door_of, ask, kind, uncollected):
    door = door_of(dispatcher, "127.0.0.1", 0)
    port = await door.open()
    for _ in range(3):
        assert await ask(port, *KINDS[kind])
    await none_left()
    await door.close()


@pytest.mark.parametrize("method", ["Echo", "EchoAll"])
async def test_a_call_that_was_refused_is_gone_when_that_was_said(dispatcher, policy, method, uncollected):
    policy.refuse_with = NotYouError("not you")
    door = GrpcDoor(dispatcher, "127.0.0.1", 0)
    port = await door.open()
    assert await over_grpc(port, method, b"") is grpc.StatusCode.UNAUTHENTICATED
    policy.refuse_with = None  # it holds where it was raised
    await none_left()
    await door.close()
