"""Fields of documents: read without reading the rest, and their total order."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias, TypedDict

import msgspec

from store import keys
from threadd.db import documents
from threadd.db.documents import Document, as_double, is_number

Path: TypeAlias = tuple[str, ...]
"""Names of fields, from the outermost on."""

Order: TypeAlias = tuple[int, Any]
"""A place in the total order of values: the kind, then whatever orders values of that kind."""

_MISSING = object()


@lru_cache(maxsize=1024)
def decoder_of(names: frozenset[str]) -> Callable[[bytes], Document]:
    """Reads only some of a document's outermost fields, which is several times as fast as reading all."""
    return msgspec.json.Decoder(TypedDict("Fields", dict.fromkeys(names, Any), total=False)).decode  # type: ignore[operator]


def value_at(document: Document, path: Path) -> Any:
    """The value at a path through objects, or an object that equals nothing where there is none."""
    value: Any = document
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def sort_key(document: Document, path: Path) -> Order:
    """The place of a document in the total order of the values at a path.

    A missing field comes first, then null, false, true, numbers, strings (by code point), arrays and objects (both by
    their text).
    """
    value = value_at(document, path)
    if value is _MISSING:
        return 0, 0
    if value is None:
        return 1, 0
    if isinstance(value, bool):
        return 2, value
    if is_number(value):
        return 3, as_double(value)
    if isinstance(value, str):
        return 4, value
    return 5 if isinstance(value, list) else 6, documents.to_bytes(value)


def order_bytes(order: Order) -> bytes:
    """The same order as bytes, for keys of an index that others follow."""
    kind, value = order
    prefix = _UNSCALAR_KEYS.get(kind)
    if prefix is None:
        return keys.scalar(value)
    return prefix + keys.terminated(value) if value else prefix


_UNSCALAR_KEYS = {0: b"\x01", 1: keys.NULL, 5: b"\x40", 6: b"\x50"}
"""What missing fields, nulls, arrays and objects begin with."""
