"""The connections of a host: who is dialled, who may connect, which connection a call takes. On the trio side."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import trio

from net.host.connection import Connection, Services, Started, endpoint, tcp_address
from net.host.guards import guarded
from net.host.library import Socket, Upgrades
from net.keys import PrivateKey, PublicKey
from net.multiaddr import Multiaddr
from net.peer_errors import HostError, PeerTooSlowError, PeerUnreachableError

MAX_CONNECTIONS = 512
"""How many connections there may be; more are turned away."""

MAX_CONNECTIONS_PER_PEER = 4
"""How many a single peer may have; the oldest goes for a new one."""

MAX_UPGRADING = 64
"""How many strangers may be about to say who they are."""

_UPGRADE_SECONDS = 10.0
_DIAL_SECONDS = 10.0
_DIAL_STAGGER_SECONDS = 0.25
_MAX_DIALLED_ADDRESSES = 8
_ATTEMPTS = 2

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Dial:
    """A dial that is under way; whoever wants that peer waits for it."""

    done: trio.Event = field(default_factory=trio.Event)
    connection: Connection | None = None
    error: str = "the peer cannot be reached: no address of it is known"


class Switch:
    """All connections.

    Args:
        key: The host's key.
        services: What is offered on each.
        nursery: Owns the connections.
        on_connected: Is told the ID of a peer once it is connected, and whether it was dialled from this side.
    """

    def __init__(
        self,
        key: PrivateKey,
        services: Services,
        nursery: trio.Nursery,
        on_connected: Callable[[bytes, bool], None],
    ) -> None:
        self._own = key.public.peer_id
        self._upgrades = Upgrades(key)
        self._services = services
        self._nursery = nursery
        self._on_connected = on_connected
        self._connections: dict[bytes, list[Connection]] = {}
        self._dials: dict[tuple[bytes, frozenset[Multiaddr]], _Dial] = {}
        self._upgrading = 0

    async def listen(self, address: Multiaddr) -> Multiaddr:
        """Take connections.

        Args:
            address: Where, for instance `/ip4/0.0.0.0/tcp/4006`; port 0 for any.

        Returns:
            The same with the port that was taken.

        Raises:
            HostError: The address cannot be listened on.
        """
        where = endpoint(address)
        if where is None:
            raise HostError(f"cannot listen on {address}: give an address like /ip4/0.0.0.0/tcp/4006")
        try:
            listeners = await trio.open_tcp_listeners(where[1], host=where[0])
        except OSError as error:
            raise HostError(f"cannot listen on {address}: {error.strerror or error}") from error
        self._nursery.start_soon(guarded, "listening for peers", partial(self._serve, list(listeners)))
        port = listeners[0].socket.getsockname()[1]
        name, value = address.parts[0]
        return Multiaddr.from_text(f"/{name}/{value}/tcp/{port}")

    async def request(
        self, peer: bytes, addresses: Sequence[Multiaddr], method: str, body: bytes, wait: float
    ) -> bytes:
        """Call a method of a peer, dialled where it is not connected.

        Args:
            peer: The peer's ID.
            addresses: Where it may be.
            method: The method.
            body: The message.
            wait: How many seconds all of it may take.

        Returns:
            The answer.

        Raises:
            PeerUnreachableError, PeerTooSlowError, PeerRefusedError: As `Caller.call`.
        """
        if peer == self._own:
            raise PeerUnreachableError("a host does not call itself")
        with trio.move_on_after(wait):
            for attempt in range(_ATTEMPTS):
                known = self._connection(peer)
                connection = known or await self._dial(peer, addresses)
                try:
                    return await self._call(connection, method, body, wait)
                except PeerUnreachableError:
                    # A connection that was there before may have been dead for long; the methods can be repeated.
                    if known is None or attempt == _ATTEMPTS - 1:
                        raise
        raise PeerTooSlowError

    async def fetch(
        self, peer: bytes, addresses: Sequence[Multiaddr], cids: Sequence[bytes], wait: float
    ) -> dict[bytes, bytes]:
        """Ask a peer for blocks, dialled where it is not connected.

        Args:
            peer: The peer's ID.
            addresses: Where it may be.
            cids: The CIDs of the blocks.
            wait: How many seconds it may take.

        Returns:
            The blocks that it has.

        Raises:
            PeerUnreachableError, PeerTooSlowError: As `Bitswap.fetch`.
        """
        connection = self._connection(peer) or await self._dial(peer, addresses)
        return await connection.bitswap.fetch(cids, wait)

    def connections(self) -> list[Connection]:
        """Those that are open."""
        return [each for group in self._connections.values() for each in group if each.is_open]

    def drop(self, peer: bytes) -> None:
        """End the connections with a peer."""
        for connection in self._connections.get(peer, []):
            connection.abort()

    async def _call(self, connection: Connection, method: str, body: bytes, wait: float) -> bytes:
        began = trio.current_time()
        answered = False
        try:
            caller = await connection.caller()
            answer = await caller.call(method, body, wait)
            answered = True
        finally:
            # Silence for the whole of a call's time: the other side is gone and could not say so.
            silent = not answered and trio.current_time() - began >= wait - 0.1
            if silent and not connection.has_heard_since(began):
                connection.abort()
        return answer

    def _connection(self, peer: bytes) -> Connection | None:
        for connection in reversed(self._connections.get(peer, [])):
            if connection.is_open:
                return connection
        return None

    async def _dial(self, peer: bytes, addresses: Sequence[Multiaddr]) -> Connection:
        wanted = (peer, frozenset(addresses))
        dial = self._dials.get(wanted)
        if dial is None:
            dial = self._dials[wanted] = _Dial()
            self._nursery.start_soon(guarded, "dials", partial(self._dial_all, peer, addresses, dial))
        await dial.done.wait()
        if dial.connection is None:
            raise PeerUnreachableError(dial.error)
        return dial.connection

    async def _dial_all(self, peer: bytes, addresses: Sequence[Multiaddr], dial: _Dial) -> None:
        """Try the addresses, each a little after the one before, until one answers as the peer."""
        endpoints = dict.fromkeys(where for where in map(endpoint, addresses) if where is not None)
        try:
            with trio.move_on_after(_DIAL_SECONDS):
                async with trio.open_nursery() as nursery:
                    for where in list(endpoints)[:_MAX_DIALLED_ADDRESSES]:
                        failed = trio.Event()
                        nursery.start_soon(self._dial_one, peer, where, dial, nursery.cancel_scope, failed)
                        with trio.move_on_after(_DIAL_STAGGER_SECONDS):
                            await failed.wait()
            if dial.connection is None and endpoints:
                dial.error = dial.error if "known" not in dial.error else "the peer does not answer in time"
        finally:
            del self._dials[peer, frozenset(addresses)]
            dial.done.set()

    async def _dial_one(
        self, peer: bytes, where: tuple[str, int], dial: _Dial, scope: trio.CancelScope, failed: trio.Event
    ) -> None:
        try:
            with trio.fail_after(_UPGRADE_SECONDS):
                socket = Socket(await trio.open_tcp_stream(*where))
            connection = await self._upgrade(socket, peer, f"{where[0]}:{where[1]}")
        except (OSError, trio.TooSlowError, ValueError) as error:
            dial.error = f"the peer cannot be reached at {where[0]}:{where[1]}: {error}"
        except PeerUnreachableError as error:
            dial.error = f"the peer cannot be reached at {where[0]}:{where[1]}: {error.text}"
        else:
            if dial.connection is None:
                dial.connection = connection
                scope.cancel()
            else:
                connection.abort()
        finally:
            failed.set()

    async def _upgrade(self, socket: Socket, peer: bytes | None, address: str) -> Connection:
        done = False
        try:
            with trio.fail_after(_UPGRADE_SECONDS):
                remote, muxed = await self._upgrades.upgrade(socket, peer)
                PublicKey.from_peer_id(remote)
                connection = Connection(remote, muxed, socket, address, self._services, dialled=peer is not None)
                await self._nursery.start(self._keep, connection)  # type: ignore[arg-type]
                done = True
        except trio.TooSlowError as error:
            raise PeerUnreachableError("no secured connection with the peer in time") from error
        except RuntimeError as error:
            raise PeerUnreachableError("the connection ended at once") from error
        finally:
            if not done:
                with trio.CancelScope(shield=True):
                    await socket.close()
        return connection

    async def _keep(self, connection: Connection, *, task_status: Started) -> None:
        group = self._connections.setdefault(connection.peer, [])
        group.append(connection)
        for old in group[:-MAX_CONNECTIONS_PER_PEER]:
            old.abort()
        self._on_connected(connection.peer, connection.dialled)
        try:
            await connection.run(task_status=task_status)
        finally:
            group.remove(connection)
            if not group and self._connections.get(connection.peer) is group:
                del self._connections[connection.peer]

    async def _serve(self, listeners: list[trio.SocketListener]) -> None:
        await trio.serve_listeners(self._welcome, listeners)

    async def _welcome(self, stream: trio.SocketStream) -> None:
        """Take in a stranger; whatever it sends, nothing is raised."""
        if self._upgrading >= MAX_UPGRADING or len(self.connections()) >= MAX_CONNECTIONS:
            await trio.aclose_forcefully(stream)
            return
        self._upgrading += 1
        try:
            host, port, *_ = stream.socket.getpeername()
            connection = await self._upgrade(Socket(stream), None, tcp_address(host, port).text)
        except Exception as error:  # noqa: BLE001 - whatever a stranger sends must not end the host
            log.debug("a stranger is turned away: %r", error)
            return
        finally:
            self._upgrading -= 1
        await connection.ended.wait()  # whoever called this closes the socket then
