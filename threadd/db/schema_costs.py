"""An upper bound on what a JSON Schema can cost, known before it is compiled; what has none is left to a worker.

The validator remembers its verdict for each pair of a recursive reference and a value, but follows every other path
through `$ref`, `allOf` and the like: a schema of 5 kB can have 2^60 of them. So the schemas that apply along the
costliest path through a document are counted; a reference back into a schema that is being applied counts once more,
beside that path. This count times the number of values bounds the work. A report of violations remembers nothing, so
that of a recursive schema has no bound.

Numbers that are not plain doubles are compared by exact arithmetic, up to 1,000 times as slowly, and `uniqueItems` puts
integers of one double into one bucket of its hash table. So what numbers may cost is counted apart, and matters for
documents that have such numbers.

All costs are in nanoseconds, for the worst case that was measured rather than the usual one.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from threadd.db.documents import MAX_DEPTH
from threadd.db.schema_weights import (
    ALTERNATIVES,
    APPLY,
    COMPARE,
    HASH,
    HASH_EXACTLY,
    Cost,
    UncountedError,
    compiling,
    weigh,
)

MAX_TEXT_BYTES = 16 * 1024
"""The largest schema that is read on the event loop at all."""

MAX_NODES = 400
"""How many schemas within a schema are counted."""

COMPILE_NANOSECONDS = 5e6
CHECK_NANOSECONDS = 5e6
REPORT_NANOSECONDS = 10e6

_TO_PLAIN = 150.0
_FAULT = 8_000.0
_QUOTE_BYTE = 75.0
_MAX_INDEX_DIGITS = 9

_EXACT_NUMBER = re.compile(rb"[\s:,\[]-?(?:\d{16}|[\d.]+[eE])")
"""Finds every number in a document that may not be a plain double; it may find some in strings, too."""


@dataclass(frozen=True, slots=True)
class SchemaCost:
    """What a schema can cost at most.

    Args:
        check_value: Telling whether a document is valid, each of its values.
        check_number: The same in addition, where it has numbers that are not plain doubles.
        check_collision: The same, each of its values times each byte of its text.
        check_object: Each of its objects in addition.
        check_byte: Each byte of its text in addition.
        list_value: Reporting its violations, each of its values; infinite where that cannot be bounded.
        list_byte: The same, each byte of its text and level of its nesting.
        always_bytes: Up to which size any document is checked within the limit.
        schemas: The IDs of the schema objects that apply to documents.
        can_cut: Whether a report may leave out what alternatives say, see `schema_reports.without_alternatives`.
    """

    check_value: float
    check_number: float
    check_collision: float
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
        values = _values(text)
        plain = values * self.check_value + text.count(b"{") * self.check_object + size * self.check_byte
        exact = values * (self.check_number + size * self.check_collision)
        if plain + exact <= CHECK_NANOSECONDS:
            return True
        return plain <= CHECK_NANOSECONDS and _EXACT_NUMBER.search(text) is None

    def allows_report(self, text: bytes) -> bool:
        """Whether the violations of a document can be reported on the event loop.

        Args:
            text: The document's text.
        """
        depth = min(text.count(b"{") + text.count(b"["), MAX_DEPTH)
        return _values(text) * self.list_value + len(text) * depth * self.list_byte <= REPORT_NANOSECONDS


UNBOUNDED = SchemaCost(
    *(math.inf, math.inf, math.inf, math.inf, math.inf, math.inf, math.inf), 0, frozenset(), can_cut=False
)


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
    except UncountedError:
        return None
    if is_limited and counting.compile > COMPILE_NANOSECONDS:
        return None
    return counting.total()


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
    own: dict[int, Cost] = field(default_factory=dict)
    copies: dict[int, float] = field(default_factory=dict)
    can_cut: bool = True
    nodes: dict[int, dict[str, Any]] = field(default_factory=dict)

    def collect(self) -> None:
        """Find all schemas that apply to documents, and what each costs by itself."""
        if any(_has_base(each) for each in _objects_within(self.root)):
            raise UncountedError
        pending = [self.root]
        self.nodes[id(self.root)] = self.root
        while pending:
            node = pending.pop()
            edges = self.edges[id(node)] = []
            own = self.own[id(node)] = weigh(node, self.copies)
            own.faults += sum(child is False for child, _, _ in _subschemas(node))
            for child, edge in self._children(node):
                edges.append(edge)
                if edge.target not in self.nodes:
                    if len(self.nodes) == self.most_nodes:
                        raise UncountedError
                    self.nodes[edge.target] = child
                    pending.append(child)
            self.compile += compiling(node, len(edges))

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
            raise UncountedError
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
                raise UncountedError
        return target

    def total(self) -> SchemaCost:
        """The cost of the schema as a whole."""
        order, back = self._walk()
        costs: dict[int, Cost] = {}
        for node in order:
            costs[node] = self._cost(node, back, costs)
        total = replace(costs[id(self.root)])
        total.value += _TO_PLAIN
        for edge in [edge for edges in self.edges.values() for edge in edges if id(edge) in back]:
            total.add(costs[edge.target])
            total.value += COMPARE  # what is remembered is looked up
        if back:
            # An array is hashed again for each array that it is in.
            unique = sum(bool(node.get("uniqueItems")) for node in self.nodes.values())
            again = unique * MAX_DEPTH
            total.add(Cost(value=again * HASH, number=again * HASH_EXACTLY, collision=MAX_DEPTH * total.collision))
        can_report = self.can_cut and not back
        return SchemaCost(
            total.value,
            total.number,
            total.collision,
            total.object,
            total.byte,
            total.listed + total.faults * _FAULT if can_report else math.inf,
            total.faults * _QUOTE_BYTE,
            _always_bytes(total),
            frozenset(self.nodes),
            self.can_cut,
        )

    def _cost(self, node: int, back: set[int], costs: dict[int, Cost]) -> Cost:
        cost = replace(self.own[node])
        groups: dict[str, Cost] = {}
        for edge in self.edges[node]:
            found = Cost(value=APPLY) if id(edge) in back else costs[edge.target]
            if not edge.is_listed:
                found = found.unlisted()
            if edge.group:
                groups.setdefault(edge.group, Cost()).widen(found)
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


def _always_bytes(cost: Cost) -> int:
    """The size of a document up to which its values, at most one for every two bytes, stay within the limit."""
    most = CHECK_NANOSECONDS / ((cost.value + cost.number + cost.object) / 2 + cost.byte)
    return int(min(most / 2, math.sqrt(CHECK_NANOSECONDS / cost.collision)) if cost.collision else most)


def _objects_within(value: Any) -> Iterator[dict[str, Any]]:
    """All objects within a JSON value, except itself."""
    pending = [value]
    while pending:
        each = pending.pop()
        items = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        for item in items:
            if isinstance(item, dict):
                yield item
            pending.append(item)


def _has_base(schema: dict[str, Any]) -> bool:
    """Whether an object may be a schema with a URI of its own: references within it, and through it, mean others."""
    return any(isinstance(schema.get(name), str) for name in ("$id", "id"))
