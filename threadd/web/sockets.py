"""The addresses that doors listen on."""

import asyncio
import errno
import os
import socket
from typing import ClassVar, Final

from store.errors import StatusCode, ThreaddError

# A peer that vanished acknowledges no ping; its connection ends after so many milliseconds. Waiting for a pong instead
# would end clients that are sending much: their pong stands behind all of it.
_VANISHED_MS: Final = 60_000

_REASONS: Final = {
    errno.EADDRINUSE: "it is in use, by another program or by another endpoint of this one",
    errno.EADDRNOTAVAIL: "it is not an address of this machine",
    errno.EACCES: "the system lets only privileged programs listen there",
}

_NO_SUCH_FAMILY: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class DoorError(ThreaddError):
    """A door cannot be opened."""

    code: ClassVar[StatusCode] = StatusCode.FAILED_PRECONDITION


async def bind(host: str, port: int) -> list[socket.socket]:
    """Bind every address that a host has, all of them at one port.

    Args:
        host: An IP address or a host name, an IPv6 address without brackets.
        port: The port; 0 takes a free one.

    Raises:
        DoorError: The address is taken or makes no sense.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise DoorError(f"cannot listen on {host}: no host of that name is known here") from error
    sockets: list[socket.socket] = []
    refused: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            sockets.append(_listener(family, kind, protocol, (address[0], port, *address[2:])))
        except OSError as error:
            refused = error
            if error.errno in _NO_SUCH_FAMILY:
                continue
            break
        port = sockets[0].getsockname()[1]
    else:
        if sockets:
            return sockets
    for bound in sockets:
        bound.close()
    shown = f"[{host}]" if ":" in host else host
    why = _REASONS.get(refused.errno or 0, refused.strerror or refused) if refused else "it has no address"
    raise DoorError(f"cannot listen on {shown}:{port}: {why}") from refused


def _listener(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Accepted connections take it over.
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _VANISHED_MS)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.bind(address)
        made.listen(1024)
        made.settimeout(0)
    except OSError:
        made.close()
        raise
    return made
