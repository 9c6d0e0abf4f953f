"""Earlier versions of a bucket's document, read back from the records of its thread: each names a root."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
from store.threads import ThreadRow
from threadd.buckets import access
from threadd.db import documents
from threadd.db.documents import ID_FIELD, Document
from threadd.db.folding import Order


class _Named(msgspec.Struct, rename={"link_key": "key"}):
    """What a patch says of the root; None removes it."""

    path: str | msgspec.UnsetType | None = msgspec.UNSET
    link_key: str | msgspec.UnsetType | None = msgspec.UNSET


_named = msgspec.json.Decoder(_Named)


@dataclass(frozen=True, slots=True)
class Version:
    """What the document named at some time.

    Args:
        path: The path of the root.
        link_key: The key of directories in base64; empty where the bucket was public.
        patches: How many of the document's patches make this version.
    """

    path: str
    link_key: str
    patches: int


def read_patches(reader: Reader, thread_id: bytes, key: str) -> list[Patch]:
    """The patches of a bucket's document since it was last deleted, in the order in which they are folded.

    Those of records that cannot be read are left out.

    Args:
        reader: A state of the store.
        thread_id: The ID of the bucket's thread.
        key: The bucket.
    """
    thread = thread_rows.get_thread(reader, thread_id)
    collection = None if thread is None else database_rows.get_collection(reader, thread.number, access.COLLECTION)
    if thread is None or collection is None or not thread.read_key:
        return []
    log_ids = {row.number: row.id for row in thread_rows.logs_of(reader, thread.number)}
    places = [
        (Order(place.timestamp, log_ids[place.log_number], place.position, place.index), place)
        for place in document_rows.patches_of(reader, thread.number, collection.number, key)
        if place.log_number in log_ids
    ]
    found = list(_patches_at(reader, thread, [place for _, place in sorted(places)]))
    deleted = [index for index, patch in enumerate(found) if patch.type is PatchType.DELETE]
    return found[deleted[-1] + 1 :] if deleted else found


def _patches_at(reader: Reader, thread: ThreadRow, places: Sequence[PatchPlace]) -> Iterator[Patch]:
    cipher = Cipher(thread.read_key)
    for place in places:
        row = record_rows.get_record(reader, thread.number, place.log_number, place.position)
        if row is None:
            continue
        try:
            body = records.open_body(RecordBlocks(row.record, row.event, row.header, row.body), cipher)
            patches = decode_body(body)
        except NetError:
            continue
        if place.index < len(patches):
            yield patches[place.index]


def versions_of(patches: Sequence[Patch]) -> list[Version]:
    """The versions that patches make of a document, the newest first; of those in a row with one root the newest."""
    found: list[Version] = []
    path = link_key = ""
    for count, patch in enumerate(patches, start=1):
        if patch.type is PatchType.CREATE:
            path = link_key = ""
        try:
            named = _named.decode(patch.json or b"{}")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        path = path if isinstance(named.path, msgspec.UnsetType) else named.path or ""
        link_key = link_key if isinstance(named.link_key, msgspec.UnsetType) else named.link_key or ""
        if found and (found[-1].path, found[-1].link_key) == (path, link_key):
            found.pop()
        found.append(Version(path, link_key, count))
    return found[::-1]


def document_of(patches: Sequence[Patch]) -> bytes:
    """The document that patches make, as JSON; at least one."""
    content: Document = {}
    for patch in patches:
        change = documents.parse(patch.json or b"{}")
        content = change if patch.type is PatchType.CREATE else documents.apply_merge_patch(content, change)
    return documents.to_bytes({**content, ID_FIELD: patches[-1].instance_id})
