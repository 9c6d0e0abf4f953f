"""What is at a path, as clients are told (hub-protocol.md, section 5, "Layout of the DAG", "Private buckets")."""

from dataclasses import dataclass, field

from net import cid as cids
from store.long_reads import Steps
from threadd.buckets import dag, trees
from threadd.buckets.dag import Link, Node
from threadd.buckets.errors import NotDirectoryError, PathNotFoundError
from threadd.buckets.model import Metadata, Paths, encoded, split
from threadd.buckets.trees import Directories, Found
from threadd.buckets.unixfs import BlockSource


@dataclass(frozen=True, slots=True)
class Item:
    """A file or a directory.

    Args:
        cid: The text of its CID; of a private directory that of its node in the clear.
        name: Its name.
        path: `/ipfs/<root>` and its path below.
        size: How many bytes its blocks take.
        is_directory: Whether it is a directory.
        count: How many things are in it.
        items: They, where they were asked for.
        metadata: What the bucket says of it; None outside of a bucket.
    """

    cid: str
    name: str
    path: str
    size: int
    is_directory: bool
    count: int
    items: tuple["Item", ...] = ()
    metadata: Metadata | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where items are looked up.

    Args:
        get: Gives blocks.
        root: A link to the root.
        base: `/ipfs/<root>`.
        link_key: The link key of a private bucket, or None.
        paths: What the bucket says of paths; None outside of a bucket.
        directories: Opens directories.
    """

    get: BlockSource
    root: Link
    base: str
    link_key: bytes | None = None
    paths: Paths | None = None
    directories: Directories = field(default_factory=Directories)

    def find(self, path: str) -> Found:
        """What is at a path.

        Raises:
            PathNotFoundError: Nothing, with the text that clients of the two kinds of buckets know.
            BlockNotFoundError, InvalidNodeError, SealError: It cannot be read.
        """
        names = encoded(split(path))
        found, depth = trees.find(self.get, self.root, names, self.link_key, self.directories.open)
        if depth == len(names):
            return found
        if self.link_key is not None:
            raise PathNotFoundError(f"could not resolve path: {self.base}/{path}")
        missing = names[depth].decode(errors="replace")
        raise PathNotFoundError(f'no link named "{missing}" under {cids.text(found.link.cid)}')

    def item(self, path: str) -> Steps[Item]:
        """What is at a path, with what is in it; a step looks at one of these.

        Raises:
            PathNotFoundError: Nothing, or it cannot be seen.
            BlockNotFoundError, InvalidNodeError, SealError: It cannot be read.
        """
        found = self.find(path)
        items: list[Item] = []
        for link in () if found.node is None else found.node.links:
            items.append(self._inner(path, link))
            yield
        return self._item(path, found, tuple(items))

    def _inner(self, path: str, link: Link) -> Item:
        name = link.name.decode(errors="replace")
        # The block of a raw leaf tells no more than the link does.
        node = None if dag.is_raw(link.cid) else trees.open_directory(self.get, link.cid, self.link_key)
        return self._item(f"{path}/{name}" if path else name, Found(link, node), ())

    def _item(self, path: str, found: Found, items: tuple[Item, ...]) -> Item:
        cid, size, node = found.link.cid, found.link.size, found.node
        metadata = None
        if self.paths is not None:
            entry = self.paths.find(path)
            if entry is None:
                raise PathNotFoundError(f"could not resolve path: {self.base}/{path}")
            metadata = entry[1]
        if node is not None and self.link_key is not None:
            plain = dag.encode(node)
            cid, size = dag.node_cid(plain), len(plain) + _total(node)
        return Item(
            cid=cids.text(cid),
            name=path.rpartition("/")[2] or self.base.rpartition("/")[2],
            path=f"{self.base}/{path}" if path else self.base,
            size=size,
            is_directory=node is not None,
            count=0 if node is None else len(node.links),
            items=items,
            metadata=metadata,
        )


def _total(node: Node) -> int:
    return sum(link.size for link in node.links)


def move_target(place: Place, found: Found, source: str, target: str) -> str:
    """Where a move ends up: in the target, where that is a directory.

    Args:
        place: Where items are looked up.
        found: What is moved.
        source: Its path.
        target: The path that was asked for; empty for the root.

    Raises:
        NotDirectoryError: A directory would be moved onto a file.
    """
    if target:
        try:
            there = place.find(target)
        except PathNotFoundError:
            return target
    else:
        there = place.find("")
    if there.is_directory:
        name = source.rpartition("/")[2]
        return f"{target}/{name}" if target else name
    if found.is_directory:
        raise NotDirectoryError
    return target
