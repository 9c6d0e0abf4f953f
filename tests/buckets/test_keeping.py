"""What is kept of buckets: nothing in use is swept, everything else is; full disks and quotas leave buckets whole."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from net.keys import PrivateKey
from net.thread_id import ThreadID
from store import tables
from store.errors import StoreFullError
from store.file_blocks import FileBlocks
from store.lmdb_engine import LmdbEngine
from threadd.buckets import dag, sealing
from threadd.buckets.buckets import Options
from threadd.buckets.errors import SealError, StorageQuotaError
from threadd.buckets.instances import Actor
from threadd.buckets.sealing import Checker
from threadd.db.collections import CollectionConfig
from threadd.rooms import open_rooms

THREAD = ThreadID(bytes([1, 0x55]) + b"k" * 32)
ALICE = Actor(PrivateKey(b"a" * 32).public)
KEY = bytes(range(64))


@pytest.fixture
async def engine(tmp_path):
    made = LmdbEngine(tmp_path)
    yield made
    await made.close()


def count(engine):
    return sum(1 for _ in engine.scan(*tables.file_block_uses()))


def marking(*blocks):
    async def mark(reached):
        reached.update(block.cid[-32:] for block in blocks)

    return mark


async def test_a_sweep_takes_what_nothing_reaches(engine):
    blocks = FileBlocks(engine)
    await blocks.open()
    one, two = dag.raw_block(b"one"), dag.raw_block(b"")
    async with blocks.uploading() as upload:
        for block in (one, two):
            await upload.put(block.cid, block.data)
            assert upload.get(block.cid) == block.data
        await upload.sync()
    assert await blocks.sweep(marking(one)) == 1
    assert (blocks.get(one.cid), blocks.get(two.cid)) == (b"one", None)
    assert await blocks.sweep(marking()) == 1
    assert count(engine) == 0


async def test_a_sweep_leaves_what_an_upload_builds_on(engine):
    blocks = FileBlocks(engine)
    await blocks.open()
    old, new = dag.raw_block(b"old"), dag.raw_block(b"new")
    async with blocks.uploading() as first:
        await first.put(old.cid, old.data)
        await first.sync()
    async with blocks.uploading() as upload:
        await blocks.sweep(marking(old))
        await upload.put(new.cid, new.data)
        await upload.put(old.cid, old.data)
        await upload.sync()
        assert await blocks.sweep(marking()) == 0
        assert await blocks.sweep(marking()) == 0
    assert await blocks.sweep(marking()) == 2


async def test_a_block_that_a_sweep_takes_while_it_is_put_is_written_again(engine):
    blocks = FileBlocks(engine)
    await blocks.open()
    block = dag.raw_block(b"block")
    async with blocks.uploading() as upload:
        await upload.put(block.cid, block.data)
        await upload.sync()
    taken = []

    async def mark(_reached):
        async with blocks.uploading() as upload:
            await upload.put(block.cid, block.data)
            await upload.sync()
            taken.append(upload)

    assert await blocks.sweep(mark) == 0
    assert blocks.get(block.cid) == b"block"


async def test_a_block_that_was_taken_after_it_was_looked_at_is_written_whole(engine, monkeypatch):
    blocks = FileBlocks(engine)
    await blocks.open()
    block = dag.raw_block(b"block")
    async with blocks.uploading() as upload:
        await upload.put(block.cid, block.data)
        await upload.sync()
    use_key = tables.file_block_use(block.cid[-32:])
    seen = engine.get(use_key)
    assert await blocks.sweep(marking()) == 1
    async with blocks.uploading() as upload:
        await upload.put(block.cid, block.data)
        get = engine.get
        monkeypatch.setattr(engine, "get", lambda key: seen if key == use_key else get(key))
        await upload.sync()
    monkeypatch.undo()
    assert blocks.get(block.cid) == b"block"


async def test_what_comes_into_use_while_a_removal_is_refused_is_left(engine):
    blocks = FileBlocks(engine)
    await blocks.open()
    put_again, named, garbage = (dag.raw_block(data) for data in (b"put again", b"named", b"garbage"))
    async with blocks.uploading() as upload:
        for block in (put_again, named, garbage):
            await upload.put(block.cid, block.data)
        await upload.sync()
    calls = []

    async def mark_new(reached):
        calls.append(None)
        if len(calls) == 1:
            async with blocks.uploading() as upload:
                await upload.put(put_again.cid, put_again.data)
                await upload.sync()
        else:
            reached.add(named.cid[-32:])

    assert await blocks.sweep(marking(), mark_new) == 1
    assert [blocks.has(block.cid) for block in (put_again, named, garbage)] == [True, True, False]


async def test_a_crashed_upload_leaves_nothing(tmp_path):
    block = dag.raw_block(b"left behind")
    engine = LmdbEngine(tmp_path)
    blocks = FileBlocks(engine)
    await blocks.open()
    upload = await blocks.uploading().__aenter__()
    await upload.put(block.cid, block.data)
    await upload.sync()
    await engine.close()
    engine = LmdbEngine(tmp_path)
    blocks = FileBlocks(engine)
    await blocks.open()
    assert await blocks.sweep(marking()) == 1
    await engine.close()


async def push(rooms, key, files):
    async with rooms.buckets.pushing(THREAD, ALICE, key) as pushed:
        for path, data in files.items():
            file = await pushed.begin(path)
            await file.add(data)
            await pushed.finish(file)
        return await pushed.save()


async def pulled(rooms, key, path):
    bucket = await rooms.buckets.get(THREAD, ALICE, key)
    return b"".join([piece async for piece in (await rooms.buckets.contents.file(bucket, path)).read()])


@pytest.mark.parametrize("private", [False, True])
async def test_sweeps_keep_buckets_whole_and_give_back_the_rest(tmp_path, private):
    async with open_rooms(tmp_path / "repo") as rooms:
        await rooms.databases.new_db(THREAD, identity=ALICE.identity)
        key = (await rooms.buckets.create(THREAD, ALICE, private=private)).bucket.id
        big = os.urandom(700_000)
        await push(rooms, key, {"a/b/big": big, "small": b"1", "gone": os.urandom(700_000)})
        await rooms.buckets.remove_path(THREAD, ALICE, key, "gone")
        blocks = rooms.buckets._blocks
        before = count(blocks._engine)
        assert await rooms.buckets.sweeping.sweep() >= 4
        assert count(blocks._engine) < before
        assert await rooms.buckets.sweeping.sweep() == 0
        assert await pulled(rooms, key, "a/b/big") == big
        assert await pulled(rooms, key, "small") == b"1"
        assert rooms.buckets.thread_of(key) == THREAD
        await rooms.buckets.remove(THREAD, ALICE, key)
        await rooms.buckets.sweeping.sweep()
        assert count(blocks._engine) == 0
        assert rooms.buckets.thread_of(key) is None


@pytest.mark.parametrize(
    "instance",
    [
        {"_id": "x"},
        {"_id": "x", "path": "nonsense", "metadata": 7},
        {"_id": "x", "path": "/ipfs/nonsense", "version": 1},
        {"_id": "x", "path": "/ipfs/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "key": "bad"},
    ],
)
async def test_instances_of_other_kinds_hold_up_no_sweep(tmp_path, instance):
    other = ThreadID(bytes([1, 0x55]) + b"o" * 32)
    async with open_rooms(tmp_path / "repo") as rooms:
        for thread in (THREAD, other):
            await rooms.databases.new_db(thread, identity=ALICE.identity)
        database = rooms.databases.get(other)
        await database.new_collection(CollectionConfig("buckets", b'{"properties": {"_id": {"type": "string"}}}'))
        await database.create("buckets", [json.dumps(instance).encode()], ALICE.identity)
        key = (await rooms.buckets.create(THREAD, ALICE)).bucket.id
        await push(rooms, key, {"kept": b"1", "gone": b"2"})
        await rooms.buckets.remove_path(THREAD, ALICE, key, "gone")
        assert await rooms.buckets.sweeping.sweep() >= 1
        assert await pulled(rooms, key, "kept") == b"1"


async def test_the_buckets_of_a_deleted_database_are_swept(tmp_path):
    async with open_rooms(tmp_path / "repo") as rooms:
        await rooms.databases.new_db(THREAD, identity=ALICE.identity)
        key = (await rooms.buckets.create(THREAD, ALICE)).bucket.id
        await push(rooms, key, {"x": b"1"})
        await rooms.databases.delete_db(THREAD)
        await rooms.buckets.sweeping.sweep()
        assert count(rooms.buckets._blocks._engine) == 0
        assert rooms.buckets.thread_of(key) is None


@pytest.mark.parametrize("private", [False, True])
async def test_a_quota_leaves_the_bucket_whole(tmp_path, private):
    async with open_rooms(tmp_path / "repo", bucket_options=Options(bytes_per_owner=1_000_000)) as rooms:
        await rooms.databases.new_db(THREAD, identity=ALICE.identity)
        key = (await rooms.buckets.create(THREAD, ALICE, private=private)).bucket.id
        saved = await push(rooms, key, {"one": os.urandom(600_000)})
        for size in (500_000, 5_000_000):
            with pytest.raises(StorageQuotaError, match="storage quota exhausted"):
                await push(rooms, key, {"two": os.urandom(size)})
            assert await rooms.buckets.get(THREAD, ALICE, key) == saved
        other = await rooms.buckets.create(THREAD, ALICE, private=private)
        with pytest.raises(StorageQuotaError):
            await push(rooms, other.bucket.id, {"two": os.urandom(500_000)})
        await rooms.buckets.remove_path(THREAD, ALICE, key, "one")
        await push(rooms, key, {"two": os.urandom(900_000)})


async def test_files_before_the_one_that_breaks_a_quota_can_be_saved(tmp_path):
    async with open_rooms(tmp_path / "repo", bucket_options=Options(bytes_per_owner=1_000_000)) as rooms:
        await rooms.databases.new_db(THREAD, identity=ALICE.identity)
        key = (await rooms.buckets.create(THREAD, ALICE)).bucket.id
        async with rooms.buckets.pushing(THREAD, ALICE, key) as pushed:
            small, large = await pushed.begin("small"), await pushed.begin("large")
            await small.add(b"1")
            await pushed.finish(small)
            with pytest.raises(StorageQuotaError):
                await large.add(bytes(2_000_000))
            pushed.abandon()
            await pushed.save()
        assert await pulled(rooms, key, "small") == b"1"
        bucket = await rooms.buckets.get(THREAD, ALICE, key)
        assert [item.name for item in (await rooms.buckets.contents.item(bucket, "")).items] == [
            ".textileseed",
            "small",
        ]


async def test_a_full_disk_leaves_the_bucket_whole(tmp_path):
    (tmp_path / "small").mkdir()
    small = LmdbEngine(tmp_path / "small", reserved_bytes=8 << 20)
    async with open_rooms(tmp_path / "repo") as rooms:
        blocks = FileBlocks(small)
        rooms.buckets._blocks = rooms.buckets.contents.blocks = rooms.buckets.sweeping.blocks = blocks
        rooms.buckets.roots._blocks = blocks
        await rooms.databases.new_db(THREAD, identity=ALICE.identity)
        key = (await rooms.buckets.create(THREAD, ALICE)).bucket.id
        kept = os.urandom(1_000_000)
        saved = await push(rooms, key, {"kept": kept})
        for _ in range(2):
            with pytest.raises(StoreFullError):
                await push(rooms, key, {"big": os.urandom(20_000_000)})
            assert await rooms.buckets.get(THREAD, ALICE, key) == saved
            assert await pulled(rooms, key, "kept") == kept
            await rooms.buckets.sweeping.sweep()
        await push(rooms, key, {"fits": os.urandom(1_000_000)})
        await rooms.buckets.sweeping.close()
    await small.close()


@settings(max_examples=60, deadline=None)
@given(plain=st.binary(max_size=300), start=st.integers(0, 320), length=st.integers(0, 320))
def test_what_was_sealed_opens_whole_and_in_ranges(plain, start, length):
    sealed = sealing.seal(plain, KEY, os.urandom)
    assert len(sealed) == len(plain) + sealing.OVERHEAD_BYTES
    assert sealing.unseal(sealed, KEY) == plain

    def read(first, last):
        piece = sealed[first:last]
        yield from (piece[:7], piece[7:]) if len(piece) > 7 else (piece,)

    opened = sealing.open_range(read, len(sealed), KEY, start, start + length)
    assert b"".join(opened) == plain[start : start + length]


@settings(max_examples=60, deadline=None)
@given(plain=st.binary(max_size=50), place=st.integers(0, 200), cut=st.integers(1, 40))
def test_what_was_changed_does_not_open(plain, place, cut):
    sealed = sealing.seal(plain, KEY, os.urandom)
    place %= len(sealed)
    changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
    for broken in (changed, sealed[:-1], b"", bytes(len(sealed))):
        with pytest.raises(SealError):
            sealing.unseal(broken, KEY)
    checker = Checker(len(sealed), KEY)
    for first in range(0, len(sealed), cut):
        checker.add(sealed[first : first + cut])
    checker.finish()


async def test_a_private_file_is_checked_whole_once_a_start_unless_it_was_sealed_in_it(tmp_path, monkeypatch):
    checked = []

    class Noticed(Checker):
        def finish(self):
            super().finish()
            checked.append(self)

    monkeypatch.setattr("threadd.buckets.files.Checker", Noticed)
    data = os.urandom(600_000)
    for expected in (0, 1):
        async with open_rooms(tmp_path / "repo") as rooms:
            if not expected:
                await rooms.databases.new_db(THREAD, identity=ALICE.identity)
                key = (await rooms.buckets.create(THREAD, ALICE, private=True)).bucket.id
                await push(rooms, key, {"file": data})
            for _ in range(2):
                assert await pulled(rooms, key, "file") == data
            assert len(checked) == expected
