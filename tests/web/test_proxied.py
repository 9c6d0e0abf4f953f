"""Endpoints behind trusted proxies: a call comes from where its proxy says, and others are not kept waiting."""

import asyncio
import datetime as dt
import http.client
import ipaddress
import socket
import struct
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from echo import make_service
from google.protobuf import message_factory
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from threadd import certificates
from threadd.api.dispatcher import Dispatcher
from threadd.tls import Tls
from threadd.web import proxied
from threadd.web.door import WebDoor
from threadd.web.grpc_door import GrpcDoor
from threadd.web.http2_frames import PREFACE
from threadd.web.proxies import NO_PROXIES, TrustedProxies, read_header

LOCAL = TrustedProxies((ipaddress.ip_network("127.0.0.0/8"),))
ELSEWHERE = TrustedProxies((ipaddress.ip_network("192.0.2.0/24"),))
V1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 3006\r\n"
V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x21" + struct.pack(">H", 36 + 7)
V2 += (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16) + struct.pack(">HH", 4711, 3006) + b"\x04\x00\x04abcd"
)
OWN = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
SERVICE = make_service()
TEXT = message_factory.GetMessageClass(SERVICE.methods_by_name["Echo"].input_type)


@pytest.fixture
def dispatcher(policy, echo):
    made = Dispatcher(policy)
    made.register(SERVICE, echo)
    return made


@asynccontextmanager
async def opened(door):
    await door.open()
    try:
        yield door
    finally:
        await door.close()


@asynccontextmanager
async def relay(port, *pieces):
    """A proxy that sends something first, piece by piece; gives its port."""
    tasks, writers = set(), []

    async def pump(reader, writer):
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        writers.append(writer)
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writers.append(back)
        for piece in pieces:
            back.write(piece)
            await back.drain()
            await asyncio.sleep(0.03)
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def peer_over(channel):
    echo = channel.unary_unary(
        "/tests.echo.API/Echo", request_serializer=TEXT.SerializeToString, response_deserializer=TEXT.FromString
    )
    return (await echo(TEXT(text="peer"), timeout=20)).text


async def peer_at(port):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        return await peer_over(channel)


@pytest.mark.parametrize(
    ("pieces", "peer"),
    [
        ([V1], "ipv4:203.0.113.7:4711"),
        ([V2], "ipv6:[2001:db8::7]:4711"),
        ([V1[:3], V1[3:20], V1[20:]], "ipv4:203.0.113.7:4711"),
        ([V2[:14], V2[14:40], V2[40:]], "ipv6:[2001:db8::7]:4711"),
        ([b"PROXY UNKNOWN\r\n"], "ipv4:127.0.0.1:"),
        ([OWN], "ipv4:127.0.0.1:"),
        ([], "ipv4:127.0.0.1:"),
    ],
)
async def test_a_call_comes_from_where_its_proxy_says(dispatcher, pieces, peer):
    async with opened(GrpcDoor(dispatcher, "127.0.0.1", 0, proxies=LOCAL)) as door, relay(door.port, *pieces) as port:
        assert (await peer_at(port)).startswith(peer)
        assert (await peer_at(port)).startswith(peer)


async def test_tls_begins_after_the_header(dispatcher, tmp_path):
    files = certificates.make(tmp_path, dt.datetime.now(dt.UTC))
    tls = Tls.load(files.certificate, files.key)
    credentials = grpc.ssl_channel_credentials(files.authority.read_bytes())
    async with opened(GrpcDoor(dispatcher, "127.0.0.1", 0, tls, LOCAL)) as door:
        for piece, peer in ((V1, "ipv4:203.0.113.7:4711"), (V2, "ipv6:[2001:db8::7]:4711"), (b"", "ipv4:127.0.0.1:")):
            async with (
                relay(door.port, piece) as port,
                grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel,
            ):
                assert (await peer_over(channel)).startswith(peer)


@pytest.mark.parametrize("proxies", [NO_PROXIES, ELSEWHERE])
async def test_who_is_not_trusted_is_not_believed(dispatcher, policy, proxies):
    async with opened(GrpcDoor(dispatcher, "127.0.0.1", 0, proxies=proxies)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(V1 + PREFACE)
        assert b"the client speaks no HTTP/2" in await reader.read()
        writer.close()
        assert (await peer_at(door.port)).startswith("ipv4:127.0.0.1:")
        assert len(policy.admitted) == 1


async def test_a_proxy_that_is_silent_or_malformed_is_hung_up_on(dispatcher, monkeypatch):
    monkeypatch.setattr(proxied, "HEADER_SECONDS", 0.2)
    async with opened(GrpcDoor(dispatcher, "127.0.0.1", 0, proxies=LOCAL)) as door:
        for sent in (b"", b"PROXY TCP4 203", V2[:20], b"PROXY TCP4 nowhere\r\n", V2[:12] + b"\x31\x11\x00\x00"):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(sent)
            # Others are answered meanwhile.
            assert (await peer_at(door.port)).startswith("ipv4:127.0.0.1:")
            async with asyncio.timeout(20):
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
            writer.close()
        # So ends a look whether the port is open.
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.close()


@pytest.mark.parametrize("byte_by_byte", [False, True])
async def test_connections_without_a_whole_header_cost_a_few_looks_and_lines(dispatcher, monkeypatch, byte_by_byte):
    looks = []
    monkeypatch.setattr(proxied, "HEADER_SECONDS", 1.0)
    monkeypatch.setattr(proxied, "read_header", lambda data: looks.append(data) or read_header(data))
    with capture_logs() as said:
        async with opened(GrpcDoor(dispatcher, "127.0.0.1", 0, proxies=LOCAL)) as door:
            clients = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(20)]
            for piece in V1[:-1].decode() if byte_by_byte else "P":
                for _, writer in clients:
                    writer.write(piece.encode())
                await asyncio.sleep(0.01)
            for reader, writer in clients:
                async with asyncio.timeout(20):
                    with suppress(ConnectionResetError):
                        assert await reader.read() == b""
                writer.close()
    # 0.02 s, 0.04 s, ...: the sixth look is the last but one within a second.
    assert 20 <= len(looks) <= 20 * 7
    assert len([line for line in said if "no PROXY header of a trusted proxy" in line["event"]]) == 1


async def test_closing_lets_calls_end_and_hangs_up_on_what_has_not_begun(dispatcher, echo):
    door = GrpcDoor(dispatcher, "127.0.0.1", 0, proxies=LOCAL)
    await door.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    async with relay(door.port, V1) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/tests.echo.API/Echo")(TEXT(text="wait 0.2").SerializeToString(), timeout=20)
        await echo.started.wait()
        await door.close(5.0)
        assert TEXT.FromString(await call).text == "wait 0.2"
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize(
    ("proxies", "forwarded", "peer"),
    [
        (LOCAL, "198.51.100.1, 203.0.113.7", "ipv4:203.0.113.7:0"),
        (LOCAL, "2001:db8::7", "ipv6:[2001:db8::7]:0"),
        (LOCAL, "garbage", "ipv4:127.0.0.1:"),
        (ELSEWHERE, "203.0.113.7", "ipv4:127.0.0.1:"),
        (NO_PROXIES, "203.0.113.7", "ipv4:127.0.0.1:"),
    ],
)
async def test_a_call_of_a_browser_comes_from_where_its_proxy_says(dispatcher, frame, parse, proxies, forwarded, peer):
    def over_http(port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            headers = {"content-type": "application/grpc-web+proto", "x-forwarded-for": forwarded}
            connection.request("POST", "/tests.echo.API/Echo", frame("peer"), headers)
            return connection.getresponse().read()
        finally:
            connection.close()

    async with opened(WebDoor(dispatcher, "127.0.0.1", 0, proxies=proxies)) as door:
        assert parse(await asyncio.to_thread(over_http, door.port))[0][0].startswith(peer)
        pieces = []
        url = f"ws://127.0.0.1:{door.port}/tests.echo.API/Echo"
        headers = {"x-forwarded-for": forwarded}
        async with connect(url, subprotocols=["grpc-websockets"], additional_headers=headers) as socket:
            # What a page says in its metadata is no header of a proxy.
            await socket.send(b"x-forwarded-for: 192.0.2.99\r\n")
            await socket.send(b"\0" + frame("peer"))
            try:
                while True:
                    pieces.append(await socket.recv())
            except ConnectionClosed:
                assert parse(b"".join(pieces))[0][0].startswith(peer)
