"""A page that is refused can read why, over both carriers, and none of its calls is run."""

import asyncio
import http.client
import struct
import urllib.parse

import pytest
from echo import Echo, OpenPolicy, make_service
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from threadd.api.dispatcher import Dispatcher
from threadd.web.door import WebDoor
from threadd.web.origins import OriginRule

PATH = "/tests.echo.API/Echo"
PAGE = "https://any.example"


@pytest.fixture
async def guarded(policy: OpenPolicy, echo: Echo):
    """A door that answers pages of this machine only."""
    dispatcher = Dispatcher(policy)
    dispatcher.register(make_service(), echo)
    opened = WebDoor(dispatcher, "127.0.0.1", 0, rule=OriginRule())
    await opened.open()
    yield opened
    await opened.close()


def over_http(door: WebDoor, verb: str, headers: dict[str, str], body: bytes | None = None):
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=20)
    try:
        connection.request(verb, PATH, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


async def post(door: WebDoor, frame, **headers: str):
    sent = {"content-type": "application/grpc-web+proto"} | {key.replace("_", "-"): headers[key] for key in headers}
    return await asyncio.to_thread(over_http, door, "POST", sent, frame("x"))


@pytest.mark.parametrize(
    ("headers", "flag"),
    [
        ({"origin": PAGE}, f"--web-origin {PAGE}"),
        ({"origin": "null"}, "--web-origin null if any such page, by any author, may read and write everything"),
        ({"origin": "http://evil.example", "host": "evil.example"}, "--web-host evil.example"),
        ({"sec-fetch-site": "cross-site"}, "--web-origin"),
    ],
)
async def test_a_page_reads_its_refusal(guarded, policy, frame, headers, flag):
    names = "content-type,x-grpc-web"
    asked = {"access-control-request-method": "POST", "access-control-request-headers": names} | headers
    if "origin" in headers:
        # A browser shows a page nothing of a preflight that failed: the call itself is what is refused.
        status, answered, _ = await asyncio.to_thread(over_http, guarded, "OPTIONS", asked)
        assert (status, answered["access-control-allow-origin"]) == (200, headers["origin"])
        assert answered["access-control-allow-headers"] == names
    status, answered, body = await post(guarded, frame, **headers)
    assert (status, body, answered["grpc-status"]) == (200, b"", "7")
    assert flag in urllib.parse.unquote(answered["grpc-message"])
    if "origin" in headers:
        assert answered["access-control-allow-origin"] == headers["origin"]
        assert {"grpc-status", "grpc-message"} <= set(answered["access-control-expose-headers"].split(", "))
    assert policy.admitted == []


@pytest.mark.parametrize("headers", [{}, {"sec_fetch_mode": "cors"}, {"origin": "http://localhost:3000"}])
async def test_programs_and_pages_of_this_machine_are_answered(guarded, policy, frame, parse, headers):
    _, _, body = await post(guarded, frame, **headers)
    assert parse(body)[0] == ["x"]
    assert len(policy.admitted) == 1


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"origin": PAGE}, f"--web-origin {PAGE}"),
        ({"origin": "file://"}, "--web-origin file://"),
        ({"additional_headers": {"sec-fetch-site": "cross-site"}}, "--web-origin"),
    ],
)
async def test_a_page_reads_its_refusal_over_a_websocket(guarded, policy, frame, parse, options, flag):
    # What the page says of itself in its metadata counts for nothing.
    lines = b"content-type: application/grpc-web+proto\r\norigin: http://localhost\r\nhost: localhost\r\n"
    pieces = []
    url = f"ws://127.0.0.1:{guarded.port}{PATH}"
    async with connect(url, subprotocols=["grpc-websockets"], **options) as socket:
        await socket.send(lines)
        await socket.send(b"\0" + frame("x"))
        try:
            while True:
                pieces.append(await socket.recv())
        except ConnectionClosed:
            assert socket.close_code == 1000
    texts, fields = parse(b"".join(pieces))
    assert (texts, fields["grpc-status"]) == ([], "7")
    assert flag in urllib.parse.unquote(fields["grpc-message"])
    assert policy.admitted == []


async def test_a_request_of_the_first_http_without_a_host_is_refused(guarded, policy, frame):
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
    body = frame("x")
    head = f"POST {PATH} HTTP/1.0\r\ncontent-type: application/grpc-web\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    assert b"grpc-status: 7" in answer
    assert struct.pack(">B", 0x80) not in answer
    assert policy.admitted == []
