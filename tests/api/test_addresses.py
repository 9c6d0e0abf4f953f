import socket

import pytest

from net.keys import PrivateKey
from net.multiaddr import Multiaddr
from net.thread_id import ThreadID, Variant
from threadd.api.addresses import HostAddresses, interface_addresses

HOST = PrivateKey(bytes(32)).public
THREAD = ThreadID.random(Variant.RAW, bytes)


def interfaces(family):
    return ["127.0.0.1", "10.0.0.7"] if family == socket.AF_INET else ["::1", "fd00::7"]


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("/ip4/0.0.0.0/tcp/4006", ["/ip4/127.0.0.1/tcp/4006", "/ip4/10.0.0.7/tcp/4006"]),
        ("/ip6/::/tcp/4006", ["/ip6/::1/tcp/4006", "/ip6/fd00::7/tcp/4006"]),
        ("/ip4/10.9.8.7/tcp/1", ["/ip4/10.9.8.7/tcp/1"]),
        ("/dns4/threads.example.org/tcp/4006", ["/dns4/threads.example.org/tcp/4006"]),
    ],
)
def test_addresses_of_a_thread(listen, expected):
    addresses = HostAddresses(Multiaddr.from_text(listen), HOST.peer_id, interfaces)
    texts = [Multiaddr.from_bytes(data).text for data in addresses.of_thread(THREAD)]
    assert texts == [f"{address}/p2p/{HOST.peer_id_text}/thread/{THREAD.text}" for address in expected]


def test_this_machine_has_loopback_first_and_each_address_once():
    found = interface_addresses(socket.AF_INET)
    assert found[0] == "127.0.0.1"
    assert len(set(found)) == len(found)
    assert "0.0.0.0" not in found
    assert interface_addresses(socket.AF_INET6)[0] == "::1"
