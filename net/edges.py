"""Edges: one number for all the heads of a thread, one for all its addresses, to compare two peers by.

FNV-1a of 64 bits over sorted pairs (threads-protocol.md, "Logs, heads, edges").
"""

from collections.abc import Iterable

NO_EDGE = 0
"""The edge of a thread that has none of what is hashed."""

_OFFSET = 14695981039346656037
_PRIME = 1099511628211
_MASK = (1 << 64) - 1


def fnv1a(data: bytes) -> int:
    """Hash bytes.

    Args:
        data: Any bytes.

    Returns:
        64 bits.
    """
    value = _OFFSET
    for byte in data:
        value = (value ^ byte) * _PRIME & _MASK
    return value


def _edge(pairs: Iterable[tuple[bytes, bytes]]) -> int:
    data = b"".join(log_id + other for log_id, other in sorted(pairs))
    return fnv1a(data) if data else NO_EDGE


def heads_edge(heads: Iterable[tuple[bytes, bytes]]) -> int:
    """Hash the heads of a thread.

    Args:
        heads: (log ID, head CID) of each log that has a head, in any order.

    Returns:
        The edge; 0 where there is no head.
    """
    return _edge(heads)


def address_edge(addresses: Iterable[tuple[bytes, bytes]]) -> int:
    """Hash the addresses of a thread.

    Args:
        addresses: (log ID, multiaddr bytes) of each address of each log, in any order.

    Returns:
        The edge; 0 where there is no address.
    """
    return _edge(addresses)
