"""Who makes a call, and whose share of the budgets it draws on."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from net.keys import PublicKey
    from threadd.hub.callers import Caller

Holder: TypeAlias = tuple[str, bytes]
"""Whose share something comes out of: an API key or "", and within it an identity or an address."""

_SITE_BITS: Final = 64
"""How much of an IPv6 address names a site: the rest is its own to choose (RFC 4291, 2.5.4)."""

_REMEMBERED: Final = 4096
"""For how many peers that call often the address is remembered."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a call, as the policy of its endpoint found out.

    Args:
        identity: On whose behalf the call reads and writes; None for a method that is open to everybody, or that gives
            the token which names an identity.
        has_proved: Whether its credentials prove that identity. A threads endpoint lets callers without a token act for
            the host, which proves nothing.
        is_known: Whether it passed the checks of an endpoint, rather than called a method that is open to everybody. A
            threads endpoint asks for no credentials, and refuses wrong ones.
        api_key: The API key; "" for none.
        caller: What the Hub knows about the caller; None on a threads endpoint.
    """

    identity: "PublicKey | None" = None
    has_proved: bool = False
    is_known: bool = False
    api_key: str = ""
    caller: "Caller | None" = None

    def holder(self, peer: str) -> Holder:
        """Whose share of the budgets a call of this principal draws on.

        A key of an app is public in its pages, so it is no person's: within a key the shares are by identity, and by
        address for callers who have proved none.

        Args:
            peer: Where the call comes from, as gRPC writes it.
        """
        if self.has_proved and self.identity is not None:
            return self.api_key, self.identity.bytes
        return self.api_key, address_of(peer)


@lru_cache(_REMEMBERED)
def address_of(peer: str) -> bytes:
    """The address in what gRPC writes of a peer, without the port; of an IPv6 address, the site.

    Args:
        peer: Such as `ipv4:127.0.0.1:50000`.

    Returns:
        The address in bytes; b"" for peers that have none: they count as one.
    """
    kind, _, place = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return b""
    text = place.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return b""
    if isinstance(address, ipaddress.IPv4Address):
        return address.packed
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped.packed
    return address.packed[: _SITE_BITS // 8]
