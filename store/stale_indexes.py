"""Marks of indexes whose entries must be rebuilt; until then such an index is neither read nor written.

Format 1 did not find fields whose names are outside ASCII: entries of indexes on such fields stand where a document
without the field would.
"""

from collections.abc import Iterator

from store import databases as database_rows
from store import tables
from store.engine import Reader, Transaction

_MARKS_PER_COMMIT = 1_000
_FORMAT_WITHOUT_MARKS = b"1"


def mark(transaction: Transaction, thread: int, collection: int, index: int) -> None:
    """Mark an index, by the numbers of its thread, its collection and itself, as one to rebuild."""
    transaction.put(tables.stale_index(thread, collection, index), b"")


def unmark(transaction: Transaction, thread: int, collection: int, index: int) -> None:
    """Take the mark away: the entries of the index are right, or deleted."""
    transaction.delete(tables.stale_index(thread, collection, index))


def threads_with_marks(reader: Reader) -> list[int]:
    """The numbers of the threads that have stale indexes."""
    return list(dict.fromkeys(tables.stale_index_of(key)[0] for key, _ in reader.scan(*tables.stale_indexes())))


def marked(reader: Reader, thread: int) -> set[int]:
    """The numbers of a thread's stale indexes."""
    return {tables.stale_index_of(key)[2] for key, _ in reader.scan(*tables.stale_indexes(thread))}


def stale_in(reader: Reader, thread: int) -> set[int]:
    """As `marked`, in a repository of any format that is read before it is brought up to date."""
    if reader.get(tables.FORMAT) != _FORMAT_WITHOUT_MARKS:
        return marked(reader, thread)
    rows = database_rows.list_collections(reader, thread)
    return {index.number for row in rows for index in row.indexes if not _is_right_in_format_1(index.path)}


def mark_all(reader: Reader) -> Iterator[Transaction]:
    """Mark the indexes that format 1 kept wrongly: the step of `store.migrations` to format 2."""
    transaction = Transaction()
    for thread, row in database_rows.list_all_collections(reader):
        for index in row.indexes:
            if not _is_right_in_format_1(index.path):
                mark(transaction, thread, row.number, index.number)
        if len(transaction.puts) >= _MARKS_PER_COMMIT:
            yield transaction
            transaction = Transaction()
    yield transaction


def _is_right_in_format_1(path: str) -> bool:
    # Names below the outermost one were read with the rest of its value, whatever they are made of.
    return path.split(".", 1)[0].isascii()
