import asyncio
import hashlib
import itertools
import json
import os
from collections import deque
from pathlib import Path

import pytest

from net import cbor, records
from net.crypto import Cipher
from net.errors import (
    BadSignatureError,
    DecryptionError,
    InvalidBlockError,
    InvalidRecordError,
    KeyMismatchError,
    LogExistsError,
    LogNotFoundError,
    MissingKeyError,
    OutOfOrderError,
    RecordNotFoundError,
    ThreadExistsError,
    ThreadInUseError,
    ThreadNotFoundError,
)
from net.keys import PrivateKey, PublicKey
from net.multiaddr import Multiaddr, thread_address
from net.network import Network
from net.records import RecordBlocks
from net.thread_id import ThreadID
from net.thread_key import ThreadKey
from net.threads import Threads
from store import blocks, databases, deletions, tables
from store import records as record_rows
from store.databases import DatabaseRow
from store.engine import Transaction
from store.errors import ConflictError, StatusCode, StoreFullError
from store.faulty import Fault, FaultyEngine
from store.memory import MemoryEngine, settle

VECTORS = Path(__file__).parent.parent / "vectors"
RAW = json.loads((VECTORS / "records_raw.json").read_text())
SIGNED = [case for case in RAW["cases"] if "recordNode" in case]
FOREIGN = [case for case in RAW["cases"] if "recordNode" not in case]

HOST = PrivateKey(hashlib.sha256(b"host").digest())
ALICE = PrivateKey(hashlib.sha256(b"alice").digest()).public
BOB = PrivateKey(hashlib.sha256(b"bob").digest()).public
ID = ThreadID.from_bytes(bytes.fromhex(RAW["thread_id"]))
OTHER = ThreadID(ID.bytes[:-1] + b"x")
KEY = ThreadKey(bytes.fromhex(RAW["service_key"]), bytes.fromhex(RAW["read_key"]))
LOG_KEY = PrivateKey(bytes.fromhex(RAW["log_seed"]))
LISTEN = Multiaddr.from_text("/ip4/127.0.0.1/tcp/4006")
OWN = thread_address(LISTEN, HOST.public.peer_id, ID)
REMOTE = thread_address(LISTEN, BOB.peer_id, ID)


class Engine(FaultyEngine):
    """Commits later on demand, as the real one does, and lets a test come first."""

    def __init__(self):
        super().__init__(MemoryEngine())
        self.delayed = False
        self.before = lambda: None

    def commit(self, transaction):
        self.before()
        if not self.delayed:
            return super().commit(transaction)
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, self._commit, transaction, done)
        return done

    def _commit(self, transaction, done):
        made = super().commit(transaction)
        made.add_done_callback(lambda made: settle(done, made.exception()))


class Randomness:
    """What is set, else real."""

    def __init__(self):
        self.next = b""

    def __call__(self, count):
        given, self.next = self.next, b""
        assert len(given) in {0, count}
        return given or os.urandom(count)


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def randomness():
    return Randomness()


@pytest.fixture
def threads(engine, randomness):
    return Threads(engine, HOST, randomness, itertools.count(1_000).__next__)


@pytest.fixture
async def network(engine, threads):
    made = Network(engine, threads, tables.database, lambda _: None)
    yield made
    await made.close()
    assert not made._overlays


async def make_database(engine, number, thread=ID):
    transaction = Transaction()
    databases.put_database(transaction, number, DatabaseRow(thread.bytes, "one"))
    await engine.commit(transaction)


def author(case):
    return PublicKey.from_bytes(bytes.fromhex(case["pubKey"]))


def blocks_of(case):
    return RecordBlocks(*(bytes.fromhex(case[name]) for name in ("recordNode", "eventNode", "headerNode", "bodyNode")))


def made_elsewhere(body, previous=None, *, log_key=LOG_KEY, key=KEY):
    return records.build(
        body,
        service=Cipher(key.service),
        read=Cipher(key.read),
        log_key=log_key,
        author=ALICE,
        previous=previous,
        randomness=os.urandom,
    )


def counters(network, thread=ID):
    return {log.id: log.counter for log in network.get_thread(thread).logs}


async def collected(subscription, count):
    found = []
    async for record in subscription.records():
        found.append(record.record.cid)
        if len(found) == count:
            return found
    return found


async def test_the_records_of_the_vectors_are_made_again(network, randomness):
    """Bodies as clients sent them, byte for byte what go-threads made of them."""
    await network.create_thread(ID, identity=author(SIGNED[0]), key=KEY, log_key=LOG_KEY)
    for case in SIGNED:
        nonces = case["nonces"]
        randomness.next = bytes.fromhex(case["body_key"] + nonces["body"] + nonces["header"] + nonces["record"])
        made = await network.create_record(ID, bytes.fromhex(case["request_body"]), author(case))
        assert made.record.blocks == blocks_of(case)
        assert (made.record.cid.hex(), made.log_id.hex()) == (case["record_cid"], case["log_id"])
        assert await network.get_record(ID, made.record.cid) == blocks_of(case)
    for case in FOREIGN:
        made = await network.create_record(ID, bytes.fromhex(case["request_body"]), author(SIGNED[0]))
        assert records.open_body(made.record.blocks, Cipher(KEY.read)).hex() == case["stored_body_plain"]
    (log,) = network.get_thread(ID).logs
    assert (log.counter, log.head) == (len(RAW["cases"]), made.record.cid)


async def test_the_records_of_the_vectors_are_added(network):
    await network.create_thread(ID, identity=ALICE, key=ThreadKey(KEY.service), log_key=LOG_KEY.public)
    with network.subscribe([ID]) as subscription:
        for case in SIGNED:
            for _ in range(2):  # the second time it is known
                await network.add_record(ID, LOG_KEY.public.peer_id, blocks_of(case))
        await network.add_record(ID, LOG_KEY.public.peer_id, blocks_of(SIGNED[0]))
        wanted = [case["record_cid"] for case in SIGNED]
        assert [cid.hex() for cid in await collected(subscription, len(wanted))] == wanted
        assert not subscription._queue
    for case in SIGNED:
        assert await network.get_record(ID, bytes.fromhex(case["record_cid"])) == blocks_of(case)
    assert counters(network) == {LOG_KEY.public.peer_id: len(SIGNED)}


async def test_many_records_at_once_make_one_chain(network, engine):
    await network.create_thread(ID, identity=ALICE, key=KEY)
    with network.subscribe([ID]) as subscription:
        made = await asyncio.gather(
            *(network.create_record(ID, cbor.integer(place), (ALICE, BOB)[place % 2]) for place in range(300)),
        )
        told = await collected(subscription, 300)
    assert told == [one.record.cid for one in made]
    service = Cipher(KEY.service)
    for identity in (ALICE, BOB):
        previous = None
        mine = [one for one in made if one.author == identity]
        assert [one.position for one in mine] == list(range(1, 151))
        assert len({one.log_id for one in mine}) == 1
        for one in mine:
            assert records.open_envelope(one.record.blocks.record, service).previous == previous
            previous = one.record.cid
        assert await network.get_record(ID, mine[0].record.cid) == mine[0].record.blocks
    assert blocks.SEGMENT_RECORDS < 150  # both ways of finding a record are used
    assert sorted(counters(network).values()) == [150, 150]


async def test_what_changes_the_thread_meanwhile_does_not_fork_a_log(network, engine, threads):
    await network.create_thread(ID, identity=ALICE, key=KEY)
    # Somebody else's transaction for the same identity, built on the same state, is refused where it comes later.
    rival = Transaction()
    threads.append(engine, rival, ID, BOB, b"\xa0")
    await network.create_record(ID, b"\xa0", BOB)
    with pytest.raises(ConflictError):
        await engine.commit(rival)
    # Where it comes first, the calls are built again.
    engine.delayed = True
    rival = Transaction()
    earlier = threads.append(engine, rival, ID, BOB, b"\xa0")
    done = engine.commit(rival)
    made = await asyncio.gather(*(network.create_record(ID, b"\x07", BOB) for _ in range(5)))
    await done
    assert earlier.position == 2
    assert sorted(one.position for one in made) == [3, 4, 5, 6, 7]
    assert counters(network)[made[0].log_id] == 7


async def test_whoever_loses_over_and_over_is_told(network, engine, threads):
    await network.create_thread(ID, identity=ALICE, key=KEY)
    tries = []

    def rush():
        rival = Transaction()
        threads.append(engine, rival, ID, ALICE, b"\xa0")
        engine.engine.commit(rival)
        tries.append(rival)

    engine.before = rush
    with pytest.raises(ConflictError):
        await network.create_record(ID, b"\xa0", ALICE)
    assert len(tries) == 5


@pytest.mark.parametrize("fault", [Fault.FULL, Fault.REFUSED])
async def test_what_the_disk_does_not_take_is_not_told(network, engine, fault):
    await network.create_thread(ID, identity=ALICE, key=KEY)
    with network.subscribe([]) as subscription:
        engine.faults = deque([fault])
        with pytest.raises(StoreFullError if fault is Fault.FULL else Exception):
            await network.create_record(ID, b"\xa0", ALICE)
        kept = await network.create_record(ID, b"\xa0", ALICE)
        assert await collected(subscription, 1) == [kept.record.cid]
    assert kept.position == 1


async def test_a_caller_that_goes_away_does_not_undo_its_record(network):
    await network.create_thread(ID, identity=ALICE, key=KEY)
    with network.subscribe([ID]) as subscription:
        call = asyncio.ensure_future(network.create_record(ID, b"\xa0", ALICE))
        await asyncio.sleep(0)
        call.cancel()
        assert len(await collected(subscription, 1)) == 1
    await network.create_record(ID, b"\xa0", ALICE)
    assert list(counters(network).values()) == [2]


async def test_bodies_that_are_none(network, engine):
    await network.create_thread(ID, identity=ALICE, key=KEY)
    before = list(engine.scan(b"", b"\xff"))
    for body in (b"", b"\xff", b"\xa1", b"\xa0\xa0", b"{}", b"\xc1\x00", b"\xa1\x01\x01", b"\x81" * 70_000):
        with pytest.raises(InvalidBlockError) as caught:
            await network.create_record(ID, body, ALICE)
        assert caught.value.code is StatusCode.INVALID_ARGUMENT
    assert list(engine.scan(b"", b"\xff")) == before


async def test_a_long_body(network):
    await network.create_thread(ID, identity=ALICE, key=KEY)
    body = b"\x9f" + cbor.byte_string(b"z" * 100_000) + b"\xff"
    made = await network.create_record(ID, body, ALICE)
    opened = records.open_body(made.record.blocks, Cipher(KEY.read))
    assert opened == b"\x81" + cbor.byte_string(b"z" * 100_000)


async def test_records_that_are_refused(network, engine):
    await network.create_thread(ID, identity=ALICE, key=KEY, log_key=LOG_KEY)
    await network.create_thread(OTHER, identity=BOB, key=KEY)
    log = LOG_KEY.public.peer_id
    first, second = made_elsewhere(b"\x01"), made_elsewhere(b"\x02")
    await network.add_record(ID, log, first.blocks)
    after_first = made_elsewhere(b"\x02", first.cid)
    await network.add_record(ID, log, after_first.blocks)
    good = made_elsewhere(b"\x03", after_first.cid).blocks
    mallory = PrivateKey(bytes(32))
    before = list(engine.scan(b"", b"\xff"))
    for thread, log_id, given, error, code in (
        (ThreadID(ID.bytes + b"?"), log, good, ThreadNotFoundError, StatusCode.NOT_FOUND),
        (ID, BOB.peer_id, good, LogNotFoundError, StatusCode.NOT_FOUND),
        (OTHER, log, good, LogNotFoundError, StatusCode.NOT_FOUND),
        (ID, b"", good, LogNotFoundError, StatusCode.NOT_FOUND),
        (ID, b"l" * 10_000, good, LogNotFoundError, StatusCode.NOT_FOUND),
        (
            ID,
            log,
            made_elsewhere(b"\x03", after_first.cid, log_key=mallory).blocks,
            BadSignatureError,
            StatusCode.UNAUTHENTICATED,
        ),
        (ID, log, made_elsewhere(b"\x01", log_key=mallory).blocks, BadSignatureError, StatusCode.UNAUTHENTICATED),
        (
            ID,
            log,
            made_elsewhere(b"\x03", after_first.cid, key=ThreadKey(bytes(32), bytes(32))).blocks,
            DecryptionError,
            StatusCode.INVALID_ARGUMENT,
        ),
        (ID, log, RecordBlocks(b"", b"", b"", b""), InvalidBlockError, StatusCode.INVALID_ARGUMENT),
        (
            ID,
            log,
            RecordBlocks(good.record, first.blocks.event, good.header, good.body),
            InvalidRecordError,
            StatusCode.INVALID_ARGUMENT,
        ),
        # A gap.
        (ID, log, made_elsewhere(b"\x09", second.cid).blocks, OutOfOrderError, StatusCode.FAILED_PRECONDITION),
    ):
        with pytest.raises(error) as caught:
            await network.add_record(thread, log_id, given)
        assert caught.value.code is code
    assert list(engine.scan(b"", b"\xff")) == before
    await network.add_record(ID, log, good)


async def test_a_log_grows_by_both_verbs(network):
    await network.create_thread(ID, identity=ALICE, key=KEY, log_key=LOG_KEY)
    previous = None
    for place in range(6):
        if place % 2:
            previous = (await network.create_record(ID, b"\x07", ALICE)).record.cid
        else:
            record = made_elsewhere(b"\x07", previous)
            await network.add_record(ID, LOG_KEY.public.peer_id, record.blocks)
            previous = record.cid
    assert counters(network) == {LOG_KEY.public.peer_id: 6}


async def test_one_record_that_is_added_many_times_at_once(network):
    await network.create_thread(ID, identity=ALICE, key=KEY, log_key=LOG_KEY.public)
    record = made_elsewhere(b"\xa0")
    with network.subscribe([ID]) as subscription:
        await asyncio.gather(*(network.add_record(ID, LOG_KEY.public.peer_id, record.blocks) for _ in range(20)))
        assert len(subscription._queue) == 1
    assert list(counters(network).values()) == [1]


async def test_a_record_is_known_only_once_it_is_kept(network, engine):
    await network.create_thread(ID, identity=ALICE, key=KEY, log_key=LOG_KEY.public)
    record = made_elsewhere(b"\xa0")
    engine.faults = deque([Fault.REFUSED])
    calls = (network.add_record(ID, LOG_KEY.public.peer_id, record.blocks) for _ in range(2))
    first, second = await asyncio.gather(*calls, return_exceptions=True)
    assert first.code is StatusCode.UNAVAILABLE
    assert second is None
    assert await network.get_record(ID, record.cid) == record.blocks


async def test_records_that_are_not_here(network):
    await network.create_thread(ID, identity=ALICE, key=KEY)
    await network.create_thread(OTHER, identity=ALICE, key=KEY)
    made = (await network.create_record(ID, b"\xa0", ALICE)).record
    for thread, name in (
        (OTHER, made.cid),
        (ID, made.event_cid),
        (ID, made.body_cid),
        (ID, made.cid[:-1]),
        (ID, b""),
        (ID, b"\x01\x55" + made.cid[2:]),
        (ID, made.cid[:-1] + bytes([made.cid[-1] ^ 1])),
    ):
        with pytest.raises(RecordNotFoundError) as caught:
            await network.get_record(thread, name)
        assert (caught.value.code, caught.value.text) == (StatusCode.NOT_FOUND, "record not found")
    with pytest.raises(ThreadNotFoundError):
        await network.get_record(ThreadID(ID.bytes + b"?"), made.cid)


async def test_what_cannot_be_written_here(network):
    await network.create_thread(ID, identity=ALICE, key=KEY, log_key=LOG_KEY.public)
    await network.create_thread(OTHER, identity=ALICE, key=ThreadKey(KEY.service))
    for thread, text in ((ID, "a private-key is required"), (OTHER, "a read-key is required")):
        with pytest.raises(MissingKeyError) as caught:
            await network.create_record(thread, b"\xa0", ALICE)
        assert caught.value.text.startswith(text)
    with pytest.raises(ThreadNotFoundError):
        await network.create_record(ThreadID(ID.bytes + b"?"), b"\xa0", ALICE)


async def test_a_thread_of_this_host_is_added_without_a_dial(network):
    made = await network.create_thread(ID, identity=ALICE, key=KEY)
    added = await network.attach_thread(ID, identity=BOB, key=KEY, log_key=LOG_KEY)
    assert added == network.get_thread(ID)
    assert added.number == made.number
    assert LOG_KEY.public.peer_id in counters(network)
    own = (await network.create_record(ID, b"\xa0", BOB)).log_id
    assert own == LOG_KEY.public.peer_id
    carol = PrivateKey(b"c" * 32).public
    assert len((await network.attach_thread(ID, identity=carol, key=KEY)).logs) == 3
    # The service key alone attaches without a log.
    dave = PrivateKey(b"d" * 32).public
    assert len((await network.attach_thread(ID, identity=dave, key=ThreadKey(KEY.service))).logs) == 3
    assert len((await network.attach_thread(ID, identity=dave, key=ThreadKey(KEY.service), log_key=dave)).logs) == 4


async def test_threads_that_cannot_be_added(network, engine):
    await network.create_thread(ID, identity=ALICE, key=KEY)
    before = list(engine.scan(b"", b"\xff"))
    for thread, given, error, text in (
        (ID, {"identity": ALICE}, LogExistsError, "log already exists"),
        (ID, {"identity": HOST.public}, ThreadExistsError, "thread already exists"),
        (OTHER, {}, ThreadNotFoundError, "cannot retrieve thread from self: thread not found"),
        (ID, {"key": None}, MissingKeyError, "a service-key is required to add a thread"),
        (ID, {"key": ThreadKey(bytes(32))}, KeyMismatchError, "service-key mismatch"),
        (ID, {"key": ThreadKey(KEY.service, bytes(32))}, KeyMismatchError, "read-key mismatch"),
    ):
        with pytest.raises(error) as caught:
            await network.attach_thread(thread, **({"identity": BOB, "key": KEY} | given))
        assert text in caught.value.text
    assert list(engine.scan(b"", b"\xff")) == before


async def test_a_thread_of_a_database_is_left_to_it(network, engine):
    info = await network.create_thread(ID, identity=ALICE, key=KEY, log_key=LOG_KEY)
    kept = await network.create_record(ID, b"\xa0", ALICE)
    await make_database(engine, info.number)
    before = list(engine.scan(b"", b"\xff"))
    log = LOG_KEY.public.peer_id
    for call, text in (
        (lambda: network.delete_thread(ID), "cannot delete thread: thread is in use"),
        (lambda: network.create_record(ID, b"\xa0", ALICE), "cannot create record: thread is in use"),
        (
            lambda: network.add_record(ID, log, made_elsewhere(b"\xa0", kept.record.cid).blocks),
            "cannot add record: thread is in use",
        ),
    ):
        with pytest.raises(ThreadInUseError) as caught:
            await call()
        assert caught.value.code is StatusCode.FAILED_PRECONDITION
        assert caught.value.text.startswith(text)
    assert list(engine.scan(b"", b"\xff")) == before
    await network.add_record(ID, log, kept.record.blocks)
    assert await network.get_record(ID, kept.record.cid) == kept.record.blocks
    await network.attach_thread(ID, identity=BOB, key=KEY)


@pytest.mark.parametrize("verb", ["delete", "create"])
async def test_a_database_that_comes_meanwhile(network, engine, verb):
    info = await network.create_thread(ID, identity=ALICE, key=KEY)
    making = asyncio.ensure_future(make_database(engine, info.number))
    await asyncio.sleep(0)
    call = network.delete_thread(ID) if verb == "delete" else network.create_record(ID, b"\xa0", ALICE)
    with pytest.raises(ThreadInUseError):
        await call
    await making
    assert list(counters(network).values()) == [0]


async def test_a_deleted_thread_leaves_nothing_and_can_be_made_again(network, engine, threads):
    number = (await network.create_thread(ID, identity=ALICE, key=KEY)).number
    await network.create_thread(OTHER, identity=ALICE, key=KEY)
    records_made = [await network.create_record(ID, b"\xa0", identity) for identity in (ALICE, BOB) for _ in range(3)]
    late = asyncio.ensure_future(network.create_record(ID, b"\xa0", ALICE))
    await asyncio.sleep(0)
    await asyncio.gather(network.delete_thread(ID), late)
    for use in (
        lambda: network.create_record(ID, b"\xa0", ALICE),
        lambda: network.delete_thread(ID),
        lambda: network.get_record(ID, records_made[0].record.cid),
    ):
        with pytest.raises(ThreadNotFoundError):
            await use()
    await asyncio.gather(*network._sweeps)
    assert not list(deletions.list_marks(engine))
    for start, stop in tables.whole_thread(number):
        assert not list(engine.scan(start, stop))
    assert record_rows.find_block(engine, records_made[0].record.cid) is None
    assert list(threads.list(engine)) == [OTHER]
    again = await network.create_thread(ID, identity=ALICE, key=KEY)
    assert again.number != number
    assert (await network.create_record(ID, b"\xa0", ALICE)).position == 1


async def test_a_disk_that_refuses_the_sweep(network, engine):
    await network.create_thread(ID, identity=ALICE, key=KEY)
    engine.faults = deque([Fault.NONE, Fault.REFUSED])
    await network.delete_thread(ID)
    await asyncio.gather(*network._sweeps)
    assert len(list(deletions.list_marks(engine))) == 1
    with pytest.raises(ThreadNotFoundError):
        network.get_thread(ID)


async def test_the_same_thread_made_by_two(network):
    made = await asyncio.gather(
        network.create_thread(ID, identity=ALICE, key=KEY),
        network.create_thread(ID, identity=BOB, key=KEY),
        network.create_thread(ID, identity=BOB, key=KEY),
        return_exceptions=True,
    )
    assert [len(one.logs) for one in made[:2]] == [1, 2]
    assert isinstance(made[2], LogExistsError)
    assert made[1] == network.get_thread(ID)
