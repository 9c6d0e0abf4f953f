"""What the keywords of one JSON Schema cost by themselves, without the schemas that it applies.

All costs are in nanoseconds, for the worst case that was measured rather than the usual one.
"""

import re
from dataclasses import dataclass, fields, replace
from typing import Any

from threadd.db.documents import is_number

APPLY = 50.0
LOOK_UP = 30.0
COMPARE = 250.0
HASH = 300.0
HASH_EXACTLY = 5_000.0
TOO_MUCH = 1e15
"""What costs more is counted as this."""

ALTERNATIVES = ("anyOf", "oneOf")

_NODE_COMPILE = 10_000.0
_PATTERN_COMPILE = 30_000.0
_STATE_COMPILE = 500.0
_WIDE_STATE_COMPILE = 15_000.0
_PROPERTY_STATE_COMPILE = 500_000.0
_COMPARE_DEEP = 2_500.0
_COMPARE_EXACTLY = 100_000.0
_BOUND = 50.0
_BOUND_FRACTION = 1_000.0
_BOUND_EXACTLY = 7_500.0
_DIVIDE = 250.0
_DIVIDE_FRACTION = 4_000.0
_DIVIDE_EXACTLY = 90_000.0
_TYPE_EXACTLY = 2_500.0
_COLLISION = 10.0
_MATCH_BYTE = 15.0
_FORMAT_BYTE = 100.0
_LENGTH_BYTE = 2.0
_LIST = 500.0
_COPY_VALUE = 400.0
_COPY_CHARACTER = 10.0

_UNKNOWN = frozenset(
    {"$dynamicRef", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems", "$anchor", "$dynamicAnchor"}
)
_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_ASSERTIONS = (
    *("type", "enum", "const", "not", "multipleOf", *_BOUNDS),
    *("maxLength", "minLength", "pattern", "format", "contentEncoding", "contentMediaType"),
    *("maxItems", "minItems", "uniqueItems", "contains", "maxProperties", "minProperties", "propertyNames"),
)
_NAMES = ("required", "dependencies", "dependentRequired", "dependentSchemas")
_READERS = frozenset({"format", "contentEncoding", "contentMediaType"})
_LENGTHS = frozenset({"minLength", "maxLength"})

_MOST_INTEGER = 2**53
_LEAST_FRACTION = 1e-6
_LEAST_DIVISOR = 1e-15

_ESCAPE = re.compile(r"\\.", re.DOTALL)
_CLASS = re.compile(r"\[[^\[\]]*\]")
_WIDE = re.compile(r"\.|\[\^|\\[sSWD]|[^\0-\x7f]")
_PROPERTY = re.compile(r"\\[pP](?:\{[^{}]*\})?")
_REPEAT = re.compile(r"(\)?)\{(\d+)(?:,(\d*))?\}")


class UncountedError(Exception):
    """The cost of a schema is not counted."""


@dataclass(slots=True)
class Cost:
    """Of one schema at one place.

    Args:
        value: Each value.
        number: Each value in addition, where the document has numbers that are not plain doubles.
        collision: The same, each value times each byte.
        object: Each object in addition.
        byte: Each byte of text that a pattern or a format may read.
        listed: Walking it for a report, each value.
        faults: How many violations it may report.
    """

    value: float = 0.0
    number: float = 0.0
    collision: float = 0.0
    object: float = 0.0
    byte: float = 0.0
    listed: float = 0.0
    faults: float = 0.0

    def add(self, other: "Cost") -> None:
        """Count another beside it."""
        for name in _PARTS:
            setattr(self, name, min(getattr(self, name) + getattr(other, name), TOO_MUCH))

    def widen(self, other: "Cost") -> None:
        """Count another instead of it where that is more."""
        for name in _PARTS:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))

    def unlisted(self) -> "Cost":
        """Without what a report costs."""
        return replace(self, listed=0.0, faults=0.0)


_PARTS = tuple(part.name for part in fields(Cost))


def weigh(schema: dict[str, Any], copies: dict[int, float]) -> Cost:
    """What the keywords of a schema cost.

    Args:
        schema: The schema.
        copies: What it costs to quote parts of it, by their IDs; it is added to.

    Raises:
        UncountedError: It has keywords whose cost is unknown.
    """
    if not _UNKNOWN.isdisjoint(schema) or schema.get("format") == "regex":  # that compiles a text of the document
        raise UncountedError
    cost = Cost(value=APPLY, listed=_LIST)
    cost.faults = float(sum(name in schema for name in _ASSERTIONS) + 2 * sum(name in schema for name in ALTERNATIVES))
    _add_names(schema, cost)
    _add_numbers(schema, cost)
    _add_texts(schema, cost)
    cost.value += sum(map(_comparison, _options(schema)))
    cost.listed += sum(_copy(schema[name], copies) for name in ("enum", "const", "not") if name in schema)
    cost.listed += 2 * sum(_copy(schema[name], copies) for name in ALTERNATIVES if name in schema)
    return cost


def compiling(schema: dict[str, Any], children: int) -> float:
    """What it costs to compile a schema.

    Args:
        schema: The schema.
        children: How many others it applies, which count by themselves.
    """
    return _NODE_COMPILE * (1 + children) + sum(map(_compiling_pattern, _patterns(schema)))


def _add_names(schema: dict[str, Any], cost: Cost) -> None:
    for keyword in _NAMES:
        entries = schema.get(keyword)
        if isinstance(entries, list | dict):
            lists = entries.values() if isinstance(entries, dict) else ()
            names = len(entries) + sum(len(each) for each in lists if isinstance(each, list))
            cost.object += LOOK_UP * names
            cost.faults += names
    properties = schema.get("properties")
    if isinstance(properties, dict):
        cost.object += LOOK_UP * len(properties)


def _add_numbers(schema: dict[str, Any], cost: Cost) -> None:
    for bound in [schema[name] for name in _BOUNDS if name in schema]:
        cost.value += _BOUND if _is_plain_integer(bound) else _BOUND_FRACTION
        cost.number += _BOUND_EXACTLY
    if "multipleOf" in schema:
        divisor = schema["multipleOf"]
        is_usual = is_number(divisor) and divisor >= _LEAST_DIVISOR
        fraction = _DIVIDE_FRACTION if is_usual else _DIVIDE_EXACTLY
        cost.value += _DIVIDE if _is_plain_integer(divisor) else fraction
        cost.number += _DIVIDE_EXACTLY
    if "type" in schema:
        cost.number += _TYPE_EXACTLY
    if schema.get("uniqueItems"):
        cost.value += HASH
        cost.number += HASH_EXACTLY
        cost.collision += _COLLISION


def _add_texts(schema: dict[str, Any], cost: Cost) -> None:
    for pattern in _patterns(schema):
        cost.value += LOOK_UP
        cost.byte += _states(pattern) * _MATCH_BYTE
    if not _READERS.isdisjoint(schema):
        cost.byte += _FORMAT_BYTE
    if not _LENGTHS.isdisjoint(schema):
        cost.byte += _LENGTH_BYTE


def _patterns(schema: dict[str, Any]) -> list[str]:
    pattern, by_pattern = schema.get("pattern"), schema.get("patternProperties")
    return [*([pattern] if isinstance(pattern, str) else ()), *(by_pattern if isinstance(by_pattern, dict) else ())]


def _compiling_pattern(pattern: str) -> float:
    """What it costs to compile a pattern: as if all states were of its costliest set of characters."""
    state = max([_STATE_COMPILE, *(_STATE_COMPILE * len(each) for each in _CLASS.findall(pattern))])
    if _WIDE.search(pattern):
        state = max(state, _WIDE_STATE_COMPILE)
    if _PROPERTY.search(pattern):
        state = max(state, _PROPERTY_STATE_COMPILE)
    return _PATTERN_COMPILE + _states(pattern) * state


def _states(pattern: str) -> float:
    """How many states a matcher of a pattern has at most, roughly: repeated groups multiply, other repeats add up."""
    plain = _CLASS.sub("x", _ESCAPE.sub("x", _PROPERTY.sub("x", pattern)))
    states, times = float(len(plain)), 1.0
    for repeat in _REPEAT.finditer(plain):
        closes, least, most = repeat.groups()
        count = min(float(most or least), TOO_MUCH)
        if closes:
            times = min(times * max(count, 1.0), TOO_MUCH)
        else:
            states += count
    return min(states * times, TOO_MUCH)


def _options(schema: dict[str, Any]) -> list[Any]:
    options = schema.get("enum")
    return [*(options if isinstance(options, list) else ()), *([schema["const"]] if "const" in schema else ())]


def _comparison(option: Any) -> float:
    """What it can cost to compare a value with an option."""
    if isinstance(option, dict | list):
        return _COMPARE_DEEP + sum(map(_comparison, option.values() if isinstance(option, dict) else option))
    if not is_number(option) or _is_plain_integer(option):
        return COMPARE
    return _COMPARE_DEEP if _LEAST_FRACTION <= abs(option) <= _MOST_INTEGER else _COMPARE_EXACTLY


def _is_plain_integer(number: Any) -> bool:
    """Whether it is an integer of at most 53 bits: a double holds each of them exactly."""
    return isinstance(number, int) and abs(number) < _MOST_INTEGER


def _copy(value: Any, copies: dict[int, float]) -> float:
    """What it costs to quote a part of a schema in a report."""
    if not isinstance(value, dict | list):
        return _COPY_VALUE + (_COPY_CHARACTER * len(value) if isinstance(value, str) else 0.0)
    known = copies.get(id(value))
    if known is None:
        items = value.values() if isinstance(value, dict) else value
        known = copies[id(value)] = _COPY_VALUE * (1 + len(value)) + sum(_copy(item, copies) for item in items)
    return known
