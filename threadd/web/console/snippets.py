"""A query as programs write it, in JavaScript and in Go, from the JSON that is sent."""

import json
from dataclasses import dataclass
from typing import Any, Final

_JS: Final = ("eq", "ne", "gt", "lt", "ge", "le")
_VALUES: Final = ("string", "bool", "float")


@dataclass(frozen=True, slots=True)
class _Language:
    """How a language writes queries.

    Args:
        first: What begins a query with a condition.
        empty: A query without any.
        and_: Adds a condition.
        or_: Adds an alternative.
        comparisons: The names of the comparisons, by their numbers.
        steps: The names of sorting up, sorting down, limit, skip, seek, index.
    """

    first: str
    empty: str
    and_: str
    or_: str
    comparisons: tuple[str, ...]
    steps: tuple[str, ...]


_LANGUAGES: Final = {
    "js": _Language(
        "new Where({})",
        "new Query()",
        ".and({})",
        ".or({})",
        _JS,
        ("orderBy", "orderByDesc", "limitTo", "skipNum", "seekID", "useIndex"),
    ),
    "go": _Language(
        "db.Where({})",
        "(&db.Query{})",
        ".And({})",
        ".Or({})",
        tuple(name.capitalize() for name in _JS),
        ("OrderBy", "OrderByDesc", "LimitTo", "SkipNum", "SeekID", "UseIndex"),
    ),
}


def snippet(query: dict[str, Any], language: str) -> str:
    """Write a query that the daemon has taken.

    Args:
        query: The query as it is sent.
        language: ``js`` or ``go``.
    """
    return _written({key.lower(): value for key, value in query.items()}, _LANGUAGES[language])


def _written(query: dict[str, Any], language: _Language) -> str:
    text = ""
    for criterion in query.get("ands") or ():
        fields = {key.lower(): value for key, value in criterion.items()}
        begin = language.and_ if text else language.first
        value = {key.lower(): given for key, given in (fields.get("value") or {}).items()}
        shown = next((value[kind] for kind in _VALUES if value.get(kind) is not None), None)
        compare = language.comparisons[fields.get("operation") or 0]
        text += f"{begin.format(_quoted(fields.get('fieldpath')))}.{compare}({_quoted(shown)})"
    text = text or language.empty
    for alternative in query.get("ors") or ():
        inner = {key.lower(): value for key, value in alternative.items()}
        text += language.or_.format(_written(inner, language))
    up, down, limit, skip, seek, index = language.steps
    sort = {key.lower(): value for key, value in (query.get("sort") or {}).items()}
    if sort:
        text += f".{down if sort.get('desc') else up}({_quoted(sort.get('fieldpath') or '_id')})"
    for name, step in (("limit", limit), ("skip", skip), ("seek", seek), ("index", index)):
        if query.get(name):
            text += f".{step}({_quoted(query[name])})"
    return text


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
