"""The frames of HTTP/2 and what each must be, without any state (RFC 9113)."""

import enum
import re
import struct
from typing import Final, TypeAlias

Headers: TypeAlias = list[tuple[bytes, bytes]]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME_BYTES: Final = 16_384
MAX_WINDOW: Final = (1 << 31) - 1
FIELD_OVERHEAD: Final = 32
"""What a header counts beside its name and its value, in bytes (RFC 7541, 4.1)."""

HEAD = struct.Struct(">HBBBI")
NUMBER = struct.Struct(">I")
SETTING = struct.Struct(">HI")
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5
ENABLE_PUSH, MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE = 2, 3, 6


class Kind(enum.IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class ErrorCode(enum.IntEnum):
    """What a connection or a stream ends for."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionEndedError(Exception):
    """The peer broke the protocol, and the connection is over.

    Args:
        code: Which rule.
        text: What it did.
    """

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def literal(name: bytes, value: bytes) -> bytes:
    """One header as a literal that no table keeps (RFC 7541, 6.2.2)."""
    return b"\x00" + string(name) + string(value)


def string(text: bytes) -> bytes:
    """A text as blocks of headers hold it, without Huffman codes (RFC 7541, 5.2)."""
    length = len(text)
    if length < 127:  # noqa: PLR2004 - what fits into seven bits (RFC 7541, 5.1)
        return bytes((length,)) + text
    head, rest = bytearray((127,)), length - 127
    while rest >= 128:  # noqa: PLR2004
        head.append(rest & 127 | 128)
        rest >>= 7
    head.append(rest)
    return bytes(head) + text


def frame(kind: Kind, flags: int, stream_id: int, payload: bytes) -> bytes:
    """One frame; the payload has at most `MAX_FRAME_BYTES`."""
    length = len(payload)
    return HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream_id) + payload


def reset_frame(stream_id: int, code: ErrorCode) -> bytes:
    """The frame that breaks a stream off."""
    return frame(Kind.RST_STREAM, 0, stream_id, NUMBER.pack(code))


def window_frame(stream_id: int, size: int) -> bytes:
    """The frame that lets the peer send so many bytes more; on the connection for the stream 0."""
    return frame(Kind.WINDOW_UPDATE, 0, stream_id, NUMBER.pack(size))


def require_size(fits: bool) -> None:  # noqa: FBT001 - a condition is its only argument
    """Refuse a frame whose size is not the one that its type has."""
    if not fits:
        raise ConnectionEndedError(ErrorCode.FRAME_SIZE_ERROR, "a frame is of the wrong size")


def require_connection(stream_id: int) -> None:
    """Refuse a frame about the connection that names a stream."""
    if stream_id:
        raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "that is said of connections only")


def require_stream(stream_id: int) -> None:
    """Refuse a frame about a stream that names none."""
    if stream_id == 0:
        raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "that is said of streams only")


def unpadded(payload: bytes, flags: int) -> bytes:
    """What a frame holds without its padding (RFC 9113, 6.1)."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionEndedError(ErrorCode.PROTOCOL_ERROR, "a frame is nothing but padding")
    return payload[1 : len(payload) - payload[0]]


def size_of(headers: Headers) -> int:
    """How large headers are in bytes, as RFC 7541 (4.1) counts it."""
    return sum(len(name) + len(value) + FIELD_OVERHEAD for name, value in headers)


_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_OF_CONNECTIONS = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"[^\0\r\n]*")
"""White space at the ends is left for metadata to strip, as gRPC over HTTP/2 allows: clients send it."""


def is_request(headers: Headers) -> bool:
    """Whether headers are those of a well-formed request (RFC 9113, 8.2 and 8.3)."""
    seen: set[bytes] = set()
    regular = False
    for name, value in headers:
        if name.startswith(b":"):
            if regular or name in seen or name not in _PSEUDO or _VALUE.fullmatch(value) is None:
                return False
            seen.add(name)
        else:
            regular = True
            if not _is_field(name, value):
                return False
    return {b":method", b":scheme", b":path"} <= seen and (b":path", b"") not in headers


def are_trailers(headers: Headers) -> bool:
    """Whether headers are well-formed trailers: none of them begins with a colon (RFC 9113, 8.1 and 8.2)."""
    return all(_is_field(name, value) for name, value in headers)


def _is_field(name: bytes, value: bytes) -> bool:
    """Whether a header that begins with no colon is well-formed (RFC 9113, 8.2.1 and 8.2.2)."""
    return (
        _NAME.fullmatch(name) is not None
        and _VALUE.fullmatch(value) is not None
        and name not in _OF_CONNECTIONS
        and (name != b"te" or value == b"trailers")
    )
