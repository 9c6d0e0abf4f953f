"""What a JSON Schema can cost at most, told before it is compiled; what is not bounded is left to a worker.

The validator remembers its verdict for each pair of a recursive reference and a value, but walks all other paths
through `$ref`, `allOf` and the like as often as there are: a schema of 5 kB can have 2^60 of them. A report of
violations remembers nothing. So for each of the two it is counted how many schemas apply along the costliest path
through a document; references back into a schema under way are counted beside, each once. That, times the number of
values, bounds the work. What cannot be counted is unbounded.

All costs are nanoseconds, for the worst that was measured, not for what is usual.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from threadd.db.documents import MAX_DEPTH

MAX_TEXT_BYTES = 16 * 1024
"""The largest schema that is read on the event loop at all."""

MAX_NODES = 400
"""How many schemas within a schema are counted."""

COMPILE_NANOSECONDS = 5e6
CHECK_NANOSECONDS = 5e6
REPORT_NANOSECONDS = 10e6

_NODE_COMPILE = 10_000.0
_PATTERN_COMPILE = 30_000.0
_STATE_COMPILE = 500.0
_APPLY = 50.0
_COMPARE_PLAIN = 250.0
_COMPARE_DEEP = 2_500.0
_HASH = 300.0
_LOOK_UP = 30.0
_MATCH_BYTE = 15.0
_FORMAT_BYTE = 100.0
_LENGTH_BYTE = 2.0
_LIST = 500.0
_FAULT = 8_000.0
_QUOTE_BYTE = 75.0
_COPY_VALUE = 400.0
_COPY_CHARACTER = 10.0
_TOO_MUCH = 1e15

_UNCOUNTED = frozenset(
    {"$dynamicRef", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems", "$anchor", "$dynamicAnchor"}
)
_ASSERTIONS = (
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "format",
    "maxItems",
    "minItems",
    "uniqueItems",
    "contains",
    "maxProperties",
    "minProperties",
    "propertyNames",
    "contentEncoding",
    "contentMediaType",
    "not",
)
ALTERNATIVES = ("anyOf", "oneOf")

_ESCAPE = re.compile(r"\\.", re.DOTALL)
_CLASS = re.compile(r"\[[^\[\]]*\]")
_REPEAT = re.compile(r"(\)?)\{(\d+)(?:,(\d*))?\}")


@dataclass(slots=True)
class _Cost:
    """Of one schema at one place.

    Args:
        value: Each value.
        object: The same, each object.
        byte: Each byte of text that a pattern or a format may read.
        listed: Walking it for a report, each value.
        faults: How many violations it may report.
        back: How many references lead back, for a report.
    """

    value: float = 0.0
    object: float = 0.0
    byte: float = 0.0
    listed: float = 0.0
    faults: float = 0.0
    back: float = 0.0

    def add(self, other: "_Cost") -> None:
        self.value = min(self.value + other.value, _TOO_MUCH)
        self.object = min(self.object + other.object, _TOO_MUCH)
        self.byte = min(self.byte + other.byte, _TOO_MUCH)
        self.listed = min(self.listed + other.listed, _TOO_MUCH)
        self.faults = min(self.faults + other.faults, _TOO_MUCH)
        self.back = min(self.back + other.back, _TOO_MUCH)

    def unlisted(self) -> "_Cost":
        """Without what a report costs."""
        return _Cost(self.value, self.object, self.byte)

    def widen(self, other: "_Cost") -> None:
        self.value = max(self.value, other.value)
        self.object = max(self.object, other.object)
        self.byte = max(self.byte, other.byte)
        self.listed = max(self.listed, other.listed)
        self.faults = max(self.faults, other.faults)
        self.back = max(self.back, other.back)


@dataclass(frozen=True, slots=True)
class SchemaCost:
    """What a schema can cost at most.

    Args:
        check_value: Telling whether a document is valid, each of its values.
        check_object: The same, each of its objects.
        check_byte: The same, each byte of its text.
        list_value: Reporting its violations, each of its values; infinite where that cannot be bounded.
        list_byte: The same, each byte of its text and level of its nesting.
        always_bytes: Up to which size any document is checked within the limit.
        schemas: The IDs of the schema objects that apply to documents.
        can_cut: Whether a report may leave out what alternatives say, see `reported`.
    """

    check_value: float
    check_object: float
    check_byte: float
    list_value: float
    list_byte: float
    always_bytes: int
    schemas: frozenset[int]
    can_cut: bool

    def allows_check(self, text: bytes) -> bool:
        """Whether validity can be told on the event loop.

        Args:
            text: The document's text.
        """
        size = len(text)
        if size <= self.always_bytes:
            return True
        counted = _values(text) * self.check_value + text.count(b"{") * self.check_object
        return counted + size * self.check_byte <= CHECK_NANOSECONDS

    def allows_report(self, text: bytes) -> bool:
        """Whether the violations of a document can be reported on the event loop.

        Args:
            text: The document's text.
        """
        depth = min(text.count(b"{") + text.count(b"["), MAX_DEPTH)
        return _values(text) * self.list_value + len(text) * depth * self.list_byte <= REPORT_NANOSECONDS


UNBOUNDED = SchemaCost(math.inf, math.inf, math.inf, math.inf, math.inf, 0, frozenset(), can_cut=False)


def _values(text: bytes) -> int:
    """How many values a JSON text has at most, names of fields included."""
    return 1 + 2 * text.count(b",") + 2 * text.count(b"{") + text.count(b"[")


def cost_of(root: dict[str, Any], *, is_limited: bool = True) -> SchemaCost | None:
    """Count what a schema can cost.

    Args:
        root: The schema.
        is_limited: Whether there is no answer for a schema that takes too long to be counted or compiled on the event
            loop.

    Returns:
        The cost, or None where it cannot be counted.
    """
    counting = _Counting(root, MAX_NODES if is_limited else None)
    try:
        counting.collect()
    except _UncountedError:
        return None
    if is_limited and counting.compile > COMPILE_NANOSECONDS:
        return None
    return counting.total()


class _UncountedError(Exception):
    """The cost of a schema is not counted."""


@dataclass(slots=True)
class _Edge:
    """A schema that applies where another does.

    Args:
        target: Its ID.
        group: Of the edges of a group only one applies to each path through a document; "" where all do.
        is_listed: Whether a report of violations walks into it.
    """

    target: int
    group: str = ""
    is_listed: bool = True


@dataclass(slots=True)
class _Counting:
    root: dict[str, Any]
    most_nodes: int | None
    compile: float = 0.0
    edges: dict[int, list[_Edge]] = field(default_factory=dict)
    own: dict[int, _Cost] = field(default_factory=dict)
    copies: dict[int, float] = field(default_factory=dict)
    can_cut: bool = True
    nodes: dict[int, dict[str, Any]] = field(default_factory=dict)

    def collect(self) -> None:
        """Find all schemas that apply to documents, and what each costs by itself."""
        pending = [self.root]
        self.nodes[id(self.root)] = self.root
        while pending:
            node = pending.pop()
            if not _UNCOUNTED.isdisjoint(node) or (node is not self.root and not _IDS.isdisjoint(node)):
                raise _UncountedError
            edges = self.edges[id(node)] = []
            self.own[id(node)] = self._own(node)
            for child, edge in self._children(node):
                edges.append(edge)
                if edge.target not in self.nodes:
                    if len(self.nodes) == self.most_nodes:
                        raise _UncountedError
                    self.nodes[edge.target] = child
                    pending.append(child)
            self.compile += _NODE_COMPILE * (1 + len(edges))

    def _children(self, node: dict[str, Any]) -> Iterator[tuple[dict[str, Any], _Edge]]:
        reference = node.get("$ref")
        if reference is not None:
            target = self._referred(reference)
            if isinstance(target, dict):
                yield target, _Edge(id(target))
        for child, group, is_listed in _subschemas(node):
            if isinstance(child, dict):
                yield child, _Edge(id(child), group, is_listed)

    def _referred(self, reference: object) -> object:
        """What a reference within the schema leads to; others are not counted."""
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")) or "%" in reference:
            raise _UncountedError
        target: Any = self.root
        for step in reference.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if key in ALTERNATIVES:
                self.can_cut = False
            if isinstance(target, list) and key.isdecimal() and len(key) < _MAX_INDEX_DIGITS and int(key) < len(target):
                target = target[int(key)]
            elif isinstance(target, dict) and key in target:
                target = target[key]
            else:
                raise _UncountedError
        return target

    def _own(self, node: dict[str, Any]) -> _Cost:
        cost = _Cost(value=_APPLY, listed=_LIST)
        cost.faults = float(sum(name in node for name in _ASSERTIONS) + 2 * sum(name in node for name in ALTERNATIVES))
        for name in ("required", "dependencies", "dependentRequired", "dependentSchemas"):
            entries = node.get(name)
            if isinstance(entries, list | dict):
                names = len(entries) + sum(len(e) for e in _values_of(entries) if isinstance(e, list))
                cost.object += _LOOK_UP * names
                cost.faults += names
        options = node.get("enum")
        for option in [*(options if isinstance(options, list) else ()), *([node["const"]] if "const" in node else ())]:
            cost.value += _comparison(option)
        cost.listed += sum(self._copy(node[name]) for name in ("enum", "const", "not") if name in node)
        cost.listed += 2 * sum(self._copy(node[name]) for name in ALTERNATIVES if name in node)
        properties = node.get("properties")
        if isinstance(properties, dict):
            cost.object += _LOOK_UP * len(properties)
        if node.get("uniqueItems"):
            cost.value += _HASH
        cost.faults += sum(child is False for child, _, _ in _subschemas(node))
        self._add_texts(node, cost)
        return cost

    def _copy(self, value: Any) -> float:
        """What it costs to quote a value of the schema in a report."""
        if not isinstance(value, dict | list):
            return _COPY_VALUE + (_COPY_CHARACTER * len(value) if isinstance(value, str) else 0.0)
        known = self.copies.get(id(value))
        if known is None:
            items = value.values() if isinstance(value, dict) else value
            known = self.copies[id(value)] = _COPY_VALUE * (1 + len(value)) + sum(map(self._copy, items))
        return known

    def _add_texts(self, node: dict[str, Any], cost: _Cost) -> None:
        patterns = [node["pattern"]] if isinstance(node.get("pattern"), str) else []
        if isinstance(node.get("patternProperties"), dict):
            patterns += node["patternProperties"]
        for pattern in patterns:
            states = _states(pattern)
            self.compile += _PATTERN_COMPILE + states * _STATE_COMPILE
            cost.value += _LOOK_UP
            cost.byte += states * _MATCH_BYTE
        if node.get("format") == "regex":
            raise _UncountedError  # it reads a pattern that the document brings
        if not _READERS.isdisjoint(node):
            cost.byte += _FORMAT_BYTE
        if not _LENGTHS.isdisjoint(node):
            cost.byte += _LENGTH_BYTE

    def total(self) -> SchemaCost:
        """The cost of the schema as a whole."""
        order, back = self._walk()
        costs: dict[int, _Cost] = {}
        for node in order:
            costs[node] = self._cost(node, back, costs)
        root = costs[id(self.root)]
        total = replace(root)
        listed = self._listed()
        recursive: list[_Cost] = []
        for node, edges in self.edges.items():
            for edge in edges:
                if id(edge) in back:
                    target = costs[edge.target]
                    is_listed = edge.is_listed and node in listed
                    total.add(target if is_listed else target.unlisted())
                    total.value += _COMPARE_PLAIN  # what is remembered is looked up
                    recursive += [target] if is_listed else []
        if back:
            deep = sum(bool(node.get("uniqueItems")) for node in self.nodes.values())
            total.value = min(total.value + deep * _HASH * MAX_DEPTH, _TOO_MUCH)
        is_bounded = self.can_cut and all(target.back <= 1 for target in recursive)
        times = max(root.back, 1.0)
        return SchemaCost(
            total.value,
            total.object,
            total.byte,
            times * (total.listed + total.faults * _FAULT) if is_bounded else math.inf,
            times * total.faults * _QUOTE_BYTE,
            int(CHECK_NANOSECONDS / ((total.value + total.object) / 2 + total.byte)),
            frozenset(self.nodes),
            self.can_cut,
        )

    def _listed(self) -> set[int]:
        """The schemas that a report of violations walks through."""
        listed, pending = {id(self.root)}, [id(self.root)]
        while pending:
            for edge in self.edges[pending.pop()]:
                if edge.is_listed and edge.target not in listed:
                    listed.add(edge.target)
                    pending.append(edge.target)
        return listed

    def _cost(self, node: int, back: set[int], costs: dict[int, _Cost]) -> _Cost:
        cost = _Cost()
        cost.add(self.own[node])
        groups: dict[str, _Cost] = {}
        for edge in self.edges[node]:
            found = _Cost(value=_APPLY, listed=_LIST, back=1.0) if id(edge) in back else costs[edge.target]
            if not edge.is_listed:
                found = found.unlisted()
            if edge.group:
                groups.setdefault(edge.group, _Cost()).widen(found)
            else:
                cost.add(found)
        for group in groups.values():
            cost.add(group)
        return cost

    def _walk(self) -> tuple[list[int], set[int]]:
        """All schemas, each after those that apply where it does, and the IDs of the edges that lead back."""
        order: list[int] = []
        back: set[int] = set()
        open_: set[int] = {id(self.root)}
        seen: set[int] = {id(self.root)}
        stack = [(id(self.root), iter(self.edges[id(self.root)]))]
        while stack:
            node, edges = stack[-1]
            edge = next(edges, None)
            if edge is None:
                stack.pop()
                open_.discard(node)
                order.append(node)
            elif edge.target in open_:
                back.add(id(edge))
            elif edge.target not in seen:
                seen.add(edge.target)
                open_.add(edge.target)
                stack.append((edge.target, iter(self.edges[edge.target])))
        return order, back


_MAX_INDEX_DIGITS = 9
_IDS = frozenset({"$id", "id"})
_READERS = frozenset({"format", "contentEncoding", "contentMediaType"})
_LENGTHS = frozenset({"minLength", "maxLength"})


def _subschemas(node: dict[str, Any]) -> Iterator[tuple[Any, str, bool]]:
    """The schemas directly within one: each with its group, see `_Edge`, and whether a report walks into it."""
    for name in ("allOf", *ALTERNATIVES):
        children = node.get(name)
        for child in children if isinstance(children, list) else ():
            yield child, "", name == "allOf"
    for name in ("not", "if", "contains"):
        yield node.get(name), "", False
    for name in ("then", "else", "propertyNames"):
        yield node.get(name), "", True
    for name, group in (
        ("properties", "fields"),
        ("patternProperties", ""),
        ("dependencies", ""),
        ("dependentSchemas", ""),
    ):
        children = node.get(name)
        for child in children.values() if isinstance(children, dict) else ():
            yield child, group, True
    for name in ("items", "prefixItems"):
        children = node.get(name)
        for child in children if isinstance(children, list) else (children,):
            yield child, "items", True
    yield node.get("additionalItems"), "items", True
    yield node.get("additionalProperties"), "fields", True


def _values_of(entries: Any) -> Any:
    return entries.values() if isinstance(entries, dict) else ()


def _comparison(option: Any) -> float:
    """What it can cost to hold a value against one."""
    if isinstance(option, dict | list):
        return _COMPARE_DEEP + sum(map(_comparison, option.values() if isinstance(option, dict) else option))
    return _COMPARE_DEEP if isinstance(option, float) else _COMPARE_PLAIN


def _states(pattern: str) -> float:
    """How many states a matcher of a pattern has at most, roughly: repeated groups multiply, other repeats add up."""
    plain = _CLASS.sub("x", _ESCAPE.sub("x", pattern))
    states, times = float(len(plain)), 1.0
    for repeat in _REPEAT.finditer(plain):
        closes, least, most = repeat.groups()
        count = min(float(most or least), _TOO_MUCH)
        if closes:
            times = min(times * max(count, 1.0), _TOO_MUCH)
        else:
            states += count
    return min(states * times, _TOO_MUCH)
