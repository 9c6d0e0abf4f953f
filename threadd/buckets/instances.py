"""Buckets as instances of their threads' databases, read and written on somebody's behalf."""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from net.keys import PublicKey
from net.thread_id import ThreadID
from threadd.buckets import access
from threadd.buckets.errors import BucketNotFoundError, InvalidNodeError
from threadd.buckets.model import Bucket, brief_of, bucket_json, parse_bucket
from threadd.db.database import Database
from threadd.db.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    InstanceNotFoundError,
    SchemaViolationError,
)
from threadd.db.manager import Manager


@dataclass(frozen=True, slots=True)
class Actor:
    """On whose behalf something is done.

    Args:
        identity: Who reads and writes.
        named: Whether that is somebody; without a token it is the daemon itself, and what is made has no owner.
        token: The token for links to private content; empty for none.
    """

    identity: PublicKey
    named: bool = True
    token: str = ""

    @property
    def owner(self) -> str:
        """Text of the public key of whoever owns what is made; empty for none."""
        return self.identity.text if self.named else ""


_REMEMBERED: Final = 32


@dataclass(frozen=True, slots=True)
class _Seen:
    """A bucket as somebody sees it: the same for as long as the instance and the filter are."""

    stored: bytes
    read_filter: str
    bucket: Bucket


@dataclass(frozen=True, slots=True)
class Instances:
    """The instances.

    Args:
        databases: All databases.
    """

    databases: Manager
    _seen: dict[tuple[ThreadID, str, PublicKey], "_Seen"] = field(default_factory=dict)

    async def list_buckets(self, thread: ThreadID, actor: Actor) -> list[Bucket]:
        """The buckets of a thread, as the actor may see them.

        Raises:
            DatabaseNotFoundError, ThreadNotFoundError: There is no such database.
        """
        database = self.databases.get(thread)
        try:
            texts = await database.find(access.COLLECTION, b"{}", actor.identity)
        except CollectionNotFoundError:
            return []
        return [parse_bucket(text) for text in texts]

    async def get(self, thread: ThreadID, actor: Actor, key: str) -> Bucket:
        """A bucket, as the actor may see it.

        Raises:
            BucketNotFoundError: There is no such bucket.
            DatabaseNotFoundError, ThreadNotFoundError: There is no such database.
        """
        database = self.databases.get(thread)
        seen_as = (thread, key, actor.identity)
        try:
            config = database.collection(access.COLLECTION)
            stored = database.stored_instance(access.COLLECTION, key)
            seen = self._seen.get(seen_as)
            if seen is not None and (seen.stored, seen.read_filter) == (stored, config.read_filter):
                return seen.bucket
            bucket = parse_bucket(await database.find_by_id(access.COLLECTION, key, actor.identity))
            unchanged = stored is not None and database.stored_instance(access.COLLECTION, key) == stored
        except (CollectionNotFoundError, InstanceNotFoundError) as error:
            raise BucketNotFoundError.of(key) from error
        if unchanged and stored is not None:
            if len(self._seen) >= _REMEMBERED:
                self._seen.pop(next(iter(self._seen)), None)
            self._seen[seen_as] = _Seen(stored, config.read_filter, bucket)
        return bucket

    async def create(self, thread: ThreadID, actor: Actor, bucket: Bucket) -> None:
        """Add a bucket; the collection is made with the first.

        Raises:
            DatabaseNotFoundError, ThreadNotFoundError: There is no such database.
            WriteDeniedError: The rules of the collection refuse it.
        """
        database = self.databases.get(thread)
        texts = [bucket_json(bucket)]

        async def write() -> None:
            await database.create(access.COLLECTION, texts, actor.identity)

        try:
            await _with_schema(database, write)
        except CollectionNotFoundError:
            with contextlib.suppress(CollectionExistsError):  # another call may be faster
                await database.new_collection(access.CONFIG)
            await write()

    async def verify(self, thread: ThreadID, actor: Actor, bucket: Bucket) -> None:
        """Ask the rules of the collection whether a bucket could be saved.

        Raises:
            WriteDeniedError: They refuse it.
        """
        database = self.databases.get(thread)
        texts = [bucket_json(bucket)]
        await _with_schema(database, lambda: database.verify(access.COLLECTION, texts, actor.identity))

    async def save(self, thread: ThreadID, actor: Actor, bucket: Bucket) -> None:
        """Save a bucket; what the actor cannot see of it stays.

        Raises:
            WriteDeniedError: The rules of the collection refuse it.
            StoreFullError: The disk is full; nothing was saved.
        """
        database = self.databases.get(thread)
        texts = [bucket_json(bucket)]
        await _with_schema(database, lambda: database.save(access.COLLECTION, texts, actor.identity))

    async def delete(self, thread: ThreadID, actor: Actor, key: str) -> None:
        """Delete a bucket's instance.

        Raises:
            WriteDeniedError: The rules of the collection refuse it.
        """
        await self.databases.get(thread).delete(access.COLLECTION, [key], actor.identity)

    async def shown(self, thread: ThreadID, actor: Actor, document: bytes) -> bytes | None:
        """What of a document of a bucket the actor may see, or None; it need not be the newest one.

        Raises:
            ScriptError: The read filter fails.
        """
        try:
            return await self.databases.get(thread).shown(access.COLLECTION, document, actor.identity)
        except CollectionNotFoundError:
            return None

    def stored_bucket(self, thread: ThreadID, key: str) -> Bucket | None:
        """A bucket past the collection's filter; None where there is no such document, or one of another kind.

        Raises:
            DatabaseNotFoundError, ThreadNotFoundError: There is no such database.
        """
        text = self._stored_text(thread, key)
        try:
            return None if text is None else parse_bucket(text)
        except InvalidNodeError:
            return None

    def stored_path(self, thread: ThreadID, key: str) -> str:
        """The path of the root of a bucket as it is kept now; empty where there is none.

        Raises:
            DatabaseNotFoundError, ThreadNotFoundError: There is no such database.
        """
        text = self._stored_text(thread, key)
        return "" if text is None else brief_of(text).path

    def _stored_text(self, thread: ThreadID, key: str) -> bytes | None:
        try:
            return self.databases.get(thread).stored_instance(access.COLLECTION, key)
        except CollectionNotFoundError:
            return None

    def stored(self, thread: ThreadID) -> list[Bucket]:
        """The buckets of a thread with all that is kept of them, past the collection's filter.

        What is no bucket is passed over: somebody may have a collection of that name for something else.

        Raises:
            DatabaseNotFoundError, ThreadNotFoundError: There is no such database.
        """
        found: list[Bucket] = []
        try:
            for text in self.databases.get(thread).stored(access.COLLECTION):
                with contextlib.suppress(InvalidNodeError):
                    bucket = parse_bucket(text)
                    if bucket.root:
                        found.append(bucket)
        except CollectionNotFoundError:
            return []
        return found


async def _with_schema(database: Database, write: Callable[[], Awaitable[None]]) -> None:
    """Write; where an older schema refuses it, the collection gets this one first."""
    try:
        await write()
    except SchemaViolationError:
        if database.collection(access.COLLECTION) == access.CONFIG:
            raise
        await database.update_collection(access.CONFIG)
        await write()
