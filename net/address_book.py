"""Where other hosts listen: logs name hosts by their peer IDs alone, so it has to be remembered."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from net.errors import InvalidAddressError
from net.multiaddr import Multiaddr
from store import peers as rows
from store.engine import Engine, Transaction
from store.errors import StoreError
from store.peers import PeerRow

MAX_ADDRESSES = 16
"""How many addresses of a host are remembered, the latest first."""

MAX_STRANGERS = 1024
"""How many hosts that serve none of the threads here are remembered until the daemon stops."""


class AddressBook:
    """The addresses of hosts. Those that serve a thread of this host are kept on disk.

    Args:
        engine: The store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: dict[bytes, tuple[bytes, ...]] = {peer: row.addresses for peer, row in rows.list_peers(engine)}
        self._strangers: dict[bytes, tuple[bytes, ...]] = {}

    def addresses(self, peer: bytes) -> list[Multiaddr]:
        """Give where a host may be, the latest first.

        Args:
            peer: Its peer ID.
        """
        known = self._kept.get(peer) or self._strangers.get(peer) or ()
        return [Multiaddr(address) for address in known]

    def learn(self, peer: bytes, addresses: Iterable[bytes]) -> None:
        """Remember where a host says it is, or where it was reached.

        Args:
            peer: Its peer ID.
            addresses: Multiaddrs in bytes; what is none is dropped.
        """
        known = self._kept.get(peer, self._strangers.get(peer, ()))
        joined = tuple(dict.fromkeys((*filter(_is_address, addresses), *known)))[:MAX_ADDRESSES]
        if joined == known:
            return
        if peer in self._kept:
            self._keep(peer, joined)
            return
        self._strangers.pop(peer, None)
        while len(self._strangers) >= MAX_STRANGERS:
            del self._strangers[next(iter(self._strangers))]
        self._strangers[peer] = joined

    def keep(self, peers: Iterable[bytes]) -> None:
        """Remember some hosts beyond a restart: they serve a thread of this host.

        Args:
            peers: Their peer IDs.
        """
        for peer in peers:
            if peer not in self._kept:
                self._keep(peer, self._strangers.pop(peer, ()))

    def _keep(self, peer: bytes, addresses: tuple[bytes, ...]) -> None:
        self._kept[peer] = addresses
        transaction = Transaction()
        rows.put_peer(transaction, peer, PeerRow(addresses))
        # Nobody waits for it: what is lost with the disk is learned again, or the thread is gone as well.
        self._engine.commit(transaction).add_done_callback(_consume)


def _consume(done: "asyncio.Future[None]") -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None and not isinstance(error, StoreError):
        raise error


def _is_address(address: bytes) -> bool:
    with suppress(InvalidAddressError):
        return bool(Multiaddr.from_bytes(address).parts)
    return False
