import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.edges import NO_EDGE, address_edge, fnv1a, heads_edge

VECTORS = Path(__file__).parent.parent / "vectors"
EDGES = json.loads((VECTORS / "edges.json").read_text())
OFFLINE = json.loads((VECTORS / "go_offline.json").read_text())

pairs = st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.binary(max_size=9)))


def unhex(items):
    return [(bytes.fromhex(one), bytes.fromhex(other)) for one, other in items]


@pytest.mark.parametrize("case", EDGES["cases"], ids=lambda case: case["source"])
def test_edges_that_go_answered(case):
    assert address_edge(unhex(case.get("log_addrs", []))) == case["address_edge"]
    assert heads_edge(unhex(case.get("log_heads", []))) == case["heads_edge"]
    if "exists" in case:
        assert case["exists"] == (case["address_edge"] != NO_EDGE and case["heads_edge"] != NO_EDGE)


def test_edges_that_go_computed():
    heads = OFFLINE["heads_edge"]
    assert (
        heads_edge((bytes.fromhex(head["log_id"]), bytes.fromhex(head["head"])) for head in heads["heads"])
        == heads["edge"]
    )
    addresses = OFFLINE["addrs_edge"]
    listed = [(bytes.fromhex(item["log_id"]), bytes.fromhex(item["addr"])) for item in addresses["addrs"]]
    assert address_edge(listed) == addresses["edge"]
    assert fnv1a(b"") == heads["empty_list_edge"] == addresses["empty_list_edge"]


def test_nothing_has_no_edge():
    assert heads_edge([]) == address_edge([]) == NO_EDGE == 0


def test_known_hashes():
    assert fnv1a(b"a") == 0xAF63DC4C8601EC8C
    assert fnv1a(b"foobar") == 0x85944171F73967E8


@given(pairs, st.randoms())
def test_order_does_not_matter(items, shuffler: random.Random):
    mixed = list(items)
    shuffler.shuffle(mixed)
    assert heads_edge(mixed) == heads_edge(items)
    assert address_edge(iter(mixed)) == heads_edge(items)
