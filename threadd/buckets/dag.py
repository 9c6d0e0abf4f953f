"""Nodes of a DAG in the dag-pb form, and the CIDs of blocks; no I/O.

A node is a protobuf message: its links (field 2: hash 1, name 2, size 3), sorted by name, then its data (field 1). Old
CIDs (version 0) are of dag-pb nodes only (hub-protocol.md, section 5, "Layout of the DAG").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from net import varints
from threadd.buckets.errors import InvalidNodeError

_RAW_PREFIX: Final = bytes.fromhex("01551220")
_NODE_PREFIX: Final = bytes.fromhex("01701220")
_OLD_PREFIX: Final = bytes.fromhex("1220")
_CID_BYTES: Final = 36
_OLD_CID_BYTES: Final = 34
_LINKS_TAG: Final = b"\x12"
_DATA_TAG: Final = b"\x0a"


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a node.

    Args:
        name: The name of what it links to; empty for a part of a file.
        cid: The CID of the block that it links to.
        size: The bytes of all blocks that are reached by it, each counted as often as it is linked.
    """

    name: bytes
    cid: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Node:
    """A node.

    Args:
        data: What it holds; for files and folders see `threadd.buckets.unixfs`.
        links: Its links, in order.
    """

    data: bytes
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A block that is to be kept.

    Args:
        cid: Its CID.
        data: Its bytes.
        size: As in a link to it.
    """

    cid: bytes
    data: bytes
    size: int

    def link(self, name: bytes = b"") -> Link:
        """A link to it."""
        return Link(name, self.cid, self.size)


def is_raw(cid: bytes) -> bool:
    """Whether a CID is of a block of bare bytes."""
    return len(cid) == _CID_BYTES and cid.startswith(_RAW_PREFIX)


def is_node(cid: bytes) -> bool:
    """Whether a CID is of a dag-pb node."""
    return (len(cid) == _CID_BYTES and cid.startswith(_NODE_PREFIX)) or (
        len(cid) == _OLD_CID_BYTES and cid.startswith(_OLD_PREFIX)
    )


def version_of(cid: bytes) -> int:
    """The version of a CID, 0 or 1."""
    return 0 if cid.startswith(_OLD_PREFIX) else 1


def raw_block(data: bytes) -> Block:
    """A block of bare bytes."""
    return Block(_RAW_PREFIX + sha256(data).digest(), data, len(data))


def node_cid(data: bytes, version: int = 1) -> bytes:
    """The CID of an encoded node."""
    return (_NODE_PREFIX if version else _OLD_PREFIX) + sha256(data).digest()


def node_block(node: Node, version: int = 1) -> Block:
    """The block of a node, with a CID of a version."""
    data = encode(node)
    return Block(node_cid(data, version), data, len(data) + sum(link.size for link in node.links))


def encode_link(link: Link) -> bytes:
    """A link as it stands in an encoded node."""
    cid, name = link.cid, link.name
    inner = b"\x0a" + varints.encode(len(cid)) + cid + b"\x12" + varints.encode(len(name)) + name
    inner += b"\x18" + varints.encode(link.size)
    return _LINKS_TAG + varints.encode(len(inner)) + inner


def encode_parts(links: Sequence[bytes], data: bytes) -> bytes:
    """An encoded node of links that are encoded and in order already."""
    return b"".join(links) + (_DATA_TAG + varints.encode(len(data)) + data if data else b"")


def encode(node: Node) -> bytes:
    """Write a node; its links are sorted by name, those of one name stay in order."""
    links = sorted(node.links, key=lambda link: link.name)
    return encode_parts([encode_link(link) for link in links], node.data)


def decode(data: bytes) -> Node:
    """Read a node.

    Args:
        data: The bytes of a block.

    Raises:
        InvalidNodeError: They are no dag-pb node.
    """
    links: list[Link] = []
    content = b""
    position = 0
    try:
        while position < len(data):
            tag = data[position]
            start, end = _field(data, position + 1)
            if tag == _LINKS_TAG[0]:
                links.append(_decode_link(data[start:end]))
            elif tag == _DATA_TAG[0]:
                content = data[start:end]
            else:
                raise InvalidNodeError
            position = end
    except (varints.VarintError, IndexError) as error:
        raise InvalidNodeError from error
    return Node(content, tuple(links))


def _field(data: bytes, position: int) -> tuple[int, int]:
    """Where a field of bytes begins and ends whose length stands at a position."""
    length = data[position]
    if length < 0x80:  # noqa: PLR2004 - the common case of a number in one byte
        start = position + 1
    else:
        length, start = varints.decode(data, position)
    end = start + length
    if end > len(data):
        raise InvalidNodeError
    return start, end


def _decode_link(data: bytes) -> Link:
    cid = name = b""
    size = position = 0
    while position < len(data):
        tag = data[position]
        if tag == 0x18:  # noqa: PLR2004 - field 3, a number
            size, position = varints.decode(data, position + 1)
            continue
        start, position = _field(data, position + 1)
        if tag == 0x0A:  # noqa: PLR2004 - field 1, bytes
            cid = data[start:position]
        elif tag == 0x12:  # noqa: PLR2004 - field 2, bytes
            name = data[start:position]
        else:
            raise InvalidNodeError
    if not cid:
        raise InvalidNodeError
    return Link(name, cid, size)
