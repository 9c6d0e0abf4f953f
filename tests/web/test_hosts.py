"""Hosts and origins as requests name them, and requests whose Host or target is malformed, at every HTTP endpoint."""

import asyncio
import contextlib

import pytest
from daemons import free_ports
from hypothesis import given
from hypothesis import strategies as st

from threadd.web.hosts import (
    Host,
    MalformedHostError,
    SeveralOriginsError,
    host_of,
    origin_of,
    parse_host,
    parse_origin,
)

MALFORMED = [
    "",
    " ",
    "[",
    "]",
    "[bad",
    "bad]",
    "[]",
    "[::1",
    "::1",
    "[::1]x",
    "[::g]",
    "[1.2.3.4]",
    "[fe80::1%eth0]",
    "a b",
    "a\tb",
    "a/b",
    "a?b",
    "a#b",
    "a\\b",
    "user@a",
    "a:b",
    "a:1:2",
    "a:65536",
    "a:-1",
    "a:1²",
    ":80",
    "a%zz",
    "é.example",
    "名.example",
]
"""Values of a Host header that name no host."""


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost", Host("localhost")),
        ("LocalHost:8006", Host("localhost", 8006)),
        ("localhost:", Host("localhost")),
        ("127.0.0.1:0", Host("127.0.0.1", 0)),
        ("[::1]:8006", Host("::1", 8006)),
        ("[0:0::0:1]", Host("::1")),
        ("key.sites.example.:443", Host("key.sites.example.", 443)),
        ("a_b", Host("a_b")),
    ],
)
def test_hosts(text, host):
    assert parse_host(text) == host


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_hosts(text):
    with pytest.raises(MalformedHostError):
        parse_host(text)


@given(st.text(max_size=30))
def test_any_text_is_a_host_or_is_refused(text):
    with contextlib.suppress(MalformedHostError):
        assert parse_host(text).name
    parse_origin(text)
    parse_origin(f"http://{text}")


def test_one_host_header():
    assert host_of([(b"accept", b"*/*")]) is None
    assert host_of([(b"host", b"a")]) == Host("a")
    with pytest.raises(MalformedHostError):
        host_of([(b"host", b"a"), (b"host", b"a")])


def test_loopback_and_domains():
    assert [parse_host(text).is_loopback for text in ("127.9.9.9", "[::1]", "localhost", "10.0.0.1")] == [
        True,
        True,
        False,
        False,
    ]
    assert parse_host("KEY.Sites.example:1").below("sites.Example") == "key"
    assert parse_host("sites.example").below("sites.example") is None
    assert parse_host("key.sites.example").below("") is None


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://localhost:8007", ("http", Host("localhost", 8007))),
        ("HTTPS://Example.org", ("https", Host("example.org"))),
        ("capacitor://localhost", ("capacitor", Host("localhost"))),
        ("null", None),
        ("file://", None),
        ("http://[bad", None),
        ("http://a/", None),
        ("http://user@a", None),
        ("", None),
    ],
)
def test_origins(text, origin):
    found = parse_origin(text)
    assert (found and (found.scheme, found.host)) == origin


@pytest.mark.parametrize(
    ("text", "written", "port"),
    [
        ("HTTP://LocalHost:80", "http://localhost", 80),
        ("https://a.example:443", "https://a.example", 443),
        ("https://a.example:80", "https://a.example:80", 80),
        ("http://[0:0:0::1]:03000", "http://[::1]:3000", 3000),
        ("http://a:", "http://a", 80),
        ("http://a:0", "http://a:0", 0),
        ("capacitor://localhost", "capacitor://localhost", None),
    ],
)
def test_an_origin_is_written_in_one_way(text, written, port):
    origin = parse_origin(text)
    assert (str(origin), origin.port) == (written, port)
    assert str(parse_origin(written)) == written


@given(st.text(alphabet="htps:/localhost127.0[]@%1A", max_size=30))
def test_what_an_origin_is_written_as_stays(text):
    origin = parse_origin(text)
    if origin is not None:
        assert str(parse_origin(str(origin))) == str(origin)


def test_one_origin_header():
    assert origin_of([(b"accept", b"*/*")]) is None
    assert origin_of([(b"origin", b"null")]) == "null"
    with pytest.raises(SeveralOriginsError):
        origin_of([(b"origin", b"http://a"), (b"origin", b"http://a")])


async def ask(address, request):
    """What an endpoint answers to a request as it is: its status, and everything that it sends."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            said = await reader.read()
    finally:
        writer.close()
    return int(said.split(b" ", 2)[1]), said


WEBSOCKET = (
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: grpc-websockets\r\nConnection: Upgrade\r\n"
)


@pytest.mark.timeout(120)
async def test_malformed_requests_are_answered_400_at_every_endpoint(start_daemon):
    gateway = f"127.0.0.1:{free_ports(1)[0]}"
    daemon = start_daemon("--gateway", gateway, "--gateway-domain", "sites.example")
    paths = {gateway: (b"/metrics", b"/readyz", b"/_/", b"/ipns/x"), daemon.hub_web: (b"/", b"/a.B/C")}
    paths[daemon.threads_web] = paths[daemon.hub_web]
    for address, asked in paths.items():
        cases = [(asked[0], host, b"") for host in MALFORMED] + [(path, "[bad", b"") for path in asked[1:]]
        if address != gateway:
            cases += [(path, host, WEBSOCKET) for path in asked for host in ("[bad", "a b", "é")]
        for path, host, more in cases:
            text = host.encode("utf-8")
            request = b"GET %b HTTP/1.1\r\nHost: %b\r\n%bConnection: close\r\n\r\n" % (path, text, more)
            status, said = await ask(address, request)
            assert (status, host, path) == (400, host, path)
            assert said.partition(b"\r\n\r\n")[2]
        for hosts in (b"", b"Host: a\r\nHost: a\r\n"):
            assert (await ask(address, b"GET / HTTP/1.1\r\n%b\r\n" % hosts))[0] == 400
        for target in (b"[bad", b"http://[bad/", b"x"):
            request = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % target
            assert (await ask(address, request))[0] == 400
        for line in (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: [::1]:1\r\nConnection: close\r\n\r\n"):
            assert (await ask(address, line))[0] == 200
        for origin in (b"http://[bad", b"http://]", b"\xff", b"http://:1", b"http://a:b"):
            for method in (b"GET", b"POST", b"OPTIONS"):
                request = b"%b / HTTP/1.1\r\nHost: localhost\r\nOrigin: %b\r\nConnection: close\r\n\r\n"
                assert (await ask(address, request % (method, origin)))[0] < 500
    request = b"POST /_/dbs HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[bad\r\nConnection: close\r\n\r\n"
    assert (await ask(gateway, request))[0] < 500
    assert "Traceback" not in daemon.said()
    daemon.stop()
