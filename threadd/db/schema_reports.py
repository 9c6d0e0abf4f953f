"""What is wrong with a document, in a text of bounded size: field, rule and JSON pointer of its first violations.

The validator reports on `anyOf` and `oneOf` with all that each alternative says, which no text shows and which grows
exponentially with the nesting of a document. So reports are made with an equivalent schema that has them under a double
`not`, which reports no more than the verdict.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import jsonschema_rs

from threadd.db.schema_weights import ALTERNATIVES

_MAX_REPORTED = 10
_MAX_REASON = 300
_HEAD = 200

_NONE = "is not valid under any of the schemas listed in the '{}' keyword"
_SEVERAL = "is valid under more than one of the schemas listed in the 'oneOf' keyword"


def without_alternatives(root: dict[str, Any], schemas: frozenset[int]) -> dict[str, Any]:
    """An equivalent schema whose reports leave out what each alternative says.

    Args:
        root: The schema, in which no reference leads into alternatives.
        schemas: The IDs of the objects in it that are schemas.
    """
    cut: dict[str, Any] = _cut(root, schemas)
    return cut


def _cut(node: Any, schemas: frozenset[int]) -> Any:
    if isinstance(node, list):
        return [_cut(item, schemas) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _cut(item, schemas) for key, item in node.items()}
    if id(node) in schemas:
        rules = [{"not": {"not": {name: copy[name]}}} for name in ALTERNATIVES if name in copy]
        if "oneOf" in copy:
            rules.insert(-1, {"not": {"not": {"anyOf": copy["oneOf"], "$comment": "oneOf"}}})
        for name in ALTERNATIVES:
            copy.pop(name, None)
        if rules:
            copy["allOf"] = [*copy.get("allOf", ()), *rules]
    return copy


def violations(validator: jsonschema_rs.Validator, instance: Any) -> list[str]:
    """The first violations of a document that is not valid.

    Args:
        validator: Of the schema, or of the one that `without_alternatives` made of it.
        instance: The document, in plain Python.
    """
    return list(islice(_violations(validator, instance), _MAX_REPORTED))


def _violations(validator: jsonschema_rs.Validator, instance: Any) -> Iterator[str]:
    fits_none: set[tuple[object, ...]] = set()
    for error in validator.iter_errors(instance):
        keyword, by_number = _alternatives_of(error)
        if not keyword:
            yield _described(error, error.message)
            continue
        *place, rule, _ = error.schema_path
        where = (*error.instance_path, None, *place)
        if not by_number:
            fits_none.add((*where, rule))
            yield _described(error, f"{_quoted(error.instance)} {_NONE.format(keyword)}")
        elif not isinstance(rule, int) or (*where, rule - 1) not in fits_none:
            yield _described(error, f"{_quoted(error.instance)} {_SEVERAL}")


def _alternatives_of(error: jsonschema_rs.ValidationError) -> tuple[str, bool]:
    """The keyword of alternatives that a violation of a double `not` stands for, and whether it counts those that fit.

    The keyword is "" for any other violation.
    """
    schema = error.kind.value if error.kind.name == "not" else None
    inner = schema.get("not") if isinstance(schema, dict) else None
    if not isinstance(inner, dict) or not (len(inner) == 1 or inner.get("$comment") == "oneOf"):
        return "", False
    if "oneOf" in inner:
        return "oneOf", True
    return (inner.get("$comment", "anyOf") if "anyOf" in inner else ""), False


def _described(error: jsonschema_rs.ValidationError, reason: str) -> str:
    """One violation, led by its field as the reference names it: `(root)` or a dotted path."""
    path = [str(step) for step in error.instance_path]
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)
    where = f" (at {shortened(pointer)})" if path else ""
    return f"{shortened('.'.join(path)) or '(root)'}: {shortened(reason)}{where}"


def _quoted(instance: Any) -> str:
    return json.dumps(instance, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def shortened(text: str) -> str:
    """A text of bounded length: messages quote the instance, which may be megabytes, and end with the rule."""
    return text if len(text) <= _MAX_REASON else f"{text[:_HEAD]}...{text[_HEAD - _MAX_REASON :]}"
