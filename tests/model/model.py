"""A small and obviously right database: what the daemon is to answer by the documented rules (docs/compatibility.md).

Instances are dicts; a number with a fraction or an exponent is a `Written`, which keeps its characters. Nothing here is
fast, and nothing is shared with the daemon's code.
"""

import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

EXISTS = "can't create already existing instance"
CONTRADICTION = "can't create already existent instance"
DISCARDED = "can't commit discarded/committed txn"
NO_COLLECTION = "collection not found"
NO_INSTANCE = "instance not found"
NOT_UNIQUE = "unique constraint violation"
DUPLICATES = "can't create unique index (duplicate instances exist)"
REGISTERED = "collection already registered"
BAD_SCHEMA = "instance doesn't correspond to schema"
BAD_NAME = (
    "name may only contain alphanumeric characters or non-consecutive hyphens, and cannot begin or end with a hyphen"
)

_MISSING = object()
_COMPARISONS = [operator.eq, operator.ne, operator.gt, operator.lt, operator.ge, operator.le]
_INDEXABLE = {"string", "number", "integer", "boolean"}
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class RefusedError(Exception):
    """How a call ends that is refused: the name of its status code, and its text."""

    def __init__(self, code, text):
        super().__init__(code, text)
        self.code, self.text = code, text


class Written(float):
    """A JSON number with the characters that it was written with."""

    def __new__(cls, text):
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __repr__(self):
        return f"Written({self.text!r})"


@dataclass(frozen=True)
class Broken:
    """What a client sends that is no instance or no query, and why it is refused."""

    text: str
    reason: str


def text_of(value):
    """The JSON text that goes over the wire: compact, keys in order, numbers as they were written."""
    if isinstance(value, Broken):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{text_of(key)}:{text_of(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    if isinstance(value, Written):
        return value.text
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return "".join(_ESCAPES.get(character, character) for character in text)
    return json.dumps(value)


def parsed(text):
    """The value of a JSON text."""
    return json.loads(text, parse_float=Written)


def value_at(document, path):
    """What a document has at a dotted path, which leads through objects only."""
    value = document
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def place(value):
    """missing < null < false < true < numbers < strings by code point < arrays < objects, these two by their text."""
    if value is _MISSING:
        return 0, 0
    if value is None:
        return 1, 0
    if isinstance(value, bool):
        return 2, value
    if is_number(value):
        return 3, float(value)
    if isinstance(value, str):
        return 4, value
    return (5 if isinstance(value, list) else 6), text_of(value)


def holds(criterion, document):
    """A missing field, or one of another type, is no match."""
    found = value_at(document, criterion["fieldPath"])
    ((kind, wanted),) = criterion["value"].items()
    alike = {"string": isinstance(found, str), "bool": isinstance(found, bool), "float": is_number(found)}
    if not alike[kind]:
        return False
    if kind == "float":
        found, wanted = float(found), float(wanted)
    return _COMPARISONS[criterion["operation"]](found, wanted)


def matches(query, document):
    """All of the ands, or one of the ors; without either everything."""
    ands, ors = query.get("ands", []), query.get("ors", [])
    if not ands and not ors:
        return True
    return (bool(ands) and all(holds(one, document) for one in ands)) or any(matches(one, document) for one in ors)


def find(documents, query):
    """Filter, sort, skip and limit, in that order; ties are broken by the ID."""
    if isinstance(query, Broken):
        raise RefusedError("INVALID_ARGUMENT", query.reason)
    sort = query.get("sort", {})
    path, descending = sort.get("fieldPath") or "_id", sort.get("desc", False)
    seek, skip, limit = query.get("seek", ""), max(0, query.get("skip", 0)), query.get("limit", 0)
    rows = [document for document in documents.values() if matches(query, document)]
    if seek and path == "_id" and descending:
        rows = [document for document in rows if document["_id"] <= seek]
    elif seek:
        rows = [document for document in rows if document["_id"] >= seek]
    rows.sort(key=lambda document: (place(value_at(document, path)), document["_id"]), reverse=descending)
    return rows[skip : skip + limit if limit > 0 else None]


def saved(old, new):
    """What a save leaves: the new object, without the nulls that were not there before (a merge patch cannot set one)."""
    result = {}
    for key, value in new.items():
        if value is None:
            if key in old and old[key] is None:
                result[key] = None
        elif isinstance(value, dict):
            before = old.get(key)
            result[key] = saved(before if isinstance(before, dict) else {}, value)
        else:
            result[key] = value
    return result


def violates(schema, value):
    """Whether a value breaks a schema, of which only `type`, `required` and `properties` are known here."""
    kinds = {"string": isinstance(value, str), "number": is_number(value), "boolean": isinstance(value, bool)}
    if not kinds.get(schema.get("type"), True):
        return True
    if not isinstance(value, dict):
        return False
    if any(name not in value for name in schema.get("required", [])):
        return True
    properties = schema.get("properties", {})
    return any(violates(properties[name], item) for name, item in value.items() if name in properties)


@dataclass(frozen=True)
class Index:
    path: str
    unique: bool = False


@dataclass(frozen=True)
class Config:
    """What a client says of a collection."""

    name: str
    schema: dict
    indexes: tuple[Index, ...] = ()

    def check(self):
        parts = self.name.split("-")
        if not all(part.isascii() and part.isalnum() for part in parts):
            raise RefusedError("INVALID_ARGUMENT", BAD_NAME)
        for position, index in enumerate(self.indexes):
            self._check_path(index.path)
            if any(index.path == earlier.path for earlier in self.indexes[:position]):
                raise RefusedError("INVALID_ARGUMENT", f"two indexes name the path {index.path!r}: name each path once")

    def _check_path(self, path):
        if path == "_id":
            raise RefusedError("INVALID_ARGUMENT", "cannot index _id: every collection is ordered by it already")
        node = value_at(self.schema, f"properties.{path.replace('.', '.properties.')}")
        if node is _MISSING:
            raise RefusedError("INVALID_ARGUMENT", f"collection schema does not contain path: {path!r}")
        found = node.get("type", "")
        if found not in _INDEXABLE:
            raise RefusedError(
                "INVALID_ARGUMENT",
                f"value not indexable: {path!r} is of type {found!r}, not string, number, integer or boolean",
            )

    def clashes(self, documents):
        """Whether two instances have the same value at a path that is unique; those without a value do not clash."""
        for index in self.indexes:
            values = [value_at(document, index.path) for document in documents.values()]
            places = [place(value) for value in values if value is not _MISSING]
            if index.unique and len(set(places)) < len(places):
                return True
        return False


@dataclass(eq=False)
class Change:
    """What is done to one instance; `document` is None after a delete."""

    collection: str
    instance_id: str
    action: str
    document: dict | None


@dataclass(eq=False)
class Collection:
    config: Config
    documents: dict[str, dict] = field(default_factory=dict)


@dataclass(eq=False)
class Transaction:
    """Operations on one collection: reads see the state before them all, writes build on each other.

    `old` are the instances that are there from before and were not deleted. A refused operation leaves nothing behind.
    """

    collection: Collection
    before: dict[str, dict]
    now: dict[str, dict]
    old: set[str]
    changes: list[Change] = field(default_factory=list)
    contradicts: bool = False
    discarded: bool = False

    @classmethod
    def on(cls, collection):
        documents = dict(collection.documents)
        return cls(collection, documents, documents, set(documents))

    def create(self, instances: Sequence[Any], made: Sequence[str] = ()) -> list[str]:
        """Create instances; `made` are the IDs that the daemon gave to all, of which those count that came without."""
        trial = self._trial()
        for position, instance in enumerate(instances):
            document = self._parsed(instance)
            instance_id = document.get("_id") or (made[position] if made else f"made {position}")
            document["_id"] = instance_id
            self._check_schema(document)
            if instance_id in trial.old:
                raise RefusedError("UNKNOWN", EXISTS)
            trial.contradicts |= instance_id in trial.now
            trial._put("CREATE", instance_id, document)
        self._accept(trial)
        return [change.instance_id for change in self.changes[len(self.changes) - len(instances) :]]

    def save(self, instances: Sequence[Any]) -> None:
        trial = self._trial()
        for instance in instances:
            document = self._parsed(instance)
            self._check_schema(document)
            instance_id = document.get("_id")
            if not instance_id:
                raise RefusedError("INVALID_ARGUMENT", "invalid instance: missing _id attribute")
            trial._put("SAVE", instance_id, saved(trial.now.get(instance_id, {}), document))
        self._accept(trial)

    def verify(self, instances: Sequence[Any]) -> None:
        """Says what `save` would, and changes nothing."""
        self._trial().save(instances)

    def delete(self, instance_ids: Sequence[str]) -> None:
        """Delete instances; those that are not there are passed over."""
        for instance_id in instance_ids:
            if self.now.get(instance_id) is not None:
                trial = self._trial()
                del trial.now[instance_id]
                trial.old.discard(instance_id)
                trial.changes.append(Change(self.collection.config.name, instance_id, "DELETE", None))
                self._accept(trial)

    def has(self, instance_ids: Sequence[str]) -> bool:
        return all(instance_id in self.before for instance_id in instance_ids)

    def find(self, query: Any) -> list[dict]:
        return find(self.before, query)

    def find_by_id(self, instance_id: str) -> dict:
        if instance_id not in self.before:
            raise RefusedError("UNKNOWN", NO_INSTANCE)
        return self.before[instance_id]

    def discard(self) -> None:
        self.discarded = True

    def commit(self) -> list[Change]:
        """Do what was accepted; returns it, in order."""
        if self.discarded:
            raise RefusedError("UNKNOWN", DISCARDED)
        if self.contradicts:
            raise RefusedError("UNKNOWN", CONTRADICTION)
        if self.collection.config.clashes(self.now):
            raise RefusedError("UNKNOWN", NOT_UNIQUE)
        self.collection.documents = self.now
        return self.changes

    def _trial(self):
        return replace(self, now=dict(self.now), old=set(self.old), changes=list(self.changes))

    def _accept(self, trial):
        self.now, self.old = trial.now, trial.old
        self.changes, self.contradicts = trial.changes, trial.contradicts

    def _put(self, action, instance_id, document):
        self.now[instance_id] = document
        self.changes.append(Change(self.collection.config.name, instance_id, action, document))

    def _check_schema(self, document):
        if violates(self.collection.config.schema, document):
            raise RefusedError("UNKNOWN", BAD_SCHEMA)

    @staticmethod
    def _parsed(instance):
        """The instance without the daemon's own field; an ID is a string of at most 400 bytes (a NUL is two), or null."""
        wrong = "unmarshaling json instance: "
        if isinstance(instance, Broken):
            raise RefusedError("INVALID_ARGUMENT", wrong + instance.reason)
        document = {key: value for key, value in instance.items() if key != "_mod"}
        instance_id = document.get("_id")
        if is_number(instance_id):
            raise RefusedError("INVALID_ARGUMENT", f"{wrong}_id is a string, not a number")
        size = len((instance_id or "").replace("\0", "\0\0").encode())
        if size > 400:
            raise RefusedError("INVALID_ARGUMENT", f"_id is {size} bytes long: at most 400 bytes are possible")
        return document


@dataclass(eq=False)
class Database:
    """A database: its collections by name."""

    collections: dict[str, Collection] = field(default_factory=dict)

    def collection(self, name: str) -> Collection:
        if name not in self.collections:
            raise RefusedError("NOT_FOUND", NO_COLLECTION)
        return self.collections[name]

    def new_collection(self, config: Config) -> None:
        config.check()
        if config.name in self.collections:
            raise RefusedError("UNKNOWN", REGISTERED)
        self.collections[config.name] = Collection(config)

    def update_collection(self, config: Config) -> None:
        """Indexes come and go and another schema binds what is written from now on; the instances stay."""
        config.check()
        if config.name not in self.collections:
            raise RefusedError("NOT_FOUND", f"{NO_COLLECTION}: {config.name}")
        collection = self.collections[config.name]
        if config.clashes(collection.documents):
            raise RefusedError("UNKNOWN", DUPLICATES)
        collection.config = config

    def delete_collection(self, name: str) -> None:
        self.collection(name)
        del self.collections[name]

    def begin(self, name: str) -> Transaction:
        return Transaction.on(self.collection(name))
