"""What tests of buckets share: the content of the vectors, files over blocks in memory."""

import itertools
import struct

import pytest

from threadd.buckets.unixfs import FileBuilder


def vector_content(length):
    """The content of a file of the vectors: the big-endian integers 0, 1, 2, ..., cut to a length."""
    return b"".join(map(struct.Struct(">I").pack, range(-(-length // 4))))[:length]


def built_file(pieces):
    """A link to a file of some pieces, and its blocks by their CIDs."""
    builder = FileBuilder()
    blocks = list(itertools.chain.from_iterable(builder.add(piece) for piece in pieces)) + builder.finish()
    return blocks[-1].link(), {block.cid: block.data for block in blocks}


@pytest.fixture(scope="session")
def content():
    return vector_content


@pytest.fixture(scope="session")
def build_file():
    return built_file
