"""Texts of bytes in any base, and what it costs to read those that are none."""

import os
import time

import libipld
import pytest

from net import cid, multibase
from net.errors import InvalidCIDError

BASES = "7tTfFvVbBcChkKzZmMuU9"


def cost(text):
    """CPU seconds that it takes to read a text, the least of some times."""
    took = []
    for _ in range(5):
        began = time.process_time()
        multibase.decode(text)
        took.append(time.process_time() - began)
    return min(took)


@pytest.mark.parametrize("base", BASES)
def test_ids_and_keys_are_read_in_every_base(base):
    for length in (32, 36, 64, 300):
        data = os.urandom(length)
        try:
            text = multibase.encode(data, base)
        except ValueError:
            pytest.fail(f"no base {base}")
        assert multibase.decode(text) == data


@pytest.mark.parametrize("base", BASES)
def test_a_long_text_costs_no_more_than_its_length(base):
    digit = libipld.encode_multibase(base, b"\x55" * 30)[5]
    usual = cost(base + digit * 1_000)
    assert cost(base + digit * 200_000) < 1_000 * max(usual, 1e-5)


@pytest.mark.parametrize("start", ["Qm", "z", "k", "9"])
def test_a_long_text_is_no_cid(start):
    with pytest.raises(InvalidCIDError):
        cid.from_text(start + "3" * 200_000)
