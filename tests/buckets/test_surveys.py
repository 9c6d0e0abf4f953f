"""Surveys and sweeps over random trees with random blocks missing, compared with the plain rule."""

import asyncio
import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from net.keys import PrivateKey
from net.thread_id import ThreadID
from net.threads import Threads
from store import tables
from store.engine import Transaction
from store.file_blocks import FileBlocks
from store.memory import MemoryEngine
from threadd.buckets import dag, trees, unixfs
from threadd.buckets.dag import Link, Node
from threadd.buckets.instances import Instances
from threadd.buckets.model import key_text, path_of
from threadd.buckets.roots import CompleteRoots
from threadd.buckets.surveys import CompleteTree, IncompleteTree, Surveyor
from threadd.buckets.sweeping import Sweeping
from threadd.db.collections import CollectionConfig
from threadd.db.manager import Manager

HOST = PrivateKey(bytes(range(32)))
THREAD = ThreadID(bytes([1, 0x55]) + b"p" * 32)
LINK_KEY = bytes(range(64))
SCHEMA = b'{"properties": {"_id": {"type": "string"}}}'


class Forest:
    """Trees that share parts; every block of them, and what each links to."""

    def __init__(self, link_key):
        self.link_key = link_key
        self.blocks = {}
        self.below = {}

    def add(self, tree):
        """The CID of a tree: a number is a file of so many blocks, a list a directory."""
        block = self._file(tree) if isinstance(tree, int) else self._directory(tree)
        return block.cid

    def _keep(self, block, below):
        self.blocks[block.cid] = block.data
        self.below[block.cid] = below
        return block

    def _file(self, count):
        leaves = [self._keep(dag.raw_block(b"%d of %d" % (index, count)), ()) for index in range(count)]
        if count == 1:
            return leaves[0]
        data = unixfs.encode_file(None, tuple(len(leaf.data) for leaf in leaves))
        node = dag.node_block(Node(data, tuple(leaf.link() for leaf in leaves)))
        return self._keep(node, tuple(leaf.cid for leaf in leaves))

    def _directory(self, parts):
        cids = [self.add(part) for part in parts]
        links = tuple(Link(b"%d" % index, cid, 1) for index, cid in enumerate(cids))
        # A fixed IV, so that equal directories are one block as they are in a public bucket.
        block = trees.seal_directory(Node(unixfs.DIRECTORY_DATA, links), 1, self.link_key, bytes)
        return self._keep(block, tuple(cids))

    def reach(self, root, here):
        """All blocks that are reached over those that are here, and whether nothing is missing."""
        reached, pending, is_whole = set(), [root], True
        while pending:
            cid = pending.pop()
            if cid not in here:
                is_whole = False
            elif cid not in reached:
                reached.add(cid)
                pending += self.below[cid]
        return reached, is_whole


class Present:
    """Blocks in memory."""

    def __init__(self, blocks):
        self.get = blocks.get
        self.has = blocks.__contains__


files = st.integers(1, 5)
directories = st.recursive(
    st.lists(files, max_size=3), lambda inner: st.lists(files | inner, max_size=4), max_leaves=12
)
link_keys = st.sampled_from([None, LINK_KEY])


@given(st.lists(directories, min_size=1, max_size=5), st.randoms(use_true_random=False), link_keys)
def test_a_survey_finds_what_is_here_and_whether_that_is_all(made, chance, link_key):
    forest = Forest(link_key)
    roots = [forest.add(tree) for tree in made]
    here = {cid: data for cid, data in forest.blocks.items() if chance.random() < 0.85}
    surveyor, expected = Surveyor(Present(here), lacks=set()), set()
    for root in roots:
        reached, is_whole = forest.reach(root, here)
        found = surveyor.survey(root, link_key)
        assert isinstance(found, CompleteTree if is_whole else IncompleteTree)
        if isinstance(found, IncompleteTree):
            assert found.missing not in here
            assert found.missing in surveyor.lacks
        expected |= reached
        assert surveyor.reached == {cid[-32:] for cid in expected}
        assert isinstance(Surveyor(Present(here)).survey(root, link_key), type(found))


@pytest.mark.parametrize("link_key", [None, LINK_KEY])
@pytest.mark.parametrize("data", [b"\xff\xff", b"", dag.encode(Node(unixfs.encode_file(b"not sealed")))])
def test_a_block_that_cannot_be_read_makes_a_tree_incomplete(link_key, data):
    broken = dag.node_cid(data)
    forest = Forest(link_key)
    root = trees.seal_directory(Node(unixfs.DIRECTORY_DATA, (Link(b"x", broken, 1),)), 1, link_key, os.urandom)
    found = Surveyor(Present({**forest.blocks, root.cid: root.data, broken: data})).survey(root.cid, link_key)
    is_readable = link_key is None and data != b"\xff\xff"
    assert isinstance(found, CompleteTree if is_readable else IncompleteTree)


def test_blocks_that_lead_in_a_circle_end():
    one, other = (dag.node_cid(name) for name in (b"one", b"other"))
    blocks = {
        cid: dag.encode(Node(unixfs.DIRECTORY_DATA, (Link(b"x", to, 1),))) for cid, to in ((one, other), (other, one))
    }
    assert isinstance(Surveyor(Present(blocks)).survey(one, None), IncompleteTree)


class House:
    """Buckets over a store in memory."""

    def __init__(self, engine, blocks):
        self.engine, self.block_engine = engine, blocks
        threads = Threads(engine, HOST, os.urandom, time.time_ns)
        self.manager = Manager(engine, threads, time.time_ns)
        self.blocks = FileBlocks(blocks)
        self.roots = CompleteRoots(engine, self.blocks, Instances(self.manager))
        self.sweeping = Sweeping(engine, self.blocks, self.roots)

    async def name(self, key, root, link_key):
        document = {"_id": key, "path": path_of(root), "version": 1}
        if link_key is not None:
            document["key"] = key_text(link_key)
        await self.manager.get(THREAD).save("buckets", [json.dumps(document).encode()], HOST.public)

    async def give(self, blocks):
        async with self.blocks.uploading() as upload:
            for cid, data in blocks.items():
                await upload.put(cid, data)
            await upload.sync()

    def here(self, forest):
        return {cid for cid in forest.blocks if self.blocks.get(cid) is not None}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("name"), st.integers(0, 2), directories),
        st.tuples(st.just("give"), st.floats(0, 1), st.randoms(use_true_random=False)),
        st.just(("sweep",)),
        st.just(("look",)),
        st.just(("forget",)),
        st.just(("restart",)),
    ),
    max_size=14,
)


async def run_steps(made, link_key):
    house = House(MemoryEngine(), MemoryEngine())
    await house.manager.new_db(THREAD, identity=HOST.public, collections=[CollectionConfig("buckets", SCHEMA)])
    forest, history = Forest(link_key), {}
    for step in [*made, ("sweep",)]:
        match step:
            case ("name", number, tree):
                root = forest.add(tree)
                await house.name(f"bucket {number}", root, link_key)
                history.setdefault(f"bucket {number}", []).append(root)
            case ("give", share, chance):
                await house.give({cid: data for cid, data in forest.blocks.items() if chance.random() < share})
            case ("look",):
                for key in history:
                    await house.roots.examine(THREAD, key)
            case ("restart",):
                await house.manager.close()
                house = House(house.engine, house.block_engine)
            case ("forget",):
                number = house.manager.get(THREAD)._thread.number
                for name, _ in list(house.engine.scan(*tables.complete_roots(number))):
                    await house.engine.commit(forgetting(name))
            case ("sweep",):
                await check_sweep(house, forest, history)
    await house.manager.close()


def forgetting(name):
    transaction = Transaction()
    transaction.delete(name)
    return transaction


async def check_sweep(house, forest, history):
    here = house.here(forest)
    to_keep, named, last = set(), set(), {}
    for key, roots in history.items():
        found = [(root, *forest.reach(root, here)) for root in reversed(roots)]
        to_keep |= found[0][1]
        complete = [(root, reached) for root, reached, is_whole in found if is_whole]
        last[key] = complete[0][0] if complete else None
        to_keep |= complete[0][1] if complete else set().union(*(reached for _, reached, _ in found))
        named |= set().union(*(reached for _, reached, _ in found))
    await house.sweeping.sweep()
    after = house.here(forest)
    assert to_keep <= after
    assert after <= named
    number = house.manager.get(THREAD)._thread.number
    for key, root in last.items():
        kept = house.engine.get(tables.complete_root(number, key))
        assert (kept is None) == (root is None)


@settings(max_examples=60)
@given(steps, link_keys)
def test_no_sweep_removes_what_a_last_complete_root_reaches(made, link_key):
    asyncio.run(run_steps(made, link_key))
