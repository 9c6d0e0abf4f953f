"""The addresses at which peers reach the threads of this daemon."""

import fcntl
import socket
import struct
from collections.abc import Callable, Iterator, Sequence

from net.multiaddr import Multiaddr, thread_address
from net.thread_id import ThreadID

_GET_ADDRESS = 0x8915
"""`SIOCGIFADDR` of Linux: the IPv4 address of an interface by its name."""

_NAME_BYTES = 15
_REQUEST_BYTES = 256
_ADDRESS_IN_REQUEST = slice(20, 24)

_LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}

# Documentation addresses: choosing a route to one sends nothing.
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}

_ANY = {("ip4", "0.0.0.0"): socket.AF_INET, ("ip6", "::"): socket.AF_INET6}


def interface_addresses(family: socket.AddressFamily) -> list[str]:
    """The addresses of this machine: one for each interface where the system tells, else loopback and the main one.

    Args:
        family: `AF_INET` or `AF_INET6`.

    Returns:
        Each address once, loopback first.
    """
    found = {_LOOPBACK[family]: None}
    if family == socket.AF_INET:
        found |= dict.fromkeys(_ipv4_of_interfaces())
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_ELSEWHERE[family], 9))
            found[probe.getsockname()[0]] = None
    except OSError:
        return list(found)  # there is no way out of this machine
    return list(found)


def _ipv4_of_interfaces() -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack(f"{_REQUEST_BYTES}s", name.encode()[:_NAME_BYTES])
            try:
                answer = fcntl.ioctl(probe.fileno(), _GET_ADDRESS, request)
            except OSError:
                continue  # the interface has no address, or the system is no Linux
            yield socket.inet_ntoa(answer[_ADDRESS_IN_REQUEST])


class HostAddresses:
    """Where the host listens, as thread addresses.

    Args:
        listen: What the host listens on. An address of every interface (`/ip4/0.0.0.0/..`, `/ip6/::/..`) stands for one
            address of each.
        peer_id: The bytes of the host's peer ID.
        interfaces: Tells the addresses of this machine by family.
        announce: What peers are told to dial instead.
    """

    def __init__(
        self,
        listen: Multiaddr,
        peer_id: bytes,
        interfaces: Callable[[socket.AddressFamily], list[str]] = interface_addresses,
        *,
        announce: Sequence[Multiaddr] = (),
    ) -> None:
        self._listen = listen
        self._peer_id = peer_id
        self._interfaces = interfaces
        self._announce = announce

    def listening(self) -> list[Multiaddr]:
        """The addresses that the host can be dialled at."""
        if self._announce:
            return list(self._announce)
        (protocol, value), *_ = self._listen.parts
        family = _ANY.get((protocol, value or ""))
        if family is None:
            return [self._listen]
        rest = self._listen.text.removeprefix(f"/{protocol}/{value}")
        return [Multiaddr.from_text(f"/{protocol}/{address}{rest}") for address in self._interfaces(family)]

    def of_thread(self, thread_id: ThreadID) -> list[bytes]:
        """The addresses of a thread on this host, in bytes, as clients take them for NewDBFromAddr."""
        return [thread_address(address, self._peer_id, thread_id).bytes for address in self.listening()]
