"""An upload into one bucket: its files, the root that it has after each, and one save at the end."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from net.crypto import Randomness
from net.thread_id import ThreadID
from store.file_blocks import Upload
from threadd.buckets import access, trees
from threadd.buckets.dag import Link
from threadd.buckets.errors import (
    BlockNotFoundError,
    IncompleteRootError,
    InvalidPathError,
    NonFastForwardError,
    NotDirectoryError,
    StorageQuotaError,
    VerificationError,
)
from threadd.buckets.files import Checked, Writer
from threadd.buckets.instances import Actor, Instances
from threadd.buckets.model import Bucket, Paths, encoded, split
from threadd.buckets.roots import CompleteRoots, Standing
from threadd.buckets.trees import Tree
from threadd.db.errors import WriteDeniedError

T = TypeVar("T")


@dataclass(slots=True)
class PushedFile:
    """A file that is being uploaded.

    Args:
        path: Where it goes.
        writer: Takes its bytes.
        check: Raises where the owner's buckets would become too large.
    """

    path: str
    writer: Writer
    check: Callable[[], None]

    async def add(self, data: bytes) -> None:
        """Take bytes of the file.

        Raises:
            StorageQuotaError: The owner's buckets would become too large.
            StoreFullError: The disk is full.
        """
        await self.writer.add(data)
        self.check()


@dataclass(slots=True)
class Push:
    """The upload.

    Args:
        thread: The bucket's thread.
        actor: On whose behalf.
        bucket: The bucket as it was.
        instances: Where it is saved.
        roots: Keeps which roots are complete.
        standing: How much of the root is here that the upload is built on.
        upload: Where blocks go.
        room: How many bytes it may grow by; None for any number.
        randomness: Gives IVs.
        checked: Remembers which files are whole.
        clock: Nanoseconds since 1970.
    """

    thread: ThreadID
    actor: Actor
    bucket: Bucket
    instances: Instances
    roots: CompleteRoots
    standing: Standing
    upload: Upload
    room: int | None
    randomness: Randomness
    checked: Checked
    clock: Callable[[], int]
    paths: Paths = field(init=False)
    updated_at: int = 0
    saved_bytes: int = 0
    _base: str = field(init=False)
    _tree: Tree | None = None
    _carried: int = 0
    _verified: set[str] = field(default_factory=set)
    _open: dict[str, PushedFile] = field(default_factory=dict)
    _saved: bool = True

    def __post_init__(self) -> None:
        self.paths = self.bucket.paths()
        self._base = self.bucket.path

    def open(self) -> Tree:
        """Open its directories; not before, so that the rules speak first.

        Raises:
            WriteDeniedError: They are sealed with a key that the rules hide from the actor.
            IncompleteRootError: The root is not here, and none was ever complete.
            BlockNotFoundError, InvalidNodeError, SealError: As `trees.open_directory`.
        """
        if self._tree is None:
            try:
                root, link_key = trees.link_to(self.upload.get, self.bucket.root), self.bucket.link_key_bytes
                self._tree = Tree(self.upload.get, root, link_key, self.randomness)
            except BlockNotFoundError as error:
                if self.standing.missing is None:
                    raise
                missing = self.standing.missing_text
                raise IncompleteRootError.of(self.bucket.path, missing, is_served=False) from error
            except NotDirectoryError as error:
                if self.bucket.metadata:
                    raise
                # What is sealed looks like a file to whoever is shown no path of the bucket, and so no key.
                raise WriteDeniedError(f"{WriteDeniedError.default_text}: {access.DENIED}") from error
        return self._tree

    @property
    def tree(self) -> Tree:
        """Its directories; errors are those of `open`."""
        return self.open()

    @property
    def has_changes(self) -> bool:
        """Whether there is something to save."""
        return not self._saved

    async def verify(self, paths: Sequence[str]) -> None:
        """Ask the rules of the bucket whether paths may be written.

        Raises:
            WriteDeniedError: They refuse it.
        """
        now = self.clock()
        candidate = self.bucket.paths()
        for path in paths:
            candidate.touch(path, now)
        await self.instances.verify(self.thread, self.actor, self.bucket.changed(candidate, now))
        self._verified.update(paths)

    async def verify_announced(self, paths: Sequence[str]) -> None:
        """As `verify`, for paths that a client names before it sends their files.

        Raises:
            VerificationError: The rules refuse it.
        """
        try:
            await self.verify(paths)
        except WriteDeniedError as error:
            raise VerificationError(f"verifying bucket update: {error.text}") from error

    async def begin(self, path: str) -> PushedFile:
        """Begin a file.

        Args:
            path: Its cleaned path.

        Raises:
            InvalidPathError: It is the root.
            WriteDeniedError: The rules of the bucket refuse it.
            PathNotFoundError: The actor has no key for it.
        """
        if not path:
            raise InvalidPathError("a file cannot take the place of the root of a bucket: name a path")
        if path not in self._verified:
            await self.verify([path])
        writer = Writer(self.upload, self.paths.file_key(path), self.randomness, self.checked)
        made = PushedFile(path, writer, self._check_room)
        self._open[path] = made
        return made

    async def finish(self, file: PushedFile) -> Link:
        """End a file, and put it in its place.

        Returns:
            A link to it.

        Raises:
            NotDirectoryError: A part of its path is a file.
            StorageQuotaError: The owner's buckets would become too large.
            StoreFullError: The disk is full.
        """
        link = await file.writer.finish()
        self._check_room()
        self._open.pop(file.path, None)
        await self.put(file.path, link)
        return link

    def abandon(self) -> None:
        """Forget the files that were not ended."""
        self._open.clear()

    async def put(self, path: str, link: Link) -> None:
        """Put something in a place, where it is new.

        Raises:
            NotDirectoryError: A part of the path is a file.
        """
        await self.place(path, link)
        self.paths.touch(path, self.updated_at)

    async def place(self, path: str, link: Link) -> None:
        """Put something in a place; metadata stays.

        Raises:
            NotDirectoryError: A part of the path is a file.
        """
        tree, names = self.open(), encoded(split(path))
        await self._apart(lambda: tree.put(names, link))
        self.mark()

    async def remove(self, path: str) -> None:
        """Remove what is in a place; metadata stays.

        Raises:
            LinkNotFoundError: There is nothing.
        """
        tree, names = self.open(), encoded(split(path))
        await self._apart(lambda: tree.remove(names))
        self.mark()

    async def become(self, tree: Tree) -> None:
        """Take another tree in the place of the whole."""
        link_key = self.bucket.link_key_bytes

        def size() -> int:
            return trees.sum_of(self.upload.get, tree.root(), link_key) - self._size_before(link_key)

        self._carried = await self._apart(size)
        self._tree = tree
        self.mark()

    async def _apart(self, function: Callable[[], T]) -> T:
        """Run what counts sizes: of private directories, for which all below are opened, away from the event loop."""
        return await asyncio.to_thread(function) if self.bucket.is_private else function()

    def _size_before(self, link_key: bytes | None) -> int:
        last = self.standing.last
        root = self.bucket.root if last is None else last.root
        try:
            return trees.sum_of(self.upload.get, trees.link_to(self.upload.get, root), link_key)
        except BlockNotFoundError:
            return 0  # a bucket that was never complete here; the next sweep counts it

    def mark(self) -> None:
        """Say that the bucket has changed."""
        self.updated_at = self.clock()
        self._saved = False

    def current(self) -> Bucket:
        """The bucket as it is now; not saved yet."""
        return self.bucket.changed(self.paths, self.updated_at, self.tree.root())

    @property
    def grown(self) -> int:
        """By how many bytes the bucket has grown."""
        return self._carried + self._tree_grown

    @property
    def _tree_grown(self) -> int:
        return 0 if self._tree is None else self._tree.grown

    async def save(self) -> Bucket:
        """Save the bucket, once all its blocks are on disk.

        Returns:
            What was saved.

        Raises:
            WriteDeniedError: The rules of the bucket refuse it.
            NonFastForwardError: Another root came meanwhile; what it holds would be lost.
            IncompleteRootError: The bucket would go on being served at an earlier root.
            StorageQuotaError: The owner's buckets would become too large.
            StoreFullError: The disk is full.
        """
        bucket = self.current()
        self._check_room()
        for block in self.tree.new_blocks():
            await self.upload.put(block.cid, block.data)
        await self.upload.sync()
        is_complete = self.standing.missing is None or await self.roots.is_complete(bucket)
        if not is_complete and self.standing.last is not None:
            raise IncompleteRootError.of(self.bucket.path, self.standing.missing_text)
        if self.instances.stored_path(self.thread, bucket.id) != self._base:
            raise NonFastForwardError
        if is_complete:
            async with self.roots.saving(self.thread, bucket.id, bucket.root):
                await self.instances.save(self.thread, self.actor, bucket)
        else:
            await self.instances.save(self.thread, self.actor, bucket)
        self._saved, self._base = True, bucket.path
        self.saved_bytes = self.grown
        return bucket

    def _check_room(self) -> None:
        if (
            self.room is not None
            and self._tree_grown + sum(file.writer.size for file in self._open.values()) > self.room
        ):
            raise StorageQuotaError
