"""DAG-CBOR where libipld does not do.

libipld is fast and reads what go-threads writes. It is not used to write: it turns byte strings that happen to be a CID
into links. It does not read all that peers and clients may send: half floats, lengths left open, keys out of order.
So the few fixed shapes of this room are written by hand, and `canonicalise` re-encodes foreign blocks as the
reference does.
"""

import struct
from collections.abc import Callable

import libipld

from net import cid
from net.errors import InvalidBlockError, InvalidCIDError

LINK_PREFIX = bytes.fromhex("d82a58250001711220")
"""What stands before the digest in a link to a block of a log."""

NULL = b"\xf6"
_UNDEFINED = 0xF7
_BREAK = 0xFF
_LINK_TAG = 42
_MAX_DEPTH = 256
_OPEN_LENGTH = 31

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_WORDS = {24: 1, 25: 2, 26: 4, 27: 8}
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_DOUBLE = struct.Struct(">d")
_FALSE, _TRUE, _NULL = 20, 21, 22


def head(major: int, number: int) -> bytes:
    """Write the head of an item: its kind and its number, in as few bytes as it needs.

    Args:
        major: 0 to 7.
        number: 0 to 2**64 - 1: the value or the length.

    Returns:
        1, 2, 3, 5 or 9 bytes.
    """
    kind = major << 5
    if number < 24:  # noqa: PLR2004 - the sizes of the format
        return bytes((kind | number,))
    if number < 0x100:  # noqa: PLR2004
        return bytes((kind | 24, number))
    if number < 0x10000:  # noqa: PLR2004
        return bytes((kind | 25,)) + number.to_bytes(2, "big")
    if number < 0x100000000:  # noqa: PLR2004
        return bytes((kind | 26,)) + number.to_bytes(4, "big")
    return bytes((kind | 27,)) + number.to_bytes(8, "big")


def byte_string(data: bytes) -> bytes:
    """Write a byte string.

    Args:
        data: Its content.
    """
    return head(_BYTES, len(data)) + data


def text_string(text: str) -> bytes:
    """Write a text string.

    Args:
        text: Its content; no lone surrogates.
    """
    data = text.encode()
    return head(_TEXT, len(data)) + data


def integer(number: int) -> bytes:
    """Write an integer.

    Args:
        number: -2**64 to 2**64 - 1.
    """
    return head(_UNSIGNED, number) if number >= 0 else head(_NEGATIVE, -1 - number)


def link(target: bytes) -> bytes:
    """Write a link.

    Args:
        target: The bytes of a CID.
    """
    return b"\xd8\x2a" + byte_string(b"\x00" + target)


def read_byte_string(block: bytes) -> bytes:
    """Read a block that is one byte string, which is how sealed blocks are stored.

    Args:
        block: The canonical bytes.

    Returns:
        The content.

    Raises:
        InvalidBlockError: The block is something else.
    """
    major, number, offset = _read_head(block, 0)
    if major != _BYTES or number is None or len(block) - offset != number:
        raise InvalidBlockError
    return block[offset:]


def decode(block: bytes) -> object:
    """Read a block into Python values; links and byte strings both become bytes.

    It serves the shapes of this room, in which no float stands: negative zero, infinities and NaN are not read.

    Args:
        block: DAG-CBOR, not necessarily canonical.

    Returns:
        None, bool, int, float, str, bytes, list or dict.

    Raises:
        InvalidBlockError: The block cannot be read.
    """
    try:
        value: object = libipld.decode_dag_cbor(block)
    except (ValueError, RecursionError):
        # It may be what libipld does not read and the reference does.
        block = _reencode(block)
        try:
            value = libipld.decode_dag_cbor(block)
        except (ValueError, RecursionError) as error:
            raise InvalidBlockError from error
    return value


def canonicalise(block: bytes) -> bytes:
    """Write a block as the reference would: sorted keys, shortest heads, floats of 64 bits, known lengths.

    Args:
        block: CBOR from a client or a peer, with no tag but links.

    Returns:
        The same bytes where they were canonical.

    Raises:
        InvalidBlockError: The block is cut short, has something behind it, is nested too deeply, has a key that is no
            text or comes twice, a text that is no UTF-8, a tag that is no link, or a link that is no CID.
    """
    try:
        if libipld.encode_dag_cbor(libipld.decode_dag_cbor(block)) == block:
            return block
    except (ValueError, RecursionError):
        pass
    return _reencode(block)


def _reencode(block: bytes) -> bytes:
    data, offset = _item(block, 0, 0)
    if offset != len(block):
        raise InvalidBlockError("invalid dag-cbor block: there is something behind its end")
    return data


def _read_head(block: bytes, offset: int) -> tuple[int, int | None, int]:
    """Read a head: its kind, its number (None for an open length) and the offset behind it."""
    if offset >= len(block):
        raise InvalidBlockError("invalid dag-cbor block: it is cut short")
    major, small = block[offset] >> 5, block[offset] & 0x1F
    offset += 1
    if small == _OPEN_LENGTH and major in (_BYTES, _TEXT, _ARRAY, _MAP):
        return major, None, offset
    words = _WORDS.get(small)
    if words is None:
        if small > 27:  # noqa: PLR2004 - the rest is reserved
            raise InvalidBlockError
        return major, small, offset
    end = offset + words
    if end > len(block):
        raise InvalidBlockError("invalid dag-cbor block: it is cut short")
    return major, int.from_bytes(block[offset:end], "big"), end


def _item(block: bytes, offset: int, depth: int) -> tuple[bytes, int]:
    if depth > _MAX_DEPTH:
        raise InvalidBlockError(f"invalid dag-cbor block: it is nested more than {_MAX_DEPTH} deep")
    start = offset
    major, number, offset = _read_head(block, offset)
    if major == _SIMPLE:
        return _simple(block, start, offset)
    if major in (_BYTES, _TEXT):
        content, offset = _string(block, offset, major, number)
        return head(major, len(content)) + content, offset
    if major in (_ARRAY, _MAP):
        return (_array if major == _ARRAY else _map)(block, offset, number, depth)
    if number is None:
        raise InvalidBlockError
    if major == _TAG:
        return _link(block, offset, number)
    return head(major, number), offset


def _simple(block: bytes, start: int, end: int) -> tuple[bytes, int]:
    first = block[start] & 0x1F
    if first in (_FALSE, _TRUE, _NULL):
        return block[start:end], end
    if block[start] == _UNDEFINED:
        return NULL, end
    layout = _FLOATS.get(first)
    if layout is None:
        raise InvalidBlockError
    return b"\xfb" + _DOUBLE.pack(*layout.unpack(block[start + 1 : end])), end


def _string(block: bytes, offset: int, major: int, number: int | None) -> tuple[bytes, int]:
    if number is None:
        pieces: list[bytes] = []
        while not _at_break(block, offset):
            inner, length, offset = _read_head(block, offset)
            if inner != major or length is None:
                raise InvalidBlockError
            piece, offset = _string(block, offset, major, length)
            pieces.append(piece)
        return b"".join(pieces), offset + 1
    end = offset + number
    if end > len(block):
        raise InvalidBlockError("invalid dag-cbor block: it is cut short")
    content = block[offset:end]
    if major == _TEXT:
        try:
            content.decode()
        except UnicodeDecodeError as error:
            raise InvalidBlockError("invalid dag-cbor block: a text is not UTF-8") from error
    return content, end


def _at_break(block: bytes, offset: int) -> bool:
    if offset >= len(block):
        raise InvalidBlockError("invalid dag-cbor block: it is cut short")
    return block[offset] == _BREAK


def _more(block: bytes, number: int | None) -> Callable[[int, int], bool]:
    """Give the test for another item of a container: (items so far, offset)."""
    if number is None:
        return lambda _, offset: not _at_break(block, offset)
    return lambda count, _: count < number


def _array(block: bytes, offset: int, number: int | None, depth: int) -> tuple[bytes, int]:
    items: list[bytes] = []
    more = _more(block, number)
    while more(len(items), offset):
        item, offset = _item(block, offset, depth + 1)
        items.append(item)
    return head(_ARRAY, len(items)) + b"".join(items), offset + (number is None)


def _map(block: bytes, offset: int, number: int | None, depth: int) -> tuple[bytes, int]:
    items: dict[bytes, bytes] = {}
    more = _more(block, number)
    while more(len(items), offset):
        major, length, offset = _read_head(block, offset)
        if major != _TEXT:
            raise InvalidBlockError("invalid dag-cbor block: a key is not a text")
        key, offset = _string(block, offset, _TEXT, length)
        if key in items:
            raise InvalidBlockError("invalid dag-cbor block: a key comes twice")
        items[key], offset = _item(block, offset, depth + 1)
    ordered = sorted(items, key=lambda key: (len(key), key))
    content = b"".join(head(_TEXT, len(key)) + key + items[key] for key in ordered)
    return head(_MAP, len(items)) + content, offset + (number is None)


def _link(block: bytes, offset: int, tag: int) -> tuple[bytes, int]:
    major, length, offset = _read_head(block, offset)
    if tag != _LINK_TAG or major != _BYTES:
        raise InvalidBlockError("invalid dag-cbor block: it has a tag that is no link")
    content, offset = _string(block, offset, _BYTES, length)
    if not content.startswith(b"\x00"):
        raise InvalidBlockError("invalid dag-cbor block: a link is not a CID")
    try:
        target = cid.check(content[1:])
    except InvalidCIDError as error:
        raise InvalidBlockError("invalid dag-cbor block: a link is not a CID") from error
    return link(target), offset
