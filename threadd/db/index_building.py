"""Building indexes over the instances that a collection has already, in bounded transactions that a stop undoes."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from store import deletions, failpoints
from store import documents as document_rows
from store import indexes as index_rows
from store.databases import CollectionRow, IndexRow
from store.deletions import Deletion
from store.engine import Engine, Transaction
from store.failpoints import Failpoint
from store.indexes import IndexPlace
from threadd.db.errors import IndexNotUniqueError
from threadd.db.fields import order_bytes
from threadd.db.indexes import value_of
from threadd.db.slices import Pacer
from threadd.db.sweeper import Sweeper

_ENTRIES_PER_COMMIT = 1_000
_MISSING = order_bytes((0, 0))

Duplicate = Callable[[str, str], None]
"""Is called with the IDs of two instances that share a value of a unique index; it may raise."""


def refuse(_one: str, _other: str) -> None:
    """Take no duplicates.

    Raises:
        IndexNotUniqueError: There are two.
    """
    raise IndexNotUniqueError


@asynccontextmanager
async def building(
    engine: Engine,
    sweeper: Sweeper,
    numbered: Transaction,
    thread: int,
    old: CollectionRow,
    new: CollectionRow,
    duplicate: Duplicate = refuse,
) -> AsyncGenerator[Transaction, None]:
    """Build the indexes that a new configuration adds; those that it drops are deleted once it counts.

    Until then a new index is marked as to be deleted, so that one that is not finished does not stay.

    Args:
        engine: The store.
        sweeper: Deletes what is dropped or not finished.
        numbered: What took the numbers of the new indexes.
        thread: The number of the thread.
        old: The collection as it is kept; nobody writes to it meanwhile.
        new: The collection as it will be.
        duplicate: Is called for every instance that has the value of an earlier one in a unique index.

    Yields:
        A transaction that takes the marks off the new indexes and puts them on the dropped ones: to be completed with
        the new configuration and committed.

    Raises:
        IndexNotUniqueError: Instances share a value at the path of a unique index, and `duplicate` is `refuse`.
    """
    added = [index for index in new.indexes if index not in old.indexes]
    dropped = [index for index in old.indexes if index not in new.indexes]
    marks = {Deletion(thread, old.number, index.number) for index in added}
    sweeper.held |= marks
    try:
        if added:
            for mark in marks:
                deletions.mark(numbered, mark)
            await engine.commit(numbered)
            for index in added:
                await _build(engine, thread, old.number, index, duplicate)
            failpoints.hit(Failpoint.INDEX_BUILT)
        finished = Transaction()
        for mark in marks:
            deletions.unmark(finished, mark)
        for index in dropped:
            deletions.mark(finished, Deletion(thread, old.number, index.number))
        yield finished
    finally:
        sweeper.held -= marks
        sweeper.wake()


async def _build(engine: Engine, thread: int, collection: int, index: IndexRow, duplicate: Duplicate) -> None:
    place = IndexPlace(thread, collection, index.number)
    pacer = Pacer()
    transaction = Transaction()
    pending: dict[bytes, str] = {}
    with engine.snapshot() as snapshot:
        for instance_id, text in document_rows.all_documents(snapshot, thread, collection):
            value = value_of(index, text)
            if index.unique and value != _MISSING:
                holder = pending.get(value)
                if holder is None:
                    holder = next(index_rows.holders(engine, place, value), None)
                if holder is not None:
                    duplicate(holder, instance_id)
                pending[value] = instance_id
            index_rows.put_entry(transaction, place, value, instance_id)
            if len(transaction.puts) == _ENTRIES_PER_COMMIT:
                await engine.commit(transaction)
                failpoints.hit(Failpoint.INDEX_SLICE)
                transaction = Transaction()
                pending.clear()
            elif pacer.due():
                await pacer.pause()
    await engine.commit(transaction)
