"""Text forms of bytes: a letter that names the base, then the digits."""

import libipld

TEXT_BASE = "b"
"""Base32, the usual text form of IDs and keys."""

_SLOW_BASES = frozenset("9kKzZ")
"""Those whose digits are no whole number of bits: to read them takes time that grows with the square of the length."""

_MAX_SLOW_DIGITS = 1024
"""More than any ID or key has in such a base."""


def encode(data: bytes, base: str = TEXT_BASE) -> str:
    """Write bytes in a base.

    Args:
        data: Any bytes.
        base: The letter of the base; `b` is base32, lower case, without padding.

    Returns:
        The letter and the digits.
    """
    return str(libipld.encode_multibase(base, data))


def decode(text: str) -> bytes | None:
    """Read a text in any of the bases of multibase.

    Args:
        text: A letter that names the base, and digits.

    Returns:
        The bytes, or None where the text is in no base that is known, has digits that its base lacks, or has more than
        1,024 digits in a base of 10, 36 or 58.
    """
    if text[:1] in _SLOW_BASES and len(text) > _MAX_SLOW_DIGITS:
        return None
    try:
        _, data = libipld.decode_multibase(text)
    except ValueError:
        return None
    return bytes(data)


def encode_base58(data: bytes) -> str:
    """Write bytes in base58 with the letters of Bitcoin and no letter in front, as peer IDs and old CIDs are.

    Args:
        data: Any bytes.

    Returns:
        The text.
    """
    return str(libipld.encode_multibase("z", data))[1:]


def decode_base58(text: str) -> bytes | None:
    """Read what `encode_base58` writes.

    Args:
        text: Digits only.

    Returns:
        The bytes, or None where a character is no digit.
    """
    return decode("z" + text)
