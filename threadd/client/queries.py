"""Queries, built step by step: ``where("age").ge(18).and_("city").eq("Oslo").order_by("age").limit(10)``.

A query is immutable; each step gives a new one. `to_json` is the text that every client of the Hub sends.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Value: TypeAlias = str | bool | float


@dataclass(frozen=True, slots=True)
class Query:
    """What to find; an empty one finds everything.

    Args:
        ands: Conditions that must all hold, in the form in which they are sent.
        ors: Queries of which one may hold instead.
        sort_path: The dotted path to sort by; empty for ``_id``.
        descending: Whether the order is reversed.
        most: The most instances to give; 0 for all.
        first: How many to leave out.
        begin: The ID at which to begin.
        index: The path of an index to use, a hint.
    """

    ands: tuple[dict[str, Any], ...] = ()
    ors: tuple["Query", ...] = ()
    sort_path: str = ""
    descending: bool = False
    most: int = 0
    first: int = 0
    begin: str = ""
    index: str = ""

    def and_(self, path: str) -> "Field":
        """Begin one more condition that must hold.

        Args:
            path: The dotted path of a field.
        """
        return Field(self, path)

    def or_(self, other: "Query") -> "Query":
        """Let another query's conditions hold instead."""
        return dataclasses.replace(self, ors=(*self.ors, other))

    def order_by(self, path: str, *, descending: bool = False) -> "Query":
        """Sort by the field at a dotted path."""
        return dataclasses.replace(self, sort_path=path, descending=descending)

    def limit(self, most: int) -> "Query":
        """Give so many instances at most."""
        return dataclasses.replace(self, most=most)

    def skip(self, first: int) -> "Query":
        """Leave so many instances out."""
        return dataclasses.replace(self, first=first)

    def seek(self, instance_id: str) -> "Query":
        """Begin at an ID, inclusive."""
        return dataclasses.replace(self, begin=instance_id)

    def use_index(self, path: str) -> "Query":
        """Name an index that should be used."""
        return dataclasses.replace(self, index=path)

    def to_dict(self) -> dict[str, Any]:
        """Give the query in the form that is sent."""
        found: dict[str, Any] = {}
        if self.ands:
            found["ands"] = list(self.ands)
        if self.ors:
            found["ors"] = [query.to_dict() for query in self.ors]
        if self.sort_path or self.descending:
            found["sort"] = {"fieldPath": self.sort_path or "_id", "desc": self.descending}
        numbers = {"limit": self.most, "skip": self.first, "seek": self.begin, "index": self.index}
        return found | {name: value for name, value in numbers.items() if value}

    def to_json(self) -> bytes:
        """Give the JSON text that is sent."""
        return json.dumps(self.to_dict()).encode()


EVERYTHING: Final = Query()
"""The query that finds every instance."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field that waits for what it is compared with; made by `where` and `Query.and_`.

    Args:
        query: What the condition is added to.
        path: The dotted path of the field.
    """

    query: Query
    path: str

    def eq(self, value: Value) -> Query:
        """Ask that the field equals a value."""
        return self._add(0, value)

    def ne(self, value: Value) -> Query:
        """Ask that the field is there, of the value's type, and another one."""
        return self._add(1, value)

    def gt(self, value: Value) -> Query:
        """Ask that the field is greater than a value."""
        return self._add(2, value)

    def lt(self, value: Value) -> Query:
        """Ask that the field is less than a value."""
        return self._add(3, value)

    def ge(self, value: Value) -> Query:
        """Ask that the field is at least a value."""
        return self._add(4, value)

    def le(self, value: Value) -> Query:
        """Ask that the field is at most a value."""
        return self._add(5, value)

    def _add(self, operation: int, value: Value) -> Query:
        kind = "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "float"
        condition = {"fieldPath": self.path, "operation": operation, "value": {kind: value}}
        return dataclasses.replace(self.query, ands=(*self.query.ands, condition))


def where(path: str) -> Field:
    """Begin a query with a condition.

    Args:
        path: The dotted path of a field.
    """
    return Field(Query(), path)
