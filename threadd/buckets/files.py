"""Files of buckets: read in ranges, written as they come, and encrypted anew."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Final

from net.crypto import Randomness
from store.file_blocks import Upload
from threadd.buckets import sealing, unixfs
from threadd.buckets.dag import Block, Link
from threadd.buckets.sealing import Checker, Sealer
from threadd.buckets.unixfs import BlockSource, FileBuilder
from threadd.db.slices import Pacer

_KNOWN: Final = 1024


@dataclass(slots=True)
class Checked:
    """Remembers which sealed files were found whole, or were sealed here, so that not each range reads all of one."""

    _known: dict[tuple[bytes, bytes], None] = field(default_factory=dict)

    async def check(self, get: BlockSource, cid: bytes, size: int, key: bytes) -> None:
        """Check the MAC of a whole file, unless it was done.

        Args:
            get: Gives blocks.
            cid: The root of the sealed file.
            size: Its length in bytes.
            key: Its key.

        Raises:
            SealError: It is damaged, or the key is another one.
            BlockNotFoundError: A block is not here.
        """
        if (cid, key) in self._known:
            return
        checker = Checker(size, key)
        async for piece in _with_turns(unixfs.read_file(get, cid)):
            checker.add(piece)
        checker.finish()
        self.is_whole(cid, key)

    def is_whole(self, cid: bytes, key: bytes) -> None:
        """Take notice of a file whose MAC is known to be good.

        Args:
            cid: The root of the sealed file.
            key: Its key.
        """
        if len(self._known) >= _KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[cid, key] = None


@dataclass(frozen=True, slots=True)
class File:
    """A file that can be read.

    Args:
        get: Gives blocks.
        cid: Its root.
        size: How many bytes it has, in the clear.
        key: Its key; None where it is not encrypted.
        sealed_size: How many bytes are kept.
        checked: Remembers which files were found whole.
    """

    get: BlockSource
    cid: bytes
    size: int
    key: bytes | None
    sealed_size: int
    checked: Checked

    @classmethod
    def open(cls, get: BlockSource, cid: bytes, key: bytes | None, checked: Checked) -> "File":
        """Look at a file.

        Args:
            get: Gives blocks.
            cid: Its root.
            key: Its key; None where it is not encrypted.
            checked: Remembers which files were found whole.

        Raises:
            BlockNotFoundError, InvalidNodeError, IsDirectoryError: As `unixfs.file_size`.
            SealError: It is too short for a sealed one.
        """
        kept = unixfs.file_size(get, cid)
        return cls(get, cid, kept if key is None else sealing.plain_size(kept), key, kept, checked)

    async def read(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Its bytes, or a range of them.

        Args:
            start: The first byte.
            stop: The first byte behind; None for the end.

        Yields:
            Pieces of up to a block.

        Raises:
            SealError: It is damaged, or the key is another one; nothing was given out.
            BlockNotFoundError: A block is not here.
        """
        stop = self.size if stop is None else min(stop, self.size)
        if self.key is None:
            pieces = unixfs.read_file(self.get, self.cid, start, stop)
        else:
            await self.checked.check(self.get, self.cid, self.sealed_size, self.key)
            pieces = sealing.open_range(self._kept, self.sealed_size, self.key, start, stop)
        async for piece in _with_turns(pieces):
            yield piece

    def _kept(self, start: int, stop: int) -> Iterator[bytes]:
        return unixfs.read_file(self.get, self.cid, start, stop)


class Writer:
    """Writes one file.

    Args:
        upload: Where its blocks go.
        key: Its key; None where it is not encrypted.
        randomness: Gives the IV.
        checked: Remembers which files are whole.
    """

    def __init__(self, upload: Upload, key: bytes | None, randomness: Randomness, checked: Checked) -> None:
        self._upload = upload
        self._key = key
        self._checked = checked
        self._sealer = None if key is None else Sealer(key, randomness)
        self._builder = FileBuilder()
        self._begun = False

    @property
    def size(self) -> int:
        """How many bytes are kept so far."""
        return self._builder.size

    async def add(self, data: bytes) -> None:
        """Take bytes of the file.

        Raises:
            StoreFullError: The disk is full.
        """
        if self._sealer is not None:
            data = (b"" if self._begun else self._sealer.head) + self._sealer.add(data)
            self._begun = True
        await self._put(self._builder.add(data))

    async def finish(self) -> Link:
        """End the file.

        Returns:
            A link to it.

        Raises:
            StoreFullError: The disk is full.
        """
        if self._sealer is not None:
            end = (b"" if self._begun else self._sealer.head) + self._sealer.finish()
            await self._put(self._builder.add(end))
        blocks = self._builder.finish()
        await self._put(blocks)
        link = blocks[-1].link()
        if self._key is not None:
            self._checked.is_whole(link.cid, self._key)
        return link

    async def _put(self, blocks: list[Block]) -> None:
        for block in blocks:
            await self._upload.put(block.cid, block.data)


async def _with_turns(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Pieces, letting others have the loop now and then."""
    pacer = Pacer()
    for piece in pieces:
        yield piece
        if pacer.due():
            await pacer.pause()
