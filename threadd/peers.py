"""The libp2p host of a daemon: opened where the settings say, and joined with what goes on with other hosts."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from net.multiaddr import Multiaddr
from threadd.api.addresses import HostAddresses
from threadd.config import Settings
from threadd.rooms import Rooms

if TYPE_CHECKING:
    from net.host.host import Host


@asynccontextmanager
async def open_host(rooms: Rooms, settings: Settings) -> AsyncGenerator[Multiaddr | None, None]:
    """Let other hosts call and be called for as long as the body runs.

    Args:
        rooms: What is there.
        settings: All settings.

    Yields:
        Where the host listens; None where the settings say `off`.

    Raises:
        HostError: It cannot listen there.
    """
    if settings.host_addr is None:
        yield None
        return
    # The library takes a second or two to import, which those who do without it do not wait for.
    kind = await asyncio.to_thread(_host_class)
    peering, key = rooms.peering, rooms.host_key

    def announced(where: Multiaddr | None) -> list[bytes]:
        listen = where or settings.host_addr
        if listen is None:
            return []
        addresses = HostAddresses(listen, key.public.peer_id, announce=settings.announce)
        return [address.bytes for address in addresses.listening()]

    host = kind(
        key,
        peering.service.handle,
        blocks=peering.blocks,
        on_connected=peering.is_connected,
        on_identified=peering.is_identified,
        gossip=peering.service.take_gossip if settings.pubsub else None,
    )
    where = await host.open(settings.host_addr, announced)
    rooms.line.transport = host
    try:
        if settings.pubsub:
            peering.gossiping.start(host)
        peering.sync.start()
        yield where
    finally:
        await peering.sync.close()
        rooms.line.transport = None
        await host.close()


def _host_class() -> "type[Host]":
    from net.host.host import Host  # noqa: PLC0415 - see above

    return Host
