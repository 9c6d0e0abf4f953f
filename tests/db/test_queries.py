"""Queries as the wire has them."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threadd.db.documents import Literal, parse
from threadd.db.errors import InvalidQueryError
from threadd.db.fields import order_bytes, sort_key
from threadd.db.queries import MAX_QUERY_DEPTH, MAX_QUERY_OBJECTS, Query, parse_query

EQ, NE, GT, LT, GE, LE = range(6)
ROWS = [{"_id": "1", "v": 1}, {"_id": "2", "v": "a"}, {"_id": "3", "v": None}, {"_id": "4", "v": [1]}, {"_id": "5"}]


def where(path, operation, **value):
    return {"fieldPath": path, "operation": operation, "value": value}


def ids(query, rows=ROWS):
    parsed = parse_query(json.dumps(query).encode())
    return [row["_id"] for row in rows if parsed.matches(row)]


@pytest.mark.parametrize("text", [b"{}", b"null", b'{"ands":null,"ors":[],"sort":null}'])
def test_a_query_without_conditions_asks_for_everything(text):
    assert parse_query(text).matches({})
    assert parse_query(text) == Query()


@pytest.mark.parametrize(
    ("operation", "expected"),
    [(EQ, "3"), (NE, "12"), (GT, ""), (LT, "12"), (GE, "3"), (LE, "123")],
)
@pytest.mark.parametrize("kind", ["string", "float"])
def test_every_operation_compares_numbers_and_strings(operation, expected, kind):
    rows = [{"_id": str(n), "v": n if kind == "float" else str(n)} for n in (1, 2, 3)]
    assert "".join(ids({"ands": [where("v", operation, **{kind: rows[2]["v"]})]}, rows)) == expected


@pytest.mark.parametrize(
    ("operation", "value", "expected"),
    [(EQ, True, "t"), (NE, True, "f"), (GT, False, "t"), (LT, True, "f"), (GE, False, "ft"), (LE, False, "f")],
)
def test_false_is_less_than_true(operation, value, expected):
    rows = [{"_id": "f", "v": False}, {"_id": "t", "v": True}]
    assert "".join(ids({"ands": [where("v", operation, bool=value)]}, rows)) == expected


@pytest.mark.parametrize("operation", range(6))
@pytest.mark.parametrize("value", [{"float": 1}, {"string": "a"}, {"bool": True}])
def test_a_missing_field_or_another_type_is_no_match(operation, value):
    matched = ids({"ands": [where("v", operation, **value)]})
    assert set(matched) <= {"1" if "float" in value else "2" if "string" in value else ""}


def test_a_query_with_only_ors_matches_what_one_of_them_matches():
    assert ids({"ors": [{"ands": [where("v", EQ, float=1)]}, {"ands": [where("v", EQ, string="a")]}]}) == ["1", "2"]


def test_ands_or_one_of_the_ors():
    query = {
        "ands": [where("v", EQ, float=1), where("_id", EQ, string="9")],
        "ors": [{"ors": [{"ands": [where("_id", EQ, string="5")]}]}],
    }
    assert ids(query) == ["5"]


def test_an_empty_alternative_matches_everything():
    assert len(ids({"ors": [{}]})) == len(ROWS)


def test_keys_of_any_case_are_understood():
    query = {"Ands": [{"FieldPath": "v", "Operation": GE, "Value": {"Float": 1, "String": None}}], "LIMIT": 3}
    assert ids(query) == ["1"]
    assert parse_query(json.dumps(query).encode()).limit == 3


def test_paths_go_through_objects_only():
    rows = [{"_id": "1", "a": {"b": {"c": 1}}}, {"_id": "2", "a": [{"b": {"c": 1}}]}, {"_id": "3", "a.b.c": 1}]
    assert ids({"ands": [where("a.b.c", EQ, float=1)]}, rows) == ["1"]


def test_numbers_compare_as_doubles_however_they_are_written():
    rows = [
        {"_id": n, "v": parse(n.encode())}
        for n in ("1000", "1e3", "1000.0", "9007199254740993", "1" + "0" * 400)
        if len(n) < 300
    ]
    assert ids({"ands": [where("v", EQ, float=1000)]}, rows) == ["1000", "1e3", "1000.0"]
    assert ids({"ands": [where("v", EQ, float=9007199254740992)]}, rows) == ["9007199254740993"]


@pytest.mark.parametrize(
    "query",
    [
        [],
        5,
        {"ands": {}},
        {"ands": [None]},
        {"ands": [{}]},
        {"ands": [{"fieldPath": "a", "operation": 99, "value": {"float": 1}}]},
        {"ands": [{"fieldPath": "a", "operation": -1, "value": {"float": 1}}]},
        {"ands": [{"fieldPath": "a", "operation": 0.5, "value": {"float": 1}}]},
        {"ands": [{"fieldPath": "a", "operation": True, "value": {"float": 1}}]},
        {"ands": [{"fieldPath": 5, "value": {"float": 1}}]},
        {"ands": [{"fieldPath": "a", "value": {}}]},
        {"ands": [{"fieldPath": "a"}]},
        {"ands": [{"fieldPath": "a", "value": {"float": 1, "string": "x"}}]},
        {"ands": [{"fieldPath": "a", "value": {"float": "1"}}]},
        {"ands": [{"fieldPath": "a", "value": {"float": True}}]},
        {"ands": [{"fieldPath": "a", "value": {"bool": 1}}]},
        {"ands": [{"fieldPath": "a", "value": {"string": 1}}]},
        {"ands": [{"fieldPath": "a", "value": []}]},
        {"ors": [None]},
        {"ors": [{"ors": [{"ands": [{"fieldPath": "a", "operation": 7, "value": {"float": 1}}]}]}]},
        {"sort": "name"},
        {"sort": {"fieldPath": 1}},
        {"sort": {"fieldPath": "a", "desc": "yes"}},
        {"limit": "1"},
        {"limit": 1.5},
        {"skip": []},
        {"seek": 5},
        {"index": {}},
    ],
    ids=json.dumps,
)
def test_what_is_no_query_is_refused(query):
    with pytest.raises(InvalidQueryError, match=r"^invalid query: "):
        parse_query(json.dumps(query).encode())


@pytest.mark.parametrize("most", [1, 32, MAX_QUERY_DEPTH])
def test_alternatives_nest_only_so_deep(most):
    def nested(depth):
        return b'{"ors":[' * depth + b"{}" + b"]}" * depth

    assert parse_query(nested(most), most).matches({})
    with pytest.raises(InvalidQueryError, match=f"ors nest deeper than {most} levels"):
        parse_query(nested(most + 1), most)
    # Deeper yet, it is the text that is refused.
    with pytest.raises(InvalidQueryError, match="deeper"):
        parse_query(nested(2_000), most)


def test_a_query_has_only_so_many_conditions():
    def alternatives(number):
        condition = {"fieldPath": "f", "operation": 0, "value": {"float": 1}}
        return json.dumps({"ors": [{"ands": [condition]}] * number}).encode()

    most = MAX_QUERY_OBJECTS // 3
    assert parse_query(alternatives(most)).conditions == most
    with pytest.raises(InvalidQueryError, match="thousands of conditions"):
        parse_query(alternatives(most + 1))


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_refused(text):
    with pytest.raises(InvalidQueryError):
        parse_query(text)


def test_limits_below_zero_are_none():
    assert parse_query(b'{"limit":-1,"skip":-5}') == Query()


def test_the_order_of_mixed_values_is_total():
    ordered = [
        {},
        {"v": None},
        {"v": False},
        {"v": True},
        {"v": -5},
        {"v": Literal("2.5", 2.5)},
        {"v": 3},
        {"v": ""},
        {"v": "Z"},
        {"v": "a"},
        {"v": "é"},
        {"v": [1]},
        {"v": [2]},
        {"v": {"a": 1}},
    ]
    assert sorted([*ordered[7:], *ordered[:7]], key=lambda row: sort_key(row, ("v",))) == ordered
    assert sorted([*ordered[7:], *ordered[:7]], key=lambda row: order_bytes(sort_key(row, ("v",)))) == ordered


@given(st.binary())
def test_any_bytes_are_a_query_or_refused(data):
    with contextlib.suppress(InvalidQueryError):
        parse_query(data)
