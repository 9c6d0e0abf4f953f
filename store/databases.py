"""Databases of threads, their collections, and how far their changes have come."""

from collections.abc import Iterator

import msgspec

from store import tables
from store.engine import Reader, Transaction
from store.values import RowCodec


class DatabaseRow(msgspec.Struct, array_like=True, frozen=True):
    """A database.

    Args:
        thread_id: The ID of its thread.
        name: Its name.
    """

    thread_id: bytes
    name: str


class IndexRow(msgspec.Struct, array_like=True, frozen=True):
    """An index of a collection.

    Args:
        number: Its number in this store.
        path: Names of fields, joined by dots.
        unique: Whether a value may be there once only.
    """

    number: int
    path: str
    unique: bool


class CollectionRow(msgspec.Struct, array_like=True, frozen=True):
    """A collection.

    Args:
        number: Its number in this store.
        name: Its name.
        schema: JSON Schema text.
        indexes: Its indexes.
        write_validator: JavaScript, or nothing.
        read_filter: JavaScript, or nothing.
    """

    number: int
    name: str
    schema: bytes
    indexes: tuple[IndexRow, ...] = ()
    write_validator: str = ""
    read_filter: str = ""


class ProgressRow(msgspec.Struct, array_like=True, frozen=True):
    """How far a database has come.

    Args:
        sequence: The last change.
        timestamp: The latest time of a patch that was seen, in ns since 1970.
    """

    sequence: int = 0
    timestamp: int = 0


_databases = RowCodec(DatabaseRow)
_collections = RowCodec(CollectionRow)
_progress = RowCodec(ProgressRow)


def get_database(reader: Reader, thread_number: int) -> DatabaseRow | None:
    """The database of a thread."""
    return _databases.decode_optional(reader.get(tables.database(thread_number)))


def list_databases(reader: Reader) -> Iterator[DatabaseRow]:
    """All databases, the oldest first."""
    for _, value in reader.scan(*tables.databases()):
        yield _databases.decode(value)


def put_database(transaction: Transaction, thread_number: int, row: DatabaseRow) -> None:
    """Keep a database."""
    transaction.put(tables.database(thread_number), _databases.encode(row))


def delete_database(transaction: Transaction, thread_number: int) -> None:
    """Forget a database; its contents are another matter (`store.deletions`)."""
    transaction.delete(tables.database(thread_number))


def list_collections(reader: Reader, thread_number: int) -> Iterator[CollectionRow]:
    """The collections of a database, by name."""
    for _, value in reader.scan(*tables.collections(thread_number)):
        yield _collections.decode(value)


def list_all_collections(reader: Reader) -> Iterator[tuple[int, CollectionRow]]:
    """The collections of all databases, each with the number of its thread."""
    for key, value in reader.scan(*tables.all_collections()):
        yield tables.thread_number_of(key), _collections.decode(value)


def get_collection(reader: Reader, thread_number: int, name: str) -> CollectionRow | None:
    """A collection by its name, or None."""
    return _collections.decode_optional(reader.get(tables.collection(thread_number, name)))


def put_collection(transaction: Transaction, thread_number: int, row: CollectionRow) -> None:
    """Keep a collection."""
    transaction.put(tables.collection(thread_number, row.name), _collections.encode(row))


def delete_collection(transaction: Transaction, thread_number: int, name: str) -> None:
    """Forget a collection; its contents are another matter (`store.deletions`)."""
    transaction.delete(tables.collection(thread_number, name))


def get_progress(reader: Reader, thread_number: int) -> ProgressRow:
    """How far a database has come."""
    return _progress.decode_optional(reader.get(tables.progress(thread_number))) or ProgressRow()


def put_progress(transaction: Transaction, thread_number: int, old: ProgressRow, new: ProgressRow) -> None:
    """Move a database on.

    Args:
        transaction: It fails with a conflict if the database is not where it was thought to be when its turn comes; so
            does one that was built on a transaction that failed.
        thread_number: The thread.
        old: Where it was when the transaction was built.
        new: Where it is after it.
    """
    key = tables.progress(thread_number)
    if key not in transaction.requirements:
        transaction.require(key, _progress.encode(old) if old != ProgressRow() else None)
    if new != old:
        transaction.put(key, _progress.encode(new))
