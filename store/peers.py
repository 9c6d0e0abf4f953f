"""Where other hosts were last heard of, so that they are found again after a restart."""

from collections.abc import Iterator

import msgspec

from store import tables
from store.engine import Reader, Transaction
from store.values import RowCodec


class PeerRow(msgspec.Struct, array_like=True, frozen=True):
    """A host.

    Args:
        addresses: Multiaddrs in bytes that it can be dialled at, the latest first.
    """

    addresses: tuple[bytes, ...] = ()


_peers = RowCodec(PeerRow)


def get_peer(reader: Reader, peer_id: bytes) -> PeerRow | None:
    """A host by its peer ID."""
    return _peers.decode_optional(reader.get(tables.peer(peer_id)))


def list_peers(reader: Reader) -> Iterator[tuple[bytes, PeerRow]]:
    """All hosts with their peer IDs."""
    for key, value in reader.scan(*tables.peers()):
        yield tables.peer_id_of(key), _peers.decode(value)


def put_peer(transaction: Transaction, peer_id: bytes, row: PeerRow) -> None:
    """Keep where a host is."""
    transaction.put(tables.peer(peer_id), _peers.encode(row))
