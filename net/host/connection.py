"""A connection to a peer: what is served on it, and the calls that go over it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from net import bitswap, varints
from net.errors import NetError
from net.host import gossip, grpc_streams
from net.host.bitswap_streams import Bitswap, Blocks
from net.host.gossip_streams import GossipStreams
from net.host.grpc_streams import Caller, Handler
from net.host.library import Identify, IOException, Muxed, Socket, Stream, agree_on, ask_for
from net.keys import PublicKey
from net.multiaddr import Multiaddr
from net.peer_errors import PeerUnreachableError
from store import background

THREAD = "/thread/0.0.1"
IDENTIFY = "/ipfs/id/1.0.0"
IDENTIFY_PUSH = "/ipfs/id/push/1.0.0"
PING = "/ipfs/ping/1.0.0"
PROTOCOLS = (THREAD, IDENTIFY, IDENTIFY_PUSH, PING, *bitswap.PROTOCOLS)

MAX_STREAMS = 128
"""How many streams a peer may have open towards us on one connection."""

MAX_ADDRESSES = 16
"""How many addresses of a peer are heard."""

_MAX_ADDRESS_BYTES = 256
_NEGOTIATION_SECONDS = 10
_START_SECONDS = 5.0
_PING_BYTES = 32
_PING_IDLE_SECONDS = 120.0
_IDENTIFY_BYTES = 32 * 2**10
_PROTOCOL_VERSION = "ipfs/0.1.0"
_AGENT = "threadd"

log = logging.getLogger(__name__)


class Started(Protocol):
    """What trio hands to a task that is to say when it has started."""

    def started(self) -> None:
        """Say so."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a host offers on every connection.

    Args:
        key: The host's public key.
        addresses: Gives the multiaddrs that peers are told to dial.
        handler: Answers calls.
        blocks: Gives blocks that peers ask for.
        on_identified: Is told a peer's ID and the addresses that it says it listens on.
        gossip: What is said by pubsub; None where nothing is.
    """

    key: PublicKey
    addresses: Callable[[], list[bytes]]
    handler: Handler
    blocks: Blocks
    on_identified: Callable[[bytes, tuple[bytes, ...]], None]
    gossip: GossipStreams | None = None

    @property
    def protocols(self) -> tuple[str, ...]:
        """All that is served."""
        return PROTOCOLS if self.gossip is None else (*PROTOCOLS, *gossip.PROTOCOLS)


class Connection:
    """A connection that has been upgraded; `run` has to run.

    Args:
        peer: The peer's ID.
        muxed: The connection.
        socket: What it runs on.
        address: Where the peer is, as text.
        services: What is served on it.
        dialled: Whether it was made from this side.
    """

    def __init__(
        self, peer: bytes, muxed: Muxed, socket: Socket, address: str, services: Services, *, dialled: bool
    ) -> None:
        self.peer = peer
        self.address = address
        self.dialled = dialled
        self.since = trio.current_time()
        self.is_open = True
        self.ended = trio.Event()
        self._muxed = muxed
        self._socket = socket
        self._services = services
        self._streams = 0
        self._caller: Caller | None = None
        self._calling = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self.bitswap = Bitswap(partial(self._open, bitswap.PROTOCOLS[0]), services.blocks)

    async def run(self, *, task_status: Started) -> None:
        """Serve until it ends; it is started once streams can be opened.

        Whatever happens on it, nothing is raised.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._carry)
                with trio.fail_after(_START_SECONDS):
                    await self._muxed.event_started.wait()
                nursery.start_soon(self._accept)
                nursery.start_soon(self._identify)
                if self._services.gossip is not None:
                    speaking = partial(self._open, *gossip.PROTOCOLS)
                    nursery.start_soon(self._services.gossip.speak, self.peer, speaking)
                task_status.started()
        except Exception as error:  # noqa: BLE001 - the library raises many things, and a peer may cause any of them
            log.debug("connection to %s ends: %r", self.address, error)
        finally:
            self.is_open = False
            with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
                await self._close()
            self.ended.set()

    def abort(self) -> None:
        """End it at once."""
        self.is_open = False
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def has_heard_since(self, moment: float) -> bool:
        """Whether anything came over it since a moment of trio's clock."""
        return self._socket.last_heard >= moment

    async def caller(self) -> Caller:
        """Give what calls go through; the stream is opened where there is none.

        Raises:
            PeerUnreachableError: The connection has ended, or the peer does not serve threads.
        """
        async with self._calling:
            if self._caller is None or not self._caller.is_open:
                stream = await self._open(THREAD)
                if self._nursery is None or not self.is_open:
                    raise PeerUnreachableError
                self._caller = Caller(stream, PublicKey.from_peer_id(self.peer).peer_id_text)
                self._nursery.start_soon(self._caller.run)
            return self._caller

    async def _open(self, *protocols: str) -> Stream:
        if not self.is_open:
            raise PeerUnreachableError
        with trio.move_on_after(_NEGOTIATION_SECONDS):
            try:
                stream = Stream(await self._muxed.open_stream())
            except Exception as error:  # each muxer raises errors of its own, and trio's, and all mean the same
                raise PeerUnreachableError("the connection to the peer has ended") from error
            await ask_for(stream, *protocols)
            return stream
        raise PeerUnreachableError("the peer does not open streams in time")

    async def _carry(self) -> None:
        await self._muxed.start()
        self.abort()

    async def _accept(self) -> None:
        nursery = self._nursery
        while nursery is not None:
            stream = Stream(await self._muxed.accept_stream())
            if self._streams >= MAX_STREAMS:
                nursery.start_soon(stream.reset)
                continue
            self._streams += 1
            nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: Stream) -> None:
        try:
            protocol = await agree_on(stream, self._services.protocols, _NEGOTIATION_SECONDS)
            if protocol == THREAD:
                await grpc_streams.serve(stream, self.peer, self._services.handler)
            elif protocol == IDENTIFY:
                await self._tell(stream)
            elif protocol == IDENTIFY_PUSH:
                await self._hear(stream)
            elif protocol == PING:
                await _echo(stream)
            elif self._services.gossip is not None and protocol in gossip.PROTOCOLS:
                await self._services.gossip.hear(self.peer, stream)
            else:
                await self.bitswap.hear(stream)
        except (PeerUnreachableError, IOException, NetError, ValueError) as error:
            log.debug("a stream of %s ends: %r", self.address, error)
            await stream.reset()
        except Exception as error:  # noqa: BLE001  what a bug makes of one stream does not end the connection
            background.record_failure("streams of peers", error)
            await stream.reset()
        else:
            await stream.close()
        finally:
            self._streams -= 1

    async def _identify(self) -> None:
        try:
            stream = await self._open(IDENTIFY)
            await self._hear(stream)
            await stream.close()
        except (PeerUnreachableError, IOException, ValueError) as error:
            log.debug("%s does not identify itself: %r", self.address, error)

    async def _tell(self, stream: Stream) -> None:
        """Say who this host is (libp2p's identify: one message with its length before it)."""
        remote = self._socket.get_remote_address()
        message = Identify(
            protocol_version=_PROTOCOL_VERSION,
            agent_version=_AGENT,
            public_key=self._services.key.bytes,
            listen_addrs=self._services.addresses(),
            observed_addr=b"" if remote is None else tcp_address(*remote).bytes,
            protocols=self._services.protocols,
        ).SerializeToString()
        await stream.write(varints.encode(len(message)) + message)

    async def _hear(self, stream: Stream) -> None:
        """Hear which addresses a peer says it listens on."""
        stream.budget = _IDENTIFY_BYTES
        data = bytearray()
        with trio.move_on_after(_NEGOTIATION_SECONDS):
            while chunk := await stream.read(_IDENTIFY_BYTES):
                data += chunk
        try:
            size, start = varints.decode(bytes(data))
        except varints.VarintError as error:
            raise ValueError("no message") from error
        said = Identify.FromString(bytes(data[start : start + size]))
        addresses = [address for address in said.listen_addrs[:MAX_ADDRESSES] if _can_be_dialled(address)]
        self._services.on_identified(self.peer, tuple(addresses))

    async def _close(self) -> None:
        try:
            await self._muxed.close()
        except Exception as error:  # noqa: BLE001 - the library raises many things, and all mean that it has ended
            log.debug("closing %s: %r", self.address, error)
        await self._socket.close()


async def _echo(stream: Stream) -> None:
    """Answer pings: each 32 bytes are sent back."""
    data = b""
    with trio.move_on_after(_PING_IDLE_SECONDS) as idle:
        while chunk := await stream.read(_PING_BYTES):
            data += chunk
            if len(data) >= _PING_BYTES:
                await stream.write(data[:_PING_BYTES])
                data = data[_PING_BYTES:]
                idle.deadline = trio.current_time() + _PING_IDLE_SECONDS


def tcp_address(host: str, port: int) -> Multiaddr:
    """Write where a TCP endpoint is.

    Args:
        host: An IP address, with or without a zone.
        port: Its port.
    """
    host = host.partition("%")[0]
    return Multiaddr.from_text(f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}")


def endpoint(address: Multiaddr) -> tuple[str, int] | None:
    """Read the TCP endpoint that an address begins with, None where it is of another kind.

    Args:
        address: For instance `/ip4/192.0.2.1/tcp/4006/p2p/..`.
    """
    parts = address.parts
    if len(parts) < 2 or parts[1][0] != "tcp" or parts[0][0] not in {"ip4", "ip6", "dns", "dns4", "dns6"}:  # noqa: PLR2004
        return None
    if any(name not in {"p2p", "thread"} for name, _ in parts[2:]):
        return None
    return parts[0][1] or "", int(parts[1][1] or "0")


def _can_be_dialled(address: bytes) -> bool:
    if len(address) > _MAX_ADDRESS_BYTES:
        return False
    try:
        return endpoint(Multiaddr.from_bytes(address)) is not None
    except NetError:
        return False
