"""Schemas and documents whose cost a caller can choose, each as text: for tests of what that does to the others."""

import json
import time
from contextlib import contextmanager

LOOP_SECONDS = 0.2
"""The CPU time that the event loop may take for what takes a worker a second or more, or would take for ever."""

ID = {"_id": {"type": "string"}}


def text(**keywords):
    return json.dumps({"type": "object", "properties": ID, **keywords}).encode()


def doc(**fields):
    return json.dumps({"_id": "a", **fields}).encode()


@contextmanager
def loop_stays_free():
    """What the body does takes little CPU time of the event loop's thread."""
    before = time.thread_time()
    yield
    assert time.thread_time() - before < LOOP_SECONDS


def rich_text():
    """Paragraphs, quotes and lists, as an editor keeps them."""
    content = {"type": "array", "items": {"$ref": "#/definitions/block"}}
    kinds = {"paragraph": {"text": {"type": "string"}}, "quote": {"content": content}, "list": {"content": content}}
    block = {
        "oneOf": [
            {"type": "object", "required": ["type", *rest], "properties": {"type": {"const": kind}, **rest}}
            for kind, rest in kinds.items()
        ]
    }
    return text(properties={**ID, "body": {"$ref": "#/definitions/block"}}, definitions={"block": block})


def nested_text(levels, leaf="text"):
    block = {"type": "paragraph", "text": leaf}
    for level in range(levels):
        block = {"type": "quote" if level % 2 else "list", "content": [block]}
    return doc(body=block)


def doubling(levels, **last):
    """Each definition refers to the next one twice: there are 2^levels paths."""
    definitions = {f"a{n}": {"allOf": [{"$ref": f"#/definitions/a{n + 1}"}] * 2} for n in range(levels)}
    return text(
        definitions={**definitions, f"a{levels}": {"type": "object", **last}}, allOf=[{"$ref": "#/definitions/a0"}]
    )


def many_constants():
    return text(properties={**ID, "x": {"items": {"anyOf": [{"const": n} for n in range(2_000)]}}})


def deep_choice(keyword):
    """Every level has two ways to the next one, and none of them says which is meant."""
    ways = [
        {"properties": {"next": {"$ref": "#/definitions/a"}}},
        {"properties": {"next": {"$ref": "#/definitions/a"}}},
    ]
    return text(
        properties={**ID, "x": {"$ref": "#/definitions/a"}}, definitions={"a": {keyword: ways, "type": "object"}}
    )


def nested(levels, leaf):
    value = leaf
    for _ in range(levels):
        value = {"next": value}
    return doc(x=value)


def items(**rule):
    return text(properties={**ID, "x": {"items": rule}})


UNIQUE = text(properties={**ID, "x": {"uniqueItems": True}})

NUMBERS = {
    "unique fractions": (UNIQUE, [number + 0.5 for number in range(4_000)]),
    "unique integers of one double": (UNIQUE, [10**100 + number for number in range(1_500)]),
    "unique objects with such": (UNIQUE, [{"a": [10**100 + number]} for number in range(1_500)]),
    "multiples of very little": (items(multipleOf=1e-300), [0.1] * 16_000),
    "multiples of a fraction": (items(multipleOf=0.01), [10**300] * 16_000),
    "multiples of an integer": (items(multipleOf=1), [1e300] * 16_000),
    "large integers above a fraction": (items(minimum=0.5), [10**300] * 16_000),
    "large integers below another": (items(maximum=10**308), [10**300] * 16_000),
    "one of some large ones": (items(enum=[10**300 + number for number in range(20)]), [10**300 + 19] * 16_000),
    "a very small one": (items(const=5e-324), [5e-324] * 16_000),
}
"""A schema, and a value at `x` of a document, whose numbers it takes far longer to compare than others."""


def behind_a_name(keyword, **keywords):
    """A reference leads through a schema with a URI of its own, within which the same references mean others."""
    inner = json.loads(doubling(20))["definitions"]
    return text(
        properties={**ID, "x": {"$ref": "#/definitions/named/definitions/a0"}},
        definitions={"a1": {}, "named": {keyword: "http://named/", "definitions": inner}},
        **keywords,
    )


TOO_COSTLY = {
    "references twice over": (doubling(60), doc()),
    "2000 constants and 20000 items": (many_constants(), doc(x=[1_999] * 20_000)),
}
"""A schema and a document that it would take far too long to check."""

TOO_COSTLY_TO_COMPILE = {
    "patterns that repeat repeats": text(
        patternProperties={rf"^x{number}(\w{{100}}){{100}}": {} for number in range(12_000)}
    ),
    "patterns of sets of characters": text(
        patternProperties={rf"^x{number}[\p{{L}}\p{{N}}]{{200}}": {} for number in range(30)}
    ),
    "a chain of references": text(
        definitions={f"a{n}": {"$ref": f"#/definitions/a{n + 1}"} for n in range(20_000)} | {"a20000": {}},
        allOf=[{"$ref": "#/definitions/a0"}],
    ),
}
"""Schemas that take long to compile, or end whoever compiles them."""

WRONG_AND_DEEP = {
    "rich text": (rich_text(), nested_text(14, leaf=5)),
    "any of two": (deep_choice("anyOf"), nested(30, 5)),
    "one of two": (deep_choice("oneOf"), nested(30, 5)),
    "all of two": (deep_choice("allOf"), nested(30, 5)),
}
"""A schema and a document that it does not allow, which is told at once, and described in exponential time."""
