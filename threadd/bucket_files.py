"""Carries out what an operator asks about buckets; see `threadd.operator`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, Final

from net import cid as cids
from net.keys import PublicKey
from net.thread_id import ThreadID
from store import buckets as rows
from store.engine import Engine
from store.errors import StatusCode, ThreaddError
from store.file_blocks import FileBlocks, Upload
from threadd.bucket_verbs import (
    BucketRequest,
    BucketResult,
    BucketSummary,
    ExportBucket,
    ImportBucket,
    ListBuckets,
    MovedBucket,
    MovedFile,
    PullFile,
    PushFile,
)
from threadd.buckets import car, paths, trees
from threadd.buckets.buckets import Buckets
from threadd.buckets.instances import Actor, Instances
from threadd.buckets.model import Bucket
from threadd.buckets.unixfs import BlockSource
from threadd.hub.accounts import Accounts

_PIECE_BYTES: Final = 1 << 18


class BucketFileError(ThreaddError):
    """A file or a bucket is not what it has to be."""

    code = StatusCode.FAILED_PRECONDITION


class BucketFiles:
    """Buckets as files.

    Args:
        engine: The store.
        blocks: The blocks of files.
        instances: The buckets in their threads.
        buckets: All buckets.
        accounts: All accounts; what is imported belongs to the built-in one.
    """

    def __init__(
        self, engine: Engine, blocks: FileBlocks, instances: Instances, buckets: Buckets, accounts: Accounts
    ) -> None:
        self._engine = engine
        self._blocks = blocks
        self._instances = instances
        self._buckets = buckets
        self._accounts = accounts

    async def handle(self, request: BucketRequest) -> BucketResult:
        """Carry out a request.

        Raises:
            ThreaddError: It was refused.
        """
        match request:
            case ListBuckets():
                return await self.list_buckets()
            case ExportBucket():
                return await self.export(request.key, Path(request.file))
            case ImportBucket():
                thread = ThreadID.from_text(request.thread)
                return await self.bring_in(Path(request.file), thread, request.name, private=request.private)
            case PushFile():
                return await self.push(request.key, request.path, Path(request.file))
            case PullFile():
                return await self.pull(request.key, request.path, Path(request.file))

    async def list_buckets(self) -> list[BucketSummary]:
        """List all buckets at the roots that are served; see `ListBuckets`."""
        return [
            self._summary(database.thread_id, await self._buckets.roots.served_to_operator(database.thread_id, bucket))
            for database in self._instances.databases.list_dbs()
            for bucket in self._instances.stored(database.thread_id)
        ]

    async def export(self, key: str, file: Path) -> MovedBucket:
        """Write a bucket to a file; see `ExportBucket`.

        Raises:
            BucketFileError: There is no such bucket, it is private, or the file cannot be written.
            BlockNotFoundError: A block is not here.
        """
        _, bucket = await self._find(key)
        if bucket.is_private:
            raise BucketFileError(
                "the bucket is private: its blocks are of no use elsewhere; pull it with buck instead"
            )
        try:
            with await asyncio.to_thread(file.open, "xb") as target:
                try:
                    count = await self._blocks.read(lambda get: _write(get, bucket.root, target))
                except BaseException:
                    await asyncio.to_thread(file.unlink)
                    raise
        except OSError as error:
            raise BucketFileError(f"cannot write {file}: {error.strerror}") from error
        return MovedBucket(key, bucket.path, count)

    async def bring_in(self, file: Path, thread: ThreadID, name: str, *, private: bool) -> MovedBucket:
        """Make a bucket of a file; see `ImportBucket`.

        Raises:
            CarError: The file is no CAR file, or damaged.
            BucketFileError: It cannot be read.
            ThreaddError: As `Buckets.create`.
        """
        actor = self._actor()
        try:
            with await asyncio.to_thread(file.open, "rb") as source:
                root = car.read_root(source)
                async with self._blocks.uploading() as upload:
                    count = await _take(source, upload)
                    made = await self._buckets.create(
                        thread, actor, name=name, private=private, bootstrap=cids.text(root)
                    )
        except OSError as error:
            raise BucketFileError(f"cannot read {file}: {error.strerror}") from error
        finally:
            self._buckets.sweeping.wake()
        return MovedBucket(made.bucket.id, made.bucket.path, count)

    async def push(self, key: str, path: str, file: Path) -> MovedFile:
        """Put a file into a bucket; see `PushFile`.

        Raises:
            BucketFileError: There is no such bucket, or the file cannot be read.
            InvalidPathError: The path cannot be one.
            ThreaddError: As `Push.save`.
        """
        try:
            with await asyncio.to_thread(file.open, "rb") as source:
                async with aclosing(_pieces(source)) as pieces:
                    return await self.take(key, path, pieces)
        except OSError as error:
            raise BucketFileError(f"cannot read {file}: {error.strerror}") from error

    async def take(self, key: str, path: str, pieces: AsyncIterator[bytes]) -> MovedFile:
        """Put what comes in pieces into a bucket, as a file.

        Args:
            key: The bucket.
            path: Where in it.
            pieces: The bytes of the file.

        Raises:
            BucketFileError: There is no such bucket.
            InvalidPathError: The path cannot be one.
            ThreaddError: As `Push.save`.
        """
        thread, _ = await self._find(key)
        target = paths.clean_writable(path)
        size = 0
        async with self._buckets.pushing(thread, self._actor(), key) as push:
            pushed = await push.begin(target)
            async for piece in pieces:
                size += len(piece)
                await pushed.add(piece)
            await push.finish(pushed)
            bucket = await push.save()
        return MovedFile(key, target, size, bucket.path)

    async def pull(self, key: str, path: str, file: Path) -> MovedFile:
        """Write a file of a bucket to this machine; see `PullFile`.

        Raises:
            BucketFileError: There is no such bucket, or the file cannot be written.
            PathNotFoundError, IsDirectoryError: There is no file at the path.
            ThreaddError: As `Contents.file`.
        """
        _, bucket = await self._find(key)
        found = await self._buckets.contents.file(bucket, path)
        size = 0
        try:
            with await asyncio.to_thread(file.open, "xb") as target:
                try:
                    async for piece in found.read():
                        size += await asyncio.to_thread(target.write, piece)
                except BaseException:
                    await asyncio.to_thread(file.unlink)
                    raise
        except OSError as error:
            raise BucketFileError(f"cannot write {file}: {error.strerror}") from error
        return MovedFile(key, paths.clean(path), size, bucket.path)

    def _actor(self) -> Actor:
        return Actor(PublicKey.from_bytes(self._accounts.local().public_key))

    async def _find(self, key: str) -> tuple[ThreadID, Bucket]:
        found = await self._buckets.find(key)
        if found is None:
            raise BucketFileError(f"there is no bucket '{key}'; threadd buckets ls shows those that there are")
        return found

    def _summary(self, thread: ThreadID, bucket: Bucket) -> BucketSummary:
        row = rows.get_bucket(self._engine, bucket.id)
        size = 0 if row is None else row.size
        return BucketSummary(bucket.id, bucket.name, thread.text, bucket.owner, bucket.is_private, bucket.path, size)


def _write(get: BlockSource, root: bytes, target: BinaryIO) -> int:
    target.write(car.header(root))
    count = 0
    for cid, block in trees.walk_whole(get, root):
        target.write(car.part(cid, block))
        count += 1
    return count


async def _pieces(source: BinaryIO) -> AsyncGenerator[bytes, None]:
    while piece := await asyncio.to_thread(source.read, _PIECE_BYTES):
        yield piece


async def _take(source: BinaryIO, upload: Upload) -> int:
    """Take all blocks of a file; returns how many there are."""
    blocks = car.read_blocks(source)
    count = 0
    while (found := await asyncio.to_thread(next, blocks, None)) is not None:
        await upload.put(*found)
        count += 1
    await upload.sync()
    return count
