"""How rows become bytes: msgpack arrays, so that a field that is added last reads as its default in older rows."""

from typing import Generic, TypeVar

import msgspec

from store.errors import FormatError

R = TypeVar("R", bound=msgspec.Struct)

_encode = msgspec.msgpack.Encoder().encode


class RowCodec(Generic[R]):
    """Reads and writes one kind of row.

    Args:
        kind: The struct, with `array_like`.
    """

    def __init__(self, kind: type[R]) -> None:
        self._decode = msgspec.msgpack.Decoder(kind).decode

    def encode(self, row: R) -> bytes:
        """The bytes of a row."""
        return _encode(row)

    def decode(self, value: bytes) -> R:
        """The row of some bytes.

        Raises:
            FormatError: They are no such row.
        """
        try:
            return self._decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise FormatError(f"the store holds a value that cannot be read: {error}") from error

    def decode_optional(self, value: bytes | None) -> R | None:
        """The row of a value that may not be there."""
        return None if value is None else self.decode(value)
