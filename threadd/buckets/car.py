"""CAR files (version 1): a root and blocks, one after the other, as `ipfs dag export` writes them.

Each part begins with its length as a variable-length integer. The first is a header in DAG-CBOR that names the roots;
each other is a CID and the block.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import BinaryIO, Final

import libipld

from net import cid as cids
from net import varints
from net.errors import InvalidCIDError
from store.errors import StatusCode, ThreaddError
from store.file_blocks import digest_of

MAX_PART_BYTES: Final = 8 << 20
"""No part may be longer: blocks of files have up to 256 KiB, and nodes of large directories some MiB."""

_V0_BYTES: Final = 34
_V1_BYTES: Final = 36
_V0_START: Final = b"\x12\x20"


class CarError(ThreaddError):
    """A file is no CAR file, or damaged."""

    code = StatusCode.INVALID_ARGUMENT


def header(root: bytes) -> bytes:
    """The first part of a file with one root.

    Args:
        root: Its CID.
    """
    link = b"\xd8\x2a\x58" + bytes([len(root) + 1]) + b"\x00" + root
    body = b"\xa2\x65roots\x81" + link + b"\x67version\x01"
    return varints.encode(len(body)) + body


def part(cid: bytes, block: bytes) -> bytes:
    """A part with a block."""
    return varints.encode(len(cid) + len(block)) + cid + block


def read_root(source: BinaryIO) -> bytes:
    """Read the first part.

    Args:
        source: The file, at its beginning.

    Returns:
        The CID of its only root.

    Raises:
        CarError: It is no CAR file of version 1 with one root.
    """
    body = _read_part(source)
    try:
        found = libipld.decode_dag_cbor(body or b"")
        version, roots = found["version"], found["roots"]
        if version == 1 and len(roots) == 1:
            return cids.check(bytes(roots[0]))
    except (ValueError, KeyError, TypeError, InvalidCIDError) as error:
        raise CarError("the file does not begin as a CAR file does") from error
    raise CarError(f"a CAR file of version 1 with one root is needed; this one has version {version}")


def read_blocks(source: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Read the other parts.

    Args:
        source: The file, behind its first part.

    Yields:
        A CID and the block that it names.

    Raises:
        CarError: The file is damaged, or has blocks that are not named by SHA2-256.
    """
    while (body := _read_part(source)) is not None:
        length = _V0_BYTES if body.startswith(_V0_START) else _V1_BYTES
        cid, block = body[:length], body[length:]
        try:
            digest = digest_of(cids.check(cid))
        except InvalidCIDError as error:
            raise CarError("a block has a name that is not understood") from error
        if digest is None or sha256(block).digest() != digest:
            raise CarError(f"the block {cids.text(cid)} is damaged, or is named by another hash than SHA2-256")
        yield cid, block


def _read_part(source: BinaryIO) -> bytes | None:
    """The next part, or None at the end."""
    length = shift = 0
    while True:
        byte = source.read(1)
        if not byte:
            if shift:
                raise CarError("the file ends in the middle of a part")
            return None
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:  # noqa: PLR2004 - the last byte of the number
            break
        if shift > 28:  # noqa: PLR2004 - beyond any length that is possible
            raise CarError("a part is too long")
    if length > MAX_PART_BYTES:
        raise CarError(f"a part of {length} bytes is too long: {MAX_PART_BYTES} are possible")
    body = source.read(length)
    if len(body) < length:
        raise CarError("the file ends in the middle of a part")
    return body
