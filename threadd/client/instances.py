"""Instances between a program and JSON."""

import json
from typing import Any, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")

Document: TypeAlias = dict[str, Any]
"""An instance whose program says no more about it."""


def encode(instance: Any) -> bytes:
    """Give the JSON text of an instance: of a dict, or of whatever msgspec knows."""
    if isinstance(instance, dict):
        return json.dumps(instance, ensure_ascii=False).encode()
    return msgspec.json.encode(instance)


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
    return msgspec.json.decode(text, type=kind)
