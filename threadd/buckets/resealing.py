"""Copies of trees with other keys: what a private bucket takes in, moves, or shares anew."""

from collections.abc import Callable
from dataclasses import dataclass

from net.crypto import Randomness
from store.file_blocks import Upload
from threadd.buckets import trees, unixfs
from threadd.buckets.dag import Link, Node
from threadd.buckets.files import Checked, File, Writer

KeyAt = Callable[[str], bytes | None]
"""Gives the key of the files at a path; None where they are not encrypted."""


@dataclass(frozen=True, slots=True)
class Resealer:
    """Copies trees into a private bucket.

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

    async def copy(self, link: Link, old: tuple[str, KeyAt] | None, new: tuple[str, KeyAt]) -> Link:
        """Copy what is behind a link; files whose key stays the same are not read.

        Args:
            link: A link to a file or a directory.
            old: Its path in the bucket and the keys there; None where it is not encrypted.
            new: The path that it gets and the keys there.

        Returns:
            A link to the copy.

        Raises:
            BlockNotFoundError, InvalidNodeError, SealError: It cannot be read.
            PathNotFoundError: There is no key for one of the files.
            StoreFullError: The disk is full.
        """
        node = trees.open_directory(self.upload.get, link.cid, None if old is None else self.link_key)
        if node is None:
            return await self._copy_file(link, old, new)
        links = []
        for inner in node.links:
            name = inner.name.decode("utf-8", "surrogateescape")
            below = None if old is None else (_join(old[0], name), old[1])
            copied = await self.copy(inner, below, (_join(new[0], name), new[1]))
            links.append(Link(inner.name, copied.cid, copied.size))
        plain = Node(unixfs.DIRECTORY_DATA, tuple(links))
        block = trees.seal_directory(plain, 1, self.link_key, self.randomness)
        await self.upload.put(block.cid, block.data)
        return block.link()

    async def _copy_file(self, link: Link, old: tuple[str, KeyAt] | None, new: tuple[str, KeyAt]) -> Link:
        old_key = None if old is None else old[1](old[0])
        new_key = new[1](new[0])
        if old_key == new_key:
            return link
        writer = Writer(self.upload, new_key, self.randomness, self.checked)
        async for piece in File.open(self.upload.get, link.cid, old_key, self.checked).read():
            await writer.add(piece)
        return await writer.finish()


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
