"""Schemas of collections."""

import json

import pytest

from threadd.db.documents import parse_instance
from threadd.db.errors import InvalidIndexError, InvalidSchemaError, SchemaViolationError
from threadd.db.schemas import Schema

ID = {"_id": {"type": "string"}}
DRAFTS = ["04", "06", "07"]


def schema(**keywords):
    return Schema(json.dumps({"type": "object", "properties": ID, **keywords}).encode())


def referring(draft="07"):
    return Schema(
        json.dumps(
            {
                "$schema": f"http://json-schema.org/draft-{draft}/schema#",
                "$ref": "#/definitions/Dog",
                "definitions": {
                    "Dog": {
                        "type": "object",
                        "required": ["_id", "owner"],
                        "properties": {**ID, "owner": {"$ref": "#/definitions/Person"}, "tags": {"type": "array"}},
                    },
                    "Person": {"type": "object", "properties": {"age": {"type": "integer"}}},
                },
            },
        ).encode(),
    )


@pytest.mark.parametrize("draft", DRAFTS)
def test_references_into_definitions_are_followed(draft):
    dog = referring(draft)
    dog.check(parse_instance(b'{"_id":"a","owner":{"age":1}}'))
    with pytest.raises(SchemaViolationError, match=r"owner.age: .* is not of type .integer. .at /owner/age"):
        dog.check(parse_instance(b'{"_id":"a","owner":{"age":"x"}}'))
    dog.check_index("owner.age")


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize(
    ("number", "allowed"), [("1", True), ("1.0", True), ("1e2", True), ("1.5", False), ("-0", True)]
)
def test_a_number_without_a_fraction_is_an_integer_in_every_draft(draft, number, allowed):
    checked = schema(
        **{"$schema": f"http://json-schema.org/draft-{draft}/schema#"},
        properties={**ID, "n": {"type": "integer"}},
    )
    instance = parse_instance(f'{{"n":{number}}}'.encode())
    if allowed:
        checked.check(instance)
    else:
        with pytest.raises(SchemaViolationError):
            checked.check(instance)


def test_a_missing_field_is_reported_at_the_root_as_the_hub_expects():
    with pytest.raises(SchemaViolationError, match=r"^instance doesn't correspond to schema: \(root\): "):
        schema(required=["name"]).check({"_id": "a"})


def test_the_report_of_a_large_instance_is_short():
    with pytest.raises(SchemaViolationError) as refused:
        schema(properties={**ID, **{f"f{n}": {"type": "integer"} for n in range(100)}}).check(
            {f"f{n}": "x" * 100_000 for n in range(100)},
        )
    assert len(refused.value.text) < 5_000


@pytest.mark.parametrize(
    "keywords",
    [
        {"properties": {**ID, "a": {"multipleOf": 3}}},
        {"properties": {**ID, "a": {"enum": [1, 2]}}},
        {"properties": {**ID, "a": {"pattern": "^x"}}},
        {"properties": {**ID, "a": {"format": "email"}}},
        {"patternProperties": {"^a$": {"type": "null"}}},
        {"dependencies": {"a": ["b"]}},
        {"propertyNames": {"enum": ["_id"]}},
        {"additionalProperties": False},
        {"not": {"required": ["a"]}},
        {"if": {"required": ["a"]}, "then": {"required": ["z"]}},
        {"properties": {**ID, "a": {"contains": {"const": 9}, "type": "array"}}},
        {"maxProperties": 1},
    ],
)
def test_keywords_that_the_reference_drops_are_enforced(keywords):
    with pytest.raises(SchemaViolationError):
        schema(**keywords).check({"_id": "x", "a": "no"} if "multipleOf" not in str(keywords) else {"_id": "x", "a": 4})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not JSON"),
        (b"not json", "not JSON"),
        (b"5", "a schema is a JSON object"),
        (b"true", "a schema is a JSON object"),
        (b'{"type":"objekt"}', "objekt"),
        (b'{"type":5}', "5"),
        (b'{"$ref":"#"}', "_id string property"),
        (b"{}", "_id string property"),
        (b'{"properties":{"_id":{"type":"integer"}}}', "_id string property"),
        (b'{"properties":{"_id":{"type":["string","null"]}}}', "_id string property"),
        (b'{"$ref":"#/definitions/A","definitions":{"A":{"$ref":"#/definitions/A"}}}', "_id string property"),
        (b'{"properties":{"_id":{"type":"string"},"a":{"$ref":"http://127.0.0.1:1/y"}}}', "http://127.0.0.1:1/y"),
        (b'{"properties":{"_id":{"type":"string"},"a":{"$ref":"file:///etc/passwd"}}}', "file:///etc/passwd"),
        (b'{"properties":{"_id":{"type":"string"},"a":{"$ref":"#/definitions/Z"}}}', "/definitions/Z"),
        (b'{"properties":{"_id":{"type":"string"},"a":{"pattern":"["}}}', "regex"),
        (b'{"$schema":"http://127.0.0.1/own","properties":{"_id":{"type":"string"}}}', "Unknown meta-schema"),
        (b'{"properties":' + b'{"a":{"properties":' * 150 + b"{}" + b"}}" * 150 + b"}", "Recursion limit"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "deeper than 200"),
    ],
)
def test_what_is_no_schema_is_refused_at_once(text, reason):
    with pytest.raises(InvalidSchemaError, match=reason):
        Schema(text)


def test_a_schema_that_refers_to_itself_ends():
    endless = schema(allOf=[{"$ref": "#"}], properties={**ID, "child": {"$ref": "#"}})
    endless.check({"child": {"child": {"_id": "x"}}})
    with pytest.raises(SchemaViolationError):
        endless.check({"child": {"child": {"_id": 5}}})


def test_two_schemas_of_one_id_do_not_know_each_other():
    one = schema(**{"$id": "http://example.com/p"}, required=["a"])
    other = schema(**{"$id": "http://example.com/p"}, required=["b"])
    one.check({"a": 1})
    other.check({"b": 1})
    with pytest.raises(SchemaViolationError):
        one.check({"b": 1})


@pytest.mark.parametrize(
    ("path", "reason"),
    [("_id", "_id"), ("nope", "nope"), ("owner", "object"), ("tags", "array"), ("owner.nope", "nope"), ("", "path")],
)
def test_an_index_needs_a_path_to_a_plain_value(path, reason):
    with pytest.raises(InvalidIndexError, match=reason):
        referring().check_index(path)


def test_a_path_of_several_types_cannot_be_indexed():
    schema = Schema(b'{"properties":{"_id":{"type":"string"},"v":{"type":["string","null"]}}}')
    with pytest.raises(InvalidIndexError, match="not indexable"):
        schema.check_index("v")
