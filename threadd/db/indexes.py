"""Keeping indexes: an entry for every instance, whatever it has at the path; so an index never changes an answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from store import indexes as index_rows
from store.databases import IndexRow
from store.engine import Reader, Transaction
from store.indexes import IndexPlace
from threadd.db.collections import Collection
from threadd.db.errors import UniqueConstraintError
from threadd.db.fields import decoder_of, order_bytes, sort_key
from threadd.db.transactions import Change

_MISSING = order_bytes((0, 0))


@dataclass(slots=True)
class _Entries:
    """What a transaction changes in one index: the IDs by value."""

    removed: dict[bytes, set[str]] = field(default_factory=dict)
    added: dict[bytes, set[str]] = field(default_factory=dict)


def value_of(index: IndexRow, text: bytes) -> bytes:
    """Where an instance stands in an index.

    Args:
        index: The index.
        text: JSON text of the instance.
    """
    path = tuple(index.path.split("."))
    return order_bytes(sort_key(decoder_of(frozenset(path[:1]))(text), path))


def stage(transaction: Transaction, reader: Reader, thread: int, changes: Sequence[Change], *, unique: bool) -> None:
    """Add to a transaction what changes mean for the indexes.

    Args:
        transaction: Where to.
        reader: The state that the changes are made to.
        thread: The number of the thread.
        changes: All changes of the transaction, in order.
        unique: Whether unique indexes bind: they do for what is written here, not for what comes from elsewhere.

    Raises:
        UniqueConstraintError: Two instances would have the same value in a unique index.
    """
    for collection, index in {(change.collection, index) for change in changes for index in change.collection.indexes}:
        place = IndexPlace(thread, collection.number, index.number)
        entries = _entries(index, (change for change in changes if change.collection is collection))
        if unique and index.unique:
            _check_unique(reader, place, entries)
        for value, instance_ids in entries.removed.items():
            for instance_id in instance_ids - entries.added.get(value, set()):
                index_rows.delete_entry(transaction, place, value, instance_id)
        for value, instance_ids in entries.added.items():
            for instance_id in instance_ids - entries.removed.get(value, set()):
                index_rows.put_entry(transaction, place, value, instance_id)


def _entries(index: IndexRow, changes: Iterable[Change]) -> _Entries:
    """What the first and the last state of each instance make of an index."""
    first: dict[str, bytes | None] = {}
    last: dict[str, bytes | None] = {}
    for change in changes:
        first.setdefault(change.patch.instance_id, change.before)
        last[change.patch.instance_id] = change.after
    entries = _Entries()
    for texts, values in ((first, entries.removed), (last, entries.added)):
        for instance_id, text in texts.items():
            if text is not None:
                values.setdefault(value_of(index, text), set()).add(instance_id)
    return entries


def _check_unique(reader: Reader, place: IndexPlace, entries: _Entries) -> None:
    """Instances without the field do not clash, and those that share a value already may keep it."""
    for value, added in entries.added.items():
        if value == _MISSING or added <= entries.removed.get(value, set()):
            continue
        holders = set(index_rows.holders(reader, place, value)) - entries.removed.get(value, set())
        if len(holders | added) > 1:
            raise UniqueConstraintError


def collection_index(collection: Collection, path: tuple[str, ...]) -> IndexRow | None:
    """The index of a collection on a path, if there is one."""
    wanted = ".".join(path)
    return next((index for index in collection.indexes if index.path == wanted), None)
