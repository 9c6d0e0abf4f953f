"""Surveys of trees: which of their blocks are here, and whether that is all of them; no I/O.

A tree is complete if every block that its root reaches is here and every node among them can be read. Where one is
missing, what it links to is not known, so an incomplete tree says nothing about what it does not reach.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeAlias

from store.file_blocks import MAX_BLOCK_BYTES, digest_of
from store.long_reads import Steps, finish
from threadd.buckets import dag
from threadd.buckets.dag import Link, Node
from threadd.buckets.errors import InvalidNodeError, SealError
from threadd.buckets.trees import open_directory

_MAX_SIZE: Final = (1 << 63) - 1
"""Parts that are linked again and again can add up to any number."""

_MAX_SEALED: Final = 100_000
"""How many nodes are remembered under link keys, of which there may be any number, before a survey begins."""


class Blocks(Protocol):
    """The blocks that are here."""

    def get(self, cid: bytes, /) -> bytes | None:
        """The bytes of a block, or None where it is not here."""

    def has(self, cid: bytes, /) -> bool:
        """Whether a block is here."""


@dataclass(frozen=True, slots=True)
class CompleteTree:
    """All blocks of a tree are here.

    Args:
        size: Their bytes; what a node links to more than once counts once in it.
    """

    size: int


@dataclass(frozen=True, slots=True)
class IncompleteTree:
    """Some blocks of a tree are not here, or cannot be read.

    Args:
        size: The bytes of those that are here, as in a complete tree.
        missing: The CID of one that is missing or cannot be read.
    """

    size: int
    missing: bytes


Tree: TypeAlias = CompleteTree | IncompleteTree


@dataclass(slots=True)
class _Memory:
    """What is known of nodes, by their CIDs.

    Args:
        link_key: The link key that sealed directories among them are opened with; None for what is the same under any:
            nodes that have links in the clear, and what is no node at all.
        complete: The sizes of the trees below those that are complete.
        incomplete: The trees below those that are not.
        cids: Each CID once, since many nodes may lead to it.
    """

    link_key: bytes | None
    complete: dict[bytes, int] = field(default_factory=dict)
    incomplete: dict[bytes, IncompleteTree] = field(default_factory=dict)
    cids: dict[bytes, bytes] = field(default_factory=dict)

    def get(self, cid: bytes) -> Tree | None:
        """The tree below a node, as far as known."""
        size = self.complete.get(cid)
        return self.incomplete.get(cid) if size is None else CompleteTree(size)

    def keep(self, cid: bytes, tree: Tree) -> None:
        """Remember the tree below a node."""
        if isinstance(tree, CompleteTree):
            self.incomplete.pop(cid, None)
            self.complete[cid] = tree.size
        else:
            self.incomplete[cid] = tree


@dataclass(slots=True)
class _Step:
    """A node on the way down.

    Args:
        cid: Its CID.
        memory: Where the tree below it is remembered.
        inner: Where those below its links are.
        size: Its bytes, and those of what was looked at below it.
        links: The nodes that it links to and that are here.
        missing: The CID of a block that is missing below it, or None so far.
        position: How many of the links were looked at.
    """

    cid: bytes
    memory: _Memory
    inner: _Memory
    size: int = 0
    links: list[bytes] = field(default_factory=list)
    missing: bytes | None = None
    position: int = 0

    def take(self, tree: Tree) -> None:
        """Count in what is below it."""
        self.size = min(self.size + tree.size, _MAX_SIZE)
        if self.missing is None and isinstance(tree, IncompleteTree):
            self.missing = tree.missing

    def tree(self) -> Tree:
        """What was found."""
        return CompleteTree(self.size) if self.missing is None else IncompleteTree(self.size, self.missing)


@dataclass(slots=True)
class Surveyor:
    """Surveys trees, which share blocks: each node is read once, however many trees lead to it under whatever keys.

    What it keeps in memory grows with the nodes that are here, not with what they link to.

    Args:
        blocks: The blocks; others may come meanwhile.
        reached: Takes the digest of each block that is reached and is here.
        lacks: Takes the CID of each block that is reached and is not here or cannot be read; None where nobody asks.
    """

    blocks: Blocks
    reached: set[bytes] = field(default_factory=set)
    lacks: set[bytes] | None = None
    _plain: _Memory = field(default_factory=partial(_Memory, None))
    _sealed: dict[bytes, _Memory] = field(default_factory=dict)
    _sealed_count: int = 0
    _keyless: set[bytes] = field(default_factory=set)

    def survey(self, root: bytes, link_key: bytes | None) -> Tree:
        """Look at all that a root reaches.

        Args:
            root: The CID of the root.
            link_key: The link key of a private bucket, or None.
        """
        return finish(self.steps(root, link_key))

    def steps(self, root: bytes, link_key: bytes | None) -> Steps[Tree]:
        """As `survey`; a step reads one node."""
        top = _Step(b"", self._plain, self._memory(link_key))
        self._look_at(top, [Link(b"", root, 0)])
        way = [top]
        while True:
            step = way[-1]
            if step.position < len(step.links):
                cid = step.links[step.position]
                step.position += 1
                known = self._known(cid, step.inner)
                if known is None:
                    way.append(self._open(cid, step.inner))
                    yield
                else:
                    step.take(known)
                continue
            way.pop()
            tree = step.tree()
            if not way:
                return tree
            step.memory.keep(step.cid, tree)
            way[-1].take(tree)

    def look_again(self) -> None:
        """Look again at what was found incomplete: more blocks may be here."""
        for memory in (self._plain, *self._sealed.values()):
            memory.incomplete.clear()

    def _memory(self, link_key: bytes | None) -> _Memory:
        if link_key is None:
            return self._plain
        if self._sealed_count > _MAX_SEALED:
            self._sealed.clear()
            self._sealed_count = 0
        return self._sealed.setdefault(link_key, _Memory(link_key))

    def _known(self, cid: bytes, memory: _Memory) -> Tree | None:
        return (self._plain if cid in self._keyless else memory).get(cid)

    def _open(self, cid: bytes, memory: _Memory) -> _Step:
        """Read a node."""
        step = _Step(cid, memory, self._plain)
        data = self.blocks.get(cid)
        step.size = len(data or b"")
        node = None if data is None else _decoded(data)
        if node is None or node.links:
            # A sealed directory has no links in the clear. What has some is a file, and its parts are no directories.
            self._keyless.add(cid)
            step.memory = self._plain
        elif memory.link_key is not None:
            try:
                directory = open_directory(self.blocks.get, cid, memory.link_key)
            except (InvalidNodeError, SealError):
                node = None
            else:
                node, step.inner = (node, self._plain) if directory is None else (directory, memory)
        if node is None:
            self._lack(step, cid)
        else:
            # It counts as missing until all below it was looked at, so that damage that leads in a circle ends.
            step.memory.incomplete[cid] = IncompleteTree(0, cid)
            self._look_at(step, node.links)
        return step

    def _look_at(self, step: _Step, links: Iterable[Link]) -> None:
        """Look which of the links of a node lead to blocks that are here, and take the nodes among them."""
        for cid, size in {link.cid: link.size for link in links}.items():
            is_raw = dag.is_raw(cid)
            if not (is_raw or dag.is_node(cid)) or not self.blocks.has(cid):
                self._lack(step, cid)
                continue
            digest = digest_of(cid)
            if digest is not None:
                self.reached.add(digest)
            if is_raw:
                step.size += min(size, MAX_BLOCK_BYTES)
            else:
                step.links.append(step.inner.cids.setdefault(cid, cid))
                self._sealed_count += step.inner is not self._plain

    def _lack(self, step: _Step, cid: bytes) -> None:
        step.missing = step.missing or cid
        if self.lacks is not None:
            self.lacks.add(cid)


def _decoded(data: bytes) -> Node | None:
    try:
        return dag.decode(data)
    except InvalidNodeError:
        return None
