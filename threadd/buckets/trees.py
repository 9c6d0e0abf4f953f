"""The directories of a bucket: looked up, and edited in memory.

A public directory is a dag-pb node. A private one is that node sealed with the bucket's link key, as the content of a
UnixFS file node without links (hub-protocol.md, section 5, "Private buckets"). Private nodes are all of CID version 1;
what is made on the way in a public bucket is of version 0, and what was there keeps its version.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from net.crypto import Randomness
from threadd.buckets import dag, sealing, unixfs
from threadd.buckets.dag import Block, Link, Node
from threadd.buckets.errors import InvalidNodeError, LinkNotFoundError, NotDirectoryError
from threadd.buckets.unixfs import BlockSource, Kind, load, load_node

_REMEMBERED: Final = 64
_MAX_SUM: Final = 1 << 60
"""What is linked again and again can add up to any number."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a path leads to.

    Args:
        link: The link to it; its CID is that of the block that is kept.
        node: The node of a directory, in the clear; None for a file.
    """

    link: Link
    node: Node | None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.node is not None


def open_directory(get: BlockSource, cid: bytes, link_key: bytes | None) -> Node | None:
    """The node of a directory in the clear, or None where the CID is that of a file.

    Args:
        get: Gives blocks.
        cid: The CID of what may be a directory.
        link_key: The link key of a private bucket, or None.

    Raises:
        BlockNotFoundError: The block is not here.
        InvalidNodeError: It is neither; directories in shards are not read.
        SealError: It is sealed with another key.
    """
    if dag.is_raw(cid):
        return None
    node = load_node(get, cid)
    entry = unixfs.decode_entry(node.data)
    if link_key is not None:
        if entry.content is None or entry.kind is not Kind.FILE or node.links:
            return None
        node = dag.decode(sealing.unseal(entry.content, link_key))
        entry = unixfs.decode_entry(node.data)
    if entry.kind is Kind.DIRECTORY:
        return node
    if entry.kind not in (Kind.FILE, Kind.RAW):
        raise InvalidNodeError
    return None


def find_link(node: Node, name: bytes) -> Link | None:
    """The link of a directory by its name."""
    return next((link for link in node.links if link.name == name), None)


@dataclass(slots=True)
class Directories:
    """Opens directories, and remembers the last ones: reading one file after the other opens the same ones again.

    It may be used by several threads at once.
    """

    _known: dict[tuple[bytes, bytes | None], Node] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, get: BlockSource, cid: bytes, link_key: bytes | None) -> Node | None:
        """See `open_directory`."""
        known = self._known.get((cid, link_key))
        if known is not None:
            return known
        node = open_directory(get, cid, link_key)
        if node is not None:
            with self._lock:
                if len(self._known) >= _REMEMBERED:
                    del self._known[next(iter(self._known))]
                self._known[cid, link_key] = node
        return node


def find(
    get: BlockSource,
    root: Link,
    names: Sequence[bytes],
    link_key: bytes | None,
    opened: Callable[[BlockSource, bytes, bytes | None], Node | None] = open_directory,
) -> tuple[Found, int]:
    """Follow a path as far as it goes.

    Args:
        get: Gives blocks.
        root: A link to where it begins.
        names: Its parts.
        link_key: The link key of a private bucket, or None.
        opened: Opens directories.

    Returns:
        What was reached last, and how many of the parts led there.

    Raises:
        BlockNotFoundError, InvalidNodeError, SealError: As `open_directory`.
    """
    found = Found(root, opened(get, root.cid, link_key))
    for depth, name in enumerate(names):
        link = None if found.node is None else find_link(found.node, name)
        if link is None:
            return found, depth
        found = Found(link, opened(get, link.cid, link_key))
    return found, len(names)


@dataclass(slots=True)
class _Folder:
    """A directory that is edited: its links, encoded and in order, and those of its folders that are open."""

    version: int
    data: bytes
    names: list[bytes]
    links: list[Link]
    encoded: list[bytes]
    open: dict[bytes, "_Folder"] = field(default_factory=dict)
    stale: set[bytes] = field(default_factory=set)
    total: int = 0
    own_size: int = 0
    block: Block | None = None
    is_new: bool = False

    @classmethod
    def of(cls, node: Node, version: int) -> "_Folder":
        """The directory of a node whose CID has a version."""
        links = sorted(node.links, key=lambda link: link.name)
        encoded = [dag.encode_link(link) for link in links]
        total = sum(link.size for link in links)
        return cls(version, node.data, [link.name for link in links], links, encoded, total=total)

    def get(self, name: bytes) -> Link | None:
        """The link of a name."""
        place = bisect_left(self.names, name)
        return self.links[place] if place < len(self.names) and self.names[place] == name else None

    def put(self, link: Link) -> None:
        """Set the link of a name."""
        place = bisect_left(self.names, link.name)
        self.total += link.size
        if place < len(self.names) and self.names[place] == link.name:
            self.total -= self.links[place].size
            self.links[place], self.encoded[place] = link, dag.encode_link(link)
        else:
            self.names.insert(place, link.name)
            self.links.insert(place, link)
            self.encoded.insert(place, dag.encode_link(link))

    def remove(self, name: bytes) -> None:
        """Remove the link of a name."""
        place = bisect_left(self.names, name)
        self.total -= self.links[place].size
        del self.names[place], self.links[place], self.encoded[place]


class Tree:
    """The directories of a bucket in memory; only those on the paths that were edited are read or encoded.

    Args:
        get: Gives blocks.
        root: A link to the root directory.
        link_key: The link key of a private bucket, or None.
        randomness: Gives the IVs of private directories.

    Raises:
        NotDirectoryError: The root is no directory.
        BlockNotFoundError, InvalidNodeError, SealError: As `open_directory`.
    """

    def __init__(self, get: BlockSource, root: Link, link_key: bytes | None, randomness: Randomness) -> None:
        self._get = get
        self._link_key = link_key
        self._randomness = randomness
        node = open_directory(get, root.cid, link_key)
        if node is None:
            raise NotDirectoryError
        self._root = self._kept(node, root)
        self._root_link = root
        self._changed = False
        self.grown = 0
        """By how many bytes the blocks of the whole tree have grown, as of the last `root`."""

    @classmethod
    def empty(cls, link_key: bytes | None, randomness: Randomness) -> "Tree":
        """The tree of a new bucket."""
        root = seal_directory(Node(unixfs.DIRECTORY_DATA), 1, link_key, randomness)
        return cls({root.cid: root.data}.get, root.link(), link_key, randomness)

    def put(self, names: Sequence[bytes], link: Link) -> None:
        """Put something at a path; directories on the way are made.

        Args:
            names: The parts of the path, at least one.
            link: Its name does not count.

        Raises:
            NotDirectoryError: A part of the way is a file.
        """
        folder = self._root
        folders = [folder]
        for name in names[:-1]:
            folder = self._step(folder, name) or self._make(folder, name)
            folders.append(folder)
        self._forget(folder, names[-1])
        self.grown += sum_of(self._get, link, self._link_key)
        folder.put(Link(names[-1], link.cid, link.size))
        self._touch(folders, names)

    def remove(self, names: Sequence[bytes]) -> None:
        """Remove what is at a path; the directories on the way stay.

        Args:
            names: The parts of the path, at least one.

        Raises:
            LinkNotFoundError: There is nothing.
        """
        folder = self._root
        folders = [folder]
        for name in names[:-1]:
            try:
                step = self._step(folder, name)
            except NotDirectoryError:
                step = None
            if step is None:
                raise LinkNotFoundError
            folder = step
            folders.append(folder)
        if folder.get(names[-1]) is None:
            raise LinkNotFoundError
        self._forget(folder, names[-1])
        folder.remove(names[-1])
        self._touch(folders, names)

    def root(self) -> Link:
        """A link to the root as it is now; what changed since the last time is encoded anew."""
        if self._changed:
            self._root_link = self._encode(self._root).link()
            self._changed = False
        return self._root_link

    def new_blocks(self) -> Iterator[Block]:
        """The blocks of the directories that differ from what was there, as of the last `root`."""
        pending = [self._root]
        while pending:
            folder = pending.pop()
            if folder.is_new and folder.block is not None:
                yield folder.block
            pending += folder.open.values()

    def _step(self, folder: _Folder, name: bytes) -> _Folder | None:
        """The folder of a name, opened when it is first asked for."""
        if name in folder.open:
            return folder.open[name]
        link = folder.get(name)
        if link is None:
            return None
        node = open_directory(self._get, link.cid, self._link_key)
        if node is None:
            raise NotDirectoryError(
                f"{NotDirectoryError.default_text}: '{name.decode(errors='replace')}' is a file of this bucket"
            )
        made = folder.open[name] = self._kept(node, link)
        return made

    def _make(self, folder: _Folder, name: bytes) -> _Folder:
        version = 0 if self._link_key is None else 1
        made = folder.open[name] = _Folder.of(Node(unixfs.DIRECTORY_DATA), version)
        return made

    def _kept(self, node: Node, link: Link) -> _Folder:
        """The folder of a directory that is behind a link."""
        made = _Folder.of(node, dag.version_of(link.cid))
        made.own_size = link.size - (made.total if self._link_key is None else 0)
        return made

    def _forget(self, folder: _Folder, name: bytes) -> None:
        """Count out what is at a name, which is about to be replaced or removed."""
        link = folder.get(name)
        inner = folder.open.pop(name, None)
        folder.stale.discard(name)
        if inner is not None:
            self.grown -= self._weigh(inner)
        elif link is not None:
            self.grown -= sum_of(self._get, link, self._link_key)

    def _weigh(self, folder: _Folder) -> int:
        """How many bytes an open folder takes, as far as it was counted in."""
        total = folder.own_size
        for link in folder.links:
            inner = folder.open.get(link.name)
            total += sum_of(self._get, link, self._link_key) if inner is None else self._weigh(inner)
        return total

    def _touch(self, folders: Sequence[_Folder], names: Sequence[bytes]) -> None:
        for parent, name in zip(folders, names, strict=False):
            parent.block = None
            if parent is not folders[-1]:
                parent.stale.add(name)
        self._changed = True

    def _encode(self, folder: _Folder) -> Block:
        for name in folder.stale:
            block = self._encode(folder.open[name])
            folder.put(block.link(name))
        folder.stale.clear()
        if folder.block is None:
            plain = dag.encode_parts(folder.encoded, folder.data)
            if self._link_key is None:
                folder.block = Block(dag.node_cid(plain, folder.version), plain, len(plain) + folder.total)
            else:
                folder.block = _sealed(plain, self._link_key, self._randomness)
            folder.is_new = True
            self.grown += len(folder.block.data) - folder.own_size
            folder.own_size = len(folder.block.data)
        return folder.block


def seal_directory(node: Node, version: int, link_key: bytes | None, randomness: Randomness) -> Block:
    """The block of a directory, sealed in a private bucket."""
    if link_key is None:
        return dag.node_block(node, version)
    return _sealed(dag.encode(node), link_key, randomness)


def _sealed(plain: bytes, link_key: bytes, randomness: Randomness) -> Block:
    return dag.node_block(Node(unixfs.encode_file(sealing.seal(plain, link_key, randomness))))


def sum_of(get: BlockSource, link: Link, link_key: bytes | None) -> int:
    """How many bytes the blocks behind a link take, each counted as often as it is linked.

    Args:
        get: Gives blocks; those of private directories are read, others by their links alone.
        link: The link.
        link_key: The link key of a private bucket, or None.

    Raises:
        BlockNotFoundError, InvalidNodeError, SealError: As `open_directory`.
    """
    if link_key is None:
        return min(link.size, _MAX_SUM)
    links: dict[bytes, tuple[Link, ...]] = {}
    sums: dict[bytes, int] = {}
    way = [link]
    while way:
        cid = way[-1].cid
        if cid in sums:
            way.pop()
        elif cid in links:
            way.pop()
            sums[cid] = sum(inner.size + sums[inner.cid] for inner in links[cid])
        else:
            node = open_directory(get, cid, link_key)
            links[cid] = () if node is None else node.links
            way += [inner for inner in links[cid] if inner.cid not in sums]
    return min(link.size + sums[link.cid], _MAX_SUM)


def link_to(get: BlockSource, cid: bytes) -> Link:
    """A link to a block of which only the CID is known.

    Raises:
        BlockNotFoundError: It is not here.
        InvalidNodeError: It is of another codec than raw and dag-pb, or broken.
    """
    data = load(get, cid)
    if dag.is_raw(cid):
        return Link(b"", cid, len(data))
    if not dag.is_node(cid):
        raise InvalidNodeError
    return Link(b"", cid, len(data) + sum(link.size for link in dag.decode(data).links))


def walk_whole(get: BlockSource, root: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The CIDs and bytes of all blocks of a tree, each once.

    Args:
        get: Gives blocks.
        root: Where to begin.

    Raises:
        BlockNotFoundError: One is not here.
        InvalidNodeError: One is of another codec than raw and dag-pb, or broken.
    """
    seen: set[bytes] = set()
    pending = [root]
    while pending:
        cid = pending.pop()
        if cid in seen:
            continue
        seen.add(cid)
        data = load(get, cid)
        yield cid, data
        if dag.is_node(cid):
            pending += [link.cid for link in dag.decode(data).links]
        elif not dag.is_raw(cid):
            raise InvalidNodeError
