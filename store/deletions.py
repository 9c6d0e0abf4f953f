"""Large deletions, done in slices that a stop in between does not lose.

The transaction that hides a thread or a collection leaves a mark; `next_slice` then gives transactions to be committed
one after the other, the last of which takes the mark away.
"""

from collections.abc import Iterator

from store import tables
from store.engine import Reader, Transaction
from store.records import RecordRow, find_block
from store.values import RowCodec

SLICE_KEYS = 2_000
"""How many keys one transaction deletes at most, blocks of records apart."""

_records = RowCodec(RecordRow)


def mark(transaction: Transaction, thread_number: int, collection_number: int = 0) -> None:
    """Say that everything under a thread's number, or a collection's, is to be deleted."""
    transaction.put(tables.deletion(thread_number, collection_number), b"")


def list_marks(reader: Reader) -> Iterator[tuple[int, int]]:
    """Thread and collection numbers (0 for the whole thread) whose deletion is not finished."""
    for key, _ in reader.scan(*tables.deletions()):
        yield tables.deletion_of(key)


def next_slice(reader: Reader, thread_number: int, collection_number: int, limit: int = SLICE_KEYS) -> Transaction:
    """The next part of a deletion.

    Args:
        reader: The latest state.
        thread_number: The thread.
        collection_number: The collection; 0 for the whole thread.
        limit: How many keys to delete at most.

    Returns:
        A transaction; it takes the mark away if it is the last one.
    """
    transaction = Transaction()
    ranges = _collection_ranges if collection_number else _thread_ranges
    for start, stop in ranges(thread_number, collection_number):
        for key, _ in reader.scan(start, stop):
            if len(transaction.puts) >= limit:
                return transaction
            transaction.delete(key)
    if not collection_number:
        for key, value in reader.scan(*tables.records_of_thread(thread_number)):
            if len(transaction.puts) >= limit:
                return transaction
            transaction.delete(key)
            row = _records.decode(value)
            for cid in (row.cid, *row.block_cids):
                place = find_block(reader, cid)
                if place is not None and place.thread_number == thread_number:  # the thread may be here again by now
                    transaction.delete(tables.block(cid))
    transaction.delete(tables.deletion(thread_number, collection_number))
    return transaction


def is_last(transaction: Transaction, thread_number: int, collection_number: int) -> bool:
    """Whether a slice is the last one of its deletion."""
    return tables.deletion(thread_number, collection_number) in transaction.puts


def _collection_ranges(thread_number: int, collection_number: int) -> tuple[tables.Range, ...]:
    return (
        tables.documents(thread_number, collection_number),
        tables.index_entries_of_collection(thread_number, collection_number),
        tables.patches_of_collection(thread_number, collection_number),
    )


def _thread_ranges(thread_number: int, _collection_number: int) -> tuple[tables.Range, ...]:
    return tables.whole_thread(thread_number)
