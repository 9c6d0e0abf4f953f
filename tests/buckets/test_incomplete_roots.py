"""Roots that come without their blocks: the last complete root is served and kept, through sweeps and restarts."""

import asyncio
import os
import threading

import msgspec
import pytest
from replicas import blocks_of, give_blocks, give_records, pulled, push

from net import cid as cids
from net.keys import PrivateKey
from net.thread_id import ThreadID
from store import buckets as rows
from store import tables
from store import threads as thread_rows
from store.copies import restore
from store.engine import Transaction
from threadd.bucket_verbs import ListBuckets
from threadd.buckets import access, dag
from threadd.buckets.errors import IncompleteRootError, NonFastForwardError, PathNotFoundError
from threadd.buckets.instances import Actor
from threadd.buckets.model import Role, bucket_json, path_of
from threadd.buckets.surveys import Surveyor
from threadd.maintenance import lines
from threadd.maintenance.exporting import export
from threadd.maintenance.verification import verify
from threadd.rooms import open_rooms
from threadd.verbs import Backup, ImportDatabase

THREAD = ThreadID(bytes([1, 0x55]) + b"r" * 32)
ALICE, BOB, CAROL = (Actor(PrivateKey(bytes([byte]) * 32).public) for byte in b"abc")
FILES = {"a.txt": b"one", "d/b.bin": os.urandom(300_000), "d/e/c": b"three"}

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def here(tmp_path):
    async with open_rooms(tmp_path / "here") as rooms:
        yield rooms


@pytest.fixture
async def there(tmp_path):
    async with open_rooms(tmp_path / "there") as rooms:
        yield rooms


async def shared(here, there, *, private=False):
    """A bucket with files that both have with all blocks."""
    await here.databases.new_db(THREAD, identity=ALICE.identity)
    key = (await here.buckets.create(THREAD, ALICE, private=private)).bucket.id
    await push(here, THREAD, ALICE, key, FILES)
    await give_records(here, there, THREAD)
    await give_blocks(here, there)
    return key


async def pushed_elsewhere(here, there, key, files):
    """Have another daemon push, and its records come; returns the new root."""
    saved = await push(there, THREAD, ALICE, key, files)
    await give_records(there, here, THREAD)
    return saved


async def check_served(rooms, key, files=FILES, actor=ALICE):
    for path, data in files.items():
        assert await pulled(rooms, THREAD, actor, key, path) == data


def forget_complete_roots(rooms):
    """Leave what version 0.1.0 leaves."""
    number = thread_rows.get_thread(rooms.engine, THREAD.bytes).number
    transaction = Transaction()
    for key, _ in list(rooms.engine.scan(*tables.complete_roots(number))):
        transaction.delete(key)
    return rooms.engine.commit(transaction)


def complete_root(rooms, key):
    number = thread_rows.get_thread(rooms.engine, THREAD.bytes).number
    return rows.get_complete_root(rooms.engine, number, key)


@pytest.mark.parametrize("private", [False, True])
async def test_the_last_complete_root_is_served_and_kept_until_the_newest_is_complete(here, there, private):
    key = await shared(here, there, private=private)
    before = (await here.buckets.get(THREAD, ALICE, key)).path
    await here.buckets.sweeping.sweep()
    kept = blocks_of(here)
    saved = await pushed_elsewhere(here, there, key, {"new": b"from elsewhere"})
    assert here.buckets._instances.stored_path(THREAD, key) == saved.path
    for _ in range(2):
        await check_served(here, key)
        assert (await here.buckets.get(THREAD, ALICE, key)).path == before
        assert [bucket.path for bucket in await here.buckets.list_buckets(THREAD, ALICE)] == [before]
        assert [bucket.path for bucket in await here.bucket_files.handle(ListBuckets())] == [before]
        with pytest.raises(PathNotFoundError):
            await pulled(here, THREAD, ALICE, key, "new")
        await here.buckets.sweeping.sweep()
        assert blocks_of(here) == kept
    await give_blocks(there, here)
    assert (await here.buckets.get(THREAD, ALICE, key)).path == saved.path
    await check_served(here, key, FILES | {"new": b"from elsewhere"})
    assert await here.buckets.sweeping.sweep() > 0
    await check_served(here, key, FILES | {"new": b"from elsewhere"})


@pytest.mark.parametrize("private", [False, True])
async def test_it_is_kept_through_restarts(tmp_path, there, private):
    async with open_rooms(tmp_path / "here") as here:
        key = await shared(here, there, private=private)
        await pushed_elsewhere(here, there, key, {"new": b"2"})
    for _ in range(2):
        async with open_rooms(tmp_path / "here") as here:
            await here.buckets.sweeping.sweep()
            await check_served(here, key)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("versions", [1, 3])
async def test_what_an_earlier_version_left_is_searched_for_in_the_records(here, there, private, versions):
    key = await shared(here, there, private=private)
    for number in range(versions):
        await pushed_elsewhere(here, there, key, {f"new {number}": b"2"})
    await forget_complete_roots(here)
    await here.buckets.sweeping.sweep()
    await check_served(here, key)
    assert complete_root(here, key) is not None


async def test_a_later_root_that_became_complete_unseen_is_the_last_one(here, there):
    key = await shared(here, there)
    middle = await push(there, THREAD, ALICE, key, {"middle": b"2"})
    await give_records(there, here, THREAD)
    await give_blocks(there, here)
    await pushed_elsewhere(here, there, key, {"last": b"3"})
    await here.buckets.sweeping.sweep()
    assert (await here.buckets.get(THREAD, ALICE, key)).path == middle.path
    await check_served(here, key, FILES | {"middle": b"2"})


async def test_a_bucket_of_which_no_root_was_complete_keeps_what_is_here(here, there):
    await there.databases.new_db(THREAD, identity=ALICE.identity)
    key = (await there.buckets.create(THREAD, ALICE)).bucket.id
    saved = await push(there, THREAD, ALICE, key, FILES)
    await give_records(there, here, THREAD)
    await give_blocks(there, here, {saved.root[-32:], *sorted(blocks_of(there))[:3]})
    reached = set[bytes]()
    Surveyor(here.buckets._blocks, reached).survey(saved.root, None)
    assert saved.root[-32:] in reached
    for _ in range(2):
        await here.buckets.sweeping.sweep()
        assert reached <= blocks_of(here)
        assert (await here.buckets.get(THREAD, ALICE, key)).path == saved.path
    assert complete_root(here, key) is None
    await give_blocks(there, here)
    await check_served(here, key)


async def test_a_daemon_that_joined_knows_buckets_by_name_at_once(here, there):
    await here.databases.new_db(THREAD, identity=ALICE.identity)
    key = (await here.buckets.create(THREAD, ALICE)).bucket.id
    await there.buckets.sweeping.close()
    await give_records(here, there, THREAD)
    assert there.buckets.thread_of(key) == THREAD
    await there.engine.commit(Transaction())  # what was submitted before it is on disk with it
    assert rows.get_bucket(there.engine, key) is not None
    await here.buckets.remove(THREAD, ALICE, key)
    await give_records(here, there, THREAD)
    assert await there.buckets.find(key) is None


async def test_a_name_belongs_to_the_thread_that_had_it_first_for_as_long_as_it_has_it(here):
    other = ThreadID(bytes([1, 0x55]) + b"s" * 32)
    for thread in (THREAD, other):
        await here.databases.new_db(thread, identity=ALICE.identity, collections=[access.CONFIG])
    bucket = (await here.buckets.create(THREAD, ALICE)).bucket
    await here.databases.get(other).create(access.COLLECTION, [bucket_json(bucket)], ALICE.identity)
    assert here.buckets.thread_of(bucket.id) == THREAD
    await here.buckets.sweeping.sweep()
    assert here.buckets.thread_of(bucket.id) == THREAD
    await here.databases.get(THREAD).delete(access.COLLECTION, [bucket.id], ALICE.identity)
    await here.databases.get(other).save(access.COLLECTION, [bucket_json(bucket)], ALICE.identity)
    renamed = msgspec.structs.replace(bucket, name="another")
    await here.databases.get(other).save(access.COLLECTION, [bucket_json(renamed)], ALICE.identity)
    assert here.buckets.thread_of(bucket.id) == other


@pytest.mark.parametrize("private", [False, True])
async def test_changes_are_refused_while_the_newest_root_is_incomplete(here, there, private):
    key = await shared(here, there, private=private)
    served = (await here.buckets.get(THREAD, ALICE, key)).path
    saved = await pushed_elsewhere(here, there, key, {"new": b"2"})
    for root in ("", served, saved.path):
        with pytest.raises(IncompleteRootError, match=saved.path):
            await push(here, THREAD, ALICE, key, {"mine": b"3"}, root)
    with pytest.raises(IncompleteRootError):
        await here.buckets.move(THREAD, ALICE, key, "a.txt", "z.txt")
    with pytest.raises(IncompleteRootError):
        await here.buckets.push_roles(THREAD, ALICE, key, "a.txt", {BOB.owner: Role.READER})
    with pytest.raises(IncompleteRootError):
        await here.buckets.remove_path(THREAD, ALICE, key, "a.txt", served)
    assert here.buckets._instances.stored_path(THREAD, key) == saved.path
    await give_blocks(there, here)
    await push(here, THREAD, ALICE, key, {"mine": b"3"}, saved.path)
    await check_served(here, key, FILES | {"new": b"2", "mine": b"3"})


async def test_what_makes_a_root_complete_again_is_taken(here, there):
    key = await shared(here, there)
    kept = blocks_of(here)
    await push(there, THREAD, ALICE, key, {"x/lost": b"lost", "x/kept": b"kept"})
    await give_records(there, here, THREAD)
    await give_blocks(there, here, blocks_of(there) - kept - {dag.raw_block(b"lost").cid[-32:]})
    with pytest.raises(IncompleteRootError):
        await here.buckets.remove_path(THREAD, ALICE, key, "x/kept")
    await here.buckets.remove_path(THREAD, ALICE, key, "x/lost")
    await check_served(here, key, FILES | {"x/kept": b"kept"})
    await push(here, THREAD, ALICE, key, {"mine": b"3"})


async def test_the_root_can_be_set_to_a_complete_one(here, there):
    key = await shared(here, there)
    served = (await here.buckets.get(THREAD, ALICE, key)).path
    await pushed_elsewhere(here, there, key, {"new": b"2"})
    await here.buckets.set_path(THREAD, ALICE, key, "", served)
    await check_served(here, key)
    await push(here, THREAD, ALICE, key, {"mine": b"3"})
    await check_served(here, key, FILES | {"mine": b"3"})


async def test_a_bucket_that_was_never_complete_can_be_mended(here, there):
    await there.databases.new_db(THREAD, identity=ALICE.identity)
    key = (await there.buckets.create(THREAD, ALICE)).bucket.id
    saved = await push(there, THREAD, ALICE, key, {"one": b"1", "two": b"2"})
    await give_records(there, here, THREAD)
    reached = set[bytes]()
    Surveyor(there.buckets._blocks, reached).survey(saved.root, None)
    await give_blocks(there, here, reached - {dag.raw_block(data).cid[-32:] for data in (b"1", b"2")})
    await push(here, THREAD, ALICE, key, {"one": b"new"})
    assert complete_root(here, key) is None
    await here.buckets.remove_path(THREAD, ALICE, key, "two")
    assert complete_root(here, key) is not None
    await check_served(here, key, {"one": b"new"})


async def test_a_change_to_a_bucket_none_of_whose_blocks_are_here_says_what_is_missing(here, there):
    await there.databases.new_db(THREAD, identity=ALICE.identity)
    key = (await there.buckets.create(THREAD, ALICE)).bucket.id
    saved = await push(there, THREAD, ALICE, key, {"one": b"1"})
    await give_records(there, here, THREAD)
    with pytest.raises(IncompleteRootError, match=f"{cids.text(saved.root)} is missing. Bring its blocks"):
        await push(here, THREAD, ALICE, key, {"two": b"2"})
    await give_blocks(there, here)
    await push(here, THREAD, ALICE, key, {"two": b"2"})
    await check_served(here, key, {"one": b"1", "two": b"2"})


async def test_a_root_that_comes_while_a_push_runs_is_not_overwritten(here, there):
    key = await shared(here, there)
    await push(there, THREAD, ALICE, key, {"theirs": b"2"})
    with pytest.raises(NonFastForwardError):
        async with here.buckets.pushing(THREAD, ALICE, key) as pushed:
            file = await pushed.begin("mine")
            await file.add(b"3")
            await pushed.finish(file)
            await give_records(there, here, THREAD)
            await pushed.save()
    await give_blocks(there, here)
    await check_served(here, key, FILES | {"theirs": b"2"})


async def test_a_root_that_comes_while_a_sweep_runs_is_left_whole(here, there):
    key = await shared(here, there)
    new = os.urandom(300_000)
    await push(there, THREAD, ALICE, key, {"new": new})
    await give_blocks(there, here)
    sweeping, blocks = here.buckets.sweeping, here.buckets._blocks

    async def mark_and_receive(reached):
        await sweeping._mark(reached)
        await give_records(there, here, THREAD)

    async with sweeping._sweeps:
        assert await blocks.sweep(mark_and_receive, sweeping._mark_changed) > 0
    await check_served(here, key, FILES | {"new": new})


@pytest.mark.parametrize("by", ["the owner", "another daemon"])
async def test_a_deleted_bucket_leaves_nothing(here, there, by):
    key = await shared(here, there)
    await pushed_elsewhere(here, there, key, {"new": b"2"})
    await here.buckets.get(THREAD, ALICE, key)
    if by == "the owner":
        await here.buckets.remove(THREAD, ALICE, key)
    else:
        await there.buckets.remove(THREAD, ALICE, key)
        await give_records(there, here, THREAD)
    assert here.buckets._instances.stored_bucket(THREAD, key) is None
    await here.buckets.sweeping.sweep()
    assert blocks_of(here) == set()
    assert complete_root(here, key) is None
    assert here.buckets.thread_of(key) is None


async def test_a_deleted_database_leaves_nothing(here, there):
    key = await shared(here, there)
    await pushed_elsewhere(here, there, key, {"new": b"2"})
    number = thread_rows.get_thread(here.engine, THREAD.bytes).number
    await here.buckets.get(THREAD, ALICE, key)
    await here.databases.delete_db(THREAD)
    await here.buckets.sweeping.sweep()
    assert blocks_of(here) == set()
    async with asyncio.timeout(20):
        while list(here.engine.scan(*tables.complete_roots(number))):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_buckets_that_share_blocks_do_not_lose_them_by_each_other(here, there):
    key = await shared(here, there)
    root = (await here.buckets.get(THREAD, ALICE, key)).root
    copy = (await here.buckets.create(THREAD, ALICE, bootstrap=cids.text(root))).bucket.id
    await pushed_elsewhere(here, there, key, {"new": b"2"})
    await here.buckets.remove(THREAD, ALICE, copy)
    await here.buckets.sweeping.sweep()
    await check_served(here, key)


async def test_whoever_lost_access_is_not_shown_the_earlier_root(here, there):
    key = await shared(here, there, private=True)
    await here.buckets.push_roles(THREAD, ALICE, key, "d", {BOB.owner: Role.READER, CAROL.owner: Role.READER})
    await give_records(here, there, THREAD)
    await give_blocks(here, there)
    await there.buckets.push_roles(THREAD, ALICE, key, "d", {BOB.owner: Role.NONE})
    await there.buckets.push_roles(THREAD, ALICE, key, "a.txt", {CAROL.owner: Role.READER})
    await give_records(there, here, THREAD)
    await check_served(here, key)
    await check_served(here, key, {"d/e/c": FILES["d/e/c"]}, CAROL)
    for actor, path in ((BOB, "d/e/c"), (BOB, "a.txt"), (CAROL, "a.txt")):
        with pytest.raises(PathNotFoundError):
            await pulled(here, THREAD, actor, key, path)
    await give_blocks(there, here)
    await check_served(here, key, {"a.txt": FILES["a.txt"]}, CAROL)


@pytest.mark.parametrize("was_private", [False, True])
async def test_a_bucket_that_was_public_or_has_become_so_is_shown_to_those_who_may_read_both(here, was_private):
    await here.databases.new_db(THREAD, identity=ALICE.identity)
    key = (await here.buckets.create(THREAD, ALICE, private=was_private)).bucket.id
    await push(here, THREAD, ALICE, key, FILES)
    other = (await here.buckets.create(THREAD, ALICE, private=not was_private)).bucket
    changed = msgspec.structs.replace(other, id=key, path=path_of(dag.raw_block(b"not here").cid))
    await here.databases.get(THREAD).save(access.COLLECTION, [bucket_json(changed)], ALICE.identity)
    await check_served(here, key)
    with pytest.raises(PathNotFoundError):
        await pulled(here, THREAD, BOB, key, "a.txt")


async def test_a_document_that_names_no_root_takes_nothing_away(here, there):
    key = await shared(here, there)
    database = here.databases.get(THREAD)
    bucket = here.buckets._instances.stored_bucket(THREAD, key)
    for path in ("/ipfs/nonsense", path_of(dag.raw_block(b"not here").cid)):
        broken = msgspec.structs.replace(bucket, path=path)
        await database.save(access.COLLECTION, [bucket_json(broken)], ALICE.identity)
        await here.buckets.sweeping.sweep()
        await check_served(here, key)


async def test_trees_are_surveyed_away_from_the_event_loop(here, there, monkeypatch):
    key = await shared(here, there)
    await pushed_elsewhere(here, there, key, {"new": b"2"})
    look_at, threads = Surveyor._open, set[threading.Thread]()

    def noticed(self, *node):
        threads.add(threading.current_thread())
        return look_at(self, *node)

    monkeypatch.setattr(Surveyor, "_open", noticed)
    await check_served(here, key)
    await here.buckets.sweeping.sweep()
    assert threads
    assert threading.main_thread() not in threads


async def test_what_is_known_of_a_root_is_not_looked_at_again(here, there, monkeypatch):
    key = await shared(here, there)
    await pushed_elsewhere(here, there, key, {"new": b"2"})
    await check_served(here, key)
    surveys = []
    monkeypatch.setattr(Surveyor, "steps", lambda _, *root: surveys.append(root))
    await check_served(here, key)
    await here.buckets.list_buckets(THREAD, ALICE)
    assert surveys == []


async def test_buckets_of_an_imported_database_are_known_by_name_at_once(here, there, tmp_path):
    key = await shared(here, there)
    with here.engine.snapshot() as state:
        (tmp_path / "db.jsonl").write_bytes(b"\n".join(map(lines.encode, export(state, THREAD))))
    await there.databases.delete_db(THREAD)
    await there.buckets.sweeping.sweep()
    assert there.buckets.thread_of(key) is None
    await there.operator.handle(ImportDatabase(str(tmp_path / "db.jsonl")))
    assert there.buckets.thread_of(key) == THREAD
    assert [bucket.id for bucket in await there.buckets.roots.incomplete(THREAD)] == [key]
    await give_blocks(here, there)
    assert await there.buckets.roots.incomplete(THREAD) == []
    await there.buckets.sweeping.sweep()
    await check_served(there, key)


@pytest.mark.parametrize("private", [False, True])
async def test_a_backup_has_it_and_a_check_looks_for_its_blocks_alone(tmp_path, there, private):
    async with open_rooms(tmp_path / "here") as here:
        key = await shared(here, there, private=private)
        complete = (await here.buckets.get(THREAD, ALICE, key)).root
        await pushed_elsewhere(here, there, key, {"new": b"2"})
        await here.operator.handle(Backup(str(tmp_path / "backup")))
    assert verify(tmp_path / "here").faults == []
    restore(tmp_path / "backup", tmp_path / "restored")
    async with open_rooms(tmp_path / "restored") as restored:
        await restored.buckets.sweeping.sweep()
        await check_served(restored, key)
        lost = Transaction()
        for name in (tables.file_block(complete[-32:]), tables.file_block_use(complete[-32:])):
            lost.delete(name)
        await restored.buckets._blocks._engine.commit(lost)
    (fault,) = verify(tmp_path / "restored").faults
    assert (fault.kind, fault.where, fault.text) == ("bucket", key, "1 of its blocks are not there")
