"""The websocket dialect, byte by byte, with a plain websocket client."""

import asyncio
import gc
import struct

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.frames import Opcode

from store.errors import ThreaddError

HEADERS = b"content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\nhost: http://ignored\r\n"


@pytest.fixture
def opened(door):
    """A websocket to a method, as the JS clients open it."""

    def open_one(method, **options):
        url = f"ws://127.0.0.1:{door.port}/tests.echo.API/{method}"
        options = {"subprotocols": ["grpc-websockets"], "compression": None, "max_size": None} | options
        return connect(url, **options)

    return open_one


async def received(socket):
    """All bytes until the server closes."""
    pieces = []
    try:
        while True:
            pieces.append(await socket.recv())
    except ConnectionClosed:
        pass
    return pieces


@pytest.fixture
def call(opened, frame, parse):
    async def run(method, *texts, lines=HEADERS, **options):
        async with opened(method, **options) as socket:
            await socket.send(lines)
            for text in texts:
                await socket.send(b"\0" + frame(text))
            await socket.send(b"\1")
            return parse(b"".join(await received(socket)))

    return run


async def test_a_unary_call_byte_by_byte(opened, frame):
    async with opened("Echo", origin="https://any.example") as socket:
        assert socket.subprotocol == "grpc-websockets"
        assert "permessage-deflate" not in socket.response.headers.get("Sec-WebSocket-Extensions", "")
        await socket.send(HEADERS + b"x-request-id: mine-1\r\n")
        await socket.send(b"\0" + frame("hello"))
        await socket.send(b"\1")
        headers = b"content-type: application/grpc-web+proto\r\n"
        trailers = b"grpc-status: 0\r\ngrpc-message: \r\nx-request-id: mine-1\r\n"
        assert await received(socket) == [
            struct.pack(">BI", 0x80, len(headers)) + headers,
            frame("hello"),
            struct.pack(">BI", 0x80, len(trailers)) + trailers,
        ]
        assert (socket.close_code, socket.close_reason) == (1000, "request body closed")


async def test_every_kind_of_call(call):
    assert (await call("Echo", "x"))[0] == ["x"]
    assert (await call("EchoAll", "x", "", "y"))[0] == ["x", "", "y"]
    texts, fields = await call("EchoAll")
    assert (texts, len(fields.pop("x-request-id"))) == ([], 16)
    assert fields == {"content-type": "application/grpc-web+proto", "grpc-status": "0", "grpc-message": ""}


async def test_metadata_and_peer_reach_the_call(call):
    texts, _ = await call("Echo", "metadata", lines=HEADERS + b"X-One: a, b\r\nx-two-bin: /w\r\n")
    assert texts == ["[('x-one', ['a, b']), ('x-two-bin', [b'\\xff'])]"]
    assert (await call("Echo", "peer"))[0][0].startswith("ipv4:127.0.0.1:")


async def test_the_origin_of_a_page_reaches_the_call_whatever_it_says_of_itself(call):
    for lines in (HEADERS, HEADERS + b"origin: http://elsewhere\r\n", HEADERS + b"origin:\r\n"):
        texts, _ = await call("Echo", "metadata", lines=lines, origin="https://any.example")
        assert "'https://any.example'" in texts[0]
    assert "origin" not in (await call("Echo", "metadata"))[0][0]


async def test_frames_may_be_cut_anywhere(opened, frame, parse):
    async with opened("EchoAll") as socket:
        await socket.send(HEADERS)
        data = frame("one") + frame("two")
        for byte in data[:7]:
            await socket.send(bytes([0, byte]))
        await socket.send(b"\0" + data[7:])
        await socket.send(b"\0")
        await socket.send(b"\1")
        assert parse(b"".join(await received(socket)))[0] == ["one", "two"]


async def test_a_failure_without_reply_is_one_block(opened, frame):
    async with opened("Echo") as socket:
        await socket.send(HEADERS)
        await socket.send(b"\0" + frame("long"))
        pieces = await received(socket)
    assert len(pieces) == 1
    lines = pieces[0][5:].decode().split("\r\n")
    assert lines[0] == "content-type: application/grpc-web+proto"
    assert lines[1] == "grpc-status: 2"
    assert lines[2].startswith("grpc-message: %25%C3%A9%25%C3%A9")


async def test_a_failure_after_a_reply_is_in_the_trailers(opened, frame, parse):
    async with opened("EchoAll") as socket:
        await socket.send(HEADERS)
        await socket.send(b"\0" + frame("fine"))
        assert len(await socket.recv()) > 5
        assert parse(await socket.recv()) == (["fine"], {})
        await socket.send(b"\0" + struct.pack(">BI", 0, 100_001))
        bodies, trailers = parse(await socket.recv())
        assert bodies == []
        assert len(trailers.pop("x-request-id")) == 16
        assert trailers == {
            "grpc-status": "8",
            "grpc-message": "request of 100001 bytes is larger than the 100000 bytes that are taken: "
            "send it in smaller parts",
        }


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (b"", "3", "begins with the byte 0x00"),
        (b"\2", "3", "begins with the byte 0x00"),
        (b"\1\1", "3", "begins with the byte 0x00"),
        ("text", "3", "text message"),
        (b"\0\1\0\0\0\0", "12", "compressed"),
        (b"\0\0\0\0\0\2\xff\xff", "3", "not a valid"),
    ],
)
async def test_what_is_no_request_is_refused(opened, parse, message, code, text):
    for method in ("Echo", "EchoAll"):
        async with opened(method) as socket:
            await socket.send(HEADERS)
            await socket.send(message)
            _, fields = parse(b"".join(await received(socket)))
        assert fields["grpc-status"] == code
        assert text in fields["grpc-message"]


@pytest.mark.parametrize(
    "first", ["text", b"nonsense", b"a: \xff\r\n", b"a: b\rc\r\n", b"a: b\0c\r\n", b"grpc-timeout: soon\r\n"]
)
async def test_what_is_no_metadata_is_refused(opened, parse, first):
    async with opened("Echo") as socket:
        await socket.send(first)
        assert parse(b"".join(await received(socket)))[1]["grpc-status"] == "3"


async def test_a_half_close_within_a_frame_is_refused(opened, parse, frame, echo):
    async with opened("EchoAll") as socket:
        await socket.send(HEADERS)
        await socket.send(b"\0" + frame("x") + b"\0\0")
        await socket.send(b"\1")
        texts, fields = parse(b"".join(await received(socket)))
    assert (texts, fields["grpc-status"]) == (["x"], "3")
    assert echo.ended == 0


@pytest.mark.parametrize("path", ["tests.echo.API/Nothing", "no.such.Service/Thing", "", "tests.echo.API/Echo/more"])
async def test_an_unknown_method_closes_without_headers(door, path):
    async with connect(f"ws://127.0.0.1:{door.port}/{path}", subprotocols=["grpc-websockets"]) as socket:
        assert await received(socket) == []
        assert socket.close_code == 1000


async def test_a_method_without_servicer_is_unimplemented(call):
    assert (await call("NotYet", "x"))[1]["grpc-status"] == "12"
    assert (await call("NotYetStream", "x"))[1]["grpc-status"] == "12"


async def test_headers_go_before_the_first_reply(opened, frame, parse):
    async with opened("CountUp") as socket:
        await socket.send(HEADERS)
        await socket.send(b"\0" + frame("0"))
        async with asyncio.timeout(10):
            assert parse(await socket.recv()) == ([], {"content-type": "application/grpc-web+proto"})


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("half_closed", [True, False])
async def test_a_client_that_goes_cancels_its_call(opened, door, drained, frame, echo, how, half_closed):
    socket = await opened("CountUp")
    await socket.send(HEADERS)
    await socket.send(b"\0" + frame("0") + frame("more") * 100)
    if half_closed:
        await socket.send(b"\1")
    await socket.recv()
    assert door.open_streams == 1
    if how == "close":
        await socket.close()
    else:
        socket.transport.abort()
    async with asyncio.timeout(10):
        await echo.cancelled.wait()
        await drained()


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_client_that_goes_has_not_ended_its_half(opened, drained, frame, echo, how):
    for _ in range(50):
        socket = await opened("EchoAll")
        await socket.send(HEADERS)
        await socket.send(b"\0" + frame("x"))
        await socket.recv()
        if how == "close":
            await socket.close()
        else:
            socket.transport.abort()
    await drained()
    assert echo.ended == 0


async def test_the_time_limit_of_a_call(call, echo):
    _, fields = await call("Echo", "wait 60", lines=HEADERS + b"grpc-timeout: 200m\r\n")
    assert fields["grpc-status"] == "4"
    assert echo.cancelled.is_set()
    assert (await call("Echo", "x", lines=HEADERS + b"grpc-timeout: 10S\r\n"))[0] == ["x"]
    for method in ("Echo", "CountUp", "EchoAll"):
        assert (await call(method, "0", lines=HEADERS + b"grpc-timeout: 1n\r\n"))[1]["grpc-status"] == "4"


async def test_a_time_limit_ends_a_stream_whose_client_takes_nothing(opened, drained, frame, echo):
    echo.limit = asyncio.timeout(0.5)
    async with opened("EchoAll", max_queue=1) as socket:
        await socket.send(HEADERS)
        await socket.send(b"\0" + frame("flood" * 10_000))
        await asyncio.sleep(1)
        # The servicer is out of its limit; what is left is the status that nobody takes, and that has its own patience.
        assert echo.ended == 0
        await drained()
        socket.transport.abort()


async def test_a_message_beyond_all_limits_closes_the_connection(opened, drained):
    async with opened("EchoAll") as socket:
        await socket.send(HEADERS)
        await socket.send(b"\0" * 300_000)
        with pytest.raises(ConnectionClosedError) as caught:
            while True:
                await socket.recv()
        assert caught.value.rcvd.code == 1009
    await drained()


async def test_pings_come_without_being_asked_for(opened, frame):
    async with opened("CountUp", ping_interval=None) as socket:
        await socket.send(HEADERS)
        await socket.send(b"\0" + frame("0"))
        ping = asyncio.Event()
        process = socket.process_event

        def watch(event):
            if event.opcode is Opcode.PING:
                ping.set()
            process(event)

        socket.process_event = watch
        async with asyncio.timeout(8):
            await ping.wait()


async def test_many_streams_leave_nothing(opened, door, drained, frame):
    sockets = [await opened("CountUp", ping_interval=None) for _ in range(100)]
    for socket in sockets:
        await socket.send(HEADERS)
        await socket.send(b"\0" + frame("0"))
        await socket.recv()
    assert door.open_streams == 100
    for socket in sockets:
        socket.transport.abort()
    await drained()
    for socket in sockets:
        await socket.wait_closed()
    gc.collect()


async def test_a_call_is_refused_once_its_metadata_is_there(opened, parse, policy, door):
    policy.refuse_with = ThreaddError("not you")
    async with opened("EchoAll") as socket:
        await socket.send(HEADERS + b"x-request-id: mine-1\r\n")
        _, fields = parse(b"".join(await received(socket)))
    assert (fields["grpc-message"], fields["x-request-id"]) == ("not you", "mine-1")
    assert door.open_streams == 0
