import json
from pathlib import Path

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

from net import cbor, cid
from net.errors import InvalidBodyError
from net.patches import Patch, PatchType, decode_body, encode_body

VECTORS = Path(__file__).parent.parent / "vectors"
DB = json.loads((VECTORS / "records_db.json").read_text())
BODIES = [(record["body_plain"], record["body"]) for log in DB["logs"] for record in log["records"]]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
patches = st.builds(
    lambda instance_id, collection, kind, content, timestamp: Patch(
        instance_id, collection, kind, None if kind is PatchType.DELETE else content, timestamp
    ),
    texts,
    texts,
    st.sampled_from(PatchType),
    st.binary(max_size=400),
    st.integers(0, 2**63 - 1),
)


def in_go_view(patch):
    content = None if patch.json is None else {"/hex": patch.json.hex()}
    operation = {"type": int(patch.type), "jSONPatch": content, "instanceID": patch.instance_id}
    return {
        "iD": patch.instance_id,
        "patch": operation,
        "timestamp": patch.timestamp,
        "collectionName": patch.collection,
    }


@pytest.mark.parametrize(("plain", "view"), BODIES, ids=range(len(BODIES)))
def test_bodies_of_the_vectors(plain, view):
    body = bytes.fromhex(plain)
    read = decode_body(body)
    assert {"patches": [in_go_view(patch) for patch in read]} == view
    assert encode_body(read) == body
    assert cbor.canonicalise(body) == body


def test_the_writes_of_the_vectors_are_all_there():
    counts = {}
    for plain, _ in BODIES:
        for patch in decode_body(bytes.fromhex(plain)):
            assert patch.collection == DB["collection"]
            counts[patch.type] = counts.get(patch.type, 0) + 1
    assert counts == {PatchType.CREATE: 3, PatchType.SAVE: 3, PatchType.DELETE: 2}


@given(st.lists(patches, max_size=30))
def test_round_trip(items):
    body = encode_body(items)
    assert decode_body(body) == items
    assert cbor.canonicalise(body) == body
    assert cbor._reencode(body) == body
    assert len(libipld.decode_dag_cbor(body)["patches"]) == len(items)


def test_an_instance_that_is_called_like_a_cid():
    name = cid.text(cid.of_block(b""))
    document = cid.of_block(b"")
    items = [Patch(name, "people", PatchType.CREATE, document, 1)]
    assert decode_body(encode_body(items)) == items
    assert b"\xd8\x2a" not in encode_body(items)


@pytest.mark.parametrize("timestamp", [None, "then", -1, 2**63, 1.5, True, [1], b"x"])
def test_other_timestamps_read_as_zero(timestamp):
    body = {
        "patches": [{"iD": "x", "collectionName": "c", "patch": {"type": 2, "jSONPatch": None}, "timestamp": timestamp}]
    }
    assert decode_body(libipld.encode_dag_cbor(body)) == [Patch("x", "c", PatchType.DELETE, None, 0)]


def test_a_body_that_is_not_canonical():
    body = bytes.fromhex(BODIES[0][0])
    assert decode_body(b"\xbf" + body[1:] + b"\xff") == decode_body(body)


PATCH = {"iD": "x", "collectionName": "c", "patch": {"type": 0, "jSONPatch": b"{}", "instanceID": "x"}, "timestamp": 1}


@pytest.mark.parametrize(
    "body",
    [None, 7, [], {}, {"patches": None}, {"patches": {}}, {"patches": [None]}, {"patches": [{}]}]
    + [{"patches": [PATCH | change]} for change in ({"iD": 1}, {"collectionName": None}, {"patch": []}, {"patch": {}})]
    + [
        {"patches": [PATCH | {"patch": PATCH["patch"] | change}]}
        for change in (
            {"type": 3},
            {"type": -1},
            {"type": True},
            {"type": "0"},
            {"jSONPatch": None},
            {"jSONPatch": "{}"},
            {"type": 1, "jSONPatch": {}},
        )
    ],
    ids=range(19),
)
def test_other_shapes(body):
    with pytest.raises(InvalidBodyError):
        decode_body(libipld.encode_dag_cbor(body))


@given(st.binary(max_size=100))
def test_garbage(body):
    with pytest.raises(InvalidBodyError):
        decode_body(body)


@given(st.lists(patches, min_size=1, max_size=3), st.integers(1, 40))
def test_cut_short(items, count):
    with pytest.raises(InvalidBodyError):
        decode_body(encode_body(items)[:-count])
