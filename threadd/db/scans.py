"""Answering a query by reading a collection in the order of its IDs, in slices and with bounded memory."""

import heapq
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias, TypedDict

import msgspec

from threadd.db.errors import ResultTooLargeError
from threadd.db.queries import Query, sort_key
from threadd.db.slices import Pacer

MAX_RESULT_BYTES = 256 * 1024 * 1024
"""What the rows of one answer may take; a client pages with `limit` and `seek` beyond it."""

ROWS_BETWEEN_LOOKS = 16
"""How many rows are read between two looks at the clock."""

Row: TypeAlias = tuple[str, bytes]
ReadFilter: TypeAlias = Callable[[bytes], Awaitable[bytes | None]]
Decode: TypeAlias = Callable[[bytes], dict[str, Any]]


@lru_cache(maxsize=256)
def _decoder(fields: frozenset[str]) -> Decode:
    """Reads only the named fields of a document, which is several times as fast as reading all."""
    return msgspec.json.Decoder(TypedDict("Fields", dict.fromkeys(fields, Any), total=False)).decode  # type: ignore[operator]


async def run(query: Query, rows: Iterable[Row], read_filter: ReadFilter | None) -> list[bytes]:
    """Filter, sort, skip and limit.

    Args:
        query: What is asked for.
        rows: ID and JSON text of the collection's instances, from `query.seek` on, in the order of their IDs; reversed
            for a descending query by ID.
        read_filter: What the reader may see of an instance; None where that is everything.

    Returns:
        The JSON texts.

    Raises:
        ResultTooLargeError: The rows would take more than `MAX_RESULT_BYTES`.
    """
    wanted = _InOrder(query) if query.by_id else _Sorted(query)
    decode = None if query.matches_all and query.by_id else _decoder(query.fields)
    pacer = Pacer()
    for number, (instance_id, stored) in enumerate(rows):
        text: bytes | None = stored
        if read_filter is not None:
            text = await read_filter(stored)
        if text is not None:
            document = decode(text) if decode else {}
            if (query.matches_all or query.matches(document)) and wanted.add(instance_id, text, document):
                break
        if number % ROWS_BETWEEN_LOOKS == 0 and pacer.due():
            await pacer.pause()
    return wanted.result()


@dataclass(slots=True)
class _InOrder:
    """Rows that come in the wanted order."""

    query: Query
    seen: int = 0
    size: int = 0
    texts: list[bytes] = field(default_factory=list)

    def add(self, _instance_id: str, text: bytes, _document: dict[str, Any]) -> bool:
        """Take a row; True when no more are wanted."""
        self.seen += 1
        if self.seen > self.query.skip:
            self.texts.append(text)
            self.size += len(text)
            _check_size(self.size)
        return bool(self.query.limit) and len(self.texts) == self.query.limit

    def result(self) -> list[bytes]:
        return self.texts


@dataclass(slots=True)
class _Sorted:
    """Rows to be sorted; of those that a limit will cut off, most are let go on the way."""

    query: Query
    size: int = 0
    rows: list[tuple[tuple[int, Any], str, bytes]] = field(default_factory=list)

    def add(self, instance_id: str, text: bytes, document: dict[str, Any]) -> bool:
        """Take a row; never is one the last, since a later one may sort before it."""
        self.rows.append((sort_key(document, self.query.sort_path), instance_id, text))
        self.size += len(text)
        wanted = self.query.skip + self.query.limit
        if self.query.limit and len(self.rows) >= max(2 * wanted, 1024):
            self.rows = self._first(wanted)
            self.size = sum(len(row[2]) for row in self.rows)
        _check_size(self.size)
        return False

    def _first(self, count: int) -> list[tuple[tuple[int, Any], str, bytes]]:
        return (heapq.nlargest if self.query.descending else heapq.nsmallest)(count, self.rows)

    def result(self) -> list[bytes]:
        query = self.query
        if query.limit:
            self.rows = self._first(query.skip + query.limit)
        else:
            self.rows.sort(reverse=query.descending)
        return [row[2] for row in self.rows[query.skip :]]


def _check_size(size: int) -> None:
    if size > MAX_RESULT_BYTES:
        raise ResultTooLargeError
