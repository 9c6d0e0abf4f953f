"""Unsigned variable-length integers of 64 bits: seven bits a byte, lowest first."""

MAX_BYTES = 10
_MORE = 0x80
_LIMIT = 1 << 64
_COUNTER_BYTES = 8


class VarintError(ValueError):
    """Bytes that do not begin with a variable-length integer.

    Args:
        too_big: Whether the number has more than 64 bits, and not just missing bytes.
    """

    def __init__(self, *, too_big: bool) -> None:
        self.too_big = too_big
        super().__init__("varint of more than 64 bits" if too_big else "varint cut short")


def encode(number: int) -> bytes:
    """Write a number in as few bytes as it needs.

    Args:
        number: 0 to 2**64 - 1.

    Returns:
        1 to 10 bytes.
    """
    out = bytearray()
    while number >= _MORE:
        out.append(number & 0x7F | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Read the number that begins at an offset. Leading zeros are allowed, as Go's `binary.Uvarint` allows them.

    Args:
        data: Any bytes.
        offset: Where the number begins.

    Returns:
        The number, and the offset behind it.

    Raises:
        VarintError: The bytes end before the number does, or it has more than 64 bits.
    """
    number = 0
    for place, byte in enumerate(data[offset : offset + MAX_BYTES]):
        number |= (byte & 0x7F) << (7 * place)
        if byte < _MORE:
            if number >= _LIMIT:
                raise VarintError(too_big=True)
            return number, offset + place + 1
    raise VarintError(too_big=len(data) - offset >= MAX_BYTES)


def encode_counter(counter: int) -> bytes:
    """Write a log's counter as the network API's `LogInfo` carries it.

    Args:
        counter: 0 to 2**55 - 1.

    Returns:
        8 bytes: the counter times two (a zigzag number), and zeros behind it.
    """
    return encode(counter << 1).ljust(_COUNTER_BYTES, b"\x00")


def decode_counter(data: bytes) -> int:
    """Read what `encode_counter` writes.

    Args:
        data: As a client or a peer sent it; nothing counts as 0.

    Returns:
        The counter.

    Raises:
        VarintError: The bytes end before the number does, or it has more than 64 bits.
    """
    if not data:
        return 0
    number, _ = decode(data)
    return number >> 1 ^ -(number & 1)
