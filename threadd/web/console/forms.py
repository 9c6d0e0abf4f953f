"""A document as a form: one field for each property of the schema, the rest as JSON, and errors at their fields."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from store.errors import StatusCode, ThreaddError
from threadd.db.documents import ID_FIELD, MODIFIED_FIELD
from threadd.db.errors import SchemaViolationError

PREFIX: Final = "field."
"""What the names of the form's inputs begin with, so that no property takes the place of something else."""

REST: Final = "rest"
"""The name of the input for what the schema does not name."""

_REQUIRED: Final = re.compile(r'^"(?P<name>.+?)" is a required property')
_PLACE: Final = re.compile(r" \(at (?P<pointer>/[^)]*)\)$")


class FormError(ThreaddError):
    """A field of a form cannot be read.

    Args:
        field: Its name.
        text: What is wrong.
    """

    code = StatusCode.INVALID_ARGUMENT

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, slots=True)
class Field:
    """An input.

    Args:
        name: The property; empty for the rest.
        kind: ``text``, ``number``, ``boolean`` or ``json``.
        value: What it shows.
        hint: What the schema says about it.
        required: Whether the schema asks for it.
        error: What is wrong with it.
    """

    name: str
    kind: str
    value: str = ""
    hint: str = ""
    required: bool = False
    error: str = ""

    @property
    def input(self) -> str:
        """The name of the input."""
        return PREFIX + self.name if self.name else REST


def fields(schema: Mapping[str, Any], shown: Mapping[str, str], errors: Mapping[str, str]) -> list[Field]:
    """Give the inputs of a form.

    Args:
        schema: The collection's schema.
        shown: What each input shows, by property; "" for the rest.
        errors: What is wrong, by property; "" for the whole.
    """
    required = schema.get("required") or ()
    found = [
        Field(
            name,
            kind_of(rule),
            shown.get(name, ""),
            _hint(rule),
            required=name in required,
            error=errors.get(name, ""),
        )
        for name, rule in _properties(schema).items()
    ]
    return [*found, Field("", "json", shown.get("", ""), "What the schema does not name, as a JSON object.")]


def shown_of(schema: Mapping[str, Any], text: bytes) -> dict[str, str]:
    """What the inputs show of a document, which keeps its numbers as they were written."""
    document: dict[str, Any] = json.loads(text, parse_int=_Number, parse_float=_Number)
    shown = {}
    for name, rule in _properties(schema).items():
        if name in document:
            value = document.pop(name)
            shown[name] = value if kind_of(rule) == "text" and isinstance(value, str) else _json(value)
    rest = {name: value for name, value in document.items() if name not in {ID_FIELD, MODIFIED_FIELD}}
    shown[""] = _json(rest, indent=True) if rest else ""
    return shown


def readable(text: bytes) -> str:
    """Write a document for people: without the escapes of the wire format, its numbers as they were written."""
    return _json(json.loads(text, parse_int=_Number, parse_float=_Number))


def document_of(schema: Mapping[str, Any], sent: Mapping[str, str], instance_id: str) -> str:
    """Make the JSON text of a document of what a form sent.

    Args:
        schema: The collection's schema.
        sent: The values of the inputs, by their names.
        instance_id: The document's ID; empty for one that gets one.

    Raises:
        FormError: An input cannot be read.
    """
    parts = [f"{json.dumps(ID_FIELD)}: {json.dumps(instance_id)}"] if instance_id else []
    for name, rule in _properties(schema).items():
        value = sent.get(PREFIX + name, "")
        if value == "":
            continue
        text = json.dumps(value) if kind_of(rule) == "text" else _checked(name, value)
        parts.append(f"{json.dumps(name)}: {text}")
    rest = sent.get(REST, "").strip()
    if rest:
        if not isinstance(json.loads(_checked("", rest)), dict):
            raise FormError("", 'write a JSON object, such as {"colour": "red"}')
        inner = rest[1:-1].strip()
        parts += [inner] if inner else []
    return "{" + ", ".join(parts) + "}"


def errors_of(schema: Mapping[str, Any], error: ThreaddError) -> dict[str, str]:
    """Where an error belongs: to properties by their names, or to the whole."""
    if isinstance(error, FormError):
        return {error.field: error.text}
    if not isinstance(error, SchemaViolationError):
        return {"": error.text}
    found: dict[str, str] = {}
    text = error.text.removeprefix(f"{SchemaViolationError.default_text}: ")
    for violation in text.split("; "):
        where, _, reason = violation.partition(": ")
        missing = _REQUIRED.match(reason)
        name = where.split(".", 1)[0]
        if where == "(root)" and missing:
            name, reason = missing["name"], "this is required"
        reason = _PLACE.sub("", reason)
        known = name if name in _properties(schema) else ""
        found[known] = f"{found[known]}; {reason}" if known in found else reason
    return found


def kind_of(rule: Any) -> str:
    """The kind of input for a property."""
    kind = rule.get("type") if isinstance(rule, dict) else None
    if kind == "string":
        return "text"
    if kind in {"number", "integer"}:
        return "number"
    return "boolean" if kind == "boolean" else "json"


def _properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    found = schema.get("properties")
    if not isinstance(found, dict):
        return {}
    return {name: rule for name, rule in found.items() if name not in {ID_FIELD, MODIFIED_FIELD}}


def _hint(rule: Any) -> str:
    if not isinstance(rule, dict):
        return ""
    return str(rule.get("description") or rule.get("type") or "")


def _checked(name: str, text: str) -> str:
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise FormError(name, f"this is not JSON: {error}") from error
    return text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


def _json(value: Any, *, indent: bool = False) -> str:
    """Write a value whose numbers are `_Number`."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        break_, pad = ("\n", "  ") if indent else ("", "")
        items = [f"{pad}{json.dumps(key, ensure_ascii=False)}: {_json(item)}" for key, item in value.items()]
        return "{" + break_ + (f",{break_}" if indent else ", ").join(items) + break_ + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_json(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
