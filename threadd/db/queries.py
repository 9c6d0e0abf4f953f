"""Queries: read from the JSON that clients send, matched against documents, ordered.

Rules (threads protocol, "DB semantics"; docs/compatibility.md): an instance matches when all `ands` hold, or one of the
`ors`; a missing field or a value of another type is no match; filter, sort, skip and limit apply in that order.
"""

import enum
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from threadd.db import documents
from threadd.db.documents import ID_FIELD, Document, as_double, is_number
from threadd.db.errors import InvalidInstanceError, InvalidQueryError
from threadd.db.fields import value_at

MAX_QUERY_DEPTH = 90
"""How deep `ors` may nest at most, whatever the doors let in: each level is two of JSON, of which there may be 200."""

MAX_QUERY_OBJECTS = 5_000
"""How many JSON objects a query may have: a condition takes two or three, and each row is held against them all."""

MOST_ROWS = 2**48
"""More rows than any collection has: what goes beyond, in `limit` or `skip`, is as good as this."""

Scalar: TypeAlias = str | bool | float
Test: TypeAlias = Callable[[Document], bool]


class Operation(enum.IntEnum):
    """The comparison of a criterion, by its number on the wire."""

    EQ = 0
    NE = 1
    GT = 2
    LT = 3
    GE = 4
    LE = 5


_COMPARISONS: dict[Operation, Callable[[Any, Any], bool]] = {
    Operation.EQ: operator.eq,
    Operation.NE: operator.ne,
    Operation.GT: operator.gt,
    Operation.LT: operator.lt,
    Operation.GE: operator.ge,
    Operation.LE: operator.le,
}


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition on one field.

    Args:
        path: Names of fields, joined by dots.
        operation: How the field is compared.
        value: What it is compared with; numbers are doubles.
    """

    path: tuple[str, ...]
    operation: Operation
    value: Scalar

    def test(self) -> Test:
        """What says whether a document has the field, of the value's type, and it compares as asked."""
        path, value, compare = self.path, self.value, _COMPARISONS[self.operation]
        if isinstance(value, str):
            return lambda document: isinstance(found := value_at(document, path), str) and compare(found, value)
        if isinstance(value, bool):
            return lambda document: isinstance(found := value_at(document, path), bool) and compare(found, value)
        return lambda document: is_number(found := value_at(document, path)) and compare(as_double(found), value)


@dataclass(frozen=True)
class Query:
    """A whole query.

    Args:
        ands: Conditions that must all hold.
        ors: Alternatives; of each only the conditions count.
        sort_path: The field to sort by; `("_id",)` unless asked otherwise.
        descending: Whether the order is reversed, ties by `_id` included.
        seek: The ID at which the rows begin (inclusive), or "".
        limit: The most rows to return; 0 for all.
        skip: How many rows to leave out before the first.
        index: The path of an index that the client names; a hint.
    """

    ands: tuple[Criterion, ...] = ()
    ors: tuple["Query", ...] = ()
    sort_path: tuple[str, ...] = (ID_FIELD,)
    descending: bool = False
    seek: str = ""
    limit: int = 0
    skip: int = 0
    index: str = ""

    @cached_property
    def by_id(self) -> bool:
        """Whether rows are wanted in the order in which they are kept."""
        return self.sort_path == (ID_FIELD,)

    @cached_property
    def fields(self) -> frozenset[str]:
        """The top-level fields that decide whether and where a document is among the rows."""
        fields = {self.sort_path[0]}.union(criterion.path[0] for criterion in self.ands)
        return frozenset(fields.union(*(query.fields for query in self.ors)))

    @cached_property
    def matches_all(self) -> bool:
        """Whether there is no condition."""
        return not self.ands and not self.ors

    @cached_property
    def conditions(self) -> int:
        """How many conditions a document is held against at most."""
        return len(self.ands) + sum(query.conditions for query in self.ors)

    @cached_property
    def matches(self) -> Test:
        """What says whether a document is among the rows; `seek` is not looked at."""
        all_of = [criterion.test() for criterion in self.ands]
        one_of = [query.matches for query in self.ors]
        if len(all_of) == 1 and not one_of:
            return all_of[0]
        if not one_of:
            return lambda document: all(test(document) for test in all_of)
        if all_of:
            one_of.append(lambda document: all(test(document) for test in all_of))
        return lambda document: any(test(document) for test in one_of)


def parse_query(data: bytes, max_depth: int = MAX_QUERY_DEPTH) -> Query:
    """Read a query; keys of any case are taken, as the reference's decoder does.

    Args:
        data: JSON text. `null` and `{}` ask for every instance.
        max_depth: How deep `ors` may nest.

    Raises:
        InvalidQueryError: It is no query, with the place and what to do about it.
    """
    if data.count(b"{") > MAX_QUERY_OBJECTS:
        raise InvalidQueryError("invalid query: it has thousands of conditions: ask for less, in several queries")
    try:
        value = documents.parse(data)
    except InvalidInstanceError as error:
        raise InvalidQueryError(f"invalid query: {error.text}") from error
    return Query() if value is None else _query(value, "query", max_depth, max_depth)


def _query(value: Any, where: str, depth: int, max_depth: int) -> Query:
    """Read a query that may nest so many levels more, of so many."""
    if depth < 0:
        raise InvalidQueryError(f"invalid query: ors nest deeper than {max_depth} levels")
    fields = _fields(value, where)
    sort = _fields(fields.get("sort") or {}, f"{where}.sort")
    sort_path = _text(sort, "fieldpath", f"{where}.sort")
    return Query(
        ands=tuple(
            _criterion(item, f"{where}.ands[{position}]") for position, item in enumerate(_items(fields, "ands", where))
        ),
        ors=tuple(
            _query(item, f"{where}.ors[{position}]", depth - 1, max_depth)
            for position, item in enumerate(_items(fields, "ors", where))
        ),
        sort_path=tuple(sort_path.split(".")) if sort_path else (ID_FIELD,),
        descending=_flag(sort, "desc", f"{where}.sort"),
        seek=_text(fields, "seek", where),
        limit=_rows(fields, "limit", where),
        skip=_rows(fields, "skip", where),
        index=_text(fields, "index", where),
    )


def _criterion(value: Any, where: str) -> Criterion:
    fields = _fields(value, where)
    path = _text(fields, "fieldpath", where)
    if not path:
        raise InvalidQueryError(f"invalid query: {where} names no fieldPath")
    number = _whole(fields, "operation", where)
    if number not in list(Operation):
        raise InvalidQueryError(
            f"invalid query: {where}.operation is {number}: use 0 (eq), 1 (ne), 2 (gt), 3 (lt), 4 (ge) or 5 (le)",
        )
    return Criterion(tuple(path.split(".")), Operation(number), _scalar(fields.get("value"), f"{where}.value"))


def _scalar(value: Any, where: str) -> Scalar:
    fields = _fields(value or {}, where)
    given = [(name, fields[name]) for name in ("string", "bool", "float") if fields.get(name) is not None]
    if len(given) != 1:
        raise InvalidQueryError(
            f"invalid query: {where}: value type should describe exactly one type: string, bool or float",
        )
    name, scalar = given[0]
    if name == "float" and is_number(scalar):
        return as_double(scalar)
    if (name == "string" and isinstance(scalar, str)) or (name == "bool" and isinstance(scalar, bool)):
        return scalar
    raise InvalidQueryError(f"invalid query: {where}.{name} is {documents.kind(scalar)}")


def _fields(value: Any, where: str) -> Document:
    """The members of an object by lower-case name; of names that differ only in case the last one counts."""
    if not isinstance(value, dict):
        raise InvalidQueryError(f"invalid query: {where} is a JSON object, not {documents.kind(value)}")
    return {key.lower(): item for key, item in value.items()}


def _items(fields: Document, name: str, where: str) -> Iterable[Any]:
    items = fields.get(name)
    if items is None:
        return ()
    if not isinstance(items, list):
        raise InvalidQueryError(f"invalid query: {where}.{name} is an array, not {documents.kind(items)}")
    return items


def _text(fields: Document, name: str, where: str) -> str:
    text = fields.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise InvalidQueryError(f"invalid query: {where}.{name} is a string, not {documents.kind(text)}")
    return text


def _flag(fields: Document, name: str, where: str) -> bool:
    flag = fields.get(name)
    if flag is None:
        return False
    if not isinstance(flag, bool):
        raise InvalidQueryError(f"invalid query: {where}.{name} is a boolean, not {documents.kind(flag)}")
    return flag


def _whole(fields: Document, name: str, where: str) -> int:
    number = fields.get(name)
    if number is None:
        return 0
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidQueryError(f"invalid query: {where}.{name} is a whole number, not {documents.kind(number)}")
    return int(number)


def _rows(fields: Document, name: str, where: str) -> int:
    """How many rows; less than none is none."""
    return min(max(0, _whole(fields, name, where)), MOST_ROWS)
