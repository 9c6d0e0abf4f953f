"""grpc-web over HTTP with a plain HTTP client, and with half of one."""

import asyncio
import base64
import http.client

import pytest

from store.errors import ThreaddError

BINARY = "application/grpc-web+proto"
TEXT = "application/grpc-web-text"
ORIGIN = "https://app.example"


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body


@pytest.fixture
def ask(door):
    """Sends a request and takes the whole response."""

    def run(verb, path, body, headers):
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=20)
        try:
            connection.request(verb, path, body, headers)
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    async def send(verb, path, body=None, **headers):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await asyncio.to_thread(run, verb, path, body, fields)

    return send


@pytest.fixture
def call(ask, frame, parse):
    async def run(method, *texts, path="/tests.echo.API/", **headers):
        body = b"".join(frame(text) for text in texts)
        answer = await ask("POST", path + method, body, content_type=BINARY, x_grpc_web="1", **headers)
        assert answer.status == 200
        assert answer.headers["content-type"] == BINARY
        texts, fields = parse(answer.body)
        return texts, fields or {name: answer.headers[name] for name in ("grpc-status", "grpc-message")}, answer

    return run


async def test_every_kind_of_call(call):
    for method, texts in (("Echo", ["x"]), ("EchoAll", ["x", "", "y"]), ("EchoAll", [])):
        replies, fields, answer = await call(method, *texts, x_request_id=f"mine-{len(texts)}")
        wanted = {"grpc-status": "0", "grpc-message": "", "x-request-id": f"mine-{len(texts)}"}
        assert (replies, fields) == (texts, wanted)
        assert "grpc-status" not in answer.headers


async def test_a_failure_before_any_reply_is_in_the_headers(call):
    texts, fields, answer = await call("Echo", "long", origin=ORIGIN)
    assert (texts, answer.body, answer.headers["content-length"]) == ([], b"", "0")
    assert fields["grpc-status"] == "2"
    assert fields["grpc-message"].startswith("%25%C3%A9")
    assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_what_is_not_there_is_unimplemented(call):
    for method, path in (
        ("NotYet", "/tests.echo.API/"),
        ("Nothing", "/tests.echo.API/"),
        ("Thing", "/no.such.Service/"),
    ):
        assert (await call(method, "x", path=path))[1]["grpc-status"] == "12"


async def test_headers_are_metadata(call):
    texts, _, _ = await call("Echo", "metadata", x_one="a, b", x_two_bin="/w==", authorization="bearer x")
    for pair in ("('x-one', ['a, b'])", "('x-two-bin', [b'\\xff'])", "('authorization', ['bearer x'])"):
        assert pair in texts[0]
    for name in ("'host'", "content-type", "x-grpc-web"):
        assert name not in texts[0]


async def test_replies_carry_what_pages_need(call):
    for headers in ({"origin": ORIGIN}, {}):
        _, _, answer = await call("Echo", "x", **headers)
        assert answer.headers["vary"] == "Origin"
        assert answer.headers["access-control-allow-origin"] == headers.get("origin")
        assert answer.headers["access-control-allow-credentials"] == ("true" if headers else None)
        if headers:
            assert {"grpc-status", "grpc-message"} <= set(answer.headers["access-control-expose-headers"].split(", "))


async def test_a_preflight_is_answered(ask):
    asked = "content-type,x-grpc-web,x-textile-api-key"
    answer = await ask(
        "OPTIONS",
        "/tests.echo.API/Echo",
        origin=ORIGIN,
        access_control_request_method="POST",
        access_control_request_headers=asked,
    )
    assert (answer.status, answer.body) == (200, b"")
    fields = {name: value for name, value in answer.headers.items() if name.startswith("access-control")}
    assert fields == {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": asked,
        "access-control-max-age": "600",
    }


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/tests.echo.API/Echo", 200),
        ("HEAD", "/", 200),
        ("OPTIONS", "/", 200),
        ("POST", "/tests.echo.API/Echo", 415),
    ],
)
async def test_what_is_no_call_has_an_empty_answer(ask, verb, path, status):
    answer = await ask(verb, path)
    assert (answer.status, answer.body) == (status, b"")


async def test_text_of_each_frame_by_itself(ask, frame, parse):
    body = b"".join(base64.b64encode(frame(text)) for text in ("one", "é", ""))
    assert b"=" in body[:-4]
    answer = await ask("POST", "/tests.echo.API/EchoAll", body, content_type=TEXT)
    assert answer.headers["content-type"] == TEXT
    quads = [answer.body[place : place + 4] for place in range(0, len(answer.body), 4)]
    assert parse(b"".join(base64.b64decode(quad) for quad in quads))[0] == ["one", "é", ""]


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", BINARY, "3"),
        (b"\0\0", BINARY, "3"),
        (b"\0\0\1\x86\xa1", BINARY, "8"),
        (b"\1\0\0\0\0", BINARY, "12"),
        (b"\0\0\0\0\2\xff\xff", BINARY, "3"),
        (b"AAAA?", TEXT, "3"),
        (b"????", TEXT, "3"),
        (b"AAA", TEXT, "3"),
    ],
)
async def test_what_is_no_request_is_refused(ask, body, kind, code):
    answer = await ask("POST", "/tests.echo.API/Echo", body, content_type=kind)
    assert (answer.status, answer.headers["grpc-status"], answer.body) == (200, code, b"")
    assert answer.headers["grpc-message"]


async def test_metadata_that_is_none_is_refused(call):
    assert (await call("Echo", "x", grpc_timeout="soon"))[1]["grpc-status"] == "3"
    assert (await call("Echo", "x", x_bin="?"))[1]["grpc-status"] == "3"


async def test_the_time_limit_of_a_call(call, echo):
    assert (await call("Echo", "wait 60", grpc_timeout="200m"))[1]["grpc-status"] == "4"
    assert echo.cancelled.is_set()
    for method in ("Echo", "CountUp", "EchoAll"):
        assert (await call(method, "0", grpc_timeout="1n"))[1]["grpc-status"] == "4"


async def begun(door, method, body, length):
    """A request that has been sent up to some byte of its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = f"POST /tests.echo.API/{method} HTTP/1.1\r\nhost: x\r\ncontent-type: {BINARY}\r\ncontent-length: {length}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def test_headers_and_replies_come_while_the_request_goes_on(door, frame):
    body = frame("x")
    reader, writer = await begun(door, "EchoAll", body, len(body) * 2)
    async with asyncio.timeout(10):
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        assert body in await reader.readuntil(body)
        writer.write(body)
        assert body in await reader.readuntil(body)
        assert b"grpc-status: 0" in await reader.readuntil(b"grpc-message: \r\n")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("sent", ["half", "all"])
async def test_a_client_that_goes_cancels_its_call(door, frame, echo, drained, sent):
    body = frame("wait 60") if sent == "all" else frame("x")
    method = "Echo" if sent == "all" else "EchoAll"
    _, writer = await begun(door, method, body, len(body) * (1 if sent == "all" else 2))
    async with asyncio.timeout(10):
        while door.open_streams == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    writer.transport.abort()
    await drained()
    assert echo.ended == 0
    assert echo.cancelled.is_set() == (sent == "all")


async def test_a_body_may_come_byte_by_byte(door, frame):
    body = frame("slow")
    reader, writer = await begun(door, "Echo", b"", len(body))
    for byte in body:
        writer.write(bytes([byte]))
        await writer.drain()
    async with asyncio.timeout(10):
        assert body in await reader.readuntil(body)
    writer.close()
    await writer.wait_closed()


async def test_a_call_is_refused_by_its_headers_and_its_body_is_not_collected(door, policy):
    policy.refuse_with = ThreaddError("not you")
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = f"POST /tests.echo.API/Echo HTTP/1.1\r\nhost: here\r\ncontent-type: {BINARY}\r\n"
    writer.write(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert b"grpc-message: not%20you" in answer.replace(b"not you", b"not%20you")
    assert door.open_streams == 0
    writer.close()
