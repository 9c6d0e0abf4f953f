"""Where the clients of trusted proxies are: `X-Forwarded-For`, and the header of the PROXY protocol.

Only proxies that the operator named are believed about their clients, and only for logs and for limits by address: an
address grants nothing. uvicorn's middleware does not serve for the first: it believes texts that are not addresses, and
takes the scheme of a request from a header, too. The source of the second is HAProxy's "The PROXY protocol", versions 1
and 2 (sections 2.1 and 2.2).
"""

import ipaddress
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from store.errors import StatusCode, ThreaddError

Address: TypeAlias = tuple[str, int]
"""An IP address and a port; port 0 where none is known."""

_IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HEADER_BYTES: Final = 4096
"""The longest header of the PROXY protocol that is read. Those of version 1 have at most 107 bytes."""

_MAX_V1_BYTES: Final = 107
_V1_START: Final = b"PROXY "
_V1_FAMILIES: Final = {b"TCP4": socket.AF_INET, b"TCP6": socket.AF_INET6}
_V1_WORDS: Final = 6
_V2_START: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_HEAD: Final = struct.Struct(">12sBBH")
_V2_VERSION: Final = 0x20
_V2_LOCAL, _V2_PROXY = 0, 1
_V2_ADDRESSES: Final = {
    0x11: (struct.Struct(">4s4sHH"), socket.AF_INET),
    0x21: (struct.Struct(">16s16sHH"), socket.AF_INET6),
}
_V2_FAMILIES, _V2_TRANSPORTS = range(4), range(3)

# How many proxies one behind the other are looked at, and how long the text of one address may be.
_MAX_HOPS: Final = 32
_MAX_TEXT: Final = 64
_MAX_PORT: Final = 65_535


class ProxyHeaderError(ThreaddError):
    """A connection begins like a header of the PROXY protocol, but the header is malformed."""

    code = StatusCode.INVALID_ARGUMENT


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The proxies that are believed.

    Args:
        networks: Their addresses; empty to believe no proxy.
    """

    networks: tuple[_Network, ...] = ()

    def __contains__(self, host: str) -> bool:
        """Whether an address is one of theirs."""
        address = _ip_address(host)
        return address is not None and self._holds(address)

    def _holds(self, address: _IpAddress) -> bool:
        return any(address in network for network in self.networks)

    def client_of(self, peer: Address | None, forwarded: Sequence[str]) -> Address | None:
        """Find out for whom a request over HTTP is made.

        Args:
            peer: Where the connection comes from; None where that is not known.
            forwarded: The values of all `X-Forwarded-For` headers, in their order.

        Returns:
            The address that the last proxy that is not trusted, or the client, has; `peer` itself where it is not
            trusted, or where the first value that matters is no address.
        """
        if not forwarded or peer is None or peer[0] not in self:
            return peer
        # Each proxy puts the address of its own client at the end.
        found = peer
        for text in reversed(",".join(forwarded).rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]):
            said = _address(text.strip(" \t"))
            if said is None:
                return peer
            found = str(said[0]), said[1]
            if not self._holds(said[0]):
                break
        return found


NO_PROXIES: Final = TrustedProxies()


def _ip_address(text: str) -> _IpAddress | None:
    """An IP address; one of IPv4 that is written as one of IPv6 is one of IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _address(text: str) -> tuple[_IpAddress, int] | None:
    """An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`."""
    if len(text) > _MAX_TEXT:
        return None
    host, port = text, "0"
    if text.startswith("["):
        host, end, rest = text[1:].partition("]")
        if not end or ":" not in host or rest[:1] not in ("", ":"):
            return None
        port = rest[1:] if rest else port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    address = _ip_address(host)
    number = _port(port)
    return None if address is None or number is None or "%" in host else (address, number)


def _port(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(_MAX_PORT)) or int(text) > _MAX_PORT:
        return None
    return int(text)


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a connection begins with.

    Args:
        length: How many bytes of it are the header; 0 where there is none.
        source: Where the proxy's client is; None where the connection is the proxy's own, or it does not say.
    """

    length: int = 0
    source: Address | None = None


NO_HEADER: Final = ProxyHeader()


def read_header(data: bytes) -> ProxyHeader | None:
    """Read the header of the PROXY protocol.

    Args:
        data: The first bytes of a connection, as many as there are up to `MAX_HEADER_BYTES`.

    Returns:
        The header, `NO_HEADER` for a connection that begins with something else, or None while more bytes are needed to
        tell.

    Raises:
        ProxyHeaderError: It begins like a header, but is malformed.
    """
    for start, read in ((_V1_START, _read_v1), (_V2_START, _read_v2)):
        if data.startswith(start):
            return read(data)
        if start.startswith(data):
            return None
    return NO_HEADER


def _read_v1(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:_MAX_V1_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= _MAX_V1_BYTES:
            raise ProxyHeaderError(f"a PROXY line has no end within {_MAX_V1_BYTES} bytes")
        return None
    words = line.split(b" ")
    length = len(line) + len(end)
    if words[1] == b"UNKNOWN":
        return ProxyHeader(length)
    family = _V1_FAMILIES.get(words[1])
    if family is None or len(words) != _V1_WORDS:
        raise ProxyHeaderError("a PROXY line is not made of a protocol, two addresses and two ports")
    ports = [_port(word.decode("latin-1")) for word in words[4:]]
    hosts = [_host(family, word.decode("latin-1")) for word in words[2:4]]
    host, port = hosts[0], ports[0]
    if host is None or port is None or None in hosts or None in ports:
        raise ProxyHeaderError("a PROXY line has a malformed address or port")
    return ProxyHeader(length, (host, port))


def _host(family: socket.AddressFamily, text: str) -> str | None:
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    except (OSError, ValueError):
        return None


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_HEAD.size:
        return None
    _, command, family, size = _V2_HEAD.unpack_from(data)
    length = _V2_HEAD.size + size
    if command - _V2_VERSION not in (_V2_LOCAL, _V2_PROXY):
        raise ProxyHeaderError(f"a PROXY header has the version and command {command:#04x}")
    if family >> 4 not in _V2_FAMILIES or family & 15 not in _V2_TRANSPORTS:
        raise ProxyHeaderError(f"a PROXY header has the family and transport {family:#04x}")
    if length > MAX_HEADER_BYTES:
        raise ProxyHeaderError(f"a PROXY header of {length} bytes is longer than the {MAX_HEADER_BYTES} that are read")
    layout, kind = _V2_ADDRESSES.get(family, (None, socket.AF_UNSPEC))
    if command - _V2_VERSION == _V2_LOCAL or layout is None:
        return None if len(data) < length else ProxyHeader(length)
    if size < layout.size:
        raise ProxyHeaderError(f"a PROXY header has {size} bytes for addresses of {layout.size}")
    if len(data) < length:
        return None
    source, _, port, _ = layout.unpack_from(data, _V2_HEAD.size)
    return ProxyHeader(length, (socket.inet_ntop(kind, source), port))
