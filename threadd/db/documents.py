"""The JSON text of instances: read, written and compared so that numbers stay as the client wrote them.

A document in memory is what `json` makes of the text, except that a number with a fraction or an exponent is a
`Literal` that keeps its characters. Text goes out compact, with sorted keys and the escapes of the wire format
(threads protocol, "Blocks").
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, TypeAlias

from store.documents import MAX_INSTANCE_ID_BYTES
from threadd.db.errors import InvalidInstanceError

Document: TypeAlias = dict[str, Any]

ID_FIELD = "_id"
MODIFIED_FIELD = "_mod"

MAX_DEPTH = 200
"""How deep objects and arrays may nest; the schema validator stops at 255."""


_DIGITS_OF_A_DOUBLE = 308
"""A longer integer may have no double, and Python does not read one of more than 4,300 digits."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number whose characters matter; two are equal when they are written alike.

    Args:
        text: The JSON number as it was read, such as `1e3`.
        number: Its IEEE double.
    """

    text: str
    number: float


def _literal(text: str) -> Literal:
    number = float(text)
    if math.isinf(number):
        raise InvalidInstanceError(f"number {text[:40]} is out of range: its magnitude must be below 1.8e308")
    return Literal(text, number)


def _integer(text: str) -> int | Literal:
    if len(text) > _DIGITS_OF_A_DOUBLE or text == "-0":
        return _literal(text)
    return int(text)


def _refuse_constant(text: str) -> float:
    raise InvalidInstanceError(f"{text} is not a JSON value")


_exact = json.JSONDecoder(parse_float=_literal, parse_int=_integer, parse_constant=_refuse_constant)


def parse(data: bytes) -> Any:
    """Read any JSON value.

    Args:
        data: UTF-8 JSON text. A lone surrogate becomes U+FFFD, and of two equal keys the last one counts, as for the
            reference.

    Raises:
        InvalidInstanceError: It is not JSON, nests deeper than `MAX_DEPTH` or holds a number without a double.
    """
    try:
        text = data.decode()
        value = _exact.decode(text)
        if "\\ud" in text or "\\uD" in text:
            value = _exact.decode(_without_lone_surrogates(_encode(value)))
    except UnicodeDecodeError as error:
        raise InvalidInstanceError(f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise InvalidInstanceError(f"not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise InvalidInstanceError(f"JSON nests deeper than {MAX_DEPTH} levels") from error
    return value


def parse_instance(data: bytes) -> Document:
    """Read the JSON object of an instance; `_mod` is the daemon's own and dropped.

    Raises:
        InvalidInstanceError: As `parse`; or it is no object, or its `_id` is neither a string nor null.
    """
    try:
        value = parse(data)
    except InvalidInstanceError as error:
        raise InvalidInstanceError(f"unmarshaling json instance: {error.text}") from error
    if not isinstance(value, dict):
        raise InvalidInstanceError(
            f"unmarshaling json instance: an instance is a JSON object, not {kind(value)}",
        )
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _depth_exceeds(value, MAX_DEPTH):
        raise InvalidInstanceError(f"unmarshaling json instance: JSON nests deeper than {MAX_DEPTH} levels")
    value.pop(MODIFIED_FIELD, None)
    instance_id = value.get(ID_FIELD)
    if instance_id is not None:
        check_instance_id(instance_id)
    return value


def check_instance_id(instance_id: object) -> None:
    """Refuse what cannot be the ID of an instance.

    Raises:
        InvalidInstanceError: It is no string, or longer than `MAX_INSTANCE_ID_BYTES` bytes of UTF-8, of which a NUL
            counts twice, since it takes two bytes in a key of the store.
    """
    if not isinstance(instance_id, str):
        raise InvalidInstanceError(f"unmarshaling json instance: _id is a string, not {kind(instance_id)}")
    if len(instance_id) * 4 <= MAX_INSTANCE_ID_BYTES:
        return
    size = len(instance_id.encode()) + instance_id.count("\0")
    if size > MAX_INSTANCE_ID_BYTES:
        raise InvalidInstanceError(f"_id is {size} bytes long: at most {MAX_INSTANCE_ID_BYTES} bytes are possible")


def to_bytes(value: Any) -> bytes:
    """Write a JSON value as the wire format has it: compact, keys sorted, numbers as read, HTML characters escaped."""
    try:
        text = _plain.encode(value)
    except _HasLiteralError:
        text = _encode(value)
    return _escaped(text)


def to_comparable_bytes(value: Any) -> bytes:
    """Write a JSON value as `to_bytes` does, but each number alike, however it was read and written."""
    return _escaped(_comparable.encode(value))


def _escaped(text: str) -> bytes:
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text.encode()


# These characters occur only inside of strings, so the whole text can be searched for them.
_ESCAPES = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


class _HasLiteralError(Exception):
    """The fast encoder met a number that it cannot write as it was read."""


def _stop_at_literal(_value: object) -> object:
    raise _HasLiteralError


def _number_of(value: Any) -> object:
    """The number of a `Literal`, as a reader that knows no literals has it: the rest of a document is plain JSON."""
    return int(value.text) if value.text.removeprefix("-").isdigit() else value.number


def _encoder(default: Callable[[Any], object]) -> json.JSONEncoder:
    return json.JSONEncoder(
        ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False, default=default
    )


_plain = _encoder(_stop_at_literal)
_comparable = _encoder(_number_of)


def _encode(value: Any) -> str:
    """The slow twin of `_plain`, for documents that hold a `Literal`."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode_basestring(key)}:{_encode(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_encode, value)) + "]"
    if isinstance(value, Literal):
        return value.text
    return _plain.encode(value)


_PLAIN = frozenset({str, int, bool, type(None)})


def native(value: Any) -> Any:
    """The same value in terms of plain Python, as the schema validator takes it.

    A number without a fractional part becomes an int, since `1.0` is an integer in every draft.
    """
    if isinstance(value, dict):
        return {key: item if type(item) in _PLAIN else native(item) for key, item in value.items()}
    if isinstance(value, list):
        return [item if type(item) in _PLAIN else native(item) for item in value]
    if isinstance(value, Literal):
        return int(value.number) if value.number.is_integer() else value.number
    return value


def with_numbers_of(original: Any, value: Any) -> Any:
    """A value in which the numbers that equal the original's at the same place are written as there.

    Args:
        original: A document as it is kept.
        value: What came of it in an engine that knows doubles only.
    """
    if isinstance(value, dict) and isinstance(original, dict):
        return {key: with_numbers_of(original.get(key), item) for key, item in value.items()}
    if isinstance(value, list) and isinstance(original, list) and len(value) == len(original):
        return [with_numbers_of(old, item) for old, item in zip(original, value, strict=True)]
    if is_number(value) and is_number(original) and as_double(value) == as_double(original):
        return original
    return value


def is_number(value: Any) -> bool:
    """Whether a value is a JSON number; for Python a boolean is one too."""
    return isinstance(value, int | float | Literal) and not isinstance(value, bool)


def as_double(value: Any) -> float:
    """A JSON number as the IEEE double that it compares as."""
    return value.number if isinstance(value, Literal) else float(value)


def merge_patch(before: Document, after: Document) -> Document:
    """The RFC 7386 patch that turns one object into another, as far as such a patch can: it cannot set a null."""
    patch: Document = {key: None for key in before if key not in after}
    for key, value in after.items():
        if key not in before:
            patch[key] = value
            continue
        old = before[key]
        if isinstance(value, dict) and isinstance(old, dict):
            inner = merge_patch(old, value)
            if inner:
                patch[key] = inner
        elif not _alike(old, value):
            patch[key] = value
    return patch


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """What RFC 7386 makes of a target and a patch; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = apply_merge_patch(merged.get(key), value)
        else:
            merged[key] = value
    return merged


def _alike(one: Any, other: Any) -> bool:
    """Equality of JSON values; unlike Python's it tells true from 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)


def _depth_exceeds(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_depth_exceeds(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_depth_exceeds(item, levels - 1) for item in value)
    return False


def _without_lone_surrogates(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def kind(value: Any) -> str:
    """The JSON name of a value's type, for texts of errors."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float | Literal):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an object" if isinstance(value, dict) else "an array"
