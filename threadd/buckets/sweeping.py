"""Taking back the space of what no bucket reaches, and keeping what is known of buckets true to their instances."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from net.thread_id import ThreadID
from store import buckets as rows
from store.buckets import BucketRow
from store.engine import Engine, Transaction
from store.errors import ThreaddError
from store.file_blocks import FileBlocks, digest_of
from threadd.buckets import trees
from threadd.buckets.errors import InvalidNodeError
from threadd.buckets.instances import Instances
from threadd.buckets.model import Bucket
from threadd.buckets.unixfs import BlockSource

REST_SECONDS: Final = 30.0
"""How long a sweep waits after it is asked for, so that many changes share one."""

_REST_FACTOR: Final = 10

_AT_LEAST_SECONDS: Final = 3600.0
"""How often to sweep unasked: databases are also deleted by those who know nothing of buckets."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Sweeping:
    """Sweeps when it was asked to.

    Args:
        engine: The store.
        blocks: The blocks of files.
        instances: The buckets in their threads.
        rest: See `REST_SECONDS`.
    """

    engine: Engine
    blocks: FileBlocks
    instances: Instances
    rest: float = REST_SECONDS
    _asked: asyncio.Event = field(default_factory=asyncio.Event)
    _task: "asyncio.Task[None] | None" = None

    def start(self) -> None:
        """Begin to sweep, at first what a crash may have left."""
        self._asked.set()
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Sweep no more; a sweep that runs is given up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def wake(self) -> None:
        """Ask for a sweep."""
        self._asked.set()

    async def _run(self) -> None:
        rest = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AT_LEAST_SECONDS):
                    await self._asked.wait()
            await asyncio.sleep(rest)
            self._asked.clear()
            began = time.monotonic()
            try:
                await self.sweep()
            except ThreaddError as error:
                log.warning("a sweep of blocks was given up", reason=error.text)
            # A sweep looks at all buckets: where that takes long, it is done less often.
            rest = max(self.rest, _REST_FACTOR * (time.monotonic() - began))

    async def sweep(self) -> int:
        """Remove the blocks that no bucket reaches.

        Returns:
            How many blocks were removed.

        Raises:
            StoreError: The disk does not take it.
        """
        return await self.blocks.sweep(self._mark)

    async def _mark(self, reached: set[bytes]) -> None:
        known = dict(rows.list_buckets(self.engine))
        there = [
            (database.thread_id, bucket)
            for database in self.instances.databases.list_dbs()
            for bucket in self.instances.stored(database.thread_id)
        ]
        seen: set[str] = set()
        for thread, bucket in there:
            size = await self.blocks.read(partial(_mark_bucket, bucket=bucket, reached=reached))
            row = known.get(bucket.id)
            if row is not None and row.thread_id != thread.bytes:
                continue  # a name belongs to the thread that had it first
            seen.add(bucket.id)
            await self._keep(bucket, thread, row, size)
        transaction = Transaction()
        for key in known.keys() - seen:
            rows.delete_bucket(transaction, key)
        if transaction.puts:
            await asyncio.shield(self.engine.commit(transaction))

    async def _keep(self, bucket: Bucket, thread: ThreadID, known: BucketRow | None, size: int) -> None:
        """Keep how large a bucket is, unless somebody has said so meanwhile."""
        if rows.get_bucket(self.engine, bucket.id) != known:
            return
        kept = BucketRow(thread.bytes, bucket.owner, size, b"" if known is None else known.private_key)
        if kept != known:
            transaction = Transaction()
            rows.put_bucket(transaction, bucket.id, kept)
            await asyncio.shield(self.engine.commit(transaction))


def _mark_bucket(get: BlockSource, bucket: Bucket, reached: set[bytes]) -> int:
    """Add the digests of a bucket's blocks to a set; returns how many bytes they take."""
    size = 0
    try:
        link_key = bucket.link_key_bytes
    except InvalidNodeError:
        link_key = None  # nobody can read more of it than its root
    for cid, length in trees.walk(get, bucket.root, link_key):
        digest = digest_of(cid)
        if digest is not None:
            reached.add(digest)
            size += length
    return size
