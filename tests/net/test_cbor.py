import json
import math
import struct
from pathlib import Path

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

from net import cbor, cid
from net.errors import InvalidBlockError

VECTORS = Path(__file__).parent.parent / "vectors"
RAW = json.loads((VECTORS / "records_raw.json").read_text())
NONCANONICAL = [case for case in RAW["cases"] if "stored_body_plain" in case]
CANONICAL = [case for case in RAW["cases"] if "body_plain" in case]
LINK = cid.of_block(b"\xa0")


def encode(value):  # noqa: PLR0911
    """An encoder of its own for the tests: values to canonical bytes; a tuple is a link."""
    if value is None:
        return cbor.NULL
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return cbor.integer(value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, str):
        return cbor.text_string(value)
    if isinstance(value, bytes):
        return cbor.byte_string(value)
    if isinstance(value, tuple):
        return cbor.link(value[0])
    if isinstance(value, list):
        return cbor.head(4, len(value)) + b"".join(map(encode, value))
    ordered = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
    return cbor.head(5, len(value)) + b"".join(encode(key) + encode(value[key]) for key in ordered)


def encode_loosely(value, draw):
    """The same values with heads that are too long, open lengths, and keys in their own order."""

    def loose_head(major, number):
        width = draw(st.sampled_from([1, 2, 4, 8]))
        if number >= 1 << (8 * width):
            return cbor.head(major, number)
        return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[width]]) + number.to_bytes(width, "big")

    if isinstance(value, bool) or value is None or isinstance(value, (float, tuple)):
        return encode(value)
    if isinstance(value, int):
        return loose_head(0, value) if value >= 0 else loose_head(1, -1 - value)
    if isinstance(value, (str, bytes)):
        major, data = (3, value.encode()) if isinstance(value, str) else (2, value)
        if draw(st.booleans()) and data.isascii():
            return bytes([major << 5 | 31]) + b"".join(loose_head(major, 1) + bytes([one]) for one in data) + b"\xff"
        return loose_head(major, len(data)) + data
    if isinstance(value, list):
        content = b"".join(encode_loosely(item, draw) for item in value)
        return b"\x9f" + content + b"\xff" if draw(st.booleans()) else loose_head(4, len(value)) + content
    keys = draw(st.permutations(list(value)))
    content = b"".join(encode_loosely(key, draw) + encode_loosely(value[key], draw) for key in keys)
    return b"\xbf" + content + b"\xff" if draw(st.booleans()) else loose_head(5, len(value)) + content


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number or 0.0)
    | texts
    | st.binary(max_size=40)
    | st.sampled_from([LINK, b"\x01\x55\x00\x00", cid.of_block(b"")])
    | st.just((LINK,))
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@pytest.mark.parametrize("case", NONCANONICAL, ids=lambda case: case["name"])
def test_go_reencodes_and_so_do_we(case):
    stored = bytes.fromhex(case["stored_body_plain"])
    assert not case["body_kept_verbatim"]
    assert cbor.canonicalise(bytes.fromhex(case["request_body"])) == stored
    assert cbor.canonicalise(stored) == stored


@pytest.mark.parametrize("case", CANONICAL, ids=lambda case: case["name"])
def test_go_keeps_what_is_canonical_and_so_do_we(case):
    body = bytes.fromhex(case["request_body"])
    assert cbor.canonicalise(body) == body
    assert case["body_plain"] == body.hex() or case["name"] == "big"
    assert cbor._reencode(body) == body


@given(values)
def test_canonical_stays(value):
    block = encode(value)
    assert cbor.canonicalise(block) == block
    assert cbor._reencode(block) == block
    assert cbor.decode(block) == libipld.decode_dag_cbor(block)


@given(values, st.data())
def test_loose_becomes_canonical(value, data):
    loose = encode_loosely(value, data.draw)
    assert cbor.canonicalise(loose) == encode(value)
    assert cbor.decode(loose) == libipld.decode_dag_cbor(encode(value))


@given(st.binary(max_size=60))
def test_garbage(block):
    try:
        again = cbor.canonicalise(block)
    except InvalidBlockError:
        return
    assert cbor.canonicalise(again) == again
    assert len(again) <= max(9, 9 * len(block))


@given(values, st.integers(1, 40))
def test_cut_short(value, count):
    block = encode(value)
    with pytest.raises(InvalidBlockError):
        cbor.canonicalise(block[:-count])
    with pytest.raises(InvalidBlockError):
        cbor.decode(block[:-count])


def test_bytes_that_look_like_a_link_stay_bytes():
    looks = cbor.byte_string(LINK)
    assert libipld.encode_dag_cbor(LINK) == cbor.link(LINK), "libipld guesses; that is why it does not write"
    assert cbor.canonicalise(looks) == looks
    assert cbor.canonicalise(cbor.link(LINK)) == cbor.link(LINK)


@pytest.mark.parametrize(
    ("loose", "canonical"),
    [
        ("f93e00", "fb3ff8000000000000"),
        ("fa3fc00000", "fb3ff8000000000000"),
        ("f97c00", "fb7ff0000000000000"),
        ("f7", "f6"),
        ("f98000", "fb8000000000000000"),
        ("fb8000000000000000", "fb8000000000000000"),
        ("5f4101ff", "4101"),
        ("7f6161ff", "6161"),
        ("9f01ff", "8101"),
        ("5f" + "4101" * 2 + "ff", "420101"),
        ("1b0000000000000001", "01"),
        ("3b0000000000000000", "20"),
        ("d82a5f4100" + "58240171122000" + "00" * 31 + "ff", "d82a5825000171122000" + "00" * 31),
    ],
)
def test_loose_forms(loose, canonical):
    assert cbor.canonicalise(bytes.fromhex(loose)).hex() == canonical


def test_numbers_that_are_none_are_kept():
    assert math.isnan(struct.unpack(">d", cbor.canonicalise(bytes.fromhex("f97e00"))[1:])[0])
    for odd in ("f97e00", "f97c00", "fb8000000000000000"):
        with pytest.raises(InvalidBlockError):
            cbor.decode(bytes.fromhex(odd))


@pytest.mark.parametrize(
    "block",
    ["", "1b", "18", "a0a0", "ff", "9f", "bf6161", "bf6161ff", "a10102", "a2616101616102", "c249010000000000000000",
     "c11a514b67b0", "d82a4101", "d82a4200ff", "d82a6161", "d9d9f7a0", "62c328", "7f62c328ff", "5f6161ff", "5f5f4101ffff",
     "f818", "f0", "1c", "1f", "3f", "df01ff", "9b7fffffffffffffff", "bb7fffffffffffffff", "5b7fffffffffffffff", "f9", "fb00"],
)  # fmt: skip
def test_blocks_that_are_refused(block):
    with pytest.raises(InvalidBlockError):
        cbor.canonicalise(bytes.fromhex(block))
    with pytest.raises(InvalidBlockError):
        cbor.decode(bytes.fromhex(block))


@pytest.mark.parametrize("depth", [257, 1500, 100_000])
def test_too_deep(depth):
    with pytest.raises(InvalidBlockError):
        cbor._reencode(b"\x81" * depth + b"\x80")
    if depth > 1000:
        with pytest.raises(InvalidBlockError):
            cbor.decode(b"\x81" * depth + b"\x80")


def test_deep_enough():
    block = b"\x81" * 256 + b"\x80"
    assert cbor.canonicalise(block) == cbor._reencode(block) == block


@given(st.binary(max_size=300))
def test_byte_strings(data):
    block = cbor.byte_string(data)
    assert cbor.read_byte_string(block) == data
    with pytest.raises(InvalidBlockError):
        cbor.read_byte_string(block + b"\x00")
    with pytest.raises(InvalidBlockError):
        cbor.read_byte_string(block[:-1])


@pytest.mark.parametrize("block", [b"", b"\xa0", b"\x60", b"\x5f\xff", b"\x41"])
def test_no_byte_strings(block):
    with pytest.raises(InvalidBlockError):
        cbor.read_byte_string(block)


@given(st.integers(0, 7), st.integers(0, 2**64 - 1))
def test_heads_are_as_short_as_can_be(major, number):
    data = cbor.head(major, number)
    assert len(data) == (
        1 if number < 24 else 2 if number < 2**8 else 3 if number < 2**16 else 5 if number < 2**32 else 9
    )
    assert data[0] >> 5 == major
