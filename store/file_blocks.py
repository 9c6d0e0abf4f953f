"""The blocks of files, by their CIDs, in an environment of their own.

Blocks are written in transactions of bounded size and are on disk before a bucket names them. What no bucket reaches is
swept away. Each block knows the epoch in which it was last written or built upon; each sweep begins a new epoch, and an
upload holds the one that it began in. A sweep leaves alone what was used in the epoch of any upload that still ran when
the sweep began, or later: so it never takes a block that an upload relies on. Nor does it take what a check has found
while it ran: see `FileBlocks.check`.
"""

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from store import failpoints, tables
from store.engine import Engine, Reader, Snapshot, Transaction
from store.errors import ConflictError, StoreError
from store.failpoints import Failpoint
from store.long_reads import LongReads, Steps

T = TypeVar("T")

BATCH_BYTES: Final = 4 << 20
"""How much is gathered before it is written; two batches at most are in memory for an upload."""

MAX_BLOCK_BYTES: Final = 1 << 32
"""No value of a store is larger."""

_SLICE: Final = 512
_DIGEST_BYTES: Final = 32
_SHA2_256: Final = b"\x12\x20"
_EPOCH = struct.Struct(">Q")


def digest_of(cid: bytes) -> bytes | None:
    """The SHA2-256 digest in a CID, or None for one of another hash: no such block is kept."""
    if len(cid) < _DIGEST_BYTES + len(_SHA2_256) or cid[-_DIGEST_BYTES - 2 : -_DIGEST_BYTES] != _SHA2_256:
        return None
    return cid[-_DIGEST_BYTES:]


def get_block(reader: Reader, cid: bytes) -> bytes | None:
    """The bytes of a block, or None where it is not here.

    Args:
        reader: A state of the blocks.
        cid: Its CID, of either version.
    """
    digest = digest_of(cid)
    return None if digest is None else reader.get(tables.file_block(digest))


@dataclass(frozen=True, slots=True)
class BlockState:
    """One state of the blocks.

    Args:
        reader: A state of the environment that they are kept in.
    """

    reader: Reader

    def get(self, cid: bytes) -> bytes | None:
        """See `get_block`."""
        return get_block(self.reader, cid)

    def has(self, cid: bytes) -> bool:
        """Whether a block is here; its bytes are not read."""
        digest = digest_of(cid)
        return digest is not None and self.reader.get(tables.file_block_use(digest)) is not None


@dataclass(slots=True)
class _Reached:
    """The digests that a sweep leaves alone."""

    sets: list[set[bytes]]

    def __contains__(self, digest: bytes) -> bool:
        return any(digest in each for each in self.sets)

    def add(self, digests: set[bytes]) -> None:
        """Leave these alone, too."""
        if not any(digests is each for each in self.sets):
            self.sets.append(digests)


class FileBlocks:
    """The blocks.

    Args:
        engine: The environment that they are kept in.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        kept = engine.get(tables.FILE_BLOCK_EPOCH)
        self._epoch = _EPOCH.unpack(kept)[0] if kept else 0
        self._uploads: Counter[int] = Counter()
        self._sweeps: list[_Reached] = []
        self._checks: list[set[bytes]] = []
        self._removing: set[bytes] = set()
        self._long_reads = LongReads(engine)
        self._listings = LongReads(engine)

    def get(self, cid: bytes) -> bytes | None:
        """See `get_block`."""
        return get_block(self._engine, cid)

    def has(self, cid: bytes) -> bool:
        """See `BlockState.has`."""
        return BlockState(self._engine).has(cid)

    async def read(self, function: Callable[[Callable[[bytes], bytes | None]], T]) -> T:
        """Run a function away from the event loop, with what gives it blocks by their CIDs, all of one state."""
        return await self._engine.read(lambda state: function(partial(get_block, state)))

    async def read_long(self, begin: Callable[[Callable[[bytes], bytes | None]], Steps[T]]) -> T:
        """As `read`, in slices that take turns with those of other such reads; each is of the latest state."""
        return await self._listings.run(lambda state: begin(partial(get_block, state)))

    async def check(
        self, begin: Callable[[BlockState, set[bytes]], Steps[T]], found: Callable[[], set[bytes]] = set
    ) -> tuple[T, set[bytes]]:
        """Look for blocks in slices, away from the event loop; sweeps that run then leave what was found.

        Where a sweep removed one of them meanwhile, it is begun again on the state after it.

        Args:
            begin: Begins it, given the blocks as they are in each slice, and a set for the digests of those that it
                finds.
            found: Makes that set; a sweep that looks for what is in use gives its own.

        Returns:
            What it returned, and the set.
        """
        while True:
            digests, removed = found(), set(self._removing)
            self._checks.append(removed)
            try:
                result = await self._long_reads.run(lambda state: begin(BlockState(state), digests))  # noqa: B023
            finally:
                self._checks = [each for each in self._checks if each is not removed]
            if removed.isdisjoint(digests):
                for sweep in self._sweeps:
                    sweep.add(digests)
                return result, digests

    async def open(self) -> None:
        """Begin a new epoch, so that what uploads left that a crash ended can be swept; call it once, first.

        Raises:
            StoreError: The disk does not take it.
        """
        await self._next_epoch()

    @asynccontextmanager
    async def uploading(self) -> AsyncGenerator["Upload", None]:
        """Write blocks that no sweep takes for as long as the body runs.

        Yields:
            Takes the blocks; `Upload.sync` is to be awaited before anything names them.
        """
        epoch = self._epoch
        self._uploads[epoch] += 1
        upload = Upload(self, epoch)
        try:
            yield upload
        finally:
            await upload.stop()
            self._uploads[epoch] -= 1
            if not self._uploads[epoch]:
                del self._uploads[epoch]

    async def sweep(
        self,
        mark: Callable[[set[bytes]], Awaitable[None]],
        mark_new: Callable[[set[bytes]], Awaitable[None]] | None = None,
    ) -> int:
        """Remove the blocks that are not in use.

        Args:
            mark: Is awaited to add the digest of every block in use to a set.
            mark_new: Is awaited before each removal to add those that have come into use since, other than by an
                upload.

        Returns:
            How many blocks were removed.

        Raises:
            StoreError: The disk does not take it; what was removed so far stays removed.
        """
        await self._next_epoch()
        limit = min([self._epoch, *self._uploads])
        reached: set[bytes] = set()
        leaves = _Reached([reached])
        self._sweeps.append(leaves)
        try:
            await mark(reached)
            removed, position = 0, b""
            while True:
                look = partial(_unused, first=position, limit=limit, reached=leaves)
                found, position = await self._engine.read(look)
                removed += await self._remove(found, leaves, partial(mark_new, reached) if mark_new else None)
                if not position:
                    return removed
        finally:
            self._sweeps = [each for each in self._sweeps if each is not leaves]

    async def _next_epoch(self) -> None:
        self._epoch += 1
        transaction = Transaction()
        transaction.put(tables.FILE_BLOCK_EPOCH, _EPOCH.pack(self._epoch))
        await asyncio.shield(self._engine.commit(transaction))

    async def _remove(
        self, found: list[tuple[bytes, bytes]], leaves: _Reached, mark_new: Callable[[], Awaitable[None]] | None
    ) -> int:
        """Remove blocks unless they were used meanwhile."""
        if found and mark_new is not None:
            await mark_new()
        # From here to the submission nothing is awaited.
        found = [each for each in found if each[0] not in leaves]
        if not found:
            return 0
        transaction = Transaction()
        for digest, use in found:
            transaction.require(tables.file_block_use(digest), use)
            transaction.delete(tables.file_block_use(digest))
            transaction.delete(tables.file_block(digest))
        digests = {digest for digest, _ in found}
        for check in self._checks:
            check.update(digests)
        self._removing |= digests
        try:
            await asyncio.shield(self._engine.commit(transaction))
        except ConflictError:
            if len(found) == 1:
                return 0
            return sum([await self._remove([one], leaves, mark_new) for one in found])
        finally:
            self._removing -= digests
        return len(found)

    async def write(self, blocks: dict[bytes, bytes], epoch: int) -> None:
        """Keep blocks, and say that they are used; for `Upload`.

        Args:
            blocks: Their bytes by their digests.
            epoch: The epoch that the upload holds.

        Raises:
            StoreFullError: The disk is full; none of them was written.
            StoreError: The disk failed.
        """
        now = _EPOCH.pack(self._epoch)
        transaction = Transaction()
        for digest, block in blocks.items():
            use = self._engine.get(tables.file_block_use(digest))
            if use is None:
                transaction.put(tables.file_block(digest), block)
            elif _EPOCH.unpack(use)[0] >= epoch:
                continue
            else:
                transaction.require(tables.file_block_use(digest), use)
            transaction.put(tables.file_block_use(digest), now)
        try:
            await asyncio.shield(self._engine.commit(transaction))
        except ConflictError:
            # A sweep took one of those that were here.
            whole = Transaction()
            for digest, block in blocks.items():
                whole.put(tables.file_block(digest), block)
                whole.put(tables.file_block_use(digest), now)
            await asyncio.shield(self._engine.commit(whole))


def _unused(state: Snapshot, first: bytes, limit: int, reached: _Reached) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Digests and epochs of unused blocks from a digest on, and where to go on; empty at the end."""
    found: list[tuple[bytes, bytes]] = []
    for seen, (key, use) in enumerate(state.scan(*tables.file_block_uses(first))):
        digest = tables.digest_of(key)
        if seen == _SLICE:
            return found, digest
        if _EPOCH.unpack(use)[0] < limit and digest not in reached:
            found.append((digest, use))
    return found, b""


@dataclass(slots=True)
class Upload:
    """Blocks on their way to the disk; they can be read from the first moment on.

    Args:
        blocks: Where they go.
        epoch: The epoch that the upload holds.
    """

    blocks: FileBlocks
    epoch: int
    _gathered: dict[bytes, bytes] = field(default_factory=dict)
    _gathered_bytes: int = 0
    _writing: dict[bytes, bytes] = field(default_factory=dict)
    _task: "asyncio.Task[None] | None" = None

    def get(self, cid: bytes) -> bytes | None:
        """The bytes of a block that was put or was here before, or None."""
        digest = digest_of(cid)
        if digest is None:
            return None
        for pending in (self._gathered, self._writing):
            if digest in pending:
                return pending[digest]
        return self.blocks.get(cid)

    async def put(self, cid: bytes, block: bytes) -> None:
        """Take a block; waits while two batches are on their way.

        Args:
            cid: Its CID, with a SHA2-256 digest.
            block: Its bytes.

        Raises:
            StoreFullError: The disk is full.
            StoreError: The disk failed.
        """
        digest = digest_of(cid)
        if digest is None:
            raise StoreError("a block is named by another hash than SHA2-256")
        if digest not in self._gathered:
            self._gathered[digest] = block
            self._gathered_bytes += len(block)
        if self._gathered_bytes >= BATCH_BYTES:
            await self._settle()
            self._begin()

    async def sync(self) -> None:
        """Wait until all that was put is on disk.

        Raises:
            StoreFullError: The disk is full.
            StoreError: The disk failed.
        """
        await self._settle()
        if self._gathered:
            self._begin()
            await self._settle()
        failpoints.hit(Failpoint.BLOCKS_SYNCED)

    async def stop(self) -> None:
        """Wait for what is being written, whatever comes of it; the rest is dropped."""
        self._gathered.clear()
        if self._task is not None:
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.exception()
            self._task = None

    def _begin(self) -> None:
        self._writing, self._gathered, self._gathered_bytes = self._gathered, {}, 0
        self._task = asyncio.ensure_future(self.blocks.write(self._writing, self.epoch))

    async def _settle(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                self._task = task
                raise
            self._writing = {}
