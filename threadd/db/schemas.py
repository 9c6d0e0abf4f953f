"""JSON Schema of a collection: compiled once, enforced whole, never fetched from anywhere.

Drafts 4, 6 and 7 are what clients use; newer ones work too. Without `$schema` it is draft 7. Patterns are of the
linear-time kind, as the reference's.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import jsonschema_rs

from threadd.db import documents
from threadd.db import schema_reports as reports
from threadd.db.documents import ID_FIELD, MODIFIED_FIELD, Document
from threadd.db.errors import InvalidIndexError, InvalidInstanceError, InvalidSchemaError, SchemaViolationError
from threadd.db.schema_costs import UNBOUNDED, SchemaCost, cost_of

MAX_INDEX_PATH = 1_000
"""How many characters the path of an index may have."""

INDEXABLE_TYPES = frozenset({"string", "number", "integer", "boolean"})

_DRAFT_7 = "http://json-schema.org/draft-07/schema#"
_UNVERSIONED = (None, "http://json-schema.org/schema#", "http://json-schema.org/schema")
_MAX_REFERENCES = 32
_SMALLEST = b"{}"


class Schema:
    """A compiled schema.

    Args:
        text: The JSON text that a client gave; it is kept as it is.

    Attributes:
        cost: What it can cost at most.

    Raises:
        InvalidSchemaError: It is no schema, refers to something outside of itself, or does not make `_id` a string.
    """

    def __init__(self, text: bytes) -> None:
        root = _read(text)
        self._compile(text, root, cost_of(root, is_limited=False) or UNBOUNDED)

    @classmethod
    def if_cheap(cls, text: bytes) -> "Schema | None":
        """A schema that may be compiled on the event loop; None for any other, which may not even be one.

        Args:
            text: As the constructor takes it, of at most `MAX_TEXT_BYTES`.

        Raises:
            InvalidSchemaError: As the constructor.
        """
        root = _read(text)
        cost = cost_of(root)
        if cost is None or not cost.allows_check(_SMALLEST):
            return None
        self = cls.__new__(cls)
        self._compile(text, root, cost)
        return self

    def _compile(self, text: bytes, root: Document, cost: SchemaCost) -> None:
        self.text = text
        self.cost = cost
        self._root = root
        self._targets: dict[int, Document] = {}
        self._validator = _compile(root)
        self._reporter: jsonschema_rs.Validator | None = None
        if self.type_at(ID_FIELD) != "string":
            raise InvalidSchemaError("the collection schema should specify an _id string property")
        self.names_modified = self._property(root, MODIFIED_FIELD) is not None

    def check(self, instance: Document) -> None:
        """Refuse an instance that the schema does not allow.

        Raises:
            SchemaViolationError: With field, rule and JSON pointer of the first violations.
            InvalidInstanceError: It holds what no validator knows.
        """
        if not self.allows(instance):
            raise self.violation(instance)

    def allows(self, instance: Document) -> bool:
        """Whether an instance is valid.

        Raises:
            InvalidInstanceError: It holds what no validator knows.
        """
        if not self.cost.check_collision:
            with suppress(ValueError):  # it holds a number that the validator does not know
                if self._validator.is_valid(instance):
                    return True
        # uniqueItems is never tried with such numbers: the validator raises an error for each pair of them.
        try:
            return self._validator.is_valid(documents.native(instance))
        except ValueError as error:
            raise InvalidInstanceError(f"instance cannot be validated: {reports.shortened(str(error))}") from error

    def violation(self, instance: Document) -> SchemaViolationError:
        """What is wrong with an instance that is not valid: field, rule and JSON pointer of the first violations."""
        if self._reporter is None:
            if self.cost.can_cut:
                self._reporter = _compile(reports.without_alternatives(self._root, self.cost.schemas))
            else:
                self._reporter = self._validator
        found = reports.violations(self._reporter, documents.native(instance))
        return SchemaViolationError(f"{SchemaViolationError.default_text}: {'; '.join(found)}")

    def check_indexes(self, paths: Iterable[str]) -> Iterator[None]:
        """Refuse paths that cannot be indexed, or are named twice; gives its caller a turn after each.

        Args:
            paths: As for `check_index`.

        Raises:
            InvalidIndexError: As `check_index`; or a path is there twice.
        """
        seen: set[str] = set()
        for path in paths:
            self.check_index(path)
            if path in seen:
                raise InvalidIndexError(
                    f"two indexes name the path {reports.shortened(repr(path))}: name each path once"
                )
            seen.add(path)
            yield

    def check_index(self, path: str) -> None:
        """Refuse a path that cannot be indexed.

        Args:
            path: Names of fields, joined by dots.

        Raises:
            InvalidIndexError: The path is `_id`, is not in the schema, or leads to no string, number or boolean.
        """
        if len(path) > MAX_INDEX_PATH:
            raise InvalidIndexError(f"a path of {len(path)} characters: at most {MAX_INDEX_PATH} can be indexed")
        if path == ID_FIELD:
            raise InvalidIndexError("cannot index _id: every collection is ordered by it already")
        found = self.type_at(path)
        if found is None:
            raise InvalidIndexError(f"collection schema does not contain path: {reports.shortened(repr(path))}")
        if not isinstance(found, str) or found not in INDEXABLE_TYPES:
            raise InvalidIndexError(
                f"value not indexable: {reports.shortened(repr(path))} is of type {reports.shortened(repr(found))}, "
                "not string, number, integer or boolean",
            )

    def type_at(self, path: str) -> object | None:
        """The `type` of the schema at a dotted path, through `$ref`; None where the schema does not name the path."""
        node = self._root
        for name in path.split("."):
            found = self._property(node, name)
            if found is None:
                return None
            node = found
        kind: object = self._resolved(node).get("type", "")
        return kind

    def _property(self, node: Document, name: str) -> Document | None:
        properties = self._resolved(node).get("properties")
        found = properties.get(name) if isinstance(properties, dict) else None
        return found if isinstance(found, dict) else None

    def _resolved(self, node: Document) -> Document:
        """The node itself or what its chain of references ends at; an empty schema where that is nothing."""
        if "$ref" not in node:
            return node
        found = self._targets.get(id(node))
        if found is None:
            found = self._targets[id(node)] = self._end_of(node)
        return found

    def _end_of(self, node: object) -> Document:
        for _ in range(_MAX_REFERENCES):
            if not isinstance(node, dict):
                return {}
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            node = self._referred(reference)
        return {}

    def _referred(self, reference: str) -> object:
        if not reference.startswith("#"):
            return None
        node: Any = self._root
        for step in reference[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            node = node.get(key) if isinstance(node, dict) else None
        return node


def _read(text: bytes) -> Document:
    try:
        root = documents.native(documents.parse(text))
    except InvalidInstanceError as error:
        raise InvalidSchemaError(f"invalid schema: {error.text}") from error
    if not isinstance(root, dict):
        raise InvalidSchemaError(f"invalid schema: a schema is a JSON object, not {documents.kind(root)}")
    return root


def _compile(root: Document) -> jsonschema_rs.Validator:
    patterns = jsonschema_rs.RegexOptions()
    try:
        if root.get("$schema") in _UNVERSIONED:
            root = {**root, "$schema": _DRAFT_7}
        return jsonschema_rs.validator_for(root, validate_formats=True, pattern_options=patterns, offline=True)
    except (ValueError, TypeError, jsonschema_rs.ReferencingError) as error:
        reason = getattr(error, "message", None) or str(error).split("\n", 1)[0]
        raise InvalidSchemaError(f"invalid schema: {reports.shortened(reason)}") from error
