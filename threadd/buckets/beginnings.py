"""What a bucket begins with: nodes that are here already, and the seed that makes it unique."""

import asyncio
from dataclasses import dataclass
from typing import Final

from net.crypto import Randomness
from store.file_blocks import Upload
from threadd.buckets import dag, sealing, trees
from threadd.buckets.dag import Link
from threadd.buckets.files import Checked
from threadd.buckets.model import SEED, Paths
from threadd.buckets.resealing import Resealer, Spot
from threadd.buckets.trees import Tree

SEED_BYTES: Final = 32

_BLOCKS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Beginnings:
    """Makes them.

    Args:
        randomness: Gives so many unpredictable bytes.
        checked: Remembers which files were found whole.
    """

    randomness: Randomness
    checked: Checked

    async def tree(self, upload: Upload, node: bytes | None, link_key: bytes | None, paths: Paths) -> Tree:
        """The tree of a new bucket, empty or with what a node holds.

        Args:
            upload: Where its blocks go.
            node: The CID of a directory, or None.
            link_key: The link key of a private bucket, or None.
            paths: What the bucket says of paths.

        Raises:
            BlockNotFoundError: A block of the node is not here.
            NotDirectoryError: The node is no directory.
        """
        if node is None:
            return Tree.empty(link_key, self.randomness)
        link = await self.adopt(upload, node)
        if link_key is not None:
            resealer = Resealer(upload, link_key, self.randomness, self.checked)
            link = await resealer.copy(link, None, Spot("", paths))
        return Tree(upload.get, link, link_key, self.randomness)

    async def seed(self, upload: Upload, tree: Tree, file_key: bytes | None) -> tuple[bytes, Link]:
        """Put a new seed into a tree.

        Args:
            upload: Where its block goes.
            tree: The tree.
            file_key: The key of files at the root of a private bucket, or None.

        Returns:
            The seed, and a link to its block.
        """
        seed = self.randomness(SEED_BYTES)
        block = dag.raw_block(seed if file_key is None else sealing.seal(seed, file_key, self.randomness))
        await upload.put(block.cid, block.data)
        tree.put([SEED.encode()], block.link())
        return seed, block.link()

    async def adopt(self, upload: Upload, cid: bytes) -> Link:
        """Take all blocks of a node that is here into an upload, so that no sweep takes them.

        Raises:
            BlockNotFoundError: One is not here.
            InvalidNodeError: One is of a kind that buckets are not made of.
        """
        for count, (each, data) in enumerate(trees.walk_whole(upload.get, cid)):
            await upload.put(each, data)
            if count % _BLOCKS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return trees.link_to(upload.get, cid)
