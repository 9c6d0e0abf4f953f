"""Entries of indexes: for each instance one, by its value and then by its ID."""

from collections.abc import Iterator
from dataclasses import dataclass

from store import tables
from store.engine import Reader, Transaction
from store.keys import after_prefix

EXACT_BYTES = 48
"""Values sort as they should up to here; of a longer one the entry holds this much and a digest."""


@dataclass(frozen=True, slots=True)
class IndexPlace:
    """Which index.

    Args:
        thread_number: The thread.
        collection_number: The collection.
        index_number: The index.
    """

    thread_number: int
    collection_number: int
    index_number: int

    def key(self, value: bytes, instance_id: str) -> bytes:
        """Key of an entry."""
        return tables.index_entry(self.thread_number, self.collection_number, self.index_number, value, instance_id)

    @property
    def range(self) -> tables.Range:
        """All entries."""
        return tables.index_entries(self.thread_number, self.collection_number, self.index_number)


@dataclass(frozen=True, slots=True)
class Entry:
    """One instance in an index.

    Args:
        value: The value's place in the order, up to `EXACT_BYTES` exact.
        instance_id: The instance.
    """

    value: bytes
    instance_id: str


def put_entry(transaction: Transaction, place: IndexPlace, value: bytes, instance_id: str) -> None:
    """Add an instance to an index; its ID stands in the value too, since the key does not say where it begins."""
    transaction.put(place.key(value, instance_id), instance_id.encode())


def delete_entry(transaction: Transaction, place: IndexPlace, value: bytes, instance_id: str) -> None:
    """Take an instance out of an index."""
    transaction.delete(place.key(value, instance_id))


def holders(reader: Reader, place: IndexPlace, value: bytes) -> Iterator[str]:
    """IDs of the instances that have a value."""
    prefix = place.key(value, "")
    for _, instance_id in reader.scan(prefix, after_prefix(prefix)):
        yield instance_id.decode()


def entries(
    reader: Reader,
    place: IndexPlace,
    start: bytes = b"",
    stop: bytes | None = None,
    *,
    reverse: bool = False,
) -> Iterator[Entry]:
    """Entries in the order of their values, or against it.

    Args:
        reader: A state.
        place: Which index.
        start: The first value, or what it begins with.
        stop: The first value behind, or what it begins with; None for no end.
        reverse: Whether to go backwards.
    """
    prefix, end = place.range
    stop_key = end if stop is None else prefix + stop
    for key, value in reader.scan(prefix + start, stop_key, reverse=reverse):
        yield Entry(key[len(prefix) : len(key) - len(value)], value.decode())
