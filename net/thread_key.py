"""Thread keys: a service key that opens records, and with it or without a read key that opens events."""

import builtins
from dataclasses import dataclass, field

from net import multibase
from net.crypto import KEY_BYTES, Randomness
from net.errors import InvalidThreadKeyError


@dataclass(frozen=True, slots=True)
class ThreadKey:
    """The keys of a thread.

    Args:
        service: 32 bytes that open the outer records.
        read: 32 bytes that open the headers of events, or None. A DB needs it.
    """

    service: builtins.bytes = field(repr=False)
    read: builtins.bytes | None = field(default=None, repr=False)

    @classmethod
    def from_bytes(cls, data: builtins.bytes) -> "ThreadKey":
        """Read the byte form.

        Args:
            data: 32 bytes (service key only) or 64 (service key, read key).

        Raises:
            InvalidThreadKeyError: Another length.
        """
        if len(data) == KEY_BYTES:
            return cls(data)
        if len(data) == 2 * KEY_BYTES:
            return cls(data[:KEY_BYTES], data[KEY_BYTES:])
        raise InvalidThreadKeyError

    @classmethod
    def from_text(cls, text: str) -> "ThreadKey":
        """Read the text form, in any base of multibase.

        Args:
            text: For instance `byvun...`.

        Raises:
            InvalidThreadKeyError: The text is no thread key.
        """
        data = multibase.decode(text)
        if data is None:
            raise InvalidThreadKeyError
        return cls.from_bytes(data)

    @classmethod
    def random(cls, randomness: Randomness) -> "ThreadKey":
        """Make both keys anew.

        Args:
            randomness: Gives the keys.
        """
        return cls(randomness(KEY_BYTES), randomness(KEY_BYTES))

    @property
    def bytes(self) -> builtins.bytes:
        """The byte form, 32 or 64 bytes."""
        return self.service + (self.read or b"")

    @property
    def text(self) -> str:
        """The text form in base32. It is the secret itself."""
        return multibase.encode(self.bytes)
