"""Reads beyond those of the Hub: how many, by which way, and page by page."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from net.keys import PublicKey
from threadd.db import documents, plans, scans
from threadd.db.database import Database
from threadd.db.documents import ID_FIELD
from threadd.db.errors import InvalidQueryError
from threadd.db.fields import Order, sort_key
from threadd.db.plans import Row
from threadd.db.queries import Query, parse_query

PAGE_SIZE: Final = 100
"""The most instances of a page where its client does not say."""

MAX_PAGE_SIZE: Final = 10_000

_NO_CURSOR: Final = "invalid cursor: send what the previous page gave, unchanged"

# What orders the values of each kind; see `sort_key`.
_KINDS: Final[dict[int, type]] = {0: int, 1: int, 2: bool, 3: float, 4: str, 5: bytes, 6: bytes}


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a query was answered.

    Args:
        indexes: The paths of the indexes that were read; none for a scan of the whole collection.
        ordered: Whether the rows came in the wanted order.
        rows_read: How many instances were looked at.
        instances: What the query gives, a JSON text each.
        microseconds: How long it took.
    """

    indexes: tuple[str, ...]
    ordered: bool
    rows_read: int
    instances: list[bytes]
    microseconds: int


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what a query asks for.

    Args:
        instances: A JSON text each.
        cursor: For the next page; empty after the last one.
    """

    instances: list[bytes]
    cursor: bytes


class _Cursor(msgspec.Struct, array_like=True, frozen=True):
    """Where a page ended.

    Args:
        kind: Of the value of the field that is sorted by, as `sort_key` has it.
        value: What orders it among those of its kind.
        instance_id: The last instance.
    """

    kind: int
    value: Any
    instance_id: str


async def count(database: Database, collection: str, query: bytes, reader: PublicKey | None) -> int:
    """Tell how many instances `Database.find` would give.

    Args:
        database: The database.
        collection: The name of the collection.
        query: As `Database.find` takes it.
        reader: Who reads; None for the daemon's operator, past the read filter.

    Raises:
        CollectionNotFoundError, InvalidQueryError, ScriptError, QueryTimeError: As `Database.find`.
    """
    parsed = parse_query(query)
    async with database.querying(collection, reader) as (source, read_filter):
        every = replace(parsed, sort_path=(ID_FIELD,), limit=0, skip=0) if not parsed.seek else parsed
        plan = plans.choose(every, source)
        found = await scans.count(every, plans.rows(plan, every, source), read_filter)
    found = max(0, found - parsed.skip)
    return min(found, parsed.limit) if parsed.limit else found


async def explain(database: Database, collection: str, query: bytes, reader: PublicKey | None) -> Explanation:
    """Answer a query, and tell how; arguments and errors are those of `count`."""
    parsed = parse_query(query)
    begun = time.perf_counter_ns()
    async with database.querying(collection, reader) as (source, read_filter):
        plan = plans.choose(parsed, source)
        counted = _Counted(plans.rows(plan, parsed, source))
        instances = await scans.run(parsed, counted, read_filter, ordered=plan.ordered)
    paths = tuple(dict.fromkeys(span.index.path for span in plan.spans))
    took = (time.perf_counter_ns() - begun) // 1_000
    return Explanation(paths, plan.ordered, counted.number, instances, took)


async def page(
    database: Database, collection: str, query: bytes, reader: PublicKey, *, size: int = 0, cursor: bytes = b""
) -> Page:
    """Give a part of what a query asks for.

    An instance that is not written between two pages is on exactly one of them. One that moves in the order meanwhile
    is on the page where it is found, which may be two or none.

    Args:
        database: The database.
        collection: The name of the collection.
        query: As `Database.find` takes it, without `limit` and `skip`.
        reader: Who reads.
        size: The most instances; `PAGE_SIZE` where it is 0.
        cursor: What the page before gave; empty for the first.

    Raises:
        InvalidQueryError: The query has a limit or skips, the size is out of range, or the cursor is none.
        CollectionNotFoundError, ScriptError, QueryTimeError: As `Database.find`.
    """
    parsed = parse_query(query)
    if parsed.limit or parsed.skip:
        raise InvalidQueryError("invalid query: a page has its size and cursor instead of limit and skip")
    if not 0 <= size <= MAX_PAGE_SIZE:
        raise InvalidQueryError(f"a page has 1 to {MAX_PAGE_SIZE} instances, or {PAGE_SIZE} where none is asked for")
    size = size or PAGE_SIZE
    after = _after(cursor) if cursor else None
    limited = replace(parsed, limit=size + 1)
    if after is not None and parsed.by_id:
        limited = replace(limited, seek=after[1].decode())
    async with database.querying(collection, reader) as (source, read_filter):
        plan = plans.choose(limited, source)
        rows = plans.rows(plan, limited, source)
        found = await scans.run(limited, rows, read_filter, ordered=plan.ordered, after=after)
    return Page(found[:size], _cursor(parsed, found[size - 1]) if len(found) > size else b"")


def _cursor(query: Query, text: bytes) -> bytes:
    document = documents.parse(text)
    return msgspec.msgpack.encode(_Cursor(*sort_key(document, query.sort_path), document[ID_FIELD]))


def _after(cursor: bytes) -> tuple[Order, bytes]:
    try:
        decoded = msgspec.msgpack.decode(cursor, type=_Cursor)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidQueryError(_NO_CURSOR) from error
    if not isinstance(decoded.value, _KINDS.get(decoded.kind, ())):
        raise InvalidQueryError(_NO_CURSOR)
    return (decoded.kind, decoded.value), decoded.instance_id.encode()


class _Counted:
    """Rows, and how many of them were taken.

    Args:
        rows: The rows.
    """

    def __init__(self, rows: Iterable[Row | None]) -> None:
        self._rows = iter(rows)
        self.number = 0

    def __iter__(self) -> Iterator[Row | None]:
        for row in self._rows:
            self.number += row is not None
            yield row
