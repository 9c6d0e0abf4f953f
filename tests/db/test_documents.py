"""The text of instances."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threadd.db import documents
from threadd.db.documents import Literal, apply_merge_patch, merge_patch, parse, parse_instance, to_bytes
from threadd.db.errors import InvalidInstanceError

scalars = st.none() | st.booleans() | st.integers() | st.text()
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Literal(repr(number), number)),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(st.text(), values, max_size=5)


def without_nulls_in_objects(value):
    if isinstance(value, dict):
        return {key: without_nulls_in_objects(item) for key, item in value.items() if item is not None}
    return value


@given(values)
def test_what_is_written_is_read_again_unchanged(value):
    assert parse(to_bytes(value)) == value


@given(values)
def test_the_text_is_the_same_value_for_any_json_reader(value):
    assert json.loads(to_bytes(value)) == json.loads(json.dumps(documents.native(value)))


@pytest.mark.parametrize(
    "number",
    ["0", "-0", "1e3", "1E+3", "1.50", "0.1", "-12.0e-7", "123456789012345678901234567890", "18446744073709551616"],
)
def test_a_number_is_written_as_it_was_read(number):
    assert to_bytes(parse(f'{{"n":{number}}}'.encode())) == f'{{"n":{number}}}'.encode()


def test_keys_are_sorted_and_html_characters_escaped():
    text = '{ "b" : "<&>\u2028\u2029", "a" : [ 1.0, {"z":null} ] }'
    assert to_bytes(parse(text.encode())) == rb'{"a":[1.0,{"z":null}],"b":"\u003c\u0026\u003e\u2028\u2029"}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"null", "not null"),
        (b"[]", "not an array"),
        (b"5", "not a number"),
        (b'"x"', "not a string"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"a":NaN}', "NaN is not a JSON value"),
        (b'{"a":-Infinity}', "-Infinity is not a JSON value"),
        (b'{"a":1e999}', "out of range"),
        (b'{"a":' + b"9" * 5000 + b"}", "out of range"),
        (b'{"_id":5}', "_id is a string, not a number"),
        (b'{"_id":true}', "_id is a string, not a boolean"),
        (b'{"_id":{}}', "_id is a string, not an object"),
        (b'{"_id":"' + b"x" * 401 + b'"}', "401 bytes"),
        (b'{"_id":"' + "é".encode() * 201 + b'"}', "402 bytes"),
        (b'{"_id":"' + rb"\u0000" * 201 + b'"}', "402 bytes"),
        (b'{"a":' * 201 + b"1" + b"}" * 201, "deeper than 200"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deeper than 200"),
    ],
)
def test_what_is_no_instance_is_refused_with_the_reason(text, reason):
    with pytest.raises(InvalidInstanceError, match=reason):
        parse_instance(text)


@pytest.mark.parametrize("instance_id", ["x" * 400, "é" * 200, "a/b", "\u0000", "../x", "null", " "])
def test_an_id_is_an_opaque_string(instance_id):
    assert parse_instance(json.dumps({"_id": instance_id}).encode())["_id"] == instance_id


def test_the_modification_time_of_the_client_is_dropped():
    assert parse_instance(b'{"_id":"a","_mod":5,"x":{"_mod":6}}') == {"_id": "a", "x": {"_mod": 6}}


def test_a_lone_surrogate_becomes_the_replacement_character_and_a_pair_stays():
    assert parse(rb'{"a":"\ud800x","b":"\ud83d\ude00","\udfff":1.0}') == {
        "a": "\ufffdx",
        "b": "\U0001f600",
        "\ufffd": Literal("1.0", 1.0),
    }


@given(objects, objects)
def test_a_patch_turns_the_one_into_the_other_but_for_nulls(before, after):
    before = without_nulls_in_objects(before)
    patched = apply_merge_patch(before, merge_patch(before, after))
    assert without_nulls_in_objects(patched) == without_nulls_in_objects(after)


@given(objects)
def test_between_equal_objects_there_is_no_patch(value):
    assert merge_patch(value, parse(to_bytes(value))) == {}


def test_true_and_one_are_different_values():
    assert merge_patch({"a": 1, "b": [True]}, {"a": True, "b": [1]}) == {"a": True, "b": [1]}


@given(objects, values)
def test_a_patch_changes_neither_of_its_inputs(target, patch):
    copies = parse(to_bytes(target)), parse(to_bytes(patch))
    apply_merge_patch(target, patch)
    assert (target, patch) == copies


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_do_what_the_examples_of_rfc_7386_show(target, patch, result):
    assert apply_merge_patch(target, patch) == result
