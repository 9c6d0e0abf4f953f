"""Files and directories are the ones that the hosted Hub would have made, to the byte."""

import itertools
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from net import cid as cids
from threadd.buckets import access, dag, unixfs
from threadd.buckets.dag import Link, Node
from threadd.buckets.errors import BlockNotFoundError, InvalidNodeError, IsDirectoryError
from threadd.buckets.model import bucket_json, parse_bucket
from threadd.buckets.trees import Tree

VECTORS_FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((VECTORS_FOLDER / "unixfs.json").read_text())
_ROOT_LINK = re.compile(r" link .*'Name': '(\S+)', 'Size': (\d+)}")


@pytest.mark.parametrize(("length", "wanted"), VECTORS["files"].items())
def test_files_have_the_cids_of_the_reference(length, wanted, content, build_file):
    whole = content(int(length))
    link, blocks = build_file([whole])
    assert cids.text(link.cid) == wanted
    assert b"".join(unixfs.read_file(blocks.get, link.cid)) == whole


def test_pieces_do_not_matter(content, build_file):
    whole = content(600_001)
    wanted, _ = build_file([whole])
    for size in (1021, 32_768, 262_144, 262_145, 600_000):
        link, _ = build_file([whole[start : start + size] for start in range(0, len(whole), size)])
        assert link == wanted


@pytest.mark.timeout(20)
@pytest.mark.parametrize("leaf", [b"", b"x"])
def test_parts_that_have_not_the_size_that_is_said_are_refused(leaf):
    blocks = {dag.raw_block(leaf).cid: leaf}
    below = dag.raw_block(leaf).cid
    for level in range(60):
        sizes = (2 << level, 2 << level)
        node = dag.node_block(Node(unixfs.encode_file(None, sizes), (Link(b"", below, 1), Link(b"", below, 1))))
        blocks[node.cid] = node.data
        below = node.cid
        with pytest.raises(InvalidNodeError):
            list(unixfs.read_file(blocks.get, below))


def nested(leaves, depth):
    """The tree over some leaves as the definition has it, node after node: (link, size) of its root."""
    if depth == 0:
        return next(leaves)
    children = []
    for _ in range(unixfs.MAX_LINKS):
        child = nested(leaves, depth - 1) if children or depth else None
        if child is None:
            break
        children.append(child)
    if not children:
        return None
    node = Node(unixfs.encode_file(None, tuple(size for _, size in children)), tuple(link for link, _ in children))
    return dag.node_block(node).link(), sum(size for _, size in children)


@pytest.mark.parametrize("count", [174, 175, 349, 174 * 174, 174 * 174 + 1, 174 * 174 + 175])
def test_trees_of_three_levels_follow_the_definition(count, monkeypatch):
    monkeypatch.setattr(unixfs, "CHUNK_BYTES", 1)
    builder = unixfs.FileBuilder()
    data = bytes(number % 251 for number in range(count))
    blocks = builder.add(data) + builder.finish()
    depth = 1
    while unixfs.MAX_LINKS**depth < count:
        depth += 1
    leaves = ((dag.raw_block(data[place : place + 1]).link(), 1) for place in range(count))
    wanted, size = nested(itertools.chain(leaves, itertools.repeat(None)), depth)
    assert blocks[-1].link() == wanted
    assert size == count


def test_a_builder_holds_one_chunk_and_one_path_of_links():
    builder = unixfs.FileBuilder()
    for _ in range(400):
        builder.add(bytes(unixfs.CHUNK_BYTES))
    assert len(builder._rest) <= unixfs.CHUNK_BYTES
    assert sum(map(len, builder._levels)) <= unixfs.MAX_LINKS + 3


_make = Tree._make


def _new_folder(tree, folder, part):
    """A directory on the way, with a CID of version 1: as `ipfs add` makes them, and not as buckets do."""
    made = _make(tree, folder, part)
    made.version = 1
    return made


@pytest.mark.parametrize("name", VECTORS["directories"])
def test_directories_have_the_cids_of_the_reference(name, content, build_file, monkeypatch):
    monkeypatch.setattr(Tree, "_make", _new_folder)
    given_files = VECTORS["directories"][name]["files"]
    files = given_files if isinstance(given_files, dict) else {f"f{length:04}": length for length in range(3000)}
    tree = Tree.empty(None, os.urandom)
    for path, length in files.items():
        link, _ = build_file([content(length)])
        tree.put(path.encode().split(b"/"), link)
    assert cids.text(tree.root().cid) == VECTORS["directories"][name]["cid"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(min_size=32, max_size=32), st.integers(0, 2**60))))
def test_nodes_are_read_as_they_were_written(links):
    made = [Link(name, b"\x01\x55\x12\x20" + digest, size) for name, digest, size in links]
    node = Node(unixfs.DIRECTORY_DATA, tuple(sorted(made, key=lambda link: link.name)))
    assert dag.decode(dag.encode(node)) == node


@given(st.binary(max_size=200))
def test_bytes_that_are_no_node_are_refused(data):
    try:
        node = dag.decode(data)
        unixfs.decode_entry(node.data)
    except InvalidNodeError:
        return
    assert isinstance(node, Node)


@settings(max_examples=40, deadline=None)
@given(start=st.integers(0, 700_000), length=st.integers(0, 700_000))
def test_ranges(start, length, content, build_file):
    whole = content(600_001)
    link, blocks = build_file([whole])
    assert b"".join(unixfs.read_file(blocks.get, link.cid, start, start + length)) == whole[start : start + length]


def test_a_file_with_a_part_that_is_not_here(content, build_file):
    link, blocks = build_file([content(600_001)])
    blocks.pop(next(cid for cid in blocks if dag.is_raw(cid)))
    with pytest.raises(BlockNotFoundError, match="not kept here"):
        list(unixfs.read_file(blocks.get, link.cid))


def test_a_directory_is_no_file():
    block = dag.node_block(Node(unixfs.DIRECTORY_DATA))
    with pytest.raises(IsDirectoryError):
        unixfs.file_size({block.cid: block.data}.get, block.cid)


def test_a_public_bucket_has_the_tree_that_a_hub_stored():
    """Directories that are made on the way have CIDs of version 0, under a root of version 1 (bucket-layout.txt)."""
    lines = (VECTORS_FOLDER / "bucket-layout.txt").read_text().split("== private")[0].splitlines()
    named = dict(reversed(line.split()[1:]) for line in lines if re.fullmatch(r"(bafy|Qm)\w+ \w+ \S+", line))
    sizes = {found[1]: int(found[2]) for found in map(_ROOT_LINK.fullmatch, lines) if found}
    (root,) = {line.split()[0] for line in lines if line.endswith(" .textileseed")}
    tree = Tree.empty(None, os.urandom)
    for path, size in ((".textileseed", 32), ("big.bin", sizes["big.bin"]), ("d/e/f.txt", 13)):
        link = Link(b"", cids.from_text(named[path.rpartition("/")[2]]), size)
        tree.put(path.encode().split(b"/"), link)
    assert cids.text(tree.root().cid) == root
    made = {cids.text(block.cid): block.size for block in tree.new_blocks()}
    assert made[named["d"]] == sizes["d"]
    assert named["e"] in made


def test_the_schema_is_the_one_that_a_hub_served():
    assert json.loads((VECTORS_FOLDER / "bucket-schema.json").read_text()) == access.SCHEMA


def test_instances_are_written_as_a_hub_wrote_them():
    """The public and the private instance of bucket-layout.txt come back with the same JSON."""
    text = (VECTORS_FOLDER / "bucket-layout.txt").read_text()
    for kind in ("public", "private"):
        wanted, _ = json.JSONDecoder().raw_decode(text.split(f"== {kind} ")[1])
        modified = wanted.pop("_mod")
        found = parse_bucket(json.dumps({**wanted, "_mod": modified}).encode())
        assert json.loads(bucket_json(found)) == wanted
        assert found.is_private is (kind == "private")
