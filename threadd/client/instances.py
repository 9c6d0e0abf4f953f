"""Instances between a program and JSON."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import inspect

T = TypeVar("T")

Document: TypeAlias = dict[str, Any]
"""An instance whose program says no more about it."""


def many(given: Iterable[T], what: str) -> list[T]:
    """Take several things, and not one that could be mistaken for several.

    Args:
        given: The things.
        what: What they are, in the plural, for the error.

    Raises:
        TypeError: It is a string, bytes or a mapping, whose parts would be taken one by one.
    """
    if isinstance(given, str | bytes | bytearray | memoryview | Mapping):
        raise TypeError(f"{what} are a list or another iterable of them, not one {type(given).__name__}: put it in []")
    return list(given)


def encode(instance: Any) -> bytes:
    """Give the JSON text of an instance: of a dict, whatever msgspec knows in it, or of anything else that it knows."""
    if isinstance(instance, dict):
        return json.dumps(instance, ensure_ascii=False, default=msgspec.to_builtins).encode()
    return msgspec.json.encode(instance)


def encode_all(instances: Iterable[Any]) -> list[bytes]:
    """Give the JSON texts of several instances.

    Raises:
        TypeError: It is one instance, or a string.
    """
    return [encode(instance) for instance in many(instances, "instances")]


def decode(text: bytes, kind: type[T]) -> T:
    """Read the JSON text of an instance.

    Args:
        text: The text.
        kind: ``dict``, or a class that msgspec knows.

    Raises:
        msgspec.ValidationError: The instance is none of that class.
    """
    if kind is dict:
        document: T = json.loads(text)
        return document
    known: Any = kind
    instance: T = _decoder_of(known)(text)
    return instance


@lru_cache(maxsize=256)
def _decoder_of(kind: Any) -> Callable[[bytes], Any]:
    # msgspec (0.22) takes a name in a TypedDict or a dataclass, or that of a Struct's tag, for "" until its str holds
    # its UTF-8 form, which encoding leaves there. The field would be missing from what is read, and be lost when that
    # is saved.
    msgspec.json.encode(list(_names_in(inspect.type_info(kind), set())))
    return msgspec.json.Decoder(kind).decode


def _names_in(part: Any, seen: set[int]) -> Iterator[str]:
    """The names of all fields and tags of a type and of the types in it, which may hold each other."""
    if isinstance(part, inspect.Field):
        yield part.encode_name
        yield from _names_in(part.type, seen)
    elif isinstance(part, tuple):
        for one in part:
            yield from _names_in(one, seen)
    elif isinstance(part, inspect.Type) and id(part) not in seen:
        seen.add(id(part))
        if isinstance(part, inspect.StructType) and part.tag_field is not None:
            yield part.tag_field
        for name in part.__struct_fields__:
            yield from _names_in(getattr(part, name), seen)
