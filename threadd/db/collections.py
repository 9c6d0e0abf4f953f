"""Collections: their configuration as clients give it, and what is compiled from it."""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from store.databases import CollectionRow, IndexRow
from store.engine import Transaction
from store.numbers import Numbers
from threadd.db.errors import InvalidNameError
from threadd.db.schema_costs import MAX_TEXT_BYTES
from threadd.db.schemas import Schema

MAX_NAME_BYTES = 200
"""A name is a part of a key of the store."""

_COMPILED_SCHEMAS = 512

_NAME = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a collection.

    Args:
        path: Names of fields, joined by dots.
        unique: Whether two instances may not have the same value there.
    """

    path: str
    unique: bool = False


@dataclass(frozen=True, slots=True)
class CollectionConfig:
    """What a client says of a collection.

    Args:
        name: Letters and digits with single hyphens between them.
        schema: JSON Schema text.
        indexes: At most one for each path.
        write_validator: The body of a JavaScript function of `writer, event, instance`, or "".
        read_filter: The body of a JavaScript function of `reader, instance`, or "".
    """

    name: str
    schema: bytes
    indexes: tuple[Index, ...] = ()
    write_validator: str = ""
    read_filter: str = ""


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a database or a collection.

    Raises:
        InvalidNameError: The name is empty or breaks the rule (threads protocol, "DB semantics"), or is longer than
            `MAX_NAME_BYTES`.
    """
    if len(name) > MAX_NAME_BYTES:
        raise InvalidNameError(f"name is {len(name)} characters long: at most {MAX_NAME_BYTES} are possible")
    if not _NAME.fullmatch(name):
        raise InvalidNameError


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """A collection as it is now; UpdateCollection makes a new one of the same number.

    Args:
        number: Its number in the store.
        config: What the client said of it.
        indexes: Its indexes with their numbers, without those that are stale.
        schema_key: Names the schema to workers.
    """

    number: int
    config: CollectionConfig
    indexes: tuple[IndexRow, ...]
    schema_key: bytes

    @classmethod
    def of(cls, row: CollectionRow, stale: AbstractSet[int] = frozenset()) -> "Collection":
        """The collection that is kept in a row.

        Args:
            row: The row.
            stale: The numbers of indexes that are not to be used.
        """
        config = config_of(row)
        indexes = tuple(index for index in row.indexes if index.number not in stale)
        return cls(row.number, config, indexes, key_of_schema(row.schema))

    @property
    def name(self) -> str:
        """Its name, unique in the database."""
        return self.config.name

    @property
    def schema(self) -> Schema | None:
        """Its schema, compiled when it is first used; None where that is not cheap, and only a worker has it."""
        return cheap_schema(self.config.schema)


def cheap_schema(text: bytes) -> Schema | None:
    """A schema that may be compiled on the event loop; None for any other, which may not even be one.

    Collections of the same schema, as those of an application's users are, share it.

    Args:
        text: Its JSON text.

    Raises:
        InvalidSchemaError: As `Schema`.
    """
    return _if_cheap(text) if len(text) <= MAX_TEXT_BYTES else None


_if_cheap = lru_cache(maxsize=_COMPILED_SCHEMAS)(Schema.if_cheap)


def key_of_schema(text: bytes) -> bytes:
    """What names a schema to workers.

    Args:
        text: Its JSON text.
    """
    return blake2b(text, digest_size=16).digest()


def config_of(row: CollectionRow) -> CollectionConfig:
    """The configuration that is kept of a collection."""
    indexes = tuple(Index(index.path, index.unique) for index in row.indexes)
    return CollectionConfig(row.name, row.schema, indexes, row.write_validator, row.read_filter)


def new_row(
    transaction: Transaction,
    numbers: Numbers,
    config: CollectionConfig,
    old: CollectionRow | None = None,
) -> CollectionRow:
    """What will be kept of a collection.

    Args:
        transaction: What takes the numbers of the collection and its new indexes.
        numbers: Gives them.
        config: What the client says of the collection.
        old: What is kept of it so far, or None for a new one.
    """
    known = {(index.path, index.unique): index for index in old.indexes} if old else {}
    indexes = tuple(
        known.get((index.path, index.unique)) or IndexRow(numbers.next(transaction), index.path, index.unique)
        for index in config.indexes
    )
    return CollectionRow(
        old.number if old else numbers.next(transaction),
        config.name,
        config.schema,
        indexes,
        config.write_validator,
        config.read_filter,
    )
