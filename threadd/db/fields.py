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


_MOST_NAMES = 64
_MOST_CHARACTERS = 4_096
"""Of more names, or longer ones, no decoder is made and kept: a query may name any number of fields."""

_decode_all: Callable[[bytes], Document] = msgspec.json.Decoder(dict[str, Any]).decode


def decoder_of(names: frozenset[str]) -> Callable[[bytes], Document]:
    """Give what reads some of a document's outermost fields, which is several times as fast as reading all.

    Args:
        names: Their names.

    Returns:
        A function of a text as `documents.to_bytes` writes it. It gives those fields that are there, and may give
        others too. A number is an int or a float, without the characters that it was written with.
    """
    if len(names) > _MOST_NAMES or sum(map(len, names)) > _MOST_CHARACTERS:
        return _decode_all
    return _decoder_of(names)


@lru_cache(maxsize=256)
def _decoder_of(names: frozenset[str]) -> Callable[[bytes], Document]:
    decode: Callable[[bytes], Document]
    decode = msgspec.json.Decoder(TypedDict("Fields", dict.fromkeys(names, Any), total=False)).decode  # type: ignore[operator]
    sample = dict.fromkeys(names)
    try:
        # msgspec (0.22) takes a TypedDict's key for "" until its str holds its UTF-8 form, which encoding leaves there.
        text = msgspec.json.encode(sample)
    except UnicodeEncodeError:
        return _decode_all  # No text holds such a name.
    return decode if decode(text) == sample else _decode_all


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
    return 5 if isinstance(value, list) else 6, documents.to_comparable_bytes(value)


def order_bytes(order: Order) -> bytes:
    """The same order as bytes, for keys of an index that others follow."""
    kind, value = order
    prefix = _UNSCALAR_KEYS.get(kind)
    if prefix is None:
        return keys.scalar(value)
    return prefix + keys.terminated(value) if value else prefix


_UNSCALAR_KEYS = {0: b"\x01", 1: keys.NULL, 5: b"\x40", 6: b"\x50"}
"""What missing fields, nulls, arrays and objects begin with."""
