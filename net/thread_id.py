"""Thread IDs: version 1, a variant, random bytes (threads-protocol.md, "Identifiers and keys")."""

import builtins
import enum
from dataclasses import dataclass

from net import multibase, varints
from net.crypto import Randomness
from net.errors import InvalidThreadIDError

VERSION = 1
RANDOM_BYTES = 32
MAX_BYTES = 2 + 255
"""The longest ID that the reference makes."""

_MIN_TEXT = 2


class Variant(enum.IntEnum):
    """What kind of thread an ID names."""

    RAW = 0x55
    ACCESS_CONTROLLED = 0x70


@dataclass(frozen=True, slots=True, order=True)
class ThreadID:
    """The ID of a thread.

    Args:
        bytes: Its bytes, checked. Use `from_bytes` where they come from outside.
    """

    bytes: builtins.bytes

    @classmethod
    def from_bytes(cls, data: builtins.bytes) -> "ThreadID":
        """Check bytes.

        Args:
            data: A version, a variant, and at least one random byte.

        Raises:
            InvalidThreadIDError: With the reference's text for what is wrong.
        """
        _check(data)
        return cls(data)

    @classmethod
    def from_text(cls, text: str) -> "ThreadID":
        """Read the text form, in any base of multibase.

        Args:
            text: For instance `bafk...`.

        Raises:
            InvalidThreadIDError: The text is no thread ID.
        """
        if len(text) < _MIN_TEXT:
            raise InvalidThreadIDError("id too short")
        data = multibase.decode(text)
        if data is None:
            raise InvalidThreadIDError
        return cls.from_bytes(data)

    @classmethod
    def random(cls, variant: Variant, randomness: Randomness) -> "ThreadID":
        """Make a new ID with 32 random bytes.

        Args:
            variant: The kind of thread.
            randomness: Gives the random bytes.
        """
        return cls(varints.encode(VERSION) + varints.encode(variant) + randomness(RANDOM_BYTES))

    @property
    def text(self) -> str:
        """The text form in base32."""
        return multibase.encode(self.bytes)

    @property
    def variant(self) -> Variant:
        """The kind of thread."""
        _, offset = varints.decode(self.bytes)
        return Variant(varints.decode(self.bytes, offset)[0])

    def __str__(self) -> str:
        return self.text


def _check(data: bytes) -> None:
    try:
        version, offset = varints.decode(data)
        if version != VERSION:
            raise InvalidThreadIDError(f"expected 1 as the id version number, got: {version}")
        variant, offset = varints.decode(data, offset)
    except varints.VarintError as error:
        if error.too_big:
            raise InvalidThreadIDError("reading varint: varint bigger than 64bits and not supported") from error
        raise InvalidThreadIDError("reading varint: buffer too small") from error
    if variant not in (Variant.RAW, Variant.ACCESS_CONTROLLED):
        raise InvalidThreadIDError(f"expected Raw or AccessControlled as the id variant, got: {variant}")
    if offset == len(data):
        raise InvalidThreadIDError("expected random id bytes but there are none")
    if len(data) > MAX_BYTES:
        raise InvalidThreadIDError(f"the id is {len(data)} bytes long, more than {MAX_BYTES}")
