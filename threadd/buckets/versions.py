"""Earlier versions of a bucket's document, read back from the records of its thread: each names a root."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from net import records
from net.crypto import Cipher
from net.errors import NetError
from net.patches import Patch, PatchType, decode_body
from net.records import RecordBlocks
from store import databases as database_rows
from store import documents as document_rows
from store import records as record_rows
from store import threads as thread_rows
from store.documents import PatchPlace
from store.engine import Reader
from store.long_reads import Steps
from threadd.buckets import access
from threadd.buckets.model import link_key_of, parse_root
from threadd.db import documents
from threadd.db.documents import ID_FIELD, Document
from threadd.db.folding import Order

MAX_VERSIONS: Final = 10_000
"""How many versions are looked for, the newest; a peer may write any number."""

_BODIES_KEPT: Final = 8


class _Named(msgspec.Struct, rename={"link_key": "key"}):
    """What a patch says of the root; None removes it."""

    path: str | msgspec.UnsetType | None = msgspec.UNSET
    link_key: str | msgspec.UnsetType | None = msgspec.UNSET


_named = msgspec.json.Decoder(_Named)


@dataclass(frozen=True, slots=True)
class Version:
    """What the document named at some time.

    Args:
        root: The CID of the root.
        link_key: The key of directories, or None where the bucket was public.
        last: Where the last of the patches stands that make this version.
    """

    root: bytes
    link_key: bytes | None
    last: Order


@dataclass(slots=True)
class _Patches:
    """The patches of a document, in the order in which they are folded.

    Args:
        thread_number: The thread.
        cipher: Opens its bodies.
        places: Where they are.
    """

    thread_number: int
    cipher: Cipher
    places: list[tuple[Order, PatchPlace]]
    _bodies: dict[tuple[int, int], list[Patch]] = field(default_factory=dict)

    @classmethod
    def of(cls, reader: Reader, thread_id: bytes, key: str) -> "_Patches | None":
        """Those of a bucket; None where there can be none."""
        thread = thread_rows.get_thread(reader, thread_id)
        collection = None if thread is None else database_rows.get_collection(reader, thread.number, access.COLLECTION)
        if thread is None or collection is None or not thread.read_key:
            return None
        log_ids = {row.number: row.id for row in thread_rows.logs_of(reader, thread.number)}
        places = [
            (Order(place.timestamp, log_ids[place.log_number], place.position, place.index), place)
            for place in document_rows.patches_of(reader, thread.number, collection.number, key)
            if place.log_number in log_ids
        ]
        return cls(thread.number, Cipher(thread.read_key), sorted(places))

    def read(self, reader: Reader, place: PatchPlace) -> Patch | None:
        """The patch at a place; None where its record cannot be read."""
        record = place.log_number, place.position
        patches = self._bodies.get(record)
        if patches is None:
            patches = self._read_record(reader, *record)
            if len(self._bodies) >= _BODIES_KEPT:
                del self._bodies[next(iter(self._bodies))]
            self._bodies[record] = patches
        return patches[place.index] if place.index < len(patches) else None

    def _read_record(self, reader: Reader, log_number: int, position: int) -> list[Patch]:
        row = record_rows.get_record(reader, self.thread_number, log_number, position)
        if row is None:
            return []
        try:
            body = records.open_body(RecordBlocks(row.record, row.event, row.header, row.body), self.cipher)
            return decode_body(body)
        except NetError:
            return []


def versions_of(reader: Reader, thread_id: bytes, key: str) -> Steps[list[Version]]:
    """The versions of a bucket's document since it was last deleted that name a root, the newest first.

    Of those with the same root and link key the newest, and of all no more than `MAX_VERSIONS`. A step reads one patch.

    Args:
        reader: The store; its state may be another one after each step.
        thread_id: The ID of the bucket's thread.
        key: The bucket.
    """
    found: dict[tuple[bytes, bytes | None], Version] = {}
    path = link_key = ""
    for order, patch in _each(reader, _Patches.of(reader, thread_id, key)):
        yield
        if patch is None:
            continue
        if patch.json is None:
            found.clear()
        if patch.json is None or patch.type is PatchType.CREATE:
            path = link_key = ""
        try:
            named = _named.decode(patch.json or b"{}")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        path = path if isinstance(named.path, msgspec.UnsetType) else named.path or ""
        link_key = link_key if isinstance(named.link_key, msgspec.UnsetType) else named.link_key or ""
        version = Version(parse_root(path), link_key_of(link_key), order)
        if version.root:
            found.pop((version.root, version.link_key), None)
            found[version.root, version.link_key] = version
            if len(found) > MAX_VERSIONS:
                del found[next(iter(found))]
    return list(found.values())[::-1]


def document_at(reader: Reader, thread_id: bytes, key: str, last: Order) -> Steps[bytes]:
    """The document that the patches of a bucket make up to one of them, as JSON; a step reads one patch.

    Args:
        reader: As of `versions_of`.
        thread_id: The ID of the bucket's thread.
        key: The bucket.
        last: Where the last of the patches stands.

    Raises:
        InvalidInstanceError: One of them is no JSON.
    """
    content: Document = {}
    for order, patch in _each(reader, _Patches.of(reader, thread_id, key)):
        yield
        if order > last:
            break
        if patch is not None:
            change = documents.parse_instance(patch.json or b"{}")
            is_change = patch.json is not None and patch.type is not PatchType.CREATE
            content = documents.apply_merge_patch(content, change) if is_change else change
    return documents.to_bytes({**content, ID_FIELD: key})


def _each(reader: Reader, patches: _Patches | None) -> Iterator[tuple[Order, Patch | None]]:
    if patches is not None:
        for order, place in patches.places:
            yield order, patches.read(reader, place)
