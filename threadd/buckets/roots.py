"""Which root of a bucket is served: the newest one if it is complete, else the last one that was.

A root comes with the document of the bucket, from whichever daemon wrote it, and its blocks may not be here. Until they
are, the bucket is served at its last complete root, and no sweep removes what that reaches. It is kept on disk, beside
the document of that time: in a private bucket the keys of files are in there. What a principal may read is what both
that document and the newest one let him read.

Where none is kept, as after a version that did not keep any, the records of the thread are searched for it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

import msgspec
import structlog

from net import cid as cids
from net.thread_id import ThreadID
from store import buckets as rows
from store import databases as database_rows
from store import documents as document_rows
from store import tables
from store import threads as thread_rows
from store.buckets import CompleteRootRow
from store.engine import Engine, Reader, Transaction
from store.errors import ConflictError, StoreError
from store.file_blocks import BlockState, FileBlocks
from store.long_reads import LongReads, Steps
from threadd.buckets import access, versions
from threadd.buckets.errors import InvalidNodeError
from threadd.buckets.instances import Actor, Instances
from threadd.buckets.model import Bucket, Metadata, bucket_json, link_key_of, parse_bucket, parse_root
from threadd.buckets.surveys import CompleteTree, Surveyor, Tree
from threadd.buckets.versions import Version
from threadd.db.errors import InvalidInstanceError

_REMEMBERED: Final = 4096

_MAX_UNREADABLE: Final = 8
"""How many complete versions whose documents are none of a bucket are passed over before the search is given up."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of a bucket is here.

    Args:
        missing: The CID of a block that its newest root reaches and that is not here or cannot be read; empty where the
            document names no root, None where the root is complete.
        last: The last complete root, where the newest one is incomplete; None where none is known.
        bucket: The newest document, where it was read and is one of a bucket.
        size: The bytes of the blocks of the newest root, as far as they are here, where they were looked at.
    """

    missing: bytes | None
    last: CompleteRootRow | None = None
    bucket: Bucket | None = None
    size: int = 0

    @property
    def has_root(self) -> bool:
        """Whether the newest document names a root."""
        return self.missing != b""

    @property
    def missing_text(self) -> str:
        """The text of the CID that is missing."""
        return cids.text(self.missing) if self.missing else "(none is named)"


_COMPLETE: Final = Standing(None)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store has of a bucket.

    Args:
        number: The number of its thread.
        thread_row: What is kept of the thread; it is gone once the thread is deleted.
        bucket: The newest document, or None where it is none of a bucket.
        root: The root that it names, or nothing.
        row: The last complete root that is kept.
    """

    number: int
    thread_row: bytes
    bucket: Bucket | None
    root: bytes
    row: CompleteRootRow | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An earlier root.

    Args:
        root: Its CID.
        link_key: The link key of that time, or None.
        version: The version that named it; None where it is kept.
    """

    root: bytes
    link_key: bytes | None
    version: Version | None


@dataclass(frozen=True, slots=True)
class _Incomplete:
    """A root that was found incomplete; it stays so for as long as the same block is missing."""

    root: bytes
    missing: bytes
    is_broken: bool


@dataclass(slots=True)
class _Saving:
    """A root that is about to be named by the document, and the document once it is on disk."""

    root: bytes
    text: bytes | None = None


class CompleteRoots:
    """The last complete roots of all buckets.

    Args:
        engine: The store.
        blocks: The blocks of files.
        instances: The buckets in their threads.
    """

    def __init__(self, engine: Engine, blocks: FileBlocks, instances: Instances) -> None:
        self._engine = engine
        self._blocks = blocks
        self._instances = instances
        self._incomplete: dict[tuple[ThreadID, str], _Incomplete] = {}
        self._saving: dict[tuple[ThreadID, str], _Saving] = {}
        self._long_reads = LongReads(engine)
        self._locks: WeakValueDictionary[tuple[ThreadID, str], asyncio.Lock] = WeakValueDictionary()

    async def served(self, thread: ThreadID, actor: Actor, bucket: Bucket) -> Bucket:
        """A bucket at the root that is served.

        Args:
            thread: The bucket's thread.
            actor: Who reads.
            bucket: The newest document, as the actor may see it.

        Raises:
            ScriptError: The read filter fails.
        """
        last = (await self.standing(thread, bucket)).last
        if last is None:
            return bucket
        shown = await self._instances.shown(thread, actor, last.document)
        earlier = parse_bucket(last.document if shown is None else shown)
        if shown is None:
            earlier = msgspec.structs.replace(earlier, metadata={}, link_key="")
        return _at_earlier(bucket, earlier)

    async def served_to_operator(self, thread: ThreadID, bucket: Bucket) -> Bucket:
        """As `served`, for a document past the read filter."""
        last = (await self.standing(thread, bucket)).last
        return bucket if last is None else _at_earlier(bucket, parse_bucket(last.document))

    async def incomplete(self, thread: ThreadID) -> list[Bucket]:
        """The buckets of a thread whose newest roots are not complete, past the read filter.

        Raises:
            DatabaseNotFoundError, ThreadNotFoundError: There is no such database.
        """
        stored = self._instances.stored(thread)
        return [bucket for bucket in stored if (await self.standing(thread, bucket)).missing is not None]

    async def standing(self, thread: ThreadID, bucket: Bucket) -> Standing:
        """How much of a bucket is here; what was found before is not looked at again.

        Args:
            thread: The bucket's thread.
            bucket: The newest document, as anybody may see it.
        """
        found = self._remembered(thread, bucket)
        if found is None:
            place = thread, bucket.id
            async with self._locks.setdefault(place, asyncio.Lock()):
                found = self._remembered(thread, bucket) or await self.examine(thread, bucket.id) or _COMPLETE
        return found

    def _remembered(self, thread: ThreadID, bucket: Bucket) -> Standing | None:
        thread_row = thread_rows.get_thread(self._engine, thread.bytes)
        if thread_row is None:
            return _COMPLETE
        row = rows.get_complete_root(self._engine, thread_row.number, bucket.id)
        root = parse_root(bucket.path)
        if row is not None and row.root == root:
            return _COMPLETE
        known = self._incomplete.get((thread, bucket.id))
        if known is None or known.root != root:
            return None
        is_as_before = known.is_broken or not self._blocks.has(known.missing)
        return Standing(known.missing, row) if is_as_before else None

    async def examine(self, thread: ThreadID, key: str, surveyor: Surveyor | None = None) -> Standing | None:
        """Look at all blocks of a bucket, and keep what that tells of its last complete root.

        Args:
            thread: The bucket's thread.
            key: The bucket.
            surveyor: That of a sweep. It reaches all blocks that are in use: those that the last complete root reaches,
                and those that newer roots reach, or all if none is complete.

        Returns:
            What was found; None where there is no such document.
        """
        known = await self._engine.read(lambda state: _load(state, thread.bytes, key))
        if known is None:
            return None
        missing, size = b"", 0
        if known.bucket is not None and known.root:
            tree = await self._survey(known.root, link_key_of(known.bucket.link_key), surveyor)
            if isinstance(tree, CompleteTree):
                if known.row is None or known.row.root != known.root:
                    await self._record(thread, key, known, known.root, known.bucket)
                self._incomplete.pop((thread, key), None)
                return Standing(None, None, known.bucket, tree.size)
            missing, size = tree.missing, tree.size
        last = await self._last_complete(thread, key, known, surveyor)
        self._remember(thread, key, known.root, missing)
        return Standing(missing, last, known.bucket, size)

    async def is_complete(self, bucket: Bucket) -> bool:
        """Whether all blocks of a bucket are here, where its root need not be that of a document yet."""
        return isinstance(await self._survey(bucket.root, link_key_of(bucket.link_key), None), CompleteTree)

    @asynccontextmanager
    async def saving(self, thread: ThreadID, key: str, root: bytes) -> AsyncGenerator[None, None]:
        """Save a document that names a root which is known to be complete; the body does it.

        Args:
            thread: The bucket's thread.
            key: The bucket; nobody else here saves it meanwhile.
            root: The CID of the root.
        """
        saving = self._saving[thread, key] = _Saving(root)
        try:
            yield
        finally:
            del self._saving[thread, key]
        known = self._known(thread, key)
        if known is not None and saving.text is not None:
            row = CompleteRootRow(root, await asyncio.to_thread(_compact_text, saving.text))
            # Nobody need wait for it: what is lost with a crash is found again.
            self._engine.commit(_recording(thread, key, known, row)).add_done_callback(_look_at)

    def take_saved(self, thread: ThreadID, key: str, root: bytes, text: bytes) -> bool:
        """Take notice of a new document on disk; tells whether it is the one that is being saved here."""
        saving = self._saving.get((thread, key))
        if saving is None or root != saving.root:
            return False
        saving.text = text
        return True

    def forget(self, thread: ThreadID, key: str) -> None:
        """Forget the last complete root of a bucket, whose document is gone or whose blocks are lost."""
        known = self._known(thread, key)
        if known is not None and known.row is not None:
            transaction = Transaction()
            rows.delete_complete_root(transaction, known.number, key)
            self._engine.commit(transaction).add_done_callback(_look_at)
        self._incomplete.pop((thread, key), None)

    def _known(self, thread: ThreadID, key: str) -> _Known | None:
        thread_row = self._engine.get(tables.thread(thread.bytes))
        row = thread_rows.get_thread(self._engine, thread.bytes)
        if thread_row is None or row is None:
            return None
        return _Known(row.number, thread_row, None, b"", rows.get_complete_root(self._engine, row.number, key))

    async def _survey(self, root: bytes, link_key: bytes | None, surveyor: Surveyor | None) -> Tree:
        def look(state: BlockState, digests: set[bytes]) -> Steps[Tree]:
            return _with(surveyor, state, digests).steps(root, link_key)

        tree, _ = await self._blocks.check(look, _reached(surveyor))
        return tree

    async def _last_complete(
        self, thread: ThreadID, key: str, known: _Known, surveyor: Surveyor | None
    ) -> CompleteRootRow | None:
        """The last complete root before the newest, which is not: kept, or found among those in the records."""
        versions_of = partial(versions.versions_of, thread_id=thread.bytes, key=key)
        candidates = _candidates(await self._long_reads.run(versions_of), known)
        unreadable = 0
        while (found := await self._first_complete(candidates, known, surveyor)) is not None:
            if found.version is None or _is_kept(found, known):
                return known.row
            with suppress(InvalidNodeError, InvalidInstanceError):
                return await self._record_version(thread, key, known, found.version)
            unreadable += 1
            candidates = candidates[candidates.index(found) + 1 :]
            if unreadable == _MAX_UNREADABLE:
                candidates = [each for each in candidates if _is_kept(each, known)]
        if known.row is not None:
            log.warning("blocks of the last complete root of a bucket are lost", thread=thread.text, bucket=key)
            self.forget(thread, key)
        return None

    async def _first_complete(
        self, candidates: Sequence[_Candidate], known: _Known, surveyor: Surveyor | None
    ) -> _Candidate | None:
        def look(state: BlockState, digests: set[bytes]) -> Steps[_Candidate | None]:
            surveying = _with(surveyor, state, digests)
            for each in candidates:
                if surveyor is None and _is_kept(each, known):
                    return each  # whoever reads can trust that no sweep took anything of it
                if isinstance((yield from surveying.steps(each.root, each.link_key)), CompleteTree):
                    return each
                yield
            return None

        found, _ = await self._blocks.check(look, _reached(surveyor))
        return found

    async def _record_version(self, thread: ThreadID, key: str, known: _Known, version: Version) -> CompleteRootRow:
        """Keep a root that is complete.

        Raises:
            InvalidNodeError, InvalidInstanceError: The document of its time is none of a bucket.
        """
        document_at = partial(versions.document_at, thread_id=thread.bytes, key=key, last=version.last)
        bucket = parse_bucket(await self._long_reads.run(document_at))
        return await self._record(thread, key, known, version.root, bucket)

    async def _record(self, thread: ThreadID, key: str, known: _Known, root: bytes, bucket: Bucket) -> CompleteRootRow:
        """Keep a root that is complete. Where the disk does not take it, it is looked for again later."""
        row = CompleteRootRow(root, await asyncio.to_thread(_compact, bucket))
        try:
            await asyncio.shield(self._engine.commit(_recording(thread, key, known, row)))
        except ConflictError:
            return row  # the thread was deleted
        except StoreError as error:
            log.warning("a complete root was not kept", thread=thread.text, bucket=key, reason=error.text)
        return row

    def _remember(self, thread: ThreadID, key: str, root: bytes, missing: bytes) -> None:
        if len(self._incomplete) >= _REMEMBERED:
            self._incomplete.pop(next(iter(self._incomplete)))
        is_broken = not missing or self._blocks.has(missing)
        self._incomplete[thread, key] = _Incomplete(root, missing, is_broken)


def _load(reader: Reader, thread_id: bytes, key: str) -> _Known | None:
    thread_row, thread = reader.get(tables.thread(thread_id)), thread_rows.get_thread(reader, thread_id)
    if thread is None or thread_row is None:
        return None
    collection = database_rows.get_collection(reader, thread.number, access.COLLECTION)
    text = None if collection is None else document_rows.get_document(reader, thread.number, collection.number, key)
    if text is None:
        return None
    row = rows.get_complete_root(reader, thread.number, key)
    try:
        bucket = parse_bucket(text)
    except InvalidNodeError:
        return _Known(thread.number, thread_row, None, b"", row)
    return _Known(thread.number, thread_row, bucket, parse_root(bucket.path), row)


def _candidates(found: Sequence[Version], known: _Known) -> list[_Candidate]:
    """The roots before the newest, the latest first."""
    newest = None if known.bucket is None else (known.root, link_key_of(known.bucket.link_key))
    candidates = [_Candidate(each.root, each.link_key, each) for each in found if (each.root, each.link_key) != newest]
    if known.row is not None:
        link_key = link_key_of(parse_bucket(known.row.document).link_key)
        if not any((each.root, each.link_key) == (known.row.root, link_key) for each in candidates):
            candidates.append(_Candidate(known.row.root, link_key, None))
    return candidates


def _is_kept(candidate: _Candidate, known: _Known) -> bool:
    return known.row is not None and candidate.root == known.row.root


def _with(surveyor: Surveyor | None, state: BlockState, digests: set[bytes]) -> Surveyor:
    """The surveyor of a sweep, or a new one, over a state of the blocks."""
    if surveyor is None:
        return Surveyor(state, digests)
    surveyor.blocks = state
    return surveyor


def _reached(surveyor: Surveyor | None) -> Callable[[], set[bytes]]:
    return set if surveyor is None else lambda: surveyor.reached


def _recording(thread: ThreadID, key: str, known: _Known, row: CompleteRootRow) -> Transaction:
    """What keeps a complete root, unless the thread is deleted by then."""
    transaction = Transaction()
    transaction.require(tables.thread(thread.bytes), known.thread_row)
    rows.put_complete_root(transaction, known.number, key, row)
    return transaction


def _compact(bucket: Bucket) -> bytes:
    """A document without the entries that neither hold a key nor let anybody do anything: those above them decide."""
    metadata = {path: entry for path, entry in bucket.metadata.items() if not path or entry.roles or entry.key}
    return bucket_json(msgspec.structs.replace(bucket, metadata=metadata))


def _compact_text(document: bytes) -> bytes:
    return _compact(parse_bucket(document))


def _at_earlier(newest: Bucket, earlier: Bucket) -> Bucket:
    """A bucket at an earlier root, with the paths that can be seen both then and now."""
    # One of version 0 can be seen by everybody, and says nothing of paths: the newest document does, if it is later.
    return msgspec.structs.replace(
        newest,
        path=earlier.path,
        version=earlier.version or newest.version,
        link_key=earlier.link_key,
        updated_at=earlier.updated_at,
        metadata=_seen_in_both(newest, earlier) if earlier.version else _with_key(newest, earlier.link_key),
    )


def _with_key(newest: Bucket, key: str) -> dict[str, Metadata]:
    return {path: Metadata(entry.roles, entry.updated_at, key) for path, entry in newest.metadata.items()}


def _seen_in_both(newest: Bucket, earlier: Bucket) -> dict[str, Metadata]:
    now, then = newest.paths(), earlier.paths()
    if now.find("") is not None and then.find("") is not None:
        return earlier.metadata  # as nearly always: all can be seen
    found = {path: entry for path, entry in earlier.metadata.items() if now.find(path) is not None}
    for path in newest.metadata.keys() - found.keys():
        entry, keyed = then.find(path), then.find(path, with_key=True)
        if entry is not None:
            key = "" if keyed is None else keyed[1].key
            found[path] = Metadata(entry[1].roles, entry[1].updated_at, key)
    return found


def _look_at(done: "asyncio.Future[None]") -> None:
    error = done.exception()
    if error is not None and not isinstance(error, ConflictError):
        log.warning("what is kept of a complete root was not changed", reason=str(error))
