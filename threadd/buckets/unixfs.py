"""Files and directories over dag-pb nodes: UnixFS; no I/O.

A file of up to one chunk is one raw block. A longer one is a balanced tree: its leaves are raw blocks of
`CHUNK_BYTES`, each node has up to `MAX_LINKS` links, and all leaves are equally deep (hub-protocol.md, section 5,
"Layout of the DAG").
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from net import cid as cids
from net import varints
from threadd.buckets import dag
from threadd.buckets.dag import Block, Link, Node
from threadd.buckets.errors import BlockNotFoundError, InvalidNodeError, IsDirectoryError

CHUNK_BYTES: Final = 262_144
MAX_LINKS: Final = 174

BlockSource = Callable[[bytes], bytes | None]
"""Gives the bytes of a block by its CID, or None where it is not here."""


class Kind(IntEnum):
    """What a UnixFS node is."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    SHARD = 5


DIRECTORY_DATA: Final = b"\x08\x01"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the data of a node says.

    Args:
        kind: What the node is.
        content: Bytes that the node itself holds; None where it says nothing of any.
        parts: The content bytes behind each link.
    """

    kind: Kind
    content: bytes | None = None
    parts: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many bytes of content there are."""
        return len(self.content or b"") + sum(self.parts)


def encode_file(content: bytes | None, parts: tuple[int, ...] = ()) -> bytes:
    """The data of a file's node.

    Args:
        content: Bytes that the node itself holds, if any.
        parts: The content bytes behind each link.
    """
    out = b"\x08\x02"
    if content is not None:
        out += b"\x12" + varints.encode(len(content)) + content
    out += b"\x18" + varints.encode(len(content or b"") + sum(parts))
    return out + b"".join(b"\x20" + varints.encode(part) for part in parts)


def decode_entry(data: bytes) -> Entry:
    """Read the data of a node.

    Raises:
        InvalidNodeError: It is not UnixFS.
    """
    kind, content = -1, None
    parts: list[int] = []
    position = 0
    try:
        while position < len(data):
            tag, position = varints.decode(data, position)
            value, position = varints.decode(data, position)
            if tag & 7 == 2:  # noqa: PLR2004 - a field of bytes, and this is its length
                piece = data[position : position + value]
                position += value
                if position > len(data):
                    raise InvalidNodeError
                if tag == 0x12:  # noqa: PLR2004 - field 2
                    content = piece
                elif tag == 0x22:  # noqa: PLR2004 - field 4, packed
                    parts += _packed(piece)
            elif tag == 0x08:  # noqa: PLR2004 - field 1
                kind = value
            elif tag == 0x20:  # noqa: PLR2004 - field 4
                parts.append(value)
            elif tag & 7:
                raise InvalidNodeError
        return Entry(Kind(kind), content, tuple(parts))
    except ValueError as error:
        raise InvalidNodeError from error


def _packed(piece: bytes) -> Iterator[int]:
    position = 0
    while position < len(piece):
        number, position = varints.decode(piece, position)
        yield number


@dataclass(slots=True)
class FileBuilder:
    """Makes the blocks of a file of bytes as they come; it holds one chunk and the links of one path of the tree."""

    size: int = 0
    _rest: bytearray = field(default_factory=bytearray)
    _levels: list[list[tuple[Link, int]]] = field(default_factory=list)

    def add(self, data: bytes) -> list[Block]:
        """Take bytes.

        Returns:
            The blocks that are complete.
        """
        self._rest += data
        self.size += len(data)
        blocks: list[Block] = []
        position = 0
        # The last chunk stays until something follows it: a file of one chunk is that chunk alone.
        while len(self._rest) - position > CHUNK_BYTES:
            leaf = dag.raw_block(bytes(self._rest[position : position + CHUNK_BYTES]))
            position += CHUNK_BYTES
            blocks.append(leaf)
            self._link(0, leaf, len(leaf.data), blocks)
        del self._rest[:position]
        return blocks

    def finish(self) -> list[Block]:
        """Make what is left.

        Returns:
            The last blocks; the very last one is the root of the file.
        """
        leaf = dag.raw_block(bytes(self._rest))
        blocks = [leaf]
        self._link(0, leaf, len(leaf.data), blocks)
        for level in range(len(self._levels) + 1):
            if level == len(self._levels) - 1 and len(self._levels[level]) == 1:
                break
            if level < len(self._levels):
                self._close(level, blocks)
        return blocks

    def _link(self, level: int, block: Block, size: int, blocks: list[Block]) -> None:
        if level == len(self._levels):
            self._levels.append([])
        if len(self._levels[level]) == MAX_LINKS:
            self._close(level, blocks)
        self._levels[level].append((block.link(), size))

    def _close(self, level: int, blocks: list[Block]) -> None:
        """Make a node of the links of a level, and link it from the level above."""
        links = self._levels[level]
        self._levels[level] = []
        sizes = tuple(size for _, size in links)
        node = dag.node_block(Node(encode_file(None, sizes), tuple(link for link, _ in links)))
        blocks.append(node)
        self._link(level + 1, node, sum(sizes), blocks)


def load(get: BlockSource, cid: bytes) -> bytes:
    """The bytes of a block.

    Raises:
        BlockNotFoundError: It is not here.
    """
    block = get(cid)
    if block is None:
        raise BlockNotFoundError(
            f"block {cids.text(cid)} is not kept here, and no network is asked for it: the content of a bucket does "
            "not come with its thread (threadd buckets export and import bring that of a public one)"
        )
    return block


def load_node(get: BlockSource, cid: bytes) -> Node:
    """A node.

    Raises:
        BlockNotFoundError: It is not here.
        InvalidNodeError: It is none.
    """
    if not dag.is_node(cid):
        raise InvalidNodeError
    return dag.decode(load(get, cid))


def file_size(get: BlockSource, cid: bytes) -> int:
    """How many bytes a file has.

    Args:
        get: Gives blocks.
        cid: The root of a file.

    Raises:
        BlockNotFoundError: Its root is not here.
        InvalidNodeError: It is no file.
        IsDirectoryError: It is a directory.
    """
    if dag.is_raw(cid):
        return len(load(get, cid))
    return _file_entry(load_node(get, cid)).size


def read_file(get: BlockSource, cid: bytes, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The content of a file, or a range of it, in pieces of a block.

    Args:
        get: Gives blocks.
        cid: The root of the file.
        start: The first byte.
        stop: The first byte behind; None for the end.

    Yields:
        At least one byte each.

    Raises:
        BlockNotFoundError: A block is not here.
        InvalidNodeError: It is no file, or a part of it has another size than it is said to have.
        IsDirectoryError: It is a directory.
    """
    return _read(get, cid, start, stop, None)


def _read(get: BlockSource, cid: bytes, start: int, stop: int | None, size: int | None) -> Iterator[bytes]:
    """As `read_file`, for a part that is said to have a size.

    One of another size is an error: parts that say to have bytes and have none could be linked without end.
    """
    if dag.is_raw(cid):
        block = load(get, cid)
        _check_size(len(block), size)
        piece = block[start:stop]
        if piece:
            yield piece
        return
    node = load_node(get, cid)
    entry = _file_entry(node)
    _check_size(entry.size, size)
    content = entry.content or b""
    piece = content[start:stop]
    if piece:
        yield piece
    position = len(content)
    if len(entry.parts) != len(node.links):
        raise InvalidNodeError
    for link, part in zip(node.links, entry.parts, strict=True):
        if stop is not None and position >= stop:
            return
        if position + part > start:
            yield from _read(get, link.cid, max(0, start - position), None if stop is None else stop - position, part)
        position += part


def _check_size(size: int, said: int | None) -> None:
    if said is not None and size != said:
        raise InvalidNodeError(f"a part of a file has {size} bytes, and is said to have {said}")


def _file_entry(node: Node) -> Entry:
    entry = decode_entry(node.data)
    if entry.kind in (Kind.DIRECTORY, Kind.SHARD):
        raise IsDirectoryError
    if entry.kind not in (Kind.FILE, Kind.RAW):
        raise InvalidNodeError
    return entry
