"""Fields are found by their names, whatever those are made of, as a reader of the whole document finds them."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from threadd.db import documents, fields
from threadd.db.fields import Path, decoder_of, order_bytes, sort_key, value_at

NAMES_BEYOND_ASCII = [
    *("größe", "prénom", "имя", "名前", "é", "ÿ", "ñandú", "ціна", "τιμή", "שם", "اسم", "नाम", "이름", "ім'я"),
    *("\u00e9", "e\u0301", "\u212b", "\u00c5", "\U0001f600", "\U0010ffff", "\ufffd", "\u2028", "a\u0000é", 'é"\\/é'),
]

any_name = (
    st.text()
    | st.text(st.characters(codec="utf-8", min_codepoint=0x80))
    | st.sampled_from(["", ".", "a.é", "a", "_id", "x" * 5_000, "é" * 5_000, "\u0000", '"', "\\", *NAMES_BEYOND_ASCII])
)
any_number = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
any_value = st.recursive(
    st.none() | st.booleans() | any_number | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_name, inner, max_size=3),
    max_leaves=5,
)


def read_as_whole(text: bytes, names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in documents.parse(text).items() if name in names}


def same(found: Any, expected: Any) -> bool:
    return documents.to_comparable_bytes(found) == documents.to_comparable_bytes(expected)


def fields_of(text: bytes, names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in decoder_of(names)(text).items() if name in names}


@pytest.mark.parametrize("name", NAMES_BEYOND_ASCII)
def test_a_field_is_read_by_its_name(name: str) -> None:
    # A name that comes from a client is a string of its own, which nothing has encoded.
    fresh = json.loads(json.dumps(name))
    assert decoder_of(frozenset({fresh}))(documents.to_bytes({"": 3, name: 1})) == {name: 1}


@given(st.dictionaries(any_name, any_value, max_size=6), st.frozensets(any_name, max_size=5), st.data())
def test_reading_some_fields_gives_what_reading_all_gives(
    document: dict[str, Any], others: frozenset[str], data: st.DataObject
) -> None:
    names = others | data.draw(st.frozensets(st.sampled_from(sorted(document)))) if document else others
    text = documents.to_bytes(document)
    assert same(fields_of(text, names), read_as_whole(text, names))


@given(st.lists(st.tuples(any_name, any_number), min_size=1, max_size=6))
@example([("é", 1), ("é", 2)])
@example([("e\u0301", 1), ("\u00e9", 2)])
def test_names_may_be_escaped_or_come_twice(members: list[tuple[str, float]]) -> None:
    names = frozenset(name for name, _ in members)
    for escaped in (True, False):
        text = ",".join(f"{json.dumps(name, ensure_ascii=escaped)}:{json.dumps(value)}" for name, value in members)
        data = f"{{{text}}}".encode()
        assert same(fields_of(data, names), read_as_whole(data, names))


@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=4))
@example(["\ud800", "a"])
@example(["\udfff\ud800"])
def test_lone_surrogates_in_what_clients_send_are_read_as_they_are_kept(names: list[str]) -> None:
    kept = documents.to_bytes(documents.parse(json.dumps(dict.fromkeys(names, 1)).encode()))
    every = frozenset(documents.parse(kept)) | frozenset(names)
    assert same(fields_of(kept, every), read_as_whole(kept, every))


@given(any_value, st.lists(any_name, min_size=1, max_size=3).map(tuple))
def test_a_value_has_one_place_in_the_order_by_whichever_reader(value: Any, path: Path) -> None:
    document: Any = value
    for name in reversed(path):
        document = {name: document}
    text = documents.to_bytes(document)
    fast, whole = decoder_of(frozenset(path[:1]))(text), documents.parse(text)
    assert sort_key(fast, path) == sort_key(whole, path)
    assert order_bytes(sort_key(fast, path)) == order_bytes(sort_key(whole, path))


@pytest.mark.parametrize("written", ["1.50", "1e3", "-0", "-0.0", "[1.50]", "[1e3,-0]", '{"é":[-0.0,1E2]}', "1" * 309])
def test_how_a_number_is_written_decides_nothing(written: str) -> None:
    text = f'{{"é":{written}}}'.encode()
    assert sort_key(decoder_of(frozenset({"é"}))(text), ("é",)) == sort_key(documents.parse(text), ("é",))


def test_a_missing_field_is_told_from_null() -> None:
    decode = decoder_of(frozenset({"größe", "имя"}))
    assert decode('{"größe":null}'.encode()) == {"größe": None}
    assert sort_key(decode('{"größe":null}'.encode()), ("größe",)) > sort_key(decode(b"{}"), ("größe",))


@pytest.mark.parametrize("names", [[f"é{number}" for number in range(5_000)], ["é" * 100_000, "b"]])
def test_no_decoder_is_made_for_many_names_or_long_ones(names: list[str]) -> None:
    before = fields._decoder_of.cache_info().misses
    document = decoder_of(frozenset(names))(documents.to_bytes(dict.fromkeys(names, 1)))
    assert all(value_at(document, (name,)) == 1 for name in names)
    assert fields._decoder_of.cache_info().misses == before
