"""The verbs on buckets (hub-protocol.md, section 5, "Calls")."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

import msgspec

from net.crypto import Randomness
from net.errors import ThreadNotFoundError
from net.thread_id import ThreadID
from store import buckets as rows
from store.buckets import BucketRow
from store.engine import Engine, Transaction
from store.file_blocks import FileBlocks
from threadd.buckets import paths as path_rules
from threadd.buckets import sealing, trees
from threadd.buckets.arrivals import Arrivals
from threadd.buckets.beginnings import Beginnings
from threadd.buckets.contents import Contents
from threadd.buckets.errors import (
    IncompleteRootError,
    InvalidPathError,
    LastBucketsError,
    NonFastForwardError,
    PathNotFoundError,
    SeedPathError,
    SourceIsRootError,
    StorageQuotaError,
)
from threadd.buckets.files import Checked
from threadd.buckets.instances import Actor, Instances
from threadd.buckets.items import Place, move_target
from threadd.buckets.links import Links, addresses
from threadd.buckets.model import (
    NO_ARCHIVES,
    SEED,
    VERSION,
    Bucket,
    Metadata,
    Role,
    check_roles,
    key_text,
    new_metadata,
    path_of,
)
from threadd.buckets.names import new_name
from threadd.buckets.pushes import Push
from threadd.buckets.registry import Registry
from threadd.buckets.resealing import Resealer, Spot
from threadd.buckets.roots import CompleteRoots
from threadd.buckets.sweeping import Sweeping
from threadd.buckets.trees import Tree
from threadd.db.errors import DatabaseNotFoundError


@dataclass(frozen=True, slots=True)
class Options:
    """What the daemon hands in.

    Args:
        gateway_url: Where links begin.
        domain: The domain under which each bucket is a website; empty for none.
        bytes_per_owner: How large the buckets of one owner may be together; 0 for any size.
    """

    gateway_url: str = ""
    domain: str = ""
    bytes_per_owner: int = 0


@dataclass(frozen=True, slots=True)
class Created:
    """A new bucket.

    Args:
        bucket: The bucket.
        links: Its addresses.
        seed: The random bytes that make it unique, in the clear.
        seed_cid: The CID of the block that holds them.
        pinned: How many bytes its blocks take.
    """

    bucket: Bucket
    links: Links
    seed: bytes
    seed_cid: bytes
    pinned: int


class Buckets:
    """All buckets.

    Args:
        engine: The store.
        blocks: The blocks of files.
        instances: The buckets in their threads.
        options: What the daemon hands in.
        randomness: Gives so many unpredictable bytes.
        clock: Nanoseconds since 1970.
    """

    def __init__(
        self,
        engine: Engine,
        blocks: FileBlocks,
        instances: Instances,
        options: Options,
        randomness: Randomness,
        clock: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._blocks = blocks
        self._instances = instances
        self._options = options
        self._randomness = randomness
        self._clock = clock
        self._checked = Checked()
        self.contents = Contents(blocks, self._checked)
        """What is in them."""
        self._beginnings = Beginnings(randomness, self._checked)
        self._locks: WeakValueDictionary[tuple[ThreadID, str], asyncio.Lock] = WeakValueDictionary()
        self.roots = CompleteRoots(engine, blocks, instances)
        """Which root of a bucket is served."""
        self._registry = Registry(engine, instances)
        self.sweeping = Sweeping(engine, blocks, self.roots)
        """Removes what no bucket reaches."""
        self.arrivals = Arrivals(engine, self._registry, self.roots, self.sweeping)
        """Takes notice of buckets that come, change and go."""
        instances.databases.observe(self.arrivals.take_notice)

    async def list_buckets(self, thread: ThreadID, actor: Actor) -> list[Bucket]:
        """The buckets of a thread at the roots that are served; see `Instances.list_buckets`."""
        found = await self._instances.list_buckets(thread, actor)
        return [await self.roots.served(thread, actor, bucket) for bucket in found]

    async def get(self, thread: ThreadID, actor: Actor, key: str) -> Bucket:
        """A bucket at the root that is served; see `Instances.get`."""
        return await self.roots.served(thread, actor, await self._instances.get(thread, actor, key))

    def thread_of(self, key: str) -> ThreadID | None:
        """The thread of a bucket, by its name in IPNS; None for a name that is not known here."""
        return self._registry.thread_of(key)

    async def find(self, key: str) -> tuple[ThreadID, Bucket] | None:
        """A bucket past its rules, at the root that is served, and its thread; None where there is none."""
        thread = self.thread_of(key)
        try:
            bucket = None if thread is None else self._instances.stored_bucket(thread, key)
        except (DatabaseNotFoundError, ThreadNotFoundError):
            return None
        if thread is None or bucket is None:
            return None
        return thread, await self.roots.served_to_operator(thread, bucket)

    def check_none(self, thread: ThreadID) -> None:
        """Refuse that a thread be deleted while there are buckets in it.

        Raises:
            LastBucketsError: There are.
        """
        try:
            buckets = self._instances.stored(thread)
        except (DatabaseNotFoundError, ThreadNotFoundError):
            return
        if buckets:
            raise LastBucketsError

    async def database_ends(self, _thread: ThreadID) -> None:
        """Take back the space of a database's buckets, soon after it has ended."""
        self.sweeping.wake()

    async def create(
        self, thread: ThreadID, actor: Actor, *, name: str = "", private: bool = False, bootstrap: str = ""
    ) -> Created:
        """Make a bucket.

        Args:
            thread: The thread that it is made in.
            actor: Who owns it.
            name: What people call it; need not be unique.
            private: Whether its content is encrypted.
            bootstrap: The CID of a node to begin with, whose blocks are here; empty for none.

        Raises:
            InvalidBucketCidError: The CID is none.
            BlockNotFoundError: A block of the node is not here.
            NotDirectoryError: The node is no directory.
            StorageQuotaError: The owner's buckets would become too large.
            StoreFullError: The disk is full.
            DatabaseNotFoundError, ThreadNotFoundError: There is no such database.
        """
        self._instances.databases.get(thread)
        node = path_rules.parse_cid(bootstrap, "invalid bootstrap cid") if bootstrap else None
        now = self._clock()
        link_key, file_key = (self._key(), self._key()) if private else (None, None)
        metadata = new_metadata(actor.owner, file_key, now)
        bucket = Bucket(
            id="",
            owner=actor.owner,
            name=name,
            version=VERSION,
            path="",
            metadata=metadata,
            archives=NO_ARCHIVES,
            created_at=now,
            updated_at=now,
            link_key="" if link_key is None else key_text(link_key),
        )
        key, private_key = await asyncio.to_thread(new_name)
        async with self._blocks.uploading() as upload:
            tree = await self._beginnings.tree(upload, node, link_key, bucket.paths())
            seed, seed_link = await self._beginnings.seed(upload, tree, file_key)
            root = tree.root()
            room = self._room(actor.owner)
            if room is not None and tree.grown > room:
                raise StorageQuotaError
            for block in tree.new_blocks():
                await upload.put(block.cid, block.data)
            await upload.sync()
            bucket = msgspec.structs.replace(bucket, id=key, path=path_of(root.cid))
            async with self.roots.saving(thread, key, root.cid):
                await self._instances.create(thread, actor, bucket)
            size = await asyncio.to_thread(trees.sum_of, upload.get, root, link_key)
            await self._keep_row(key, BucketRow(thread.bytes, actor.owner, size, private_key))
        return Created(
            bucket,
            self._addresses(thread, actor, bucket, ""),
            seed,
            seed_link.cid,
            size,
        )

    async def links(self, thread: ThreadID, actor: Actor, bucket: Bucket, path: str) -> Links:
        """The addresses of a bucket or of what is at a path in it.

        Raises:
            PathNotFoundError: There is nothing at the path, or it cannot be seen.
            InvalidPathError: The path cannot be one.
        """
        cleaned = path_rules.clean(path)
        if bucket.paths().find(cleaned) is None:
            raise PathNotFoundError(f"could not resolve path: {cleaned}")
        if cleaned:
            await self._blocks.read(lambda get: self.contents.place(bucket, get).find(cleaned))
        return self._addresses(thread, actor, bucket, cleaned)

    @asynccontextmanager
    async def pushing(
        self, thread: ThreadID, actor: Actor, key: str, root: str = "", *, mends: bool = False
    ) -> AsyncGenerator[Push, None]:
        """Change a bucket; nobody else does meanwhile.

        Args:
            thread: The bucket's thread.
            actor: On whose behalf.
            key: The bucket.
            root: The path of the root that the change is built on; empty for whatever it is.
            mends: Whether the change may make an incomplete root complete, as what removes or replaces things can; it
                is not saved otherwise.

        Raises:
            BucketNotFoundError: There is no such bucket.
            IncompleteRootError: Its newest root is not complete: it is not known what a change would be built on.
            NonFastForwardError: The bucket has another root by now.
        """
        async with self._lock(thread, key), self._blocks.uploading() as upload:
            bucket = await self._instances.get(thread, actor, key)
            standing = await self.roots.standing(thread, bucket)
            is_newest = root in {"", bucket.path}
            if standing.last is not None and not (mends and is_newest):
                raise IncompleteRootError.of(bucket.path, standing.missing_text)
            if not is_newest:
                raise NonFastForwardError
            push = Push(
                thread,
                actor,
                bucket,
                self._instances,
                self.roots,
                standing,
                upload,
                self._room(bucket.owner),
                self._randomness,
                self._checked,
                self._clock,
            )
            try:
                yield push
            finally:
                self.sweeping.wake()
                if push.saved_bytes:
                    await self._grow(key, thread, bucket.owner, push.saved_bytes)

    async def set_path(self, thread: ThreadID, actor: Actor, key: str, path: str, cid: str) -> int:
        """Put a node whose blocks are here at a path; at the root, its links take the place of all that is there.

        Returns:
            By how many bytes the bucket has grown.

        Raises:
            InvalidBucketCidError: The CID is none.
            BlockNotFoundError: A block of the node is not here.
            WriteDeniedError: The rules of the bucket refuse it.
            ThreaddError: As `Push.save`.
        """
        cleaned = path_rules.clean(path)
        if SEED in cleaned:
            raise SeedPathError
        node = path_rules.parse_cid(cid, "invalid remote cid")
        async with self.pushing(thread, actor, key, mends=True) as push:
            await push.verify([cleaned])
            push.paths.touch(cleaned, push.clock())
            link = await self._beginnings.adopt(push.upload, node)
            resealer = self._resealer(push)
            if resealer is not None:
                link = await resealer.copy(link, None, Spot(cleaned, push.paths))
            if cleaned:
                await push.put(cleaned, link)
            else:
                await push.become(Tree(push.upload.get, link, push.bucket.link_key_bytes, self._randomness))
                file_key = push.paths.file_key("") if push.bucket.is_private else None
                await self._beginnings.seed(push.upload, push.tree, file_key)
            await push.save()
            return push.grown

    async def move(self, thread: ThreadID, actor: Actor, key: str, source: str, target: str) -> None:
        """Move what is at a path; into the target, where that is a directory.

        Raises:
            SourceIsRootError: The source is the root.
            NotDirectoryError: A directory is moved onto a file.
            PathNotFoundError: There is nothing at the source.
            WriteDeniedError: The rules of the bucket refuse it.
            ThreaddError: As `Push.save`.
        """
        source, target = path_rules.clean_writable(source), path_rules.clean_writable(target)
        if not source:
            raise SourceIsRootError
        if source == target:
            return
        async with self.pushing(thread, actor, key) as push:
            place = self._place(push)
            found = place.find(source)
            final = move_target(place, found, source, target)
            if final == source:
                return
            old = push.bucket.paths()
            # What the rules are asked is what the hosted Hub asks them: the entry of the target as it was named.
            now = push.clock()
            push.paths.touch(target, now)
            push.paths.drop(source + "/")
            await self._instances.verify(thread, actor, push.bucket.changed(push.paths, now))
            link = found.link
            resealer = self._resealer(push)
            if resealer is not None:
                link = await resealer.copy(link, Spot(source, old), Spot(final, push.paths))
            await push.remove(source)
            await push.place(final, link)
            await push.save()

    async def remove(self, thread: ThreadID, actor: Actor, key: str) -> int:
        """Delete a bucket.

        Returns:
            By how many bytes the owner's buckets have grown: none, or less.

        Raises:
            BucketNotFoundError: There is no such bucket.
            WriteDeniedError: The actor does not own it.
        """
        async with self._lock(thread, key):
            await self._instances.get(thread, actor, key)
            await self._instances.delete(thread, actor, key)
            row = rows.get_bucket(self._engine, key)
            if row is not None and row.thread_id != thread.bytes:
                row = None  # another thread had a bucket of that key first
            if row is not None:
                transaction = Transaction()
                rows.delete_bucket(transaction, key)
                await asyncio.shield(self._engine.commit(transaction))
        self.sweeping.wake()
        return 0 if row is None else -row.size

    async def remove_path(
        self, thread: ThreadID, actor: Actor, key: str, path: str, root: str = ""
    ) -> tuple[Bucket, int]:
        """Delete what is at a path.

        Returns:
            The bucket, and by how many bytes it has grown.

        Raises:
            InvalidPathError: The path is the root.
            LinkNotFoundError, PathNotFoundError: There is nothing at the path.
            NonFastForwardError: The bucket has another root than the one given.
            WriteDeniedError: The rules of the bucket refuse it.
            ThreaddError: As `Push.save`.
        """
        cleaned = path_rules.clean_writable(path)
        if not cleaned:
            raise InvalidPathError("the root of a bucket cannot be removed: remove the bucket")
        async with self.pushing(thread, actor, key, root, mends=True) as push:
            push.paths.drop(cleaned)
            await self._instances.verify(thread, actor, push.bucket.changed(push.paths, push.clock()))
            if push.bucket.is_private:
                try:
                    self._place(push).find(cleaned)
                except PathNotFoundError as error:
                    raise PathNotFoundError(f"remove node failed: {error.text}") from error
            await push.remove(cleaned)
            return await push.save(), push.grown

    async def push_roles(self, thread: ThreadID, actor: Actor, key: str, path: str, roles: Mapping[str, int]) -> int:
        """Say who may do what with a path. In a private bucket it gets a key of its own, and is encrypted anew.

        Args:
            thread: The bucket's thread.
            actor: On whose behalf.
            key: The bucket.
            path: The path.
            roles: A `Role` by each public key, and `*` for anybody; 0 takes the role away.

        Returns:
            By how many bytes the bucket has grown.

        Raises:
            PathNotFoundError: There is nothing at the path.
            RoleKeyError: A role is for what is no public key.
            WriteDeniedError: The rules of the bucket refuse it.
            ThreaddError: As `Push.save`.
        """
        cleaned = path_rules.clean_writable(path)
        check_roles(roles)
        async with self.pushing(thread, actor, key) as push:
            found = self._place(push).find(cleaned)
            entry = push.paths.find(cleaned)
            if entry is None:
                raise PathNotFoundError(f"could not resolve path: {cleaned}")
            before = dict(entry[1].roles) if entry[0] == cleaned else {}
            after = {who: role for who, role in {**before, **roles}.items() if role != Role.NONE}
            if after == before:
                return 0
            old = push.bucket.paths()
            file_key = key_text(self._key()) if push.bucket.is_private else ""
            push.mark()
            push.paths.set(cleaned, Metadata(after, push.updated_at, file_key))
            await self._instances.verify(thread, actor, push.bucket.changed(push.paths, push.updated_at))
            resealer = self._resealer(push)
            if resealer is not None:
                link = await resealer.copy(found.link, Spot(cleaned, old), Spot(cleaned, push.paths))
                if cleaned:
                    await push.place(cleaned, link)
                else:
                    await push.become(Tree(push.upload.get, link, push.bucket.link_key_bytes, self._randomness))
            await push.save()
            return push.grown

    def _lock(self, thread: ThreadID, key: str) -> asyncio.Lock:
        return self._locks.setdefault((thread, key), asyncio.Lock())

    def _key(self) -> bytes:
        return self._randomness(sealing.KEY_BYTES)

    def _place(self, push: Push) -> Place:
        """Where the things in a bucket that is changed are looked up; errors are those of `Push.open`."""
        push.open()
        return self.contents.place(push.bucket, push.upload.get)

    def _resealer(self, push: Push) -> Resealer | None:
        link_key = push.bucket.link_key_bytes
        if link_key is None:
            return None
        return Resealer(push.upload, link_key, self._randomness, self._checked)

    def _addresses(self, thread: ThreadID, actor: Actor, bucket: Bucket, path: str) -> Links:
        return addresses(self._options.gateway_url, self._options.domain, thread, actor, bucket, path)

    def _room(self, owner: str) -> int | None:
        """How many bytes the buckets of an owner may grow by; None for any number."""
        limit = self._options.bytes_per_owner
        if not limit:
            return None
        return limit - sum(row.size for _, row in rows.list_buckets(self._engine) if row.owner == owner)

    async def _keep_row(self, key: str, row: BucketRow) -> None:
        transaction = Transaction()
        rows.put_bucket(transaction, key, row)
        await asyncio.shield(self._engine.commit(transaction))

    async def _grow(self, key: str, thread: ThreadID, owner: str, by: int) -> None:
        row = rows.get_bucket(self._engine, key) or BucketRow(thread.bytes, owner, 0)
        if row.thread_id == thread.bytes:  # and not of another thread that had a bucket of that key first
            await self._keep_row(key, BucketRow(row.thread_id, row.owner, row.size + by, row.private_key))
