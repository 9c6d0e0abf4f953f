"""Where the clients of proxies are, in their headers: which are believed, and what is malformed."""

import ipaddress
import socket
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from threadd.web.proxies import (
    MAX_HEADER_BYTES,
    NO_HEADER,
    NO_PROXIES,
    ProxyHeader,
    ProxyHeaderError,
    TrustedProxies,
    read_header,
)

PROXIES = TrustedProxies(tuple(ipaddress.ip_network(text) for text in ("127.0.0.1", "10.0.0.0/8", "fd00::/8")))
PROXY = ("127.0.0.1", 5000)
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([], PROXY),
        (["203.0.113.7"], ("203.0.113.7", 0)),
        (["203.0.113.7:4711"], ("203.0.113.7", 4711)),
        (["2001:db8::7"], ("2001:db8::7", 0)),
        (["[2001:DB8:0::7]"], ("2001:db8::7", 0)),
        (["[2001:db8::7]:4711"], ("2001:db8::7", 4711)),
        (["::ffff:203.0.113.7"], ("203.0.113.7", 0)),
        # Only what the last proxy says counts; what comes before it was sent by its client.
        (["127.0.0.1, 203.0.113.7"], ("203.0.113.7", 0)),
        (["198.51.100.1, 203.0.113.7"], ("203.0.113.7", 0)),
        (["198.51.100.1", "203.0.113.7"], ("203.0.113.7", 0)),
        (["garbage, 203.0.113.7"], ("203.0.113.7", 0)),
        # Trusted proxies stand one behind the other.
        (["198.51.100.1, 203.0.113.7, 10.1.2.3"], ("203.0.113.7", 0)),
        (["203.0.113.7, fd00::1", "10.1.2.3"], ("203.0.113.7", 0)),
        (["10.9.9.9, 10.1.2.3"], ("10.9.9.9", 0)),
        # What is malformed where it matters leaves the proxy's own address.
        ([""], PROXY),
        ([" , "], PROXY),
        (["203.0.113.7,"], PROXY),
        (["unknown"], PROXY),
        (["_hidden"], PROXY),
        (["203.0.113.7, garbage"], PROXY),
        (["203.0.113.7, garbage, 10.1.2.3"], PROXY),
        (["203.0.113.256"], PROXY),
        (["203.0.113.7:"], PROXY),
        (["203.0.113.7:99999"], PROXY),
        (["203.0.113.7:+1"], PROXY),
        (["[203.0.113.7]"], PROXY),
        (["[2001:db8::7"], PROXY),
        (["[2001:db8::7]x"], PROXY),
        (["fe80::1%eth0"], PROXY),
        (["203.0.113.7/32"], PROXY),
        (["203.0.113.7\n"], PROXY),
        (["x" * 60_000], PROXY),
    ],
)
def test_the_client_of_a_trusted_proxy(forwarded: list[str], client: tuple[str, int]) -> None:
    assert PROXIES.client_of(PROXY, forwarded) == client


@pytest.mark.parametrize("peer", [("203.0.113.9", 1), ("127.0.0.2", 1), ("::1", 1), ("2001:db8::1", 1), None])
def test_nobody_else_is_believed(peer: tuple[str, int] | None) -> None:
    assert PROXIES.client_of(peer, ["203.0.113.7"]) == peer
    assert NO_PROXIES.client_of(PROXY, ["203.0.113.7"]) == PROXY


def test_an_address_of_ipv4_may_be_written_as_one_of_ipv6() -> None:
    assert "::ffff:127.0.0.1" in PROXIES
    assert "::ffff:203.0.113.7" not in PROXIES


def test_only_so_many_proxies_are_looked_at() -> None:
    assert PROXIES.client_of(PROXY, ["203.0.113.7" + ", 10.0.0.1" * 31]) == ("203.0.113.7", 0)
    assert PROXIES.client_of(PROXY, ["203.0.113.7" + ", 10.0.0.1" * 10_000]) == ("10.0.0.1", 0)


ports = st.integers(0, 65_535)
v4 = st.ip_addresses(v=4).map(str)
v6 = st.ip_addresses(v=6).map(str)


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, tuple[str, int] | None]:
    """A header, and where it says that the client is."""
    version, is_v6, port = draw(st.sampled_from([1, 2])), draw(st.booleans()), draw(ports)
    source, target = draw(v6 if is_v6 else v4), draw(v6 if is_v6 else v4)
    said: tuple[str, int] | None = (str(ipaddress.ip_address(source)), port)
    if version == 1:
        if draw(st.booleans()):
            return b"PROXY UNKNOWN" + draw(st.sampled_from([b"", b" ", b" ffff::1 ffff::2 1 2"])) + b"\r\n", None
        return f"PROXY TCP{6 if is_v6 else 4} {source} {target} {port} 443\r\n".encode(), said
    kind = socket.AF_INET6 if is_v6 else socket.AF_INET
    addresses = socket.inet_pton(kind, source) + socket.inet_pton(kind, target) + struct.pack(">HH", port, 443)
    family = draw(st.sampled_from([0x21 if is_v6 else 0x11, 0x00, 0x12, 0x22, 0x31]))
    command = draw(st.sampled_from([0x20, 0x21]))
    if command == 0x20 or family not in (0x11, 0x21):
        said = None
        addresses = draw(st.binary(max_size=216))
    body = addresses + draw(st.binary(max_size=300))
    return SIGNATURE + struct.pack(">BBH", command, family, len(body)) + body, said


@given(headers(), st.binary(max_size=40))
def test_a_header_is_read_to_its_last_byte_however_it_is_cut(
    made: tuple[bytes, tuple[str, int] | None], rest: bytes
) -> None:
    header, said = made
    if said is not None:
        said = (str(ipaddress.ip_address(said[0])), said[1])
    for end in range(len(header)):
        assert read_header(header[:end]) is None
    found = read_header(header + rest)
    assert found is not None
    assert found.length == len(header)
    assert (found.source and (str(ipaddress.ip_address(found.source[0])), found.source[1])) == said


@given(
    st.binary(max_size=200)
    | st.binary(max_size=200).map(lambda data: b"PROXY " + data)
    | st.binary(max_size=200).map(lambda data: SIGNATURE + data)
)
@example(b"PROXY \r\n")
@example(b"PROXY TCP4\r\n")
def test_any_bytes_are_a_header_or_not(data: bytes) -> None:
    found = outcome(data)
    if found == "malformed":
        assert data.startswith((b"PROXY ", SIGNATURE))
    elif found is None:
        # More bytes end the wait.
        assert outcome(data + b"x" * (MAX_HEADER_BYTES * 17)) is not None
    elif isinstance(found, ProxyHeader) and found != NO_HEADER:
        assert 0 < found.length <= len(data)


def outcome(data: bytes) -> ProxyHeader | str | None:
    try:
        return read_header(data)
    except ProxyHeaderError:
        return "malformed"


@pytest.mark.parametrize(
    "data", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n", b"PROXYX", b"proxy tcp4"]
)
def test_other_protocols_have_no_header(data: bytes) -> None:
    assert read_header(data) == NO_HEADER


@pytest.mark.parametrize(
    "line",
    [
        "TCP4 203.0.113.7 10.0.0.1 1",
        "TCP4 203.0.113.7 10.0.0.1 1 2 3",
        "TCP4  203.0.113.7 10.0.0.1 1 2",
        "TCP4 2001:db8::1 2001:db8::2 1 2",
        "TCP6 203.0.113.7 10.0.0.1 1 2",
        "TCP4 203.0.113.7 nowhere 1 2",
        "TCP4 203.0.113.7 10.0.0.1 65536 2",
        "TCP4 203.0.113.7 10.0.0.1 1 -2",
        "TCP4 203.0.113 10.0.0.1 1 2",
        "UDP4 203.0.113.7 10.0.0.1 1 2",
        "tcp4 203.0.113.7 10.0.0.1 1 2",
        "",
        "x" * 200,
    ],
)
def test_malformed_lines(line: str) -> None:
    with pytest.raises(ProxyHeaderError):
        read_header(f"PROXY {line}\r\n".encode())


@pytest.mark.parametrize(
    ("command", "family", "size"),
    [
        (0x11, 0x11, 12),
        (0x31, 0x11, 12),
        (0x22, 0x11, 12),
        (0x2F, 0x11, 12),
        (0x21, 0x41, 12),
        (0x21, 0x13, 12),
        (0x21, 0x11, 11),
        (0x21, 0x21, 35),
        (0x20, 0x00, 4081),
        (0x21, 0x11, 65_535),
    ],
)
def test_malformed_binary_headers_are_refused_before_they_are_awaited(command: int, family: int, size: int) -> None:
    with pytest.raises(ProxyHeaderError):
        read_header(SIGNATURE + struct.pack(">BBH", command, family, size))


def test_a_connection_of_the_proxy_itself() -> None:
    assert read_header(SIGNATURE + struct.pack(">BBH", 0x20, 0x00, 0)) == ProxyHeader(16)
