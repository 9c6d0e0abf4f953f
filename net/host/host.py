"""The libp2p host, as the rest of the daemon uses it: on the asyncio side, one call in, one answer out."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from net.host.bridge import TrioThread
from net.host.connection import Services
from net.host.gossip import HEARTBEAT_SECONDS
from net.host.gossip_streams import GossipStreams
from net.host.guards import guarded
from net.host.switch import Switch
from net.keys import PrivateKey
from net.multiaddr import Multiaddr
from net.peer_errors import HostError

CallHandler = Callable[[bytes, str, bytes], Awaitable[bytes]]
"""Answers a call: the caller's peer ID, the method (`/net.pb.Service/..`) and the message; raises `ThreaddError`."""


BlockGiver = Callable[[list[bytes]], Awaitable[dict[bytes, bytes]]]
"""Gives the blocks of some CIDs that are here."""


GossipTaker = Callable[[bytes, str, bytes], Awaitable[bool]]
"""Takes what a peer brings by pubsub: its ID, the topic and the message; tells whether others are to get it."""


async def _no_blocks(_: list[bytes]) -> dict[bytes, bytes]:
    return {}


@dataclass(frozen=True, slots=True)
class ConnectedPeer:
    """A connection that is open.

    Args:
        peer: The peer's ID.
        address: Where it is, as text.
        dialled: Whether it was made from this side.
        seconds: How long it has been open.
    """

    peer: bytes
    address: str
    dialled: bool
    seconds: float


class Host:
    """A libp2p host: TCP, Noise, Yamux or mplex, identify, ping and the calls of `/thread/0.0.1`.

    Args:
        key: The host's key.
        handler: Answers the calls of peers, on the asyncio side.
        blocks: Gives the blocks of some CIDs that are here, on the asyncio side.
        on_connected: Is told, on the asyncio side, the ID of a peer that is connected now and whether it was dialled.
        on_identified: Is told, on the asyncio side, a peer's ID and the addresses that it says it listens on.
        gossip: Takes, on the asyncio side, what peers bring by pubsub (GossipSub 1.1); without it there is none.
    """

    def __init__(
        self,
        key: PrivateKey,
        handler: CallHandler,
        *,
        blocks: BlockGiver = _no_blocks,
        on_connected: Callable[[bytes, bool], None] = lambda _peer, _dialled: None,
        on_identified: Callable[[bytes, tuple[bytes, ...]], None] = lambda _peer, _addresses: None,
        gossip: GossipTaker | None = None,
    ) -> None:
        self._key = key
        self._handler = handler
        self._blocks = blocks
        self._on_connected = on_connected
        self._on_identified = on_identified
        self._take = gossip
        self._gossip: GossipStreams | None = None
        self._thread = TrioThread("libp2p host")
        self._switch: Switch | None = None
        self._announced: Callable[[], list[bytes]] = list

    async def open(
        self, listen: Multiaddr | None, announce: Callable[[Multiaddr | None], list[bytes]]
    ) -> Multiaddr | None:
        """Start the host.

        Args:
            listen: Where to listen, port 0 for any; None to dial only.
            announce: Given where it listens, gives the multiaddrs that peers are told to dial. It is asked anew for
                every peer, on another thread.

        Returns:
            Where it listens.

        Raises:
            HostError: It cannot listen there.
        """
        await self._thread.open()
        try:
            where = await self._thread.in_trio(self._open, listen)
        except HostError:
            await self.close()
            raise
        self._announced = lambda: announce(where)
        return where

    async def close(self) -> None:
        """End all connections and the thread that they run in."""
        await self._thread.close()

    async def request(
        self, peer: bytes, addresses: Sequence[Multiaddr], method: str, body: bytes, seconds: float
    ) -> bytes:
        """Call a method of a peer, which is dialled where it is not connected.

        Args:
            peer: The peer's ID.
            addresses: Where it may be; not needed for a peer that is connected.
            method: For instance `/net.pb.Service/GetLogs`. Calls may be sent twice where a connection breaks.
            body: The message.
            seconds: How long all of it may take.

        Returns:
            The answer.

        Raises:
            PeerUnreachableError: It does not answer at any address, or the connection broke.
            PeerTooSlowError: There was no answer in time.
            PeerRefusedError: It answered with an error.
            HostError: The host is closed.
        """
        return await self._thread.in_trio(self._require().request, peer, addresses, method, body, seconds)

    async def fetch(
        self, peer: bytes, addresses: Sequence[Multiaddr], cids: Sequence[bytes], seconds: float
    ) -> dict[bytes, bytes]:
        """Ask a peer for blocks by bitswap; it is dialled where it is not connected.

        Args:
            peer: The peer's ID.
            addresses: Where it may be.
            cids: The CIDs of the blocks, at most `bitswap.MAX_WANTED`.
            seconds: How long all of it may take.

        Returns:
            The blocks that it has, by CID; each is what its CID says.

        Raises:
            PeerUnreachableError: It does not answer at any address, or the connection broke.
            PeerTooSlowError: It neither gave all blocks nor said which it lacks.
            HostError: The host is closed.
        """
        return await self._thread.in_trio(self._require().fetch, peer, addresses, cids, seconds)

    async def peers(self) -> list[ConnectedPeer]:
        """Give the connections that are open."""

        async def collect() -> list[ConnectedPeer]:
            now = trio.current_time()
            return [
                ConnectedPeer(each.peer, each.address, each.dialled, now - each.since)
                for each in self._require().connections()
            ]

        return await self._thread.in_trio(collect)

    async def disconnect(self, peer: bytes) -> None:
        """End the connections with a peer.

        Args:
            peer: The peer's ID.
        """

        async def drop() -> None:
            self._require().drop(peer)

        await self._thread.in_trio(drop)

    def join(self, topic: str) -> None:
        """Hear of a topic by pubsub; without pubsub, nothing is heard.

        Args:
            topic: Its name.

        Raises:
            HostError: The host is closed.
        """
        if self._gossip is not None:
            self._thread.tell_trio(self._gossip.router.join, topic)

    def leave(self, topic: str) -> None:
        """Hear of a topic no longer; as `join`."""
        if self._gossip is not None:
            self._thread.tell_trio(self._gossip.router.leave, topic)

    def publish(self, topic: str, data: bytes) -> None:
        """Tell those who hear of a topic that was joined; what is longer than pubsub takes is not told.

        Args:
            topic: Its name.
            data: What to tell.

        Raises:
            HostError: The host is closed.
        """
        if self._gossip is not None:
            self._thread.tell_trio(self._gossip.router.publish, topic, data)

    async def gossip_refused(self) -> dict[str, int]:
        """Give how many messages of peers by pubsub were refused, by reason: `garbage`, `oversized`, `unwanted`."""

        async def collect() -> dict[str, int]:
            return {} if self._gossip is None else dict(self._gossip.refused)

        return await self._thread.in_trio(collect)

    async def gossip_peers(self, topic: str) -> set[bytes]:
        """Give the IDs of the peers that hear of a topic that was joined."""

        async def collect() -> set[bytes]:
            return set() if self._gossip is None else self._gossip.router.peers_of(topic)

        return await self._thread.in_trio(collect)

    async def _open(self, listen: Multiaddr | None) -> Multiaddr | None:
        if self._take is not None:
            self._gossip = GossipStreams(self._key, self._hear)
            self._thread.nursery.start_soon(guarded, "gossip", self._gossip.run, HEARTBEAT_SECONDS)
        services = Services(
            self._key.public,
            self._announce,
            self._handle,
            self._find,
            lambda peer, addresses: self._thread.call_soon(self._on_identified, peer, addresses),
            self._gossip,
        )
        self._switch = Switch(
            self._key,
            services,
            self._thread.nursery,
            lambda peer, dialled: self._thread.call_soon(self._on_connected, peer, dialled),
        )
        return None if listen is None else await self._switch.listen(listen)

    def _announce(self) -> list[bytes]:
        return self._announced()

    async def _handle(self, peer: bytes, method: str, body: bytes) -> bytes:
        return await self._thread.in_asyncio(self._answer, peer, method, body)

    async def _find(self, cids: list[bytes]) -> dict[bytes, bytes]:
        return await self._thread.in_asyncio(self._give, cids)

    async def _hear(self, peer: bytes, topic: str, data: bytes) -> bool:
        return await self._thread.in_asyncio(self._weigh, peer, topic, data)

    async def _weigh(self, peer: bytes, topic: str, data: bytes) -> bool:
        return self._take is not None and await self._take(peer, topic, data)

    async def _give(self, cids: list[bytes]) -> dict[bytes, bytes]:
        return await self._blocks(cids)

    async def _answer(self, peer: bytes, method: str, body: bytes) -> bytes:
        return await self._handler(peer, method, body)

    def _require(self) -> Switch:
        if self._switch is None:
            raise HostError("the host is not open")
        return self._switch
