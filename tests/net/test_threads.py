import hashlib
import itertools
import json
import os
from pathlib import Path

import pytest

from net import cbor, patches
from net.crypto import Cipher
from net.errors import (
    KeyMismatchError,
    LogExistsError,
    MissingKeyError,
    ThreadExistsError,
    ThreadNotFoundError,
)
from net.keys import PrivateKey, PublicKey
from net.records import RecordBlocks, open_record
from net.thread_id import ThreadID, Variant
from net.thread_key import ThreadKey
from net.threads import Threads
from store import deletions, tables
from store import records as record_rows
from store.deletions import Deletion
from store.engine import Transaction
from store.errors import ConflictError
from store.memory import MemoryEngine
from store.overlay import Overlay

VECTORS = Path(__file__).parent.parent / "vectors"
THREAD = json.loads((VECTORS / "thread.json").read_text())
DB = json.loads((VECTORS / "records_db.json").read_text())

HOST = PrivateKey(hashlib.sha256(b"host").digest())
ALICE = PrivateKey(hashlib.sha256(b"alice").digest()).public
BOB = PrivateKey(hashlib.sha256(b"bob").digest()).public
ID = ThreadID.from_bytes(bytes.fromhex(THREAD["thread_id"]))
KEY = ThreadKey.from_bytes(bytes.fromhex(THREAD["thread_key"]))
LOG_KEY = PrivateKey(hashlib.sha256(b"log").digest())
BODY = patches.encode_body([patches.Patch("a", "people", patches.PatchType.CREATE, b'{"_id":"a"}', 1)])


@pytest.fixture
def engine():
    return MemoryEngine()


@pytest.fixture
def threads(engine):
    return Threads(engine, HOST, os.urandom, itertools.count(1_000).__next__)


async def create(threads, engine, thread=ID, **arguments):
    transaction = Transaction()
    info = threads.create(engine, transaction, thread, **({"identity": ALICE} | arguments))
    await engine.commit(transaction)
    return info


async def append(threads, engine, identity=ALICE, thread=ID, body=BODY):
    transaction = Transaction()
    appended = threads.append(engine, transaction, thread, identity, body)
    await engine.commit(transaction)
    return appended


async def test_a_thread_is_made_with_a_log(threads, engine):
    info = await create(threads, engine, key=KEY, log_key=LOG_KEY)
    assert threads.get(engine, ID) == info
    assert threads.key(engine, ID) == info.key == KEY
    assert threads.number(engine, ID) == info.number
    assert info.created == 1_000
    (log,) = info.logs
    assert log.id == LOG_KEY.public.peer_id
    assert log.public_key == LOG_KEY.public
    assert log.private_key == LOG_KEY
    assert [address.hex() for address in log.addresses] == ["a503" + "26" + HOST.public.peer_id.hex()]
    assert (log.head, log.counter, log.managed) == (None, 0, True)
    assert list(threads.list(engine)) == [ID]


async def test_keys_are_random_where_none_are_given(threads, engine):
    info = await create(threads, engine)
    assert info.key.read is not None
    assert info.logs[0].private_key is not None


def test_an_unknown_thread(threads, engine):
    transaction = Transaction()
    for use in (
        lambda: threads.get(engine, ID),
        lambda: threads.key(engine, ID),
        lambda: threads.delete(engine, transaction, ID),
        lambda: threads.log_for(engine, transaction, ID, ALICE),
        lambda: threads.append(engine, transaction, ID, ALICE, BODY),
        lambda: threads.read_record(engine, ID, 1, 1),
    ):
        with pytest.raises(ThreadNotFoundError) as caught:
            use()
        assert caught.value.text == "thread not found"
    assert threads.number(engine, ID) is None
    assert transaction == Transaction()


async def test_what_exists_is_refused_with_the_texts_of_the_reference(threads, engine):
    await create(threads, engine, key=KEY, log_key=LOG_KEY)
    for arguments, error, text in (
        ({"key": KEY}, LogExistsError, "log already exists"),
        ({"identity": BOB, "key": KEY, "log_key": LOG_KEY}, LogExistsError, "log already exists"),
        ({"identity": BOB, "key": KEY, "log_key": LOG_KEY.public}, LogExistsError, "log already exists"),
        ({"identity": HOST.public, "key": KEY}, ThreadExistsError, "thread already exists"),
        ({"identity": BOB}, KeyMismatchError, "service-key mismatch"),
        ({"identity": BOB, "key": ThreadKey(bytes(32))}, KeyMismatchError, "service-key mismatch"),
        ({"identity": BOB, "key": ThreadKey(KEY.service, bytes(32))}, KeyMismatchError, "read-key mismatch"),
    ):
        transaction = Transaction()
        with pytest.raises(error) as caught:
            threads.create(engine, transaction, ID, **({"identity": ALICE} | arguments))
        assert caught.value.text == text
        assert not transaction.puts


async def test_another_identity_joins_with_the_same_keys(threads, engine):
    first = await create(threads, engine, key=ThreadKey(KEY.service))
    second = await create(threads, engine, identity=BOB, key=KEY)
    assert second.number == first.number
    assert second.key == KEY
    assert len(second.logs) == 2
    assert threads.get(engine, ID) == second
    third = await create(threads, engine, identity=HOST.public, key=ThreadKey(KEY.service), log_key=LOG_KEY)
    assert third.key == KEY
    assert [log.id for log in third.logs] == sorted(log.id for log in third.logs)


async def test_records_are_chained_in_the_log_of_their_writer(threads, engine):
    await create(threads, engine, key=KEY, log_key=LOG_KEY)
    first, second = await append(threads, engine), await append(threads, engine)
    other = await append(threads, engine, BOB)
    assert (first.position, second.position, other.position) == (1, 2, 1)
    assert first.log_id == second.log_id == LOG_KEY.public.peer_id != other.log_id
    assert await append(threads, engine, BOB) != other

    info = threads.get(engine, ID)
    assert {log.id: log.counter for log in info.logs} == {first.log_id: 2, other.log_id: 2}
    ciphers = {"service": Cipher(KEY.service), "read": Cipher(KEY.read)}
    previous = None
    for appended in (first, second):
        row = record_rows.get_record(engine, info.number, appended.log_number, appended.position)
        blocks = RecordBlocks(row.record, row.event, row.header, row.body)
        opened = open_record(blocks, **ciphers, log_key=LOG_KEY.public)
        assert opened.record == appended.record
        assert (opened.previous, opened.author, opened.body) == (previous, ALICE, BODY)
        previous = appended.record.cid
        assert threads.read_record(engine, ID, appended.log_number, appended.position).body == BODY
        for name, block in (
            (row.cid, row.record),
            (appended.record.event_cid, row.event),
            (appended.record.body_cid, row.body),
        ):
            assert record_rows.get_block(engine, name) == block
    assert next(log.head for log in info.logs if log.id == first.log_id) == previous
    assert threads.read_record(engine, ID, first.log_number, 3) is None


async def test_the_log_of_an_identity_stays_the_same(threads, engine):
    await create(threads, engine, key=KEY)
    transaction = Transaction()
    made = threads.log_for(engine, transaction, ID, BOB)
    assert made.counter == 0
    await engine.commit(transaction)
    again = Transaction()
    assert threads.log_for(engine, again, ID, BOB) == made
    assert again == Transaction()
    appended = await append(threads, engine, BOB)
    assert appended.log_id == made.id
    reopened = Threads(engine, HOST, os.urandom, lambda: 0)
    after = reopened.log_for(engine, Transaction(), ID, BOB)
    assert (after.id, after.counter, after.head) == (made.id, 1, appended.record.cid)
    assert reopened.numbers is not threads.numbers


async def test_a_log_with_a_public_key_only_is_for_reading(threads, engine):
    info = await create(threads, engine, key=KEY, log_key=LOG_KEY.public)
    assert info.logs[0].private_key is None
    assert threads.get(engine, ID) == info
    with pytest.raises(MissingKeyError) as caught:
        threads.append(engine, Transaction(), ID, ALICE, BODY)
    assert caught.value.text == "a private-key is required to create records"


async def test_a_thread_without_a_read_key_takes_no_records(threads, engine):
    await create(threads, engine, key=ThreadKey(KEY.service))
    for use in (
        lambda: threads.append(engine, Transaction(), ID, ALICE, BODY),
        lambda: threads.read_record(engine, ID, 1, 1),
    ):
        with pytest.raises(MissingKeyError) as caught:
            use()
        assert caught.value.text.startswith("a read-key is required")
    await create(threads, engine, identity=BOB, key=KEY)
    assert (await append(threads, engine)).position == 1


async def test_two_records_on_one_head_cannot_both_be_kept(threads, engine):
    await create(threads, engine, key=KEY)
    for _ in range(2):
        one, two = Transaction(), Transaction()
        kept = threads.append(engine, one, ID, ALICE, BODY)
        threads.append(engine, two, ID, ALICE, BODY)
        await engine.commit(one)
        with pytest.raises(ConflictError):
            await engine.commit(two)
        assert threads.get(engine, ID).logs[0].head == kept.record.cid


async def test_two_first_records_of_one_identity_make_one_log(threads, engine):
    await create(threads, engine, key=KEY)
    one, two = Transaction(), Transaction()
    threads.append(engine, one, ID, BOB, BODY)
    threads.append(engine, two, ID, BOB, BODY)
    await engine.commit(one)
    with pytest.raises(ConflictError):
        await engine.commit(two)
    assert len(threads.get(engine, ID).logs) == 2


async def test_two_who_make_one_thread(threads, engine):
    one, two = Transaction(), Transaction()
    threads.create(engine, one, ID, identity=ALICE, key=KEY)
    threads.create(engine, two, ID, identity=BOB, key=KEY)
    await engine.commit(one)
    with pytest.raises(ConflictError):
        await engine.commit(two)
    assert len(threads.get(engine, ID).logs) == 1


async def test_records_stack_on_an_overlay(threads, engine):
    overlay = Overlay(engine)
    creating = Transaction()
    threads.create(overlay, creating, ID, identity=ALICE, key=KEY)
    futures, appended = [overlay.submit(creating)], []
    for identity in (ALICE, BOB, ALICE, ALICE, BOB):
        transaction = Transaction()
        appended.append(threads.append(overlay, transaction, ID, identity, BODY))
        futures.append(overlay.submit(transaction))
    for future in futures:
        await future
    assert [record.position for record in appended] == [1, 1, 2, 3, 2]
    assert sorted(log.counter for log in threads.get(engine, ID).logs) == [2, 3]


async def test_a_thread_is_deleted_and_made_anew(threads, engine):
    info = await create(threads, engine, key=KEY)
    appended = await append(threads, engine)
    stale = Transaction()
    threads.append(engine, stale, ID, ALICE, BODY)
    transaction = Transaction()
    assert threads.delete(engine, transaction, ID) == info.number
    await engine.commit(transaction)
    assert threads.number(engine, ID) is None
    assert not list(threads.list(engine))
    with pytest.raises(ConflictError):
        await engine.commit(stale)

    again = await create(threads, engine, key=KEY)
    assert again.number != info.number
    assert [log.counter for log in again.logs] == [0]
    assert list(deletions.list_marks(engine)) == [Deletion(info.number)]
    while list(deletions.list_marks(engine)):
        await engine.commit(deletions.next_slice(engine, Deletion(info.number), limit=3))
    assert record_rows.get_block(engine, appended.record.cid) is None
    assert threads.get(engine, ID) == again
    assert not list(engine.scan(*tables.logs(info.number)))


async def test_a_database_of_the_vectors_is_written_again(engine):
    """The whole road: the same keys, nonces and bodies give the logs that go-threads had."""
    keys = {log["id"]: PrivateKey.from_bytes(bytes.fromhex(log["privKey_pb"])) for log in THREAD["logs"]}
    wanted = [(log["log_id"], record) for log in DB["logs"] for record in log["records"]]
    random = b""

    def give(count):
        nonlocal random
        given, random = random[:count], random[count:]
        assert len(given) == count
        return given

    threads = Threads(
        engine,
        PrivateKey.from_bytes(
            bytes.fromhex(
                "0801124017f93a57ed4eacf59a1dc2c71619a23b9e54f15efe05b4ed0688ff37368606c8c640a254fe70ee998c3d39b9ae1fa52f398fc046ef267bf4e01e3dde8a7dad1e"
            )
        ),
        give,
        lambda: 0,
    )
    for log_id, record in wanted:
        author = PublicKey.from_bytes(bytes.fromhex(record["pubKey"]))
        if record["prev"] is None:
            await create(threads, engine, identity=author, key=KEY, log_key=keys[log_id])
        nonces = record["nonces"]
        random = bytes.fromhex(record["body_key"] + nonces["body"] + nonces["header"] + nonces["record"])
        appended = await append(threads, engine, author, body=bytes.fromhex(record["body_plain"]))
        assert appended.record.cid.hex() == record["record_cid"]
        assert appended.log_id.hex() == log_id
    info = threads.get(engine, ID)
    assert info.key.text == THREAD["thread_key_text"]
    for log in THREAD["logs"]:
        kept = next(one for one in info.logs if one.id.hex() == log["id"])
        assert kept.head.hex() == log["head"]
        assert kept.counter == log["counter"]
        assert kept.addresses[0].hex() == log["addrs"][0]["bytes"]


async def test_many_threads(threads, engine):
    made = {ThreadID.random(Variant.RAW, os.urandom) for _ in range(20)}
    for thread in made:
        await create(threads, engine, thread)
        await append(threads, engine, thread=thread, body=cbor.canonicalise(b"\xa0"))
    assert list(threads.list(engine)) == sorted(made)
    assert len({threads.number(engine, thread) for thread in made}) == 20


async def test_the_cache_forgets_what_is_oldest(threads, engine, monkeypatch):
    monkeypatch.setattr("net.threads._CACHED", 2)
    ids = [ThreadID.random(Variant.RAW, os.urandom) for _ in range(4)]
    for thread in ids:
        await create(threads, engine, thread)
    for thread in ids + ids:
        await append(threads, engine, thread=thread)
    assert len(threads._threads._kept) == len(threads._logs._kept) == 2
