"""Multiaddrs: addresses as a path of protocols, with the protocol `thread` of ThreadDB among them.

Names, codes and sizes are those of the public multicodec table; `thread` (406) is go-threads' own.
"""

import builtins
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from net import cid, multibase, varints
from net.errors import InvalidAddressError, NetError
from net.thread_id import ThreadID

Part: TypeAlias = tuple[str, str | None]
"""A protocol's name, and its value as text; None where the protocol has no value."""

_VARIABLE = -1
_PORT_BYTES = 2
_MAX_PORT = 65535
_PEER_ID_CODEC = 0x72
_MULTIHASH_TEXTS = ("Qm", "1")
_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class _Protocol:
    name: str
    code: int
    size: int  # of the value, in bytes
    to_bytes: Callable[[str], bytes] = str.encode
    to_text: Callable[[bytes], str] = bytes.decode
    is_path: bool = False


def _port_to_bytes(text: str) -> bytes:
    if not (text.isascii() and text.isdigit()) or int(text) > _MAX_PORT:
        raise ValueError(text)
    return int(text).to_bytes(_PORT_BYTES, "big")


def _port_to_text(data: bytes) -> str:
    return str(int.from_bytes(data, "big"))


def _ip4_to_bytes(text: str) -> bytes:
    return ipaddress.IPv4Address(text).packed


def _ip4_to_text(data: bytes) -> str:
    return str(ipaddress.IPv4Address(data))


def _ip6_to_bytes(text: str) -> bytes:
    if "%" in text:
        raise ValueError(text)
    return ipaddress.IPv6Address(text).packed


def _ip6_to_text(data: bytes) -> str:
    return str(ipaddress.IPv6Address(data))


def _name_to_bytes(text: str) -> bytes:
    if not text or "/" in text:
        raise ValueError(text)
    return text.encode()


def _name_to_text(data: bytes) -> str:
    text = data.decode()
    if not text or "/" in text:
        raise ValueError(text)
    return text


def _path_to_bytes(text: str) -> bytes:
    if not text:
        raise ValueError(text)
    return text.encode()


def _path_to_text(data: bytes) -> str:
    text = data.decode()
    if not text:
        raise ValueError(text)
    return text


def _check_multihash(data: bytes) -> bytes:
    _, offset = varints.decode(data)
    length, offset = varints.decode(data, offset)
    if len(data) - offset != length:
        raise ValueError(data)
    return data


def _peer_to_bytes(text: str) -> bytes:
    if text.startswith(_MULTIHASH_TEXTS):
        data = multibase.decode_base58(text)
        if data is None:
            raise ValueError(text)
        return _check_multihash(data)
    data = cid.from_text(text)
    version, offset = varints.decode(data)
    codec, offset = varints.decode(data, offset)
    if version != 1 or codec != _PEER_ID_CODEC:
        raise ValueError(text)
    return data[offset:]


def _peer_to_text(data: bytes) -> str:
    return multibase.encode_base58(_check_multihash(data))


def _thread_to_bytes(text: str) -> bytes:
    return ThreadID.from_text(text).bytes


def _thread_to_text(data: bytes) -> str:
    return ThreadID.from_bytes(data).text


def _hash_to_bytes(text: str) -> bytes:
    data = multibase.decode(text)
    if data is None:
        raise ValueError(text)
    return _check_multihash(data)


def _hash_to_text(data: bytes) -> str:
    return multibase.encode(_check_multihash(data), "u")


_PROTOCOLS = (
    _Protocol("ip4", 4, 4, _ip4_to_bytes, _ip4_to_text),
    _Protocol("ip6", 41, 16, _ip6_to_bytes, _ip6_to_text),
    _Protocol("ip6zone", 42, _VARIABLE, _name_to_bytes, _name_to_text),
    _Protocol("tcp", 6, _PORT_BYTES, _port_to_bytes, _port_to_text),
    _Protocol("udp", 273, _PORT_BYTES, _port_to_bytes, _port_to_text),
    _Protocol("dccp", 33, _PORT_BYTES, _port_to_bytes, _port_to_text),
    _Protocol("sctp", 132, _PORT_BYTES, _port_to_bytes, _port_to_text),
    _Protocol("dns", 53, _VARIABLE, _name_to_bytes, _name_to_text),
    _Protocol("dns4", 54, _VARIABLE, _name_to_bytes, _name_to_text),
    _Protocol("dns6", 55, _VARIABLE, _name_to_bytes, _name_to_text),
    _Protocol("dnsaddr", 56, _VARIABLE, _name_to_bytes, _name_to_text),
    _Protocol("unix", 400, _VARIABLE, _path_to_bytes, _path_to_text, is_path=True),
    _Protocol("p2p", 421, _VARIABLE, _peer_to_bytes, _peer_to_text),
    _Protocol("thread", 406, _VARIABLE, _thread_to_bytes, _thread_to_text),
    _Protocol("p2p-circuit", 290, 0),
    _Protocol("udt", 301, 0),
    _Protocol("utp", 302, 0),
    _Protocol("http", 480, 0),
    _Protocol("https", 443, 0),
    _Protocol("tls", 448, 0),
    _Protocol("sni", 449, _VARIABLE, _name_to_bytes, _name_to_text),
    _Protocol("noise", 454, 0),
    _Protocol("quic", 460, 0),
    _Protocol("quic-v1", 461, 0),
    _Protocol("webtransport", 465, 0),
    _Protocol("certhash", 466, _VARIABLE, _hash_to_bytes, _hash_to_text),
    _Protocol("ws", 477, 0),
    _Protocol("wss", 478, 0),
    _Protocol("webrtc-direct", 280, 0),
    _Protocol("webrtc", 281, 0),
)
_BY_CODE = {protocol.code: protocol for protocol in _PROTOCOLS}
_BY_NAME = {protocol.name: protocol for protocol in _PROTOCOLS} | {"ipfs": _BY_CODE[421]}


@dataclass(frozen=True, slots=True, order=True)
class Multiaddr:
    """An address.

    Args:
        bytes: Its bytes, checked. Use `from_bytes` where they come from outside.
    """

    bytes: builtins.bytes

    @classmethod
    def from_bytes(cls, data: builtins.bytes) -> "Multiaddr":
        """Check bytes.

        Args:
            data: For each protocol its code, its value's length where that varies, and its value.

        Raises:
            InvalidAddressError: They are empty, cut short, or name a protocol or a value that is unknown.
        """
        if not data:
            raise InvalidAddressError("invalid multiaddr: it is empty")
        if len(data) > _MAX_BYTES:
            raise InvalidAddressError(f"invalid multiaddr: it is longer than {_MAX_BYTES} bytes")
        _parse(data)
        return cls(data)

    @classmethod
    def from_text(cls, text: str) -> "Multiaddr":
        """Read the text form.

        Args:
            text: For instance `/ip4/127.0.0.1/tcp/4006/p2p/12D3.../thread/bafk...`.

        Raises:
            InvalidAddressError: A protocol is unknown, or a value is missing or wrong.
        """
        return cls(_from_text(text))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The protocols in order."""
        return _parse(self.bytes)

    @property
    def text(self) -> str:
        """The text form."""
        words: list[str] = []
        for name, value in self.parts:
            words.append(name)
            if value is not None:
                words.append(value.removeprefix("/") if _BY_NAME[name].is_path else value)
        return "/" + "/".join(words)

    def value(self, name: str) -> str | None:
        """Give the value of the first protocol of a name.

        Args:
            name: For instance `p2p`.

        Returns:
            The value as text, `""` for a protocol that has none, or None where the address lacks the protocol.
        """
        for part_name, value in self.parts:
            if part_name == name:
                return value or ""
        return None

    def thread_id(self) -> ThreadID | None:
        """Give the thread that the address names, if it names one."""
        text = self.value("thread")
        return None if text is None else ThreadID.from_text(text)

    def peer_id(self) -> builtins.bytes | None:
        """Give the bytes of the peer ID that the address names first, if it names one."""
        text = self.value("p2p")
        return None if text is None else _peer_to_bytes(text)

    def encapsulate(self, inner: "Multiaddr") -> "Multiaddr":
        """Put an address behind this one.

        Args:
            inner: What is reached through this one.
        """
        return Multiaddr(self.bytes + inner.bytes)

    def until(self, name: str) -> "Multiaddr | None":
        """Cut the address before the first protocol of a name.

        Args:
            name: For instance `p2p`, which leaves what can be dialled.

        Returns:
            What stands before it; the whole address where it lacks the protocol; None where nothing stands before it.
        """
        offset = 0
        for part_name, _, end in _walk(self.bytes):
            if part_name.name == name:
                return Multiaddr(self.bytes[:offset]) if offset else None
            offset = end
        return self

    def __str__(self) -> str:
        return self.text


def peer_address(peer_id: bytes) -> Multiaddr:
    """Write `/p2p/<peer>`: the only kind of address that logs hold.

    Args:
        peer_id: The bytes of the host's peer ID.
    """
    return Multiaddr(varints.encode(421) + varints.encode(len(peer_id)) + peer_id)


def thread_address(host: Multiaddr, peer_id: bytes, thread: ThreadID) -> Multiaddr:
    """Write the address under which a thread is joined.

    Args:
        host: Where the host listens, for instance `/ip4/../tcp/4006`.
        peer_id: The bytes of its peer ID.
        thread: The thread.
    """
    named = varints.encode(406) + varints.encode(len(thread.bytes)) + thread.bytes
    return Multiaddr(host.bytes + peer_address(peer_id).bytes + named)


def _walk(data: bytes) -> list[tuple[_Protocol, bytes, int]]:
    found: list[tuple[_Protocol, bytes, int]] = []
    offset = 0
    while offset < len(data):
        try:
            code, offset = varints.decode(data, offset)
            protocol = _BY_CODE.get(code)
            if protocol is None:
                raise InvalidAddressError(f"invalid multiaddr: no protocol with code {code}")
            size = protocol.size
            if size == _VARIABLE:
                size, offset = varints.decode(data, offset)
        except varints.VarintError as error:
            raise InvalidAddressError(f"invalid multiaddr: {error}") from error
        if len(data) - offset < size:
            raise InvalidAddressError(f"invalid multiaddr: the value of {protocol.name} is cut short")
        found.append((protocol, data[offset : offset + size], offset + size))
        offset += size
    return found


def _parse(data: bytes) -> tuple[Part, ...]:
    parts: list[Part] = []
    for protocol, value, _ in _walk(data):
        if protocol.size == 0:
            parts.append((protocol.name, None))
            continue
        try:
            parts.append((protocol.name, protocol.to_text(value)))
        except (ValueError, NetError) as error:
            raise InvalidAddressError(f"invalid multiaddr: the value of {protocol.name} is not valid") from error
    return tuple(parts)


def _from_text(text: str) -> bytes:
    words = text.rstrip("/").split("/")
    if words[0] or len(words) == 1:
        raise InvalidAddressError("invalid multiaddr: it must begin with / and name a protocol")
    out = bytearray()
    place = 1
    while place < len(words):
        protocol = _BY_NAME.get(words[place])
        if protocol is None:
            raise InvalidAddressError(f"invalid multiaddr: no protocol is called {words[place]!r}")
        place += 1
        out += varints.encode(protocol.code)
        if protocol.size == 0:
            continue
        if place == len(words):
            raise InvalidAddressError(f"invalid multiaddr: {protocol.name} wants a value")
        word = "/" + "/".join(words[place:]) if protocol.is_path else words[place]
        place = len(words) if protocol.is_path else place + 1
        try:
            value = protocol.to_bytes(word)
        except (ValueError, NetError) as error:
            raise InvalidAddressError(f"invalid multiaddr: the value of {protocol.name} is not valid") from error
        if protocol.size == _VARIABLE:
            out += varints.encode(len(value))
        out += value
    if len(out) > _MAX_BYTES:
        raise InvalidAddressError(f"invalid multiaddr: it is longer than {_MAX_BYTES} bytes")
    return bytes(out)
