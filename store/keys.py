"""Order-preserving encodings of what keys are made of.

Integers have a fixed width; text and bytes of variable length inside of a key end with a mark that sorts below any
continuation; values of JSON sort as null, false, true, numbers (as IEEE doubles), strings (by code point).
"""

import hashlib
import struct
from typing import TypeAlias

MAX_KEY_BYTES = 511
"""The longest key of LMDB as it is built everywhere."""

_ESCAPED_NUL = b"\x00\xff"
_END = b"\x00\x01"
_DIGEST_BYTES = 16
_DOUBLE = struct.Struct(">Q")
_PACKED = struct.Struct(">d")
_SIGN = 1 << 63

Scalar: TypeAlias = str | float | bool | None

NULL, FALSE, TRUE, NUMBER, STRING = b"\x05", b"\x10", b"\x11", b"\x20", b"\x30"


def terminated(data: bytes) -> bytes:
    """Bytes of variable length as a part of a key that others follow."""
    return data.replace(b"\x00", _ESCAPED_NUL) + _END


def unterminated(key: bytes, start: int) -> tuple[bytes, int]:
    """Read what `terminated` wrote.

    Args:
        key: A whole key.
        start: Where the part begins.

    Returns:
        The bytes, and where the next part begins.

    Raises:
        ValueError: The part does not end.
    """
    end = start
    while True:
        end = key.index(b"\x00", end)
        if key[end : end + 2] == _END:
            return key[start:end].replace(_ESCAPED_NUL, b"\x00"), end + 2
        end += 2


def number(value: float) -> bytes:
    """A double so that bytes sort as numbers do; -0.0 and 0.0 are one."""
    (bits,) = _DOUBLE.unpack(_PACKED.pack(value + 0.0))
    return _DOUBLE.pack(bits ^ (2 * _SIGN - 1) if bits & _SIGN else bits | _SIGN)


def scalar(value: Scalar) -> bytes:
    """A value of JSON as a part of a key that others follow.

    Args:
        value: A string, a boolean, a number (sorted as a double) or None.
    """
    if value is None:
        return NULL
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, str):
        return STRING + terminated(value.encode())
    return NUMBER + number(float(value))


def shortened(part: bytes, limit: int) -> bytes:
    """A part of a key, cut and completed with a digest where it is longer than a limit.

    Equal parts stay equal and the order stays right up to the cut: whoever scans looks at the real value again.

    Args:
        part: The part.
        limit: The most bytes it may have, above 16.
    """
    if len(part) <= limit:
        return part
    return part[: limit - _DIGEST_BYTES] + hashlib.blake2b(part, digest_size=_DIGEST_BYTES).digest()


def after_prefix(prefix: bytes) -> bytes:
    """The first key behind all keys that begin with a prefix.

    Raises:
        ValueError: Nothing can be behind it.
    """
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        raise ValueError(f"there is no key behind {prefix!r}")
    return stripped[:-1] + bytes([stripped[-1] + 1])
