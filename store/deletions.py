"""Large deletions, done in slices that a stop in between does not lose.

The transaction that hides a thread, a collection or an index leaves a mark; `next_slice` then gives transactions to be
committed one after the other, the last of which takes the mark away.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from store import tables
from store.engine import Reader, Transaction

SLICE_KEYS = 2_000
"""How many keys one transaction deletes at most."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is to be deleted.

    Args:
        thread_number: The thread.
        collection_number: A collection of it; 0 for all of the thread.
        index_number: An index of that; 0 for all of the collection.
    """

    thread_number: int
    collection_number: int = 0
    index_number: int = 0

    @property
    def key(self) -> bytes:
        """Key of the mark."""
        return tables.deletion(self.thread_number, self.collection_number, self.index_number)


def mark(transaction: Transaction, deletion: Deletion) -> None:
    """Say that something is to be deleted."""
    transaction.put(deletion.key, b"")


def unmark(transaction: Transaction, deletion: Deletion) -> None:
    """Say that something is to be kept after all."""
    transaction.delete(deletion.key)


def list_marks(reader: Reader) -> Iterator[Deletion]:
    """The deletions that are not finished."""
    for key, _ in reader.scan(*tables.deletions()):
        yield Deletion(*tables.deletion_of(key))


def next_slice(reader: Reader, deletion: Deletion, limit: int = SLICE_KEYS) -> Transaction:
    """The next part of a deletion.

    Args:
        reader: The latest state.
        deletion: What is to be deleted.
        limit: How many keys to delete at most.

    Returns:
        A transaction; it takes the mark away if it is the last one.
    """
    transaction = Transaction()
    for start, stop in _ranges(deletion):
        for key, _ in reader.scan(start, stop):
            if len(transaction.puts) >= limit:
                return transaction
            transaction.delete(key)
    transaction.delete(deletion.key)
    return transaction


def is_last(transaction: Transaction, deletion: Deletion) -> bool:
    """Whether a slice is the last one of its deletion."""
    return deletion.key in transaction.puts


def _ranges(deletion: Deletion) -> tuple[tables.Range, ...]:
    thread, collection = deletion.thread_number, deletion.collection_number
    if deletion.index_number:
        return (tables.index_entries(thread, collection, deletion.index_number),)
    if collection:
        return (
            tables.documents(thread, collection),
            tables.index_entries_of_collection(thread, collection),
            tables.patches_of_collection(thread, collection),
            tables.stale_indexes(thread, collection),
        )
    return tables.whole_thread(thread)
