import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net import cid, multibase, varints
from net.errors import InvalidCIDError, InvalidThreadIDError
from net.thread_id import ThreadID, Variant

VECTORS = Path(__file__).parent.parent / "vectors"
THREAD = json.loads((VECTORS / "thread.json").read_text())
OFFLINE = json.loads((VECTORS / "go_offline.json").read_text())
GOOD = [case for case in OFFLINE["thread_ids"] if "text" in case]
BAD = [case for case in OFFLINE["thread_ids"] if "cast_error" in case]


def test_the_thread_of_the_vectors():
    thread = ThreadID.from_bytes(bytes.fromhex(THREAD["thread_id"]))
    assert thread.bytes == b"\x01\x55" + hashlib.sha256(b"vector thread 3").digest()
    assert thread.text == str(thread) == THREAD["thread_id_text"]
    assert thread.variant is Variant.RAW
    assert ThreadID.from_text(THREAD["thread_id_text"]) == thread


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["text"][:10])
def test_every_base_is_read(case):
    thread = ThreadID.from_bytes(bytes.fromhex(case["bytes"]))
    assert thread.text == case["text"]
    texts = {key: value for key, value in case.items() if key.startswith("text")}
    assert len(texts) == 5
    for text in texts.values():
        assert ThreadID.from_text(text) == thread
    for key, text in texts.items():
        assert multibase.encode(thread.bytes, key[5:] or "b") == text


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["bytes"] or "empty")
def test_what_go_refuses(case):
    with pytest.raises(InvalidThreadIDError) as caught:
        ThreadID.from_bytes(bytes.fromhex(case["bytes"]))
    assert caught.value.text == case["cast_error"]


@pytest.mark.parametrize("variant", Variant)
def test_random_ids(variant):
    thread = ThreadID.random(variant, os.urandom)
    assert len(thread.bytes) == 34
    assert thread.variant is variant
    assert ThreadID.from_text(thread.text) == thread


@given(st.sampled_from(Variant), st.binary(min_size=1, max_size=255))
def test_ids_round_trip(variant, rest):
    data = bytes([1, variant]) + rest
    thread = ThreadID.from_bytes(data)
    for base in "bBcCvVtTfFzZuUmMkKhR079":
        assert ThreadID.from_text(multibase.encode(data, base)) == thread


@given(st.binary(max_size=300))
def test_garbage_is_no_id(data):
    try:
        thread = ThreadID.from_bytes(data)
    except InvalidThreadIDError:
        return
    assert thread.bytes == data


@given(st.text(max_size=60))
def test_garbage_is_no_text_of_an_id(text):
    with pytest.raises(InvalidThreadIDError):
        ThreadID.from_text(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xff" * 11, "reading varint: varint bigger than 64bits and not supported"),
        (b"\x01" + b"\xff" * 10, "reading varint: varint bigger than 64bits and not supported"),
        (b"\x01\xff", "reading varint: buffer too small"),
        (b"\x01\x55" + bytes(256), "the id is 258 bytes long, more than 257"),
    ],
)
def test_numbers_that_are_none(data, text):
    with pytest.raises(InvalidThreadIDError) as caught:
        ThreadID.from_bytes(data)
    assert caught.value.text == text


def test_a_text_of_one_letter():
    with pytest.raises(InvalidThreadIDError) as caught:
        ThreadID.from_text("b")
    assert caught.value.text == "id too short"


def test_ids_sort_by_their_bytes():
    one, two = ThreadID(b"\x01\x55\x01"), ThreadID(b"\x01\x55\x02")
    assert sorted([two, one]) == [one, two]
    assert len({one, two, ThreadID(b"\x01\x55\x01")}) == 2


@given(st.integers(0, 2**64 - 1), st.binary(max_size=5))
def test_varints(number, rest):
    data = varints.encode(number)
    assert varints.decode(data + rest) == (number, len(data))
    assert varints.decode(rest + data, len(rest)) == (number, len(rest) + len(data))
    with pytest.raises(varints.VarintError):
        varints.decode(data[:-1])


@pytest.mark.parametrize(
    ("data", "too_big"), [(b"", False), (b"\x80" * 9, False), (b"\x80" * 10, True), (b"\xff" * 9 + b"\x02", True)]
)
def test_no_varints(data, too_big):
    with pytest.raises(varints.VarintError) as caught:
        varints.decode(data)
    assert caught.value.too_big is too_big


@pytest.mark.parametrize("log", THREAD["logs"], ids=lambda log: log["id_text"][-6:])
def test_cids_of_the_vectors(log):
    head = bytes.fromhex(log["head"])
    assert cid.text(head) == log["head_text"]
    assert cid.from_text(log["head_text"]) == head
    assert cid.check(head) == head


@given(st.binary(max_size=100))
def test_cids_name_blocks(block):
    name = cid.of_block(block)
    assert name == b"\x01\x71\x12\x20" + hashlib.sha256(block).digest()
    assert cid.from_text(cid.text(name)) == name


def test_old_cids():
    text = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"
    data = cid.from_text(text)
    assert len(data) == 34
    assert cid.text(data) == text
    with pytest.raises(InvalidCIDError):
        cid.from_text(multibase.encode(data))
    with pytest.raises(InvalidCIDError):
        cid.from_text(text[:-1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x12\x20" + bytes(31),
        b"\x02\x71\x12\x20" + bytes(32),
        b"\x01\x71\x12\x20" + bytes(33),
        b"\x01\x71\x12\xff",
        b"\x80" * 40,
    ],
)
def test_no_cids(data):
    with pytest.raises(InvalidCIDError):
        cid.check(data)


def test_cids_of_other_hashes():
    assert cid.check(b"\x01\x55\x00\x03abc") == b"\x01\x55\x00\x03abc"
    assert cid.check(b"\x01\x71\x13\x40" + bytes(64))


@given(st.text(max_size=60))
def test_garbage_is_no_text_of_a_cid(text):
    with pytest.raises(InvalidCIDError):
        cid.from_text(text)


@pytest.mark.parametrize("log", THREAD["logs"], ids=lambda log: log["id_text"][-6:])
def test_counters_of_the_network_api(log):
    data = bytes.fromhex(log["counter_api_bytes"])
    assert varints.encode_counter(log["counter"]) == data
    assert varints.decode_counter(data) == log["counter"]


@given(st.integers(0, 2**55 - 1))
def test_counters(counter):
    data = varints.encode_counter(counter)
    assert len(data) == 8
    assert varints.decode_counter(data) == counter


def test_odd_counters():
    assert varints.decode_counter(b"") == 0
    assert varints.decode_counter(b"\x05") == -3
    with pytest.raises(varints.VarintError):
        varints.decode_counter(b"\x80" * 8)
