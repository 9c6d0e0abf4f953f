"""Copies of trees into private buckets: what comes again is copied once, and each path gets the key that it has."""

import os

import pytest
from replicas import blocks_of, pulled, push

from net import cid as cids
from net.keys import PrivateKey
from net.thread_id import ThreadID
from threadd.buckets import dag, unixfs
from threadd.buckets.dag import Link, Node
from threadd.buckets.errors import PathNotFoundError
from threadd.buckets.instances import Actor
from threadd.buckets.model import Role
from threadd.buckets.trees import seal_directory, sum_of
from threadd.rooms import open_rooms

THREAD = ThreadID(bytes([1, 0x55]) + b"r" * 32)
ALICE, BOB, CAROL = (Actor(PrivateKey(bytes([byte]) * 32).public) for byte in b"abc")
FILES = {"one/a": b"1", "one/b": b"2", "two/a": b"1", "two/b": b"2"}
DEPTH = 60

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def here(tmp_path):
    async with open_rooms(tmp_path / "here") as rooms:
        await rooms.buckets.sweeping.close()
        await rooms.databases.new_db(THREAD, identity=ALICE.identity)
        yield rooms


async def doubling(rooms):
    """The CID of a directory of two that are the same, and so on down to a file."""
    leaf = dag.raw_block(b"leaf")
    blocks, below = [leaf], leaf.link()
    for _ in range(DEPTH):
        links = tuple(Link(name, below.cid, below.size) for name in (b"a", b"b"))
        blocks.append(dag.node_block(Node(unixfs.DIRECTORY_DATA, links)))
        below = Link(b"", blocks[-1].cid, 1)
    async with rooms.buckets._blocks.uploading() as upload:
        for block in blocks:
            await upload.put(block.cid, block.data)
        await upload.sync()
    return below.cid


async def test_what_is_linked_again_and_again_is_copied_and_counted_once(here):
    root = await doubling(here)
    made = await here.buckets.create(THREAD, ALICE, private=True, bootstrap=cids.text(root))
    assert made.pinned < 1 << 63
    key = made.bucket.id
    path = "/".join("ab"[number % 2] for number in range(DEPTH))
    assert await pulled(here, THREAD, ALICE, key, path) == b"leaf"
    await here.buckets.push_roles(THREAD, ALICE, key, "a", {BOB.owner: Role.READER})
    await here.buckets.push_roles(THREAD, ALICE, key, path, {CAROL.owner: Role.READER})
    assert await pulled(here, THREAD, ALICE, key, path) == b"leaf"
    assert await pulled(here, THREAD, BOB, key, path) == b"leaf"
    assert await pulled(here, THREAD, CAROL, key, path) == b"leaf"
    await here.buckets.move(THREAD, ALICE, key, "a", "c")
    await here.buckets.set_path(THREAD, ALICE, key, "d", cids.text(root))
    await here.buckets.remove_path(THREAD, ALICE, key, "c")
    assert await pulled(here, THREAD, ALICE, key, "d/" + path) == b"leaf"
    assert len(blocks_of(here)) < 20 * DEPTH


async def test_twins_get_the_keys_of_their_paths(here):
    key = (await here.buckets.create(THREAD, ALICE, private=True)).bucket.id
    await push(here, THREAD, ALICE, key, FILES)
    await here.buckets.push_roles(THREAD, ALICE, key, "two/a", {CAROL.owner: Role.READER})
    await here.buckets.push_roles(THREAD, ALICE, key, "one", {BOB.owner: Role.READER})
    await here.buckets.push_roles(THREAD, ALICE, key, "", {BOB.owner: Role.READER})
    for path, data in FILES.items():
        assert await pulled(here, THREAD, ALICE, key, path) == data
        assert await pulled(here, THREAD, BOB, key, path) == data
    assert await pulled(here, THREAD, CAROL, key, "two/a") == b"1"
    for path in ("one/a", "two/b"):
        with pytest.raises(PathNotFoundError):
            await pulled(here, THREAD, CAROL, key, path)
    metadata = (await here.buckets.get(THREAD, ALICE, key)).metadata
    assert len({metadata[path].key for path in ("", "one", "two/a")}) == 3


def test_the_sum_of_a_tree_counts_each_part_as_often_as_it_is_linked():
    link_key, leaf = os.urandom(64), dag.raw_block(b"leaf")
    inner = seal_directory(Node(unixfs.DIRECTORY_DATA, (leaf.link(b"x"), leaf.link(b"y"))), 1, link_key, os.urandom)
    node = Node(unixfs.DIRECTORY_DATA, (inner.link(b"a"), inner.link(b"b"), leaf.link(b"c")))
    root = seal_directory(node, 1, link_key, os.urandom)
    blocks = {block.cid: block.data for block in (leaf, inner, root)}
    wanted = len(root.data) + 2 * len(inner.data) + 5 * len(leaf.data)
    assert sum_of(blocks.get, root.link(), link_key) == wanted
    assert sum_of(blocks.get, root.link(), None) == root.size
