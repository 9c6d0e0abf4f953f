"""Surveys of trees: which of their blocks are here, and whether that is all of them; no I/O.

A tree is complete if every block that its root reaches is here and every node among them can be read. Where one is
missing, what it links to is not known, so an incomplete tree says nothing about what it does not reach.
"""

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from store.file_blocks import digest_of
from threadd.buckets import dag
from threadd.buckets.dag import Link
from threadd.buckets.errors import InvalidNodeError, SealError
from threadd.buckets.trees import open_directory


class Blocks(Protocol):
    """One state of the blocks."""

    def get(self, cid: bytes, /) -> bytes | None:
        """The bytes of a block, or None where it is not here."""

    def has(self, cid: bytes, /) -> bool:
        """Whether a block is here."""


@dataclass(frozen=True, slots=True)
class CompleteTree:
    """All blocks of a tree are here.

    Args:
        size: The bytes of those that no survey of the same surveyor had reached before.
    """

    size: int


@dataclass(frozen=True, slots=True)
class IncompleteTree:
    """Some blocks of a tree are not here, or cannot be read.

    Args:
        size: The bytes of those that are here and that no survey of the same surveyor had reached before.
        missing: The CID of one that is missing or cannot be read.
    """

    size: int
    missing: bytes


Tree: TypeAlias = CompleteTree | IncompleteTree


_Name: TypeAlias = tuple[bytes, bool]
"""The CID of a block, and whether it is opened as a sealed directory: that decides what it links to."""


@dataclass(slots=True)
class _Step:
    """A block on the way down, and what it links to once it was opened."""

    name: _Name
    links: list[_Name] | None = None


@dataclass(slots=True)
class Surveyor:
    """Surveys trees of one bucket, which share blocks as its roots follow each other: each block is read once.

    Args:
        blocks: One state of the blocks.
        link_key: The link key of a private bucket, or None.
        reached: Takes the digest of each block that is reached and is here.
        lacks: Takes the CID of each block that is reached and is not here or cannot be read.
    """

    blocks: Blocks
    link_key: bytes | None
    reached: set[bytes] = field(default_factory=set)
    lacks: set[bytes] = field(default_factory=set)
    _missing: dict[_Name, bytes | None] = field(default_factory=dict)
    """For each block that was looked at, the CID of one that is missing below it, or None."""
    _size: int = 0

    def survey(self, root: bytes) -> Tree:
        """Look at all that a root reaches.

        Args:
            root: The CID of the root.
        """
        self._size = 0
        first = _Step((root, self.link_key is not None))
        pending = [first]
        while pending:
            step = pending[-1]
            if step.links is not None:
                pending.pop()
                below = (self._missing[name] for name in step.links)
                self._missing[step.name] = next((cid for cid in below if cid is not None), None)
            elif step.name in self._missing:
                pending.pop()
            else:
                # It counts as missing until all below it was looked at, so that damage that leads in a circle ends.
                self._missing[step.name] = step.name[0]
                step.links = self._open(*step.name)
                if step.links is None:
                    self.lacks.add(step.name[0])
                    pending.pop()
                else:
                    pending += [_Step(name) for name in step.links if name not in self._missing]
        missing = self._missing[first.name]
        return CompleteTree(self._size) if missing is None else IncompleteTree(self._size, missing)

    def _open(self, cid: bytes, is_sealed: bool) -> list[_Name] | None:  # noqa: FBT001  the two parts of a name
        """What a block links to; None where it is not here or cannot be read."""
        if dag.is_raw(cid):
            return [] if self._look_at_leaf(Link(b"", cid, 0)) else None
        data = self.blocks.get(cid) if dag.is_node(cid) else None
        if data is None:
            return None
        self._reach(cid, len(data))
        try:
            node = dag.decode(data)
            # A sealed directory has no links in the clear. What has some is a file, and its parts are no directories.
            directory = open_directory(self.blocks.get, cid, self.link_key) if is_sealed and not node.links else None
        except (InvalidNodeError, SealError):
            return None
        found: list[_Name] = []
        for link in (directory or node).links:
            name = (link.cid, directory is not None and not dag.is_raw(link.cid))
            found.append(name)
            if dag.is_raw(link.cid) and name not in self._missing:
                is_here = self._look_at_leaf(link)
                self._missing[name] = None if is_here else link.cid
                if not is_here:
                    self.lacks.add(link.cid)
        return found

    def _look_at_leaf(self, link: Link) -> bool:
        is_here = self.blocks.has(link.cid)
        if is_here:
            self._reach(link.cid, link.size)
        return is_here

    def _reach(self, cid: bytes, size: int) -> None:
        digest = digest_of(cid)
        if digest is not None and digest not in self.reached:
            self.reached.add(digest)
            self._size += size
