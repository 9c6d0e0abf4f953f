"""Until when the tokens of an identity count no longer."""

from collections.abc import Iterator

import msgspec

from store import tables
from store.engine import Reader, Transaction
from store.values import RowCodec


class RevocationRow(msgspec.Struct, array_like=True, frozen=True):
    """The end of the tokens that an identity had.

    Args:
        until: Tokens that were issued up to this time do not count, in seconds since 1970.
    """

    until: int


_revocations = RowCodec(RevocationRow)


def list_revocations(reader: Reader) -> Iterator[tuple[bytes, RevocationRow]]:
    """All revocations with the public keys of their identities, in libp2p's protobuf form."""
    for key, value in reader.scan(*tables.revocations()):
        yield tables.revoked_identity_of(key), _revocations.decode(value)


def put_revocation(transaction: Transaction, identity: bytes, row: RevocationRow) -> None:
    """Keep a revocation."""
    transaction.put(tables.revocation(identity), _revocations.encode(row))
