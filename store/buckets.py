"""What is kept of a bucket beside its instance: where it is, whose it is and how large."""

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


_codec = RowCodec(BucketRow)

_MAX_KEY_BYTES = 400


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
    """Keep what is known of a bucket."""
    transaction.put(tables.bucket(key), _codec.encode(row))


def delete_bucket(transaction: Transaction, key: str) -> None:
    """Forget a bucket."""
    transaction.delete(tables.bucket(key))
