"""Documents that anybody may write, in any thread: they neither stop a sweep, nor cost more than they are, nor take
what others have.
"""

import asyncio
import json
import os
import tracemalloc

import msgspec
import pytest
from replicas import blocks_of, pulled, push

from net.keys import PrivateKey
from net.thread_id import ThreadID
from store import buckets as rows
from store import threads as thread_rows
from store.buckets import BucketRow
from store.engine import Transaction
from threadd.buckets import access, dag, sealing, trees, unixfs
from threadd.buckets.dag import Link, Node
from threadd.buckets.errors import PathNotFoundError
from threadd.buckets.instances import Actor
from threadd.buckets.model import Metadata, Role, bucket_json, key_text, path_of
from threadd.buckets.surveys import Surveyor
from threadd.db.collections import CollectionConfig
from threadd.rooms import open_rooms

THREAD, OTHER = (ThreadID(bytes([1, 0x55]) + letter * 32) for letter in (b"r", b"s"))
ALICE, BOB = (Actor(PrivateKey(bytes([byte]) * 32).public) for byte in b"ab")
ANYTHING = CollectionConfig(access.COLLECTION, b'{"properties": {"_id": {"type": "string"}}}')
MISSING = path_of(dag.raw_block(b"not here").cid)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def here(tmp_path):
    async with open_rooms(tmp_path / "here") as rooms:
        await rooms.buckets.sweeping.close()
        for thread, config in ((THREAD, ANYTHING), (OTHER, access.CONFIG)):
            await rooms.databases.new_db(thread, identity=BOB.identity, collections=[config])
        yield rooms


async def keep(rooms, *blocks):
    """Have blocks, as after an upload of files with these bytes."""
    async with rooms.buckets._blocks.uploading() as upload:
        for block in blocks:
            await upload.put(dag.raw_block(block).cid, block)
        await upload.sync()


async def write(rooms, **document):
    await rooms.databases.get(THREAD).save(access.COLLECTION, [json.dumps(document).encode()], BOB.identity)


def large_tree(leaves=2_000, per_node=100):
    """A directory of files; returns its CID, and the bytes of all blocks."""
    parts = [dag.raw_block(b"%d" % number) for number in range(leaves)]
    files = []
    for first in range(0, leaves, per_node):
        of_file = parts[first : first + per_node]
        data = unixfs.encode_file(None, tuple(len(part.data) for part in of_file))
        files.append(dag.node_block(Node(data, tuple(part.link() for part in of_file))))
    root = dag.node_block(Node(unixfs.DIRECTORY_DATA, tuple(each.link(b"%d" % n) for n, each in enumerate(files))))
    return root.cid, [block.data for block in (root, *files, *parts)]


@pytest.fixture
def opened(monkeypatch):
    """The CIDs of the nodes that are read by surveys."""
    read, found = Surveyor._open, []

    def counting(self, cid, memory):
        found.append(cid)
        return read(self, cid, memory)

    monkeypatch.setattr(Surveyor, "_open", counting)
    return found


def complete_root(rooms, key, thread=THREAD):
    number = thread_rows.get_thread(rooms.engine, thread.bytes).number
    return rows.get_complete_root(rooms.engine, number, key)


@pytest.mark.parametrize(
    "odd", [{"metadata": 5}, {"archives": {"current": 1}}, {"metadata": {"": {"roles": []}}}, {"created_at": "x"}]
)
@pytest.mark.parametrize("versions", [1, 20])
async def test_an_earlier_version_that_is_none_of_a_bucket_is_passed_over(here, odd, versions):
    await keep(here, b"kept", b"garbage", *(b"%d" % number for number in range(versions)))
    kept = dag.raw_block(b"kept").cid
    await write(here, _id="x", path=path_of(kept), metadata={})
    await here.buckets.roots.examine(THREAD, "x")
    for number in range(versions):
        await write(here, _id="x", path=path_of(dag.raw_block(b"%d" % number).cid), **odd)
    await write(here, _id="x", path=MISSING)
    await here.buckets._blocks.open()
    assert await here.buckets.sweeping.sweep() > 0
    assert kept[-32:] in blocks_of(here)
    assert complete_root(here, "x").root == kept


async def test_sizes_that_no_block_has_do_not_stop_a_sweep(here):
    leaves = [b"1", b"2", b"3"]
    links = tuple(Link(leaf, dag.raw_block(leaf).cid, (1 << 64) - 1) for leaf in leaves)
    root = dag.encode(Node(unixfs.DIRECTORY_DATA, links))
    await keep(here, root, *leaves)
    await write(here, _id="x", path=path_of(dag.node_cid(root)))
    await here.buckets.sweeping.sweep()
    assert rows.get_bucket(here.engine, "x").size < 1 << 63


async def test_parts_that_are_linked_again_and_again_are_looked_at_once(here, opened):
    blocks, below = [], dag.raw_block(b"leaf").link()
    for _ in range(200):
        node = dag.node_block(Node(unixfs.DIRECTORY_DATA, (Link(b"a", below.cid, 1), Link(b"b", below.cid, 1))))
        twin = dag.node_block(Node(unixfs.DIRECTORY_DATA, (Link(b"c", below.cid, 1),)))
        above = dag.node_block(Node(unixfs.DIRECTORY_DATA, (Link(b"a", node.cid, 1), Link(b"b", twin.cid, 1))))
        blocks += [node.data, twin.data, above.data]
        below = above.link()
    await keep(here, b"leaf", *blocks)
    await write(here, _id="x", path=path_of(below.cid))
    await here.buckets.sweeping.sweep()
    assert complete_root(here, "x").root == below.cid
    assert len(opened) == len(blocks)
    assert rows.get_bucket(here.engine, "x").size < 1 << 63


@pytest.mark.parametrize("is_complete", [False, True])
async def test_a_sweep_reads_what_documents_share_once(here, opened, is_complete):
    root, blocks = large_tree()
    await keep(here, *blocks[: None if is_complete else -1])
    for number in range(20):
        own = dag.encode(Node(unixfs.DIRECTORY_DATA, (Link(b"%d" % number, root, 1),)))
        await keep(here, own)
        await write(here, _id=f"{number}", path=path_of(dag.node_cid(own)))
        await write(here, _id=f"keyed {number}", path=path_of(dag.node_cid(own)), key=key_text(os.urandom(64)))
    await here.buckets.sweeping.sweep()
    assert len(opened) == len(set(opened)) == 20 + 1 + 20


async def test_versions_with_keys_of_their_own_are_looked_at_once(here, opened):
    root, blocks = large_tree()
    await keep(here, *blocks[:-1])
    for _ in range(50):
        await write(here, _id="x", path=path_of(root), key=key_text(os.urandom(64)))
    await write(here, _id="x", path=MISSING)
    await here.buckets.roots.examine(THREAD, "x")
    assert len(opened) == len(set(opened)) == 1 + 20


async def peak_of(work):
    """The most bytes that some work has taken at once."""
    tracemalloc.start()
    try:
        await work
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_the_memory_of_a_search_does_not_grow_with_what_versions_hold(here):
    size = 100_000
    for number in range(60):
        path = path_of(dag.raw_block(b"%d" % number).cid)
        await write(here, _id="x", path=path, fill=os.urandom(size // 2).hex())
    assert await peak_of(here.buckets.roots.examine(THREAD, "x")) < 30 * size


@pytest.mark.parametrize("prefix", [b"\x01\x70\x12\x20", b"\x01\x55\x12\x20", b"\x12\x20", b"\x01\x55\x00\x22\x12\x20"])
async def test_the_memory_of_a_survey_does_not_grow_with_links_to_nothing(here, prefix):
    nodes = [
        dag.encode(Node(unixfs.DIRECTORY_DATA, tuple(Link(b"", prefix + os.urandom(32), 1) for _ in range(5_000))))
        for _ in range(20)
    ]
    root = dag.encode(Node(unixfs.DIRECTORY_DATA, tuple(Link(b"", dag.node_cid(node), 1) for node in nodes)))
    await keep(here, root, *nodes)
    await write(here, _id="x", path=path_of(dag.node_cid(root)))
    assert await peak_of(here.buckets.roots.examine(THREAD, "x")) < sum(map(len, nodes))


@pytest.mark.parametrize(
    "name",
    [
        lambda digest: b"\x00" + digest,
        lambda digest: b"\x01\x70\x12\x20" + bytes(8) + b"\x12\x20" + digest,
        lambda digest: b"\x01\x71\x12\x20" + digest,
        lambda digest: b"\x01\x70\x00\x20" + digest,
        lambda digest: digest[:5],
        lambda _: b"",
    ],
)
async def test_names_that_no_block_is_kept_under_make_a_tree_incomplete(here, name):
    leaf = dag.raw_block(b"leaf")
    cid = name(leaf.cid[-32:]) or b"\x00"
    root = dag.encode(Node(unixfs.DIRECTORY_DATA, (Link(b"x", cid, 1), leaf.link(b"y"))))
    await keep(here, root, b"leaf")
    await write(here, _id="x", path=path_of(dag.node_cid(root)))
    await here.buckets.sweeping.sweep()
    assert complete_root(here, "x") is None
    assert leaf.cid[-32:] in blocks_of(here)


async def test_a_small_bucket_need_not_wait_for_large_ones_nor_do_other_reads(here):
    root, blocks = large_tree(20_000)
    await keep(here, b"small", *blocks)
    for number in range(20):
        await write(here, _id=f"large {number}", path=path_of(root))
    await write(here, _id="small", path=path_of(dag.raw_block(b"small").cid))
    large = [asyncio.ensure_future(here.buckets.get(THREAD, BOB, f"large {number}")) for number in range(20)]
    await asyncio.sleep(0.02)
    await here.engine.read(lambda _: None)
    assert not any(look.done() for look in large)
    await here.buckets.get(THREAD, BOB, "small")
    assert not any(look.done() for look in large)
    assert {(await look).root for look in large} == {root}


async def test_a_read_need_not_wait_for_listings_of_large_directories(here):
    child = dag.node_block(
        Node(unixfs.DIRECTORY_DATA, tuple(Link(b"%d" % n, dag.raw_block(b"").cid, 1) for n in range(5_000)))
    )
    root = dag.encode(Node(unixfs.DIRECTORY_DATA, tuple(child.link(b"%d" % n) for n in range(2_000))))
    await keep(here, child.data, root)
    path = path_of(dag.node_cid(root))
    contents = here.buckets.contents
    listings = [asyncio.ensure_future(contents.ipfs_item(path)) for _ in range(20)]
    await asyncio.sleep(0.05)
    await here.engine.read(lambda _: None)
    await contents.ipfs_item(f"{path}/7")
    assert not any(listing.done() for listing in listings)
    for listing in listings:
        listing.cancel()
    await asyncio.wait(listings)


async def test_a_look_ends_with_the_reader_who_asked_for_it(here, opened):
    root, blocks = large_tree(60_000)
    await keep(here, *blocks)
    await write(here, _id="x", path=path_of(root))
    look = asyncio.ensure_future(here.buckets.get(THREAD, BOB, "x"))
    while not opened:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    look.cancel()
    await asyncio.wait({look})
    await asyncio.sleep(0.1)
    count = len(opened)
    await asyncio.sleep(0.1)
    assert len(opened) == count < 600


async def test_a_sweep_ends_though_a_document_does_not_cease_to_change(here, monkeypatch):
    await keep(here, b"garbage")
    await write(here, _id="x", path=MISSING)
    await here.buckets._blocks.open()
    roots, sweeping, looks = here.buckets.roots, here.buckets.sweeping, []
    examine = roots.examine

    async def changed_meanwhile(thread, key, *surveyor):
        looks.append(key)
        sweeping.has_changed(thread, key)
        return await examine(thread, key, *surveyor)

    monkeypatch.setattr(roots, "examine", changed_meanwhile)
    async with asyncio.timeout(30):
        assert await sweeping.sweep() == 1
    assert 1 < len(looks) < 100


async def with_a_twin(rooms):
    """A bucket of Alice's, and a document of Bob's with the same key in a thread of his; returns the former."""
    await rooms.databases.new_db(
        ThreadID(bytes([1, 0x55]) + b"t" * 32), identity=BOB.identity, collections=[access.CONFIG]
    )
    bucket = (await rooms.buckets.create(OTHER, ALICE)).bucket
    twin = msgspec.structs.replace(bucket, owner=BOB.owner, metadata={"": Metadata({BOB.owner: Role.ADMIN}, 1)})
    await rooms.databases.get(THREAD).create(access.COLLECTION, [bucket_json(twin)], BOB.identity)
    return bucket


async def test_what_is_kept_of_a_bucket_is_not_touched_by_one_of_its_key_elsewhere(here):
    bucket = await with_a_twin(here)
    kept = rows.get_bucket(here.engine, bucket.id)
    assert kept.private_key
    await push(here, THREAD, BOB, bucket.id, {"x": bytes(100_000)})
    assert rows.get_bucket(here.engine, bucket.id) == kept
    assert await here.buckets.remove(THREAD, BOB, bucket.id) == 0
    assert rows.get_bucket(here.engine, bucket.id) == kept
    assert here.buckets.thread_of(bucket.id) == OTHER


async def test_a_push_does_not_hold_up_one_to_a_bucket_of_its_key_elsewhere(here):
    bucket = await with_a_twin(here)
    async with here.buckets.pushing(THREAD, BOB, bucket.id), asyncio.timeout(30):
        await push(here, OTHER, ALICE, bucket.id, {"x": b"mine"})
    assert await pulled(here, OTHER, ALICE, bucket.id, "x") == b"mine"


async def test_an_earlier_root_of_version_0_is_shown_to_none_who_may_not_read_the_newest(here):
    link_key = os.urandom(64)
    leaf = dag.raw_block(sealing.seal(b"secret", link_key, os.urandom))
    node = Node(unixfs.DIRECTORY_DATA, (leaf.link(b"a"),))
    root = trees.seal_directory(node, 1, link_key, os.urandom)
    await keep(here, leaf.data, root.data)
    made = (await here.buckets.create(OTHER, ALICE, private=True)).bucket
    database = here.databases.get(OTHER)
    await database.delete(access.COLLECTION, [made.id], ALICE.identity)
    old = msgspec.structs.replace(
        made, version=0, path=path_of(root.cid), link_key=key_text(link_key), metadata={"": Metadata({}, 1)}
    )
    await database.create(access.COLLECTION, [bucket_json(old)], ALICE.identity)
    assert await pulled(here, OTHER, BOB, made.id, "a") == b"secret"
    new = msgspec.structs.replace(made, path=MISSING)
    await database.save(access.COLLECTION, [bucket_json(new)], ALICE.identity)
    assert await pulled(here, OTHER, ALICE, made.id, "a") == b"secret"
    with pytest.raises(PathNotFoundError):
        await pulled(here, OTHER, BOB, made.id, "a")


async def test_a_bucket_that_is_made_anew_has_no_earlier_root_of_another(here):
    bucket = (await here.buckets.create(OTHER, ALICE)).bucket
    await push(here, OTHER, ALICE, bucket.id, {"old": b"deleted"})
    assert complete_root(here, bucket.id, OTHER) is not None
    database = here.databases.get(OTHER)
    await database.delete_collection(access.COLLECTION)
    await database.new_collection(access.CONFIG)
    again = msgspec.structs.replace(bucket, path=MISSING)
    await database.create(access.COLLECTION, [bucket_json(again)], ALICE.identity)
    await here.engine.commit(Transaction())  # what was submitted before it is on disk with it
    assert (await here.buckets.get(OTHER, ALICE, bucket.id)).path == MISSING


async def test_sizes_are_kept_within_what_a_row_can_hold(here):
    for size, kept in ((-5, 0), (1 << 70, (1 << 63) - 1)):
        transaction = Transaction()
        rows.put_bucket(transaction, "x", BucketRow(THREAD.bytes, "", size))
        await here.engine.commit(transaction)
        assert rows.get_bucket(here.engine, "x").size == kept
