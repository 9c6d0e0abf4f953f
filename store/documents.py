"""Instances, their patches, and the changes that listeners follow."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from store import tables
from store.engine import Reader, Transaction
from store.values import RowCodec

MAX_INSTANCE_ID_BYTES = 400
"""An instance ID is a part of several keys, which end at 511 bytes."""

CHANGES_KEPT = 10_000
"""How many changes of a database are kept for listeners that come back."""


class ChangeRow(msgspec.Struct, array_like=True, frozen=True):
    """One change of one instance.

    Args:
        collection_number: The collection.
        instance_id: The instance.
        action: 0 create, 1 save, 2 delete.
        text: JSON text of the instance after the change; None after a delete.
        before: JSON text of a deleted instance, where a read filter will have to say who may hear of it.
    """

    collection_number: int
    instance_id: str
    action: int
    text: bytes | None
    before: bytes | None = None


@dataclass(frozen=True, slots=True, order=True)
class PatchPlace:
    """Where a patch is, and its time.

    Args:
        timestamp: In ns since 1970.
        log_number: The log of its record.
        position: The position of its record.
        index: Its place in the record, from 0.
    """

    timestamp: int
    log_number: int
    position: int
    index: int


_changes = RowCodec(ChangeRow)


def get_document(reader: Reader, thread_number: int, collection_number: int, instance_id: str) -> bytes | None:
    """JSON text of an instance; an ID that is too long for a key is of none."""
    if len(instance_id.encode()) > MAX_INSTANCE_ID_BYTES:
        return None
    return reader.get(tables.document(thread_number, collection_number, instance_id))


def range_from(
    thread_number: int,
    collection_number: int,
    seek: str = "",
    *,
    reverse: bool = False,
) -> tables.Range:
    """The keys of a collection's instances from an ID on.

    Args:
        thread_number: The thread.
        collection_number: The collection.
        seek: The first ID, inclusive; "" for all.
        reverse: Whether they are read backwards, from `seek` or from the end.
    """
    start, stop = tables.documents(thread_number, collection_number)
    if seek:
        bound = start + seek.encode()[: MAX_INSTANCE_ID_BYTES + 1]
        return (start, bound + b"\x00") if reverse else (bound, stop)
    return start, stop


def all_documents(reader: Reader, thread_number: int, collection_number: int) -> Iterator[tuple[str, bytes]]:
    """IDs and JSON texts of a collection's instances, in the order of their IDs."""
    for key, value in reader.scan(*tables.documents(thread_number, collection_number)):
        yield tables.instance_id_of(key), value


def put_document(
    transaction: Transaction,
    thread_number: int,
    collection_number: int,
    instance_id: str,
    text: bytes | None,
) -> None:
    """Keep the JSON text of an instance; None removes it."""
    key = tables.document(thread_number, collection_number, instance_id)
    if text is None:
        transaction.delete(key)
    else:
        transaction.put(key, text)


def put_patch(
    transaction: Transaction,
    thread_number: int,
    collection_number: int,
    instance_id: str,
    place: PatchPlace,
) -> None:
    """Say where a patch of an instance is."""
    order = (place.timestamp, place.log_number, place.position, place.index)
    transaction.put(tables.patch(thread_number, collection_number, instance_id, order), b"")


def delete_patch(
    reader: Reader,
    transaction: Transaction,
    thread_number: int,
    collection_number: int,
    instance_id: str,
    place: PatchPlace,
) -> bool:
    """Forget where a patch of an instance is; tells whether it was known."""
    order = (place.timestamp, place.log_number, place.position, place.index)
    key = tables.patch(thread_number, collection_number, instance_id, order)
    if reader.get(key) is None:
        return False
    transaction.delete(key)
    return True


def patches_of(
    reader: Reader,
    thread_number: int,
    collection_number: int,
    instance_id: str,
    *,
    reverse: bool = False,
) -> Iterator[PatchPlace]:
    """The patches of an instance, by time."""
    for key, _ in reader.scan(*tables.patches_of(thread_number, collection_number, instance_id), reverse=reverse):
        yield PatchPlace(*tables.patch_order_of(key))


def put_waiting(transaction: Transaction, thread_number: int, collection: str, log_number: int, position: int) -> None:
    """Say that a record has patches for a collection that is not there yet."""
    transaction.put(tables.waiting(thread_number, collection, log_number, position), b"")


def delete_waiting(
    transaction: Transaction, thread_number: int, collection: str, log_number: int, position: int
) -> None:
    """Say that a record waits for a collection no longer."""
    transaction.delete(tables.waiting(thread_number, collection, log_number, position))


def waiting_for(reader: Reader, thread_number: int, collection: str) -> Iterator[tuple[int, int]]:
    """Log numbers and positions of the records that wait for a collection, each log in its order."""
    for key, _ in reader.scan(*tables.waiting_for(thread_number, collection)):
        yield tables.waiting_of(key)


def put_change(transaction: Transaction, thread_number: int, sequence: int, row: ChangeRow) -> None:
    """Keep a change, and let go of the one that is now too old."""
    transaction.put(tables.change(thread_number, sequence), _changes.encode(row))
    if sequence > CHANGES_KEPT:
        transaction.delete(tables.change(thread_number, sequence - CHANGES_KEPT))


def changes_from(reader: Reader, thread_number: int, first: int = 1) -> Iterator[tuple[int, ChangeRow]]:
    """Sequences and changes of a database, from a sequence on."""
    for key, value in reader.scan(*tables.changes(thread_number, first)):
        yield tables.sequence_of(key), _changes.decode(value)
