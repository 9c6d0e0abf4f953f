"""What is kept of a bucket beside its document: where it is, whose it is, how large, and its last complete root."""

from collections.abc import Iterator

import msgspec

from store import tables
from store.engine import Reader, Transaction
from store.values import RowCodec


class BucketRow(msgspec.Struct, array_like=True, frozen=True):
    """A bucket that was made here.

    Args:
        thread_id: The thread that its instance is in.
        owner: Text of the owner's public key; empty for none.
        size: How many bytes its blocks take, as far as known.
        private_key: The key that its name is made of, in DER; whoever has it may publish under that name.
    """

    thread_id: bytes
    owner: str
    size: int
    private_key: bytes = b""


class CompleteRootRow(msgspec.Struct, array_like=True, frozen=True):
    """The last root of a bucket that was found with all its blocks; no sweep removes these.

    Args:
        root: The CID of the root.
        document: JSON of the bucket's document of that time, as far as it decides who may read what, with which key.
    """

    root: bytes
    document: bytes


_codec = RowCodec(BucketRow)
_complete_roots = RowCodec(CompleteRootRow)

_MAX_KEY_BYTES = 400
_MAX_SIZE = (1 << 63) - 1


def get_bucket(reader: Reader, key: str) -> BucketRow | None:
    """What is kept of a bucket, or None; a key that is too long for the store is of none."""
    if len(key.encode()) > _MAX_KEY_BYTES:
        return None
    value = reader.get(tables.bucket(key))
    return None if value is None else _codec.decode(value)


def list_buckets(reader: Reader) -> Iterator[tuple[str, BucketRow]]:
    """All buckets by their keys."""
    for key, value in reader.scan(*tables.buckets()):
        yield tables.bucket_key_of(key), _codec.decode(value)


def put_bucket(transaction: Transaction, key: str, row: BucketRow) -> None:
    """Keep what is known of a bucket; a size that cannot be is kept as the nearest one that can."""
    size = min(max(row.size, 0), _MAX_SIZE)
    transaction.put(tables.bucket(key), _codec.encode(msgspec.structs.replace(row, size=size)))


def delete_bucket(transaction: Transaction, key: str) -> None:
    """Forget a bucket."""
    transaction.delete(tables.bucket(key))


def get_complete_root(reader: Reader, thread_number: int, key: str) -> CompleteRootRow | None:
    """The last complete root of a bucket, or None where none is known."""
    if len(key.encode()) > _MAX_KEY_BYTES:
        return None
    return _complete_roots.decode_optional(reader.get(tables.complete_root(thread_number, key)))


def list_complete_roots(reader: Reader, thread_number: int) -> Iterator[tuple[str, CompleteRootRow]]:
    """The last complete roots of the buckets of a thread, by the buckets' keys."""
    for key, value in reader.scan(*tables.complete_roots(thread_number)):
        yield tables.bucket_of_complete_root(key), _complete_roots.decode(value)


def put_complete_root(transaction: Transaction, thread_number: int, key: str, row: CompleteRootRow) -> None:
    """Keep the last complete root of a bucket."""
    transaction.put(tables.complete_root(thread_number, key), _complete_roots.encode(row))


def delete_complete_root(transaction: Transaction, thread_number: int, key: str) -> None:
    """Forget the last complete root of a bucket."""
    transaction.delete(tables.complete_root(thread_number, key))
