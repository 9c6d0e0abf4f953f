"""The libp2p host: two of ours against each other, and strangers of every kind."""

import asyncio
import contextlib
import random
import socket

import pytest

from net import cid
from net.errors import ThreadNotFoundError
from net.host import library
from net.host.connection import tcp_address
from net.host.host import Host
from net.keys import PrivateKey
from net.multiaddr import Multiaddr
from net.peer_errors import HostError, PeerRefusedError, PeerTooSlowError, PeerUnreachableError
from store.errors import StatusCode

ANY = Multiaddr.from_text("/ip4/127.0.0.1/tcp/0")
METHOD = "/net.pb.Service/GetLogs"


async def echo(peer, method, body):
    return body


class Party:
    """A host with what it has seen."""

    def __init__(self, handler=echo, seed=None, blocks=None):
        self.key = PrivateKey(seed or random.randbytes(32))
        self.id = self.key.public.peer_id
        self.connected, self.identified = [], {}
        self.host = Host(
            self.key,
            handler,
            **({"blocks": blocks} if blocks else {}),
            on_connected=lambda peer, dialled: self.connected.append((peer, dialled)),
            on_identified=self.identified.__setitem__,
        )

    async def open(self, listen=ANY):
        self.address = await self.host.open(listen, lambda where: [where.bytes] if where else [])
        return self

    def ask(self, other, body=b"x", seconds=10, addresses=None):
        addresses = [other.address] if addresses is None else addresses
        return self.host.request(other.id, addresses, METHOD, body, seconds)


@pytest.fixture
async def parties():
    opened = []

    async def start(*handlers, **settings):
        new = [await Party(handler, **settings).open() for handler in handlers or (echo, echo)]
        opened.extend(new)
        return new

    yield start
    for party in opened:
        await party.host.close()


async def until(condition, seconds=5):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def test_calls_both_ways_over_one_connection(parties):
    seen = []

    async def note(peer, method, body):
        seen.append((peer, method, body))
        return b"from " + body

    one, two = await parties(note, note)
    assert await one.ask(two, b"one") == b"from one"
    assert await two.ask(one, b"two", addresses=[]) == b"from two"
    assert seen == [(one.id, METHOD, b"one"), (two.id, METHOD, b"two")]
    assert [(peer.peer, peer.dialled) for peer in await one.host.peers()] == [(two.id, True)]
    assert [(peer.peer, peer.dialled) for peer in await two.host.peers()] == [(one.id, False)]
    await until(lambda: one.identified and two.identified)
    assert one.identified == {two.id: (two.address.bytes,)}
    assert two.identified == {one.id: (one.address.bytes,)}
    assert (one.connected, two.connected) == ([(two.id, True)], [(one.id, False)])


async def test_large_messages_and_many_calls(parties):
    one, two = await parties()
    big = random.Random(1).randbytes(4 * 2**20)
    assert await one.ask(two, big, 30) == big
    bodies = [bytes([number % 256]) * 1000 for number in range(300)]
    assert await asyncio.gather(*(one.ask(two, body, 30) for body in bodies)) == bodies
    assert len(one.connected) == 1


async def test_errors_keep_status_and_text(parties):
    async def refuse(peer, method, body):
        raise ThreadNotFoundError

    async def break_down(peer, method, body):
        raise ZeroDivisionError("a secret")

    one, two, three = await parties(echo, refuse, break_down)
    with pytest.raises(PeerRefusedError) as refused:
        await one.ask(two)
    assert (refused.value.status, refused.value.said) == (StatusCode.NOT_FOUND, "thread not found")
    with pytest.raises(PeerRefusedError) as refused:
        await one.ask(three)
    assert (refused.value.status, refused.value.said) == (StatusCode.INTERNAL, "internal error")


async def test_a_call_that_takes_too_long_is_cancelled_on_the_other_side(parties):
    cancelled = asyncio.Event()

    async def hang(peer, method, body):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    one, two = await parties(echo, hang)
    with pytest.raises(PeerTooSlowError):
        await one.ask(two, seconds=0.5)
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_a_cancelled_call_is_cancelled_on_the_other_side(parties):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(peer, method, body):
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    one, two = await parties(echo, hang)
    call = asyncio.create_task(one.ask(two, seconds=50))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_a_peer_that_comes_back_is_reached_at_once(parties):
    (one,) = await parties(echo)
    seed = random.randbytes(32)
    two = await Party(seed=seed).open()
    where = two.address
    assert await one.ask(two) == b"x"
    await two.host.close()
    for _ in range(3):
        with pytest.raises(PeerUnreachableError):
            await one.ask(two)
    again = Party(seed=seed)
    await again.open(where)
    try:
        assert await one.ask(again) == b"x"
    finally:
        await again.host.close()


async def test_a_host_that_closes_fails_what_is_under_way(parties):
    started = asyncio.Event()

    async def hang(peer, method, body):
        started.set()
        await asyncio.sleep(60)

    one, two = await parties(echo, hang)
    call = asyncio.create_task(one.ask(two, seconds=50))
    await started.wait()
    await one.host.close()
    with pytest.raises(HostError):
        await call
    with pytest.raises(HostError):
        await one.ask(two)
    async with asyncio.timeout(5):
        while await two.host.peers():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def test_whoever_is_at_an_address_must_be_the_peer_that_is_called(parties):
    one, two, three = await parties(echo, echo, echo)
    with pytest.raises(PeerUnreachableError):
        await one.ask(two, addresses=[three.address])
    assert await one.ask(two, addresses=[three.address, two.address]) == b"x"


async def test_a_peer_without_addresses_and_a_call_to_oneself(parties):
    one, two = await parties()
    with pytest.raises(PeerUnreachableError, match="no address"):
        await one.ask(two, addresses=[])
    with pytest.raises(PeerUnreachableError, match="itself"):
        await one.ask(one)
    with pytest.raises(PeerUnreachableError, match="no address"):
        await one.ask(two, addresses=[Multiaddr.from_text("/ip4/127.0.0.1/udp/1/quic")])


async def test_an_address_that_swallows_everything(parties):
    one, two = await parties()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as swallower:
        address = tcp_address(*swallower.getsockname())
        with pytest.raises((PeerTooSlowError, PeerUnreachableError)):
            await one.ask(two, seconds=1, addresses=[address])
        # The next address is tried without waiting for the first.
        assert await one.ask(two, seconds=5, addresses=[address, two.address]) == b"x"


async def test_a_port_that_is_taken(parties):
    (one,) = await parties(echo)
    two = Party()
    with pytest.raises(HostError, match="cannot listen"):
        await two.open(one.address)
    three = Party()
    with pytest.raises(HostError, match="cannot listen"):
        await three.open(Multiaddr.from_text("/ip4/127.0.0.1/udp/1"))


def endpoint(party):
    return party.address.value("ip4"), int(party.address.value("tcp"))


def delimited(text):
    return bytes([len(text) + 1]) + text.encode() + b"\n"


@pytest.mark.parametrize("protocol", ["/plaintext/2.0.0", "/secio/1.0.0", "/tls/1.0.0"])
async def test_nothing_but_noise_is_agreed_upon(parties, protocol):
    (one,) = await parties(echo)
    reader, writer = await asyncio.open_connection(*endpoint(one))
    writer.write(delimited("/multistream/1.0.0") + delimited(protocol))
    expected = delimited("/multistream/1.0.0") + delimited("na")
    async with asyncio.timeout(5):
        assert await reader.readexactly(len(expected)) == expected
    writer.write(delimited("/noise"))
    async with asyncio.timeout(5):
        assert await reader.readexactly(8) == delimited("/noise")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "start", [b"", delimited("/multistream/1.0.0"), delimited("/multistream/1.0.0") + delimited("/noise")]
)
@pytest.mark.parametrize("seed", range(3))
async def test_garbage_of_strangers_harms_nobody(parties, start, seed):
    one, two = await parties()
    reader, writer = await asyncio.open_connection(*endpoint(one))
    writer.write(start + random.Random(seed).randbytes(200_000))
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(15):
            await writer.drain()
            while await reader.read(65536):
                pass
    writer.close()
    assert await two.ask(one) == b"x"
    await until(lambda: len(one.connected) == 1)


async def test_a_stranger_may_not_send_without_end_before_it_says_who_it_is(parties):
    (one,) = await parties(echo)
    _, writer = await asyncio.open_connection(*endpoint(one))
    # A message of a gibibyte, as its length says.
    writer.write(delimited("/multistream/1.0.0") + b"\x80\x80\x80\x80\x04")
    sent = 0
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(15):
            while sent < 64 * 2**20:
                writer.write(bytes(2**16))
                sent += 2**16
                await writer.drain()
    assert sent < 16 * 2**20
    writer.close()


async def test_strangers_that_say_nothing_do_not_keep_others_out(parties, monkeypatch):
    monkeypatch.setattr("net.host.switch._UPGRADE_SECONDS", 0.5)
    monkeypatch.setattr("net.host.switch.MAX_UPGRADING", 4)
    one, two = await parties()
    silent = [await asyncio.open_connection(*endpoint(one)) for _ in range(20)]
    await asyncio.sleep(1)
    assert await two.ask(one) == b"x"
    for _, writer in silent:
        writer.close()


async def test_a_peer_has_only_so_many_connections(parties):
    (one,) = await parties(echo)
    seed = random.randbytes(32)
    twins = [await Party(seed=seed).open() for _ in range(6)]
    for twin in twins:
        assert await twin.ask(one) == b"x"
    await asyncio.sleep(0.5)
    assert len(await one.host.peers()) == 4
    assert await twins[-1].ask(one) == b"x"
    for twin in twins:
        await twin.host.close()


async def test_mplex_with_peers_that_lack_yamux(parties, monkeypatch):
    (one,) = await parties(echo)
    real = library.Upgrades.__init__

    def only_mplex(self, key):
        real(self, key)
        handlers = self._upgrader.muxer_multistream._selector.handlers
        del handlers[library.YAMUX_PROTOCOL_ID]

    monkeypatch.setattr(library.Upgrades, "__init__", only_mplex)
    two = await Party().open()
    try:
        body = random.randbytes(2**20)
        assert await two.ask(one, body) == body
        assert await one.ask(two, body) == body
    finally:
        await two.host.close()


async def test_blocks_are_asked_for_and_given(parties):
    known = {cid.of_block(block): block for block in (random.randbytes(300_000) for _ in range(20))}
    asked = []

    async def give(cids):
        asked.append(cids)
        return {each: known[each] for each in cids if each in known}

    (one,) = await parties(echo)
    (two,) = await parties(echo, blocks=give)
    missing = cid.of_block(b"missing")
    wanted = [*known, missing]
    assert await one.host.fetch(two.id, [two.address], wanted, 10) == known
    assert asked == [wanted]
    assert await one.host.fetch(two.id, [], [missing], 10) == {}
    one_block = next(iter(known))
    calls = [one.host.fetch(two.id, [], [one_block], 10) for _ in range(10)]
    assert await asyncio.gather(*calls) == [{one_block: known[one_block]}] * 10
    with pytest.raises(PeerUnreachableError):
        await one.host.fetch(PrivateKey(bytes(32)).public.peer_id, [], [missing], 1)


async def test_a_peer_that_gives_no_blocks(parties):
    async def hang(cids):
        await asyncio.sleep(60)

    (one,) = await parties(echo)
    (two,) = await parties(echo, blocks=hang)
    with pytest.raises(PeerTooSlowError):
        await one.host.fetch(two.id, [two.address], [cid.of_block(b"")], 0.5)
    assert await one.ask(two) == b"x"
