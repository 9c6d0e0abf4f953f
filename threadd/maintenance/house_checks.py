"""Checks of what stands beside the threads: owners, accounts, numbers, what nothing refers to, and blocks of files."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from net.thread_id import ThreadID
from store import accounts as account_rows
from store import buckets as bucket_rows
from store import databases as database_rows
from store import deletions, file_blocks, tables
from store import documents as document_rows
from store import threads as thread_rows
from store.deletions import Deletion
from store.engine import Reader
from store.errors import ThreaddError
from store.numbers import given
from threadd.buckets import access
from threadd.buckets.model import parse_bucket
from threadd.buckets.surveys import Surveyor
from threadd.maintenance.findings import Finding, Tally


def check_owners(reader: Reader, tally: Tally) -> Iterator[Finding]:
    """Check that what is owned is there, with its name, and that API keys have their accounts.

    A thread that is owned and not there is what a stop in the middle of a call leaves; the next start drops it.
    """
    for owner, thread_id, row in account_rows.list_all_owned_threads(reader):
        tally.counts["owners"] += 1
        if row.name and account_rows.find_owned_thread(reader, owner, row.name) != thread_id:
            key = tables.owned_name(owner, row.name)
            said = f"the thread {_name(thread_id)} cannot be found by its name {row.name!r}"
            yield Finding("owner", owner.hex(), said, ((key, thread_id),))
    for api_key in account_rows.list_all_api_keys(reader):
        tally.counts["API keys"] += 1
        if account_rows.get_account(reader, api_key.owner) is None:
            yield Finding("key", api_key.key, "the account of the API key is not there")


def check_numbers(reader: Reader) -> Iterator[Finding]:
    """Check that no number was given twice, and none that the store does not know to be given."""
    seen: set[int] = set()
    end = given(reader)
    for thread in thread_rows.list_threads(reader):
        numbers = [thread.number, *(log.number for log in thread_rows.logs_of(reader, thread.number))]
        for collection in database_rows.list_collections(reader, thread.number):
            numbers += [collection.number, *(index.number for index in collection.indexes)]
        for number in numbers:
            if number in seen or not 0 < number < end:
                said = f"the number {number} was given twice, or never"
                yield Finding("number", _name(thread.id), said)
            seen.add(number)


def check_left_over(reader: Reader) -> Iterator[Finding]:
    """Find what is kept under a thread, a collection or an index that is not there and not being deleted."""
    going = set(deletions.list_marks(reader))
    threads: set[int] = set()
    for thread in thread_rows.list_threads(reader):
        threads.add(thread.number)
        indexes = {
            row.number: {index.number for index in row.indexes}
            for row in database_rows.list_collections(reader, thread.number)
        }
        yield from (_left_over(one) for one in _left_in(reader, thread.number, indexes) if one not in going)
    for start, stop in tables.numbered():
        for number in _first_numbers(reader, start, stop):
            if number not in threads and Deletion(number) not in going:
                yield _left_over(Deletion(number))


def _left_in(reader: Reader, thread: int, indexes: dict[int, set[int]]) -> Iterator[Deletion]:
    """What is kept in a thread for collections and indexes that are not among those given."""
    for table in tables.numbered_in_collection():
        for collection in _second_numbers(reader, table, thread):
            if collection not in indexes:
                yield Deletion(thread, collection)
    for collection, known in indexes.items():
        for index in _index_numbers(reader, thread, collection):
            if index not in known:
                yield Deletion(thread, collection, index)


def check_file_blocks(reader: Reader, blocks: Reader, tally: Tally) -> Iterator[Finding]:
    """Check that blocks of files are what they are kept under, and that those of buckets are there.

    What has to be there are the blocks of the last complete root of each bucket. Where none is kept, as in what an
    earlier version has written, those of the newest root of a bucket that was made here.
    """
    for key, block in blocks.scan(*tables.file_blocks()):
        tally.counts["file blocks"] += 1
        digest = tables.digest_of(key)
        if hashlib.sha256(block).digest() != digest:
            yield Finding("block", digest.hex(), "the block of a file was changed on the disk")
        if blocks.get(tables.file_block_use(digest)) is None:
            yield Finding("block", digest.hex(), "nothing says when the block of a file was used")
    made_here = {key: row.thread_id for key, row in bucket_rows.list_buckets(reader) if row.private_key}
    for thread in thread_rows.list_threads(reader):
        for row in database_rows.list_collections(reader, thread.number):
            if row.name != access.COLLECTION:
                continue
            for instance_id, text in document_rows.all_documents(reader, thread.number, row.number):
                complete = bucket_rows.get_complete_root(reader, thread.number, instance_id)
                if complete is not None or made_here.get(instance_id) == thread.id:
                    tally.counts["buckets"] += 1
                    yield from _check_bucket(blocks, instance_id, text if complete is None else complete.document)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The blocks of a state as they are, whatever is said of their use."""

    reader: Reader

    def get(self, cid: bytes) -> bytes | None:
        return file_blocks.get_block(self.reader, cid)

    def has(self, cid: bytes) -> bool:
        return self.get(cid) is not None


def _check_bucket(blocks: Reader, key: str, document: bytes) -> Iterator[Finding]:
    try:
        bucket = parse_bucket(document)
        lacks = set[bytes]()
        Surveyor(_Blocks(blocks), lacks=lacks).survey(bucket.root, bucket.link_key_bytes)
    except ThreaddError as error:
        yield Finding("bucket", key, f"it cannot be read: {error.text}")
        return
    if lacks:
        yield Finding("bucket", key, f"{len(lacks)} of its blocks are not there")


def _left_over(deletion: Deletion) -> Finding:
    parts = (deletion.thread_number, deletion.collection_number, deletion.index_number)
    kind = ("thread", "collection", "index")[sum(1 for part in parts if part) - 1]
    where = "/".join(str(part) for part in parts if part)
    said = f"something is kept under a {kind} that is not there"
    return Finding("left over", where, said, ((deletion.key, b""),))


def _first_numbers(reader: Reader, start: bytes, stop: bytes) -> Iterator[int]:
    key = next((key for key, _ in reader.scan(start, stop)), None)
    while key is not None:
        number = tables.thread_number_of(key)
        yield number
        behind = tables.under(start, number)[1]
        key = next((key for key, _ in reader.scan(behind, stop)), None)


def _second_numbers(reader: Reader, table: bytes, number: int) -> Iterator[int]:
    start, stop = tables.under(table, number)
    key = next((key for key, _ in reader.scan(start, stop)), None)
    while key is not None:
        collection = tables.numbers_of(key)[1]
        yield collection
        behind = tables.under(table, number, collection)[1]
        key = next((key for key, _ in reader.scan(behind, stop)), None)


def _index_numbers(reader: Reader, thread: int, collection: int) -> Iterator[int]:
    start, stop = tables.index_entries_of_collection(thread, collection)
    key = next((key for key, _ in reader.scan(start, stop)), None)
    while key is not None:
        index = tables.index_number_of(key)
        yield index
        behind = tables.index_entries(thread, collection, index)[1]
        key = next((key for key, _ in reader.scan(behind, stop)), None)


def _name(thread_id: bytes) -> str:
    try:
        return ThreadID.from_bytes(thread_id).text
    except ThreaddError:
        return thread_id.hex()
