"""All that this host has to do with others, put together."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from net import cid
from net.address_book import AddressBook
from net.gaps import GapFiller
from net.gossiping import Gossiping
from net.multiaddr import Multiaddr
from net.network import Network
from net.peer_client import PeerClient, Transport
from net.peer_errors import PeerUnreachableError
from net.peer_service import PeerService
from net.pulling import Puller
from net.replication import Replication
from net.sync import Sleep, Sync
from net.thread_id import ThreadID
from net.threads import Threads
from store import branches
from store import records as record_rows
from store.engine import Engine, Reader

MAX_GIVEN = 512
"""How many blocks a message of a peer is answered with."""


class Line:
    """The way to other hosts, for what is made before there is one."""

    def __init__(self) -> None:
        self.transport: Transport | None = None

    async def request(
        self, peer: bytes, addresses: Sequence[Multiaddr], method: str, body: bytes, seconds: float
    ) -> bytes:
        """Call a method of a peer; as `Transport.request`."""
        return await self._require().request(peer, addresses, method, body, seconds)

    async def fetch(
        self, peer: bytes, addresses: Sequence[Multiaddr], cids: Sequence[bytes], seconds: float
    ) -> dict[bytes, bytes]:
        """Ask a peer for blocks; as `Transport.fetch`."""
        return await self._require().fetch(peer, addresses, cids, seconds)

    def _require(self) -> Transport:
        if self.transport is None:
            raise PeerUnreachableError("this daemon does not talk to other hosts: its host-addr is off")
        return self.transport


class Peering:
    """The parts of the exchange with other hosts.

    Args:
        engine: The store.
        threads: The threads.
        network: What can be done without other hosts.
        transport: Brings calls to hosts.
        clock: Nanoseconds since 1970.
        seconds: Seconds from any moment.
        sleep: Waits some seconds.
        chance: Spreads retries.

    Attributes:
        seconds: As passed in.
        book: Remembers where hosts are.
        gossiping: Tells of records by pubsub, once it is started.
        sync: Keeps threads in step; it is to be started and closed.
        service: Answers the calls of hosts.
        replication: The verbs that clients use.
    """

    def __init__(
        self,
        engine: Engine,
        threads: Threads,
        network: Network,
        transport: Transport,
        clock: Callable[[], int],
        *,
        seconds: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        chance: random.Random | None = None,
    ) -> None:
        self._engine = engine
        self.seconds = seconds
        self.book = AddressBook(engine)
        client = PeerClient(transport, self.book)
        puller = Puller(engine, threads, network, client, self.book, GapFiller(engine, network, client), self._changed)
        self.gossiping = Gossiping(engine, threads)
        self.sync = Sync(
            engine,
            threads,
            client,
            self.book,
            puller,
            self.gossiping,
            clock=seconds,
            sleep=sleep,
            chance=chance or random.Random(),  # noqa: S311 - it spreads retries
        )
        self.service = PeerService(engine, threads, network, self.sync, self.book.keep, clock)
        self.replication = Replication(engine, threads, network, client, self.book, puller, self.sync, clock)

    def is_connected(self, peer: bytes, dialled: bool) -> None:  # noqa: FBT001 - the host calls it so
        """A host is connected; one that has called is back.

        Args:
            peer: Its peer ID.
            dialled: Whether it was called from here.
        """
        if not dialled:
            self.sync.is_back(peer)

    def is_identified(self, peer: bytes, addresses: tuple[bytes, ...]) -> None:
        """A host has said where it listens.

        Args:
            peer: Its peer ID.
            addresses: Multiaddrs in bytes.
        """
        self.book.learn(peer, addresses)

    async def blocks(self, cids: list[bytes]) -> dict[bytes, bytes]:
        """Give the blocks of threads that are here, for whoever knows their CIDs.

        Args:
            cids: The CIDs; others than those of blocks of threads are not here.
        """
        wanted = [each for each in cids if len(each) == cid.BLOCK_CID_BYTES and each.startswith(cid.BLOCK_PREFIX)]

        def find(reader: Reader) -> dict[bytes, bytes]:
            found = (
                (each, record_rows.get_block(reader, each) or branches.get_block(reader, each))
                for each in wanted[:MAX_GIVEN]
            )
            return {each: block for each, block in found if block is not None}

        return await self._engine.read(find)

    def _changed(self, thread: ThreadID) -> None:
        self.sync.has_changed(thread)
