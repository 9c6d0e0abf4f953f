"""The gRPC door with real gRPC clients."""

import asyncio

import grpc
import pytest
from echo import Echo
from raw_grpc import raw_connection

from threadd.api.dispatcher import Dispatcher
from threadd.web.frames import message_frame
from threadd.web.grpc_door import GrpcDoor
from threadd.web.sockets import DoorError


@pytest.fixture
async def echo():
    return Echo()


@pytest.fixture
async def channel(policy, echo_service, echo, open_door):
    dispatcher = Dispatcher(policy, max_message_bytes=100_000)
    dispatcher.register(echo_service, echo)
    async with open_door(dispatcher) as opened:
        yield opened


@pytest.fixture
async def connection(policy, echo_service, echo):
    """A connection whose frames a test writes itself."""
    dispatcher = Dispatcher(policy, max_message_bytes=100_000)
    dispatcher.register(echo_service, echo)
    door = GrpcDoor(dispatcher, "127.0.0.1", 0)
    async with raw_connection(f"127.0.0.1:{await door.open()}") as opened:
        yield opened
    await door.close()


@pytest.fixture
def say(channel, text_message):
    async def call(text, method="Echo", **options):
        stub = channel.unary_unary(
            f"/tests.echo.API/{method}",
            request_serializer=text_message.SerializeToString,
            response_deserializer=text_message.FromString,
        )
        return (await stub(text_message(text=text), timeout=options.pop("timeout", 10), **options)).text

    return call


async def test_a_call_travels(say):
    assert await say("hello") == "hello"
    assert (await say("peer")).startswith("ipv4:127.0.0.1:")
    seen = await say("metadata", metadata=[("a", "1"), ("a", "2"), ("x-bin", b"\xff")])
    assert "('a', ['1', '2'])" in seen
    assert "('x-bin', [b'\\xff'])" in seen


async def test_streams_travel(channel, text_message, echo):
    bodies = [text_message(text=text).SerializeToString() for text in "xyz"]

    async def requests():
        for body in bodies:
            yield body

    stub = channel.stream_stream("/tests.echo.API/EchoAll")
    assert [reply async for reply in stub(requests(), timeout=10)] == bodies


async def test_headers_can_go_first_and_a_cancelled_stream_ends(channel, text_message, echo):
    stream = channel.unary_stream("/tests.echo.API/CountUp")(text_message(text="0").SerializeToString(), timeout=10)
    await stream.initial_metadata()
    assert echo.started.is_set()
    stream.cancel()
    async with asyncio.timeout(10):
        await echo.cancelled.wait()


async def test_a_stream_that_is_broken_off_has_no_end(channel, text_message, echo):
    body = text_message(text="x").SerializeToString()
    for how in range(300):
        stream = channel.stream_stream("/tests.echo.API/EchoAll")(timeout=0.5 if how % 150 == 0 else 20)
        await stream.write(body)
        assert await stream.read() == body
        if how % 150 == 0:
            with pytest.raises(grpc.aio.AioRpcError):
                await stream.read()
        elif how % 10 == 1:
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF
        else:
            stream.cancel()
    await asyncio.sleep(0.1)
    assert echo.ended == 30


async def test_a_time_limit_ends_a_stream_whose_client_takes_nothing(channel, text_message, echo):
    echo.limit = asyncio.timeout(0.5)
    stream = channel.stream_stream("/tests.echo.API/EchoAll")(timeout=20)
    await stream.write(text_message(text="flood" * 10_000).SerializeToString())
    await asyncio.sleep(1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        while True:
            await stream.read()
    assert caught.value.code() is grpc.StatusCode.ABORTED


@pytest.mark.parametrize(
    ("text", "code"),
    [("crash", grpc.StatusCode.INTERNAL), ("long", grpc.StatusCode.UNKNOWN)],
)
async def test_errors_arrive_as_statuses(say, text, code):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await say(text)
    assert caught.value.code() is code
    assert "Exception calling" not in caught.value.details()
    assert "Zero" not in caught.value.details()
    assert await say("alive") == "alive"


@pytest.mark.parametrize("method", ["/tests.echo.API/NotYet", "/tests.echo.API/Nothing", "/no.such.Service/Thing"])
async def test_what_is_not_there_is_unimplemented_by_name(channel, method):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(method)(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert method.rpartition("/")[2] in caught.value.details() or "no.such.Service" in caught.value.details()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in channel.unary_stream(method)(b"", timeout=10):
            pass
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("size", [100_001, 150_000, 300_000])
async def test_too_large_requests_are_resource_exhausted(say, size):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await say("x" * size)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than" in caught.value.details()
    assert await say("x" * 90_000) == "x" * 90_000


async def test_the_deadline_and_the_client_cancel_the_servicer(say, echo):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await say("wait 60", timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(10):
        await echo.cancelled.wait()


@pytest.mark.parametrize("method", ["Echo", "CountUp", "EchoAll"])
async def test_a_deadline_of_a_nanosecond_is_exceeded(connection, text_message, echo, method):
    stream = connection.open(f"/tests.echo.API/{method}", [(b"grpc-timeout", b"1n")])
    connection.data(stream, message_frame(text_message(text="0").SerializeToString()), end=True)
    code, _ = await connection.status(stream)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    assert not echo.started.is_set()


async def test_a_request_that_is_never_whole_ends_at_its_deadline(connection, text_message):
    message = message_frame(text_message(text="x").SerializeToString())
    stream = connection.open("/tests.echo.API/Echo", [(b"grpc-timeout", b"200m")])
    connection.data(stream, message[:-1])
    other = connection.open("/tests.echo.API/Echo")
    code, _ = await connection.status(stream)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    connection.data(other, message, end=True)
    assert (await connection.status(other))[0] == 0


@pytest.mark.parametrize("broken_off", [True, False])
async def test_a_request_that_is_broken_off_leaves_nothing_that_waits_for_its_deadline(connection, broken_off):
    def waiting():
        loop = asyncio.get_running_loop()
        return [timer for timer in loop._scheduled if timer.when() > loop.time() + 3000 and not timer.cancelled()]

    async def until(count):
        async with asyncio.timeout(10):
            while len(waiting()) != count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    stream = connection.open("/tests.echo.API/Echo", [(b"grpc-timeout", b"1H")])
    await until(1)
    if broken_off:
        connection.reset(stream)
    else:
        await connection.close()
    await until(0)


async def test_a_port_in_use_is_refused_by_name(policy):
    first = GrpcDoor(Dispatcher(policy), "127.0.0.1", 0)
    port = await first.open()
    assert first.port == port > 0
    with pytest.raises(DoorError, match=f"cannot listen on 127.0.0.1:{port}"):
        await GrpcDoor(Dispatcher(policy), "127.0.0.1", port).open()
    await first.close()
    await first.close()


async def test_closing_lets_running_calls_finish(policy, echo_service, echo, text_message):
    dispatcher = Dispatcher(policy)
    dispatcher.register(echo_service, echo)
    door = GrpcDoor(dispatcher, "127.0.0.1", 0)
    port = await door.open()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = channel.unary_unary("/tests.echo.API/Echo")
        body = text_message(text="wait 0.3").SerializeToString()
        running = asyncio.ensure_future(stub(body, timeout=10))
        await echo.started.wait()
        await door.close(grace=5)
        assert await running == body
        echo.started.clear()


async def test_closing_ends_what_does_not_finish(policy, echo_service, echo, text_message):
    dispatcher = Dispatcher(policy)
    dispatcher.register(echo_service, echo)
    door = GrpcDoor(dispatcher, "127.0.0.1", 0)
    port = await door.open()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = channel.unary_unary("/tests.echo.API/Echo")
        running = asyncio.ensure_future(stub(text_message(text="wait 60").SerializeToString(), timeout=30))
        await echo.started.wait()
        async with asyncio.timeout(10):
            await door.close(grace=0.1)
            await echo.cancelled.wait()
            with pytest.raises(grpc.aio.AioRpcError):
                await running
