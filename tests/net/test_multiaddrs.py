import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.errors import InvalidAddressError
from net.keys import PrivateKey
from net.multiaddr import Multiaddr, peer_address, thread_address
from net.thread_id import ThreadID

VECTORS = Path(__file__).parent.parent / "vectors"
THREAD = json.loads((VECTORS / "thread.json").read_text())
OFFLINE = json.loads((VECTORS / "go_offline.json").read_text())
PEER = PrivateKey(bytes(32)).public

PAIRS = (
    [(case["bytes"], case["text"]) for case in THREAD["thread_addrs"]]
    + [(THREAD["replicator_addr"]["bytes"], THREAD["replicator_addr"]["text"])]
    + [(case["bytes"], case["text"]) for log in THREAD["logs"] for case in log["addrs"]]
    + [(case["addr"], case["addr_text"]) for case in OFFLINE["addrs_edge"]["addrs"]]
    + [(case["addr_bytes"], case["addr_text"]) for case in OFFLINE["thread_ids"] if "addr_bytes" in case]
)


@pytest.mark.parametrize(("data", "text"), PAIRS, ids=range(len(PAIRS)))
def test_addresses_of_the_vectors(data, text):
    address = Multiaddr.from_bytes(bytes.fromhex(data))
    assert address.text == str(address) == text
    assert Multiaddr.from_text(text) == address
    assert Multiaddr.from_text(text).bytes.hex() == data


@pytest.mark.parametrize(
    "case", [case for case in OFFLINE["thread_ids"] if "addr_bytes" in case], ids=lambda case: case["text"]
)
def test_the_parts_of_a_thread_address(case):
    address = Multiaddr.from_text(case["addr_text"])
    thread = ThreadID.from_bytes(bytes.fromhex(case["bytes"]))
    assert address.thread_id() == thread
    peer_id = address.peer_id()
    host = Multiaddr.from_text("/ip4/1.2.3.4/tcp/4006")
    assert peer_id is not None
    assert thread_address(host, peer_id, thread) == address
    assert address.until("p2p") == host
    assert address.until("thread") == host.encapsulate(peer_address(peer_id))
    assert address.until("ip4") is None
    assert address.until("udp") == address
    assert address.value("tcp") == "4006"
    assert address.value("udp") is None


def test_the_address_of_a_log():
    log = THREAD["logs"][0]
    address = peer_address(bytes.fromhex(THREAD["host_peer_id"]["bytes"]))
    assert address.bytes.hex() == log["addrs"][0]["bytes"]
    assert address.thread_id() is None
    assert Multiaddr.from_text("/dns4/localhost/tcp/1").peer_id() is None


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/0.0.0.0/tcp/0",
        "/ip6/::1/tcp/4006/ws",
        "/ip6zone/eth0/ip6/fe80::1/udp/65535/quic-v1",
        "/dns4/localhost/tcp/80/http",
        "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN",
        "/unix/run/threadd.sock",
        "/dns6/example.com/tcp/443/wss",
        f"/ip4/1.2.3.4/tcp/1/p2p/{PEER.peer_id_text}/p2p-circuit/p2p/{PEER.peer_id_text}",
        "/ip4/1.2.3.4/udp/4001/quic-v1/webtransport/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ",
    ],
)
def test_texts_round_trip(text):
    address = Multiaddr.from_text(text)
    assert address.text == text
    assert Multiaddr.from_bytes(address.bytes) == address


def test_other_spellings():
    peer = PEER.peer_id_text
    assert Multiaddr.from_text(f"/ipfs/{peer}") == Multiaddr.from_text(f"/p2p/{peer}/")
    assert Multiaddr.from_text("/p2p/f0172" + PEER.peer_id.hex()) == peer_address(PEER.peer_id)
    thread = OFFLINE["thread_ids"][0]
    assert Multiaddr.from_text(f"/thread/{thread['text_z']}").text == f"/thread/{thread['text']}"


@pytest.mark.parametrize(
    "text",
    ["", "/", "//", "ip4/1.2.3.4", "/ip4", "/ip4/", "/ip4/1.2.3", "/ip4/1.2.3.4.5", "/ip4/::1", "/ip6/1.2.3.4",
     "/ip6/fe80::1%eth0", "/tcp/65536", "/tcp/-1", "/tcp/\u0661", "/tcp/x", "/tcp/ 1", "/nope/1", "/p2p/x", "/p2p/Qm",
     "/p2p/1", "/p2p/bafk", "/thread/b", "/thread/x", "/thread/bafk", "/dns4//tcp/1", "/unix", "/http/1",
     "/certhash/u", "/certhash/\ud800", "/dns/\ud800", "/dns4/" + "x" * 5000],
)  # fmt: skip
def test_texts_that_are_refused(text):
    with pytest.raises(InvalidAddressError):
        Multiaddr.from_text(text)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x04", b"\x04\x01\x02\x03", b"\x7f", b"\x80", b"\xff" * 12, b"\xa5\x03\x26\x00", b"\xa5\x03\x00", b"\x96\x03\x00",
     b"\x96\x03\x02\x01\x55", b"\x35\x00", b"\x35\x01\xff", b"\x35\x01/", b"\x90\x03\x00", b"\x35\xff\xff\xff\xff\x7fabc", b"\xe0\x03" * 3000],
)  # fmt: skip
def test_bytes_that_are_refused(data):
    with pytest.raises(InvalidAddressError):
        Multiaddr.from_bytes(data)


@given(st.binary(max_size=60))
def test_garbage(data):
    try:
        address = Multiaddr.from_bytes(data)
    except InvalidAddressError:
        return
    assert Multiaddr.from_text(address.text).parts == address.parts


@given(st.text(alphabet="/ip46tcpd1.:bafkzQm", max_size=40))
def test_garbage_texts(text):
    try:
        address = Multiaddr.from_text(text)
    except InvalidAddressError:
        return
    assert Multiaddr.from_bytes(address.bytes) == address


@given(
    st.ip_addresses(), st.integers(0, 65535), st.binary(min_size=32, max_size=32), st.binary(min_size=1, max_size=60)
)
def test_addresses_round_trip(ip, port, seed, rest):
    thread = ThreadID.from_bytes(b"\x01\x70" + rest)
    key = PrivateKey(seed).public
    host = Multiaddr.from_text(f"/ip{ip.version}/{ip}/tcp/{port}")
    address = thread_address(host, key.peer_id, thread)
    assert Multiaddr.from_bytes(address.bytes) == address
    assert Multiaddr.from_text(address.text) == address
    assert address.thread_id() == thread
    assert address.peer_id() == key.peer_id
