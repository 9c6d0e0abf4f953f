"""What is in buckets, and in any other node that is here: looked up and read, never changed."""

from collections.abc import Mapping
from dataclasses import replace

from store.file_blocks import FileBlocks
from store.long_reads import Steps
from threadd.buckets import paths as path_rules
from threadd.buckets import trees
from threadd.buckets.errors import IsDirectoryError, PathNotFoundError
from threadd.buckets.files import Checked, File
from threadd.buckets.items import Item, Place
from threadd.buckets.model import Bucket, path_of
from threadd.buckets.trees import Directories
from threadd.buckets.unixfs import BlockSource


class Contents:
    """Looks it up.

    Args:
        blocks: The blocks of files.
        checked: Remembers which sealed files were found whole.
    """

    def __init__(self, blocks: FileBlocks, checked: Checked) -> None:
        self.blocks = blocks
        """The blocks of files."""
        self._checked = checked
        self._directories = Directories()

    async def item(self, bucket: Bucket, path: str) -> Item:
        """What is at a path of a bucket, with what is in it.

        Raises:
            PathNotFoundError: There is nothing at the path, or it cannot be seen.
            InvalidPathError: The path cannot be one.
            BlockNotFoundError, InvalidNodeError, SealError: It cannot be read.
        """
        cleaned = path_rules.clean(path)
        item = await self.blocks.read_long(lambda get: self.place(bucket, get).item(cleaned))
        return item if cleaned else replace(item, name=bucket.name)

    async def file(self, bucket: Bucket, path: str) -> File:
        """A file of a bucket.

        Raises:
            PathNotFoundError: There is nothing at the path, or it cannot be seen.
            InvalidPathError: The path cannot be one.
            IsDirectoryError: It is a directory.
            BlockNotFoundError, InvalidNodeError, SealError: It cannot be read.
        """
        cleaned = path_rules.clean(path)
        key = bucket.paths().file_key(cleaned)
        return await self.blocks.read(lambda get: self._opened(self.place(bucket, get).find(cleaned), key))

    async def ipfs_item(self, path: str) -> Item:
        """What is at a path of any node that is here, with what is in it.

        Raises:
            InvalidBucketCidError, InvalidPathError: The path cannot be one.
            PathNotFoundError: There is nothing at the path.
            BlockNotFoundError, InvalidNodeError: It cannot be read.
        """

        def look(get: BlockSource) -> Steps[Item]:
            place, below = self._ipfs_place(path, get)
            return place.item(below)

        return await self.blocks.read_long(look)

    async def ipfs_file(self, path: str) -> File:
        """A file of any node that is here; errors are those of `ipfs_item`, and `IsDirectoryError`."""

        def look(get: BlockSource) -> File:
            place, below = self._ipfs_place(path, get)
            return self._opened(place.find(below), None)

        return await self.blocks.read(look)

    async def roles(self, bucket: Bucket, path: str) -> Mapping[str, int]:
        """Who may do what with a path.

        Raises:
            PathNotFoundError: There is nothing at the path, or it cannot be seen.
        """
        cleaned = path_rules.clean_writable(path)
        try:
            await self.blocks.read(lambda get: self.place(bucket, get).find(cleaned))
        except PathNotFoundError as error:
            raise PathNotFoundError(f"could not resolve path: {cleaned}") from error
        entry = bucket.paths().find(cleaned)
        if entry is None:
            raise PathNotFoundError(f"could not resolve path: {cleaned}")
        return entry[1].roles

    def place(self, bucket: Bucket, get: BlockSource) -> Place:
        """Where the things in a bucket are looked up.

        Args:
            bucket: The bucket.
            get: Gives blocks, those of an upload among them.
        """
        root = trees.link_to(get, bucket.root)
        return Place(get, root, bucket.path, bucket.link_key_bytes, bucket.paths(), self._directories)

    def _opened(self, found: trees.Found, key: bytes | None) -> File:
        if found.is_directory:
            raise IsDirectoryError
        return File.open(self.blocks.get, found.link.cid, key, self._checked)

    def _ipfs_place(self, path: str, get: BlockSource) -> tuple[Place, str]:
        cid, below = path_rules.parse_ipfs(path)
        return Place(get, trees.link_to(get, cid), path_of(cid), directories=self._directories), below
