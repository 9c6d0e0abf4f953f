"""What is used of py-libp2p: Noise, Yamux, mplex, multistream-select and the messages of identify and pubsub.

Its swarm is not used: that blocks a peer for a minute after a failed dial, adds 250 ms to each dial, and offers
plaintext (libp2p.md). Connections are kept by `net.host.switch`.
"""

import logging
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

import trio

from net.host.parts import take_apart
from net.keys import PrivateKey
from net.peer_errors import PeerUnreachableError

take_apart()
with warnings.catch_warnings():
    # Parts of the library that are never used here import what is deprecated.
    warnings.simplefilter("ignore")
    from libp2p.abc import IMuxedConn
    from libp2p.crypto.ed25519 import Ed25519PrivateKey
    from libp2p.crypto.keys import KeyPair
    from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
    from libp2p.custom_types import TProtocol
    from libp2p.exceptions import BaseLibp2pError
    from libp2p.identity.identify.pb.identify_pb2 import Identify
    from libp2p.io.abc import ReadWriteCloser
    from libp2p.io.exceptions import IOException
    from libp2p.network.connection.raw_connection import RawConnection
    from libp2p.peer.id import ID
    from libp2p.protocol_muxer.multiselect import Multiselect
    from libp2p.protocol_muxer.multiselect_client import MultiselectClient
    from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
    from libp2p.pubsub.pb.rpc_pb2 import RPC, ControlMessage
    from libp2p.pubsub.pb.rpc_pb2 import Message as PubSubMessage
    from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
    from libp2p.security.noise.transport import Transport as NoiseTransport
    from libp2p.stream_muxer.exceptions import MuxedStreamEOF
    from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
    from libp2p.stream_muxer.mplex.mplex_stream import MplexStream
    from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL_ID
    from libp2p.stream_muxer.yamux.yamux import Yamux
    from libp2p.transport.upgrader import TransportUpgrader

# It logs at length what a stranger sends; what matters comes as errors.
logging.getLogger("libp2p").setLevel(logging.CRITICAL)

__all__ = ["RPC", "ControlMessage", "IOException", "Identify", "PubSubMessage"]

_NEGOTIATION_BYTES: Final = 64 * 2**10
"""How much a peer may send before it is known who it is, or on a stream before it is known what it is for."""

_WRITE_SECONDS: Final = 15.0
"""A socket that takes nothing for so long is given up."""

_WRITE_BYTES: Final = 64 * 2**10

Muxed = Yamux | Mplex


class MuxedStream(Protocol):
    """A stream of either muxer."""

    async def read(self, n: int | None = None) -> bytes:
        """Read up to `n` bytes."""

    async def write(self, data: bytes) -> None:
        """Write all."""

    async def close(self) -> None:
        """End the writing side."""

    async def reset(self) -> None:
        """End both sides."""


class Socket(ReadWriteCloser):
    """A TCP connection, with a bound on what comes before it is upgraded.

    Args:
        stream: The connection.

    Attributes:
        budget: How many bytes may still come; None for any number.
        last_heard: When something came last, by trio's clock.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.budget: int | None = _NEGOTIATION_BYTES
        self.last_heard = trio.current_time()
        self._writing = trio.Lock()

    async def read(self, n: int | None = None) -> bytes:
        """Read up to `n` bytes; nothing at the end of a connection that is upgraded."""
        try:
            data = bytes(await self.stream.receive_some(n))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise IOException(str(error)) from error
        self.last_heard = trio.current_time()
        if self.budget is not None:
            self.budget -= len(data)
            if self.budget < 0:
                raise IOException("too much is sent before the connection is agreed upon")
            if not data:
                raise IOException("the connection ends before it is agreed upon")  # the library would ask 100 times
        return data

    async def write(self, data: bytes) -> None:
        """Write all; half a frame would break the connection, so cancellation waits for it."""
        try:
            with trio.CancelScope(deadline=trio.current_time() + _WRITE_SECONDS, shield=True) as scope:
                async with self._writing:  # mplex writes from many tasks
                    await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise IOException(str(error)) from error
        if scope.cancelled_caught:
            await trio.aclose_forcefully(self.stream)
            raise IOException("the peer takes no bytes")

    async def close(self) -> None:
        """Close it at once."""
        await trio.aclose_forcefully(self.stream)

    def get_remote_address(self) -> tuple[str, int] | None:
        """Where the peer is."""
        try:
            host, port, *_ = self.stream.socket.getpeername()
        except OSError:
            return None
        return str(host), int(port)


class _NoLock:
    """In place of the lock of a stream of mplex, which lets nobody write while somebody waits for what is to read.

    A stream has one task that reads and one that writes here, so there is nothing to lock.
    """

    @asynccontextmanager
    async def read_lock(self) -> AsyncGenerator[None, None]:
        """Nothing is locked."""
        yield

    write_lock = read_lock


class Stream(ReadWriteCloser):
    """A stream of a connection.

    Args:
        muxed: The muxer's stream.

    Attributes:
        budget: How many bytes may still come; None for any number.
    """

    def __init__(self, muxed: MuxedStream) -> None:
        if isinstance(muxed, MplexStream):
            muxed.rw_lock = _NoLock()  # type: ignore[assignment]
        self._muxed = muxed
        self.budget: int | None = _NEGOTIATION_BYTES

    async def read(self, n: int | None = None) -> bytes:
        """Read up to `n` bytes; nothing at the end.

        Raises:
            IOException: The stream has broken, or too much came.
        """
        try:
            data = await self._muxed.read(n)
        except MuxedStreamEOF:
            return b""
        except (BaseLibp2pError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise IOException(str(error)) from error
        if self.budget is not None:
            self.budget -= len(data)
            if self.budget < 0:
                raise IOException("too much is sent")
        return data

    async def write(self, data: bytes) -> None:
        """Write all.

        Raises:
            IOException: The stream has broken.
        """
        try:
            for start in range(0, len(data), _WRITE_BYTES):
                await self._muxed.write(data[start : start + _WRITE_BYTES])
        except (BaseLibp2pError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise IOException(str(error)) from error

    async def close(self) -> None:
        """End the writing side; a stream that has broken is closed."""
        try:
            await self._muxed.close()
        except Exception:  # noqa: BLE001 - the library raises many things here, and all mean the same
            await self.reset()

    async def reset(self) -> None:
        """End both sides."""
        with suppress(Exception):  # the library raises many things here, and all mean that it has ended
            await self._muxed.reset()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Not known here."""
        return None


class Upgrades:
    """Turns TCP connections into secured ones with streams: Noise only, Yamux first, then mplex.

    Args:
        key: The host's key.
    """

    def __init__(self, key: PrivateKey) -> None:
        private = Ed25519PrivateKey.from_bytes(key.seed)
        pair = KeyPair(private, private.get_public_key())
        noise = NoiseTransport(pair, noise_privkey=new_noise_key().private_key)
        muxers: dict[TProtocol, type[IMuxedConn]] = {
            TProtocol(YAMUX_PROTOCOL_ID): Yamux,
            TProtocol(MPLEX_PROTOCOL_ID): Mplex,
        }
        self._upgrader = TransportUpgrader({NOISE: noise}, muxers)

    async def upgrade(self, socket: Socket, peer: bytes | None) -> tuple[bytes, Muxed]:
        """Agree with the other side on security and streams.

        Args:
            socket: The connection.
            peer: Who was dialled; None where the other side dialled.

        Returns:
            The other side's peer ID, and the connection, whose `start` is to be run.

        Raises:
            PeerUnreachableError: They do not agree, or it is another peer.
        """
        initiator = peer is not None
        raw = RawConnection(socket, initiator)
        try:
            secured = await self._upgrader.upgrade_security(raw, initiator, ID(peer) if peer is not None else None)
            remote = secured.get_remote_peer()
            muxed = await self._upgrader.upgrade_connection(secured, remote)
        except trio.TooSlowError as error:
            raise PeerUnreachableError("the peer does not agree on a secured connection in time") from error
        except Exception as error:  # what a stranger sends raises many things, from the library's to parsers' errors
            raise PeerUnreachableError(f"no secured connection with the peer: {error!r}") from error
        if not isinstance(muxed, Yamux | Mplex):
            raise PeerUnreachableError("no streams over the connection")
        socket.budget = None
        return remote.to_bytes(), muxed


async def ask_for(stream: Stream, *protocols: str) -> None:
    """Agree on what a stream of ours is for.

    Args:
        stream: The stream.
        protocols: For instance `/thread/0.0.1`; the best comes first.

    Raises:
        PeerUnreachableError: The peer does not serve it.
    """
    try:
        await MultiselectClient().select_one_of(list(map(TProtocol, protocols)), MultiselectCommunicator(stream))
    except Exception as error:  # as for an upgrade: whatever the peer sends, parsers' errors among it
        raise PeerUnreachableError(f"the peer does not serve {protocols[0]}") from error
    stream.budget = None


async def agree_on(stream: Stream, protocols: tuple[str, ...], seconds: int) -> str:
    """Agree on what a stream of the peer's is for.

    Args:
        stream: The stream.
        protocols: What is served.
        seconds: How long it may take.

    Returns:
        One of the protocols.

    Raises:
        PeerUnreachableError: None is wanted.
    """
    try:
        offered = Multiselect({TProtocol(protocol): None for protocol in protocols})
        chosen, _ = await offered.negotiate(MultiselectCommunicator(stream), seconds)
    except Exception as error:  # as for an upgrade: whatever the peer sends, parsers' errors among it
        raise PeerUnreachableError("the peer asks for nothing that is served") from error
    stream.budget = None
    return str(chosen)
