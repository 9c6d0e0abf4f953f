"""Copies of trees with other keys: what a private bucket takes in, moves, or shares anew."""

from dataclasses import dataclass, field

from net.crypto import Randomness
from store.file_blocks import Upload
from threadd.buckets import trees, unixfs
from threadd.buckets.dag import Link, Node
from threadd.buckets.errors import PathNotFoundError
from threadd.buckets.files import Checked, File, Writer
from threadd.buckets.model import Paths
from threadd.db.slices import Pacer


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a bucket.

    Args:
        path: Its path.
        paths: What the bucket says of paths.
    """

    path: str
    paths: Paths

    def below(self, name: str) -> "Spot":
        """The place of a name in it."""
        return Spot(f"{self.path}/{name}" if self.path else name, self.paths)

    def file_key(self) -> bytes | None:
        """The key of the files there.

        Raises:
            PathNotFoundError: There is none that can be seen.
        """
        return self.paths.file_key(self.path)

    def keys_below(self) -> bytes | None:
        """The one key of all files there and below, empty where none can be seen; None where there may be several."""
        if self.paths.has_below(self.path):
            return None
        try:
            return self.file_key() or b""
        except PathNotFoundError:
            return b""


@dataclass(frozen=True, slots=True)
class Resealer:
    """Copies trees into a private bucket; what comes again with the same keys is copied once.

    Args:
        upload: Where new blocks go.
        link_key: The bucket's link key.
        randomness: Gives IVs.
        checked: Remembers which files were found whole.
    """

    upload: Upload
    link_key: bytes
    randomness: Randomness
    checked: Checked
    _copies: dict[tuple[bytes, bytes, bytes], Link] = field(default_factory=dict)
    _pacer: Pacer = field(default_factory=Pacer)

    async def copy(self, link: Link, old: Spot | None, new: Spot) -> Link:
        """Copy what is behind a link; files whose key stays the same are not read.

        Args:
            link: A link to a file or a directory.
            old: Where it is in the bucket; None where it is not encrypted.
            new: Where it is to be.

        Returns:
            A link to the copy.

        Raises:
            BlockNotFoundError, InvalidNodeError, SealError: It cannot be read.
            PathNotFoundError: There is no key for one of the files.
            StoreFullError: The disk is full.
        """
        old_key, new_key = b"" if old is None else old.keys_below(), new.keys_below()
        if old_key is None or new_key is None:
            return await self._copy(link, old, new)
        copied = self._copies.get((link.cid, old_key, new_key))
        if copied is None:
            copied = self._copies[link.cid, old_key, new_key] = await self._copy(link, old, new)
        return copied

    async def _copy(self, link: Link, old: Spot | None, new: Spot) -> Link:
        if self._pacer.due():
            await self._pacer.pause()
        node = trees.open_directory(self.upload.get, link.cid, None if old is None else self.link_key)
        if node is None:
            return await self._copy_file(link, old, new)
        links = []
        for inner in node.links:
            name = inner.name.decode("utf-8", "surrogateescape")
            copied = await self.copy(inner, None if old is None else old.below(name), new.below(name))
            links.append(Link(inner.name, copied.cid, copied.size))
        plain = Node(unixfs.DIRECTORY_DATA, tuple(links))
        block = trees.seal_directory(plain, 1, self.link_key, self.randomness)
        await self.upload.put(block.cid, block.data)
        return block.link()

    async def _copy_file(self, link: Link, old: Spot | None, new: Spot) -> Link:
        old_key = None if old is None else old.file_key()
        new_key = new.file_key()
        if old_key == new_key:
            return link
        writer = Writer(self.upload, new_key, self.randomness, self.checked)
        async for piece in File.open(self.upload.get, link.cid, old_key, self.checked).read():
            await writer.add(piece)
        return await writer.finish()
