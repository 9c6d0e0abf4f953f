"""In which thread each bucket is, by its key: kept from the moment on that its document comes, from wherever."""

import asyncio
from dataclasses import dataclass, field

import structlog

from net.errors import ThreadNotFoundError
from net.thread_id import ThreadID
from store import buckets as rows
from store import tables
from store.buckets import BucketRow
from store.engine import Engine, Transaction
from store.errors import ConflictError
from threadd.buckets.instances import Instances
from threadd.db.errors import DatabaseNotFoundError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Registry:
    """The threads of all buckets.

    Args:
        engine: The store.
        instances: The buckets in their threads.
    """

    engine: Engine
    instances: Instances
    _coming: dict[str, ThreadID] = field(default_factory=dict)

    def thread_of(self, key: str) -> ThreadID | None:
        """The thread of a bucket; None for a key that is not known here."""
        coming, row = self._coming.get(key), rows.get_bucket(self.engine, key)
        return ThreadID(row.thread_id) if coming is None and row is not None else coming

    def learn(self, thread: ThreadID, key: str, owner: str) -> None:
        """Take notice of a bucket; a key belongs to the thread that had it first, for as long as it has it.

        Args:
            thread: The thread of its document.
            key: The bucket.
            owner: Text of the owner's public key; empty for none.
        """
        known = self.thread_of(key)
        if known is not None and (known == thread or self._has(known, key)):
            return
        self._coming[key] = thread
        transaction = Transaction()
        transaction.require(tables.bucket(key), self.engine.get(tables.bucket(key)))
        rows.put_bucket(transaction, key, BucketRow(thread.bytes, owner, 0))
        self.engine.commit(transaction).add_done_callback(lambda done: self._learnt(key, done))

    def _has(self, thread: ThreadID, key: str) -> bool:
        try:
            return bool(self.instances.stored_path(thread, key))
        except (DatabaseNotFoundError, ThreadNotFoundError):
            return False

    def _learnt(self, key: str, done: "asyncio.Future[None]") -> None:
        self._coming.pop(key, None)
        error = done.exception()
        if error is not None and not isinstance(error, ConflictError):
            log.warning("the thread of a bucket is kept with the next sweep", bucket=key, reason=str(error))
