"""The frames of grpc-web, which both carriers send: a flag byte, a length, a body.

The source is PROTOCOL-WEB.md of the grpc project, and for what differs in the websocket dialect the Hub's facts
(section 1, "grpc-websockets, byte level").
"""

import base64
import binascii
import re
import struct
from collections.abc import Iterable
from typing import ClassVar, Final

from store.errors import StatusCode, ThreaddError
from threadd.api.statuses import MessageTooLargeError, UnimplementedError

_MESSAGE: Final = 0x00
_COMPRESSED: Final = 0x01
_BLOCK: Final = 0x80
_PREFIX: Final = struct.Struct(">BI")
PREFIX_BYTES: Final = _PREFIX.size
"""How long what announces a message is."""

_QUAD: Final = 4
# A run of base64 up to its padding, if it has any.
_BASE64_RUN = re.compile(rb"[^=]+=*|=+")


class FramingError(ThreaddError):
    """What a client sent is no grpc-web."""

    code: ClassVar[StatusCode] = StatusCode.INVALID_ARGUMENT


def message_frame(body: bytes) -> bytes:
    """Frame a message.

    Args:
        body: Its protobuf bytes.
    """
    return _PREFIX.pack(_MESSAGE, len(body)) + body


def block_frame(fields: Iterable[tuple[str, str]]) -> bytes:
    """Frame headers or trailers: lines of `name: value`.

    Args:
        fields: Names and values, all of printable ASCII.
    """
    text = "".join(f"{name}: {value}\r\n" for name, value in fields).encode("ascii")
    return _PREFIX.pack(_BLOCK, len(text)) + text


def only_message(data: bytes, max_message_bytes: int) -> bytes | None:
    """The message of a body that is one message and nothing else; None for all that `FrameDecoder` has to look at."""
    if len(data) < _PREFIX.size:
        return None
    flag, length = _PREFIX.unpack_from(data)
    if flag != _MESSAGE or length != len(data) - _PREFIX.size or length > max_message_bytes:
        return None
    return data[_PREFIX.size :]


class FrameDecoder:
    """Takes messages out of the bytes of requests, however these are cut.

    Args:
        max_message_bytes: The limit of one message; a longer one is refused as soon as its length is known.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._limit = max_message_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in.

        Args:
            data: What came next.

        Returns:
            The messages that are complete by now.

        Raises:
            MessageTooLargeError: A message is larger than the limit.
            UnimplementedError: A message is compressed.
            FramingError: A frame is none that a client may send.
        """
        self._buffer += data
        messages = []
        start = 0
        while len(self._buffer) - start >= _PREFIX.size:
            flag, length = _PREFIX.unpack_from(self._buffer, start)
            self._check(flag, length)
            end = start + _PREFIX.size + length
            if len(self._buffer) < end:
                break
            messages.append(bytes(self._buffer[start + _PREFIX.size : end]))
            start = end
        del self._buffer[:start]
        return messages

    def clear(self) -> None:
        """Drop what is kept of a message that is not complete."""
        self._buffer = bytearray()

    def _check(self, flag: int, length: int) -> None:
        if flag == _COMPRESSED:
            raise UnimplementedError("compressed messages are not taken: send them without compression")
        if flag != _MESSAGE:
            raise FramingError(f"a frame begins with the byte {flag:#04x}; the frame of a message begins with 0x00")
        if length > self._limit:
            raise MessageTooLargeError.of(length, self._limit)

    @property
    def pending(self) -> int:
        """How many bytes are kept of a message that is not complete, with what announces it."""
        return len(self._buffer)

    @property
    def announced(self) -> int:
        """How long the message is that is not complete, with what announces it; 0 until that is known."""
        if len(self._buffer) < _PREFIX.size:
            return 0
        return _PREFIX.size + int(_PREFIX.unpack_from(self._buffer)[1])

    def finish(self) -> None:
        """Say that no more bytes come.

        Raises:
            FramingError: The last frame is incomplete.
        """
        if self._buffer:
            raise FramingError(f"the request ends within a frame, after {len(self._buffer)} of its bytes")


class TextDecoder:
    """Takes the base64 off the bodies of grpc-web-text, where each frame may have been encoded on its own."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take base64 in.

        Args:
            data: What came next; it may end anywhere.

        Returns:
            The bytes that are certain by now.

        Raises:
            FramingError: It is no base64.
        """
        data = self._rest + data
        whole = len(data) - len(data) % _QUAD
        self._rest = data[whole:]
        try:
            return b"".join(base64.b64decode(run, validate=True) for run in _BASE64_RUN.findall(data[:whole]))
        except binascii.Error as error:
            raise FramingError(f"the request is not base64: {error}") from error

    def finish(self) -> None:
        """Say that no more base64 comes.

        Raises:
            FramingError: It ends within four characters that belong together.
        """
        if self._rest:
            raise FramingError(f"the request is not base64: its last {len(self._rest)} characters stand alone")


def encode_text(frame: bytes) -> bytes:
    """Put a frame into base64 by itself, as grpc-web-text sends it."""
    return base64.b64encode(frame)
