"""Making the answer of a query from the rows that may belong to it, in slices and with bounded memory."""

import heapq
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from threadd.db.documents import ID_FIELD
from threadd.db.errors import ResultTooLargeError
from threadd.db.fields import Order, decoder_of, sort_key
from threadd.db.plans import Row
from threadd.db.queries import Query
from threadd.db.slices import Pacer

MAX_RESULT_BYTES = 256 * 1024 * 1024
"""What the rows of one answer may take; a client pages with `limit` and `seek` beyond it."""

_RUN = 2_048

_ids = decoder_of(frozenset({ID_FIELD}))

ROWS_BETWEEN_LOOKS = 64
"""How many rows are read at most between two looks at the clock."""

_CONDITIONS_BETWEEN_LOOKS = 1_024

ReadFilter: TypeAlias = Callable[[bytes], Awaitable[bytes | None]]


After: TypeAlias = tuple[Order, bytes]
"""A place in the order of a query: that of the value that is sorted by, and the ID."""


async def run(
    query: Query,
    rows: Iterable[Row | None],
    read_filter: ReadFilter | None,
    *,
    ordered: bool,
    after: After | None = None,
) -> list[bytes]:
    """Filter, sort, skip and limit.

    Args:
        query: What is asked for.
        rows: All instances that may match; None is no row.
        read_filter: What the reader may see of an instance; None where that is everything.
        ordered: Whether the rows come in the wanted order.
        after: Where the rows that count begin, exclusive; None for all.

    Returns:
        The JSON texts.

    Raises:
        ResultTooLargeError: The rows would take more than `MAX_RESULT_BYTES`.
    """
    pacer = Pacer()
    wanted: _Wanted = _InOrder(query) if ordered else _Sorted(query)
    if after is not None:
        wanted = _Later(query, after, wanted)
    coming = iter(rows)
    size = _rows_between_looks(query)
    if ordered and 0 < query.limit < ROWS_BETWEEN_LOOKS:
        size = min(size, max(ROWS_BETWEEN_LOOKS // 4, query.skip + query.limit))
    while (batch := _batch(coming, size)) is not None:
        if read_filter is not None:
            batch = await _filtered(batch, read_filter)
        if _take(query, batch, wanted, ordered=ordered and after is None):
            break
        if pacer.due():
            await pacer.pause()
    return await wanted.result(pacer)


async def count(query: Query, rows: Iterable[Row | None], read_filter: ReadFilter | None) -> int:
    """Tell how many instances match; `limit` and `skip` are not looked at.

    Args:
        query: What is asked for.
        rows: All instances that may match; None is no row.
        read_filter: What the reader may see of an instance; None where that is everything.
    """
    pacer = Pacer()
    decode, matches = decoder_of(query.fields), query.matches
    coming = iter(rows)
    number, size = 0, _rows_between_looks(query)
    while (batch := _batch(coming, size)) is not None:
        if read_filter is not None:
            batch = await _filtered(batch, read_filter)
        number += len(batch) if query.matches_all else sum(matches(decode(text)) for _, text in batch)
        if pacer.due():
            await pacer.pause()
    return number


def _rows_between_looks(query: Query) -> int:
    return max(1, min(ROWS_BETWEEN_LOOKS, _CONDITIONS_BETWEEN_LOOKS // max(1, query.conditions)))


def _batch(coming: Iterator[Row | None], size: int) -> list[Row] | None:
    """The rows of the next steps, which may be none; None at the end."""
    steps = list(itertools.islice(coming, size))
    return [row for row in steps if row is not None] if steps else None


async def _filtered(batch: list[Row], read_filter: ReadFilter) -> list[Row]:
    """What the reader may see of some rows."""
    return [(order, shown) for order, text in batch if (shown := await read_filter(text)) is not None]


def _take(query: Query, batch: list[Row], wanted: "_Wanted", *, ordered: bool) -> bool:
    """Take the rows that match; True when no more are wanted."""
    if query.matches_all and ordered:
        return any(wanted.add(order, text, {}) for order, text in batch)
    decode, matches = decoder_of(query.fields), query.matches
    for order, text in batch:
        document = decode(text)
        if matches(document) and wanted.add(order, text, document):
            return True
    return False


class _Wanted(Protocol):
    """Takes the rows that match, and gives those that are wanted."""

    def add(self, order: bytes, text: bytes, document: dict[str, Any], /) -> bool:
        """Take a row; True when no more are wanted."""

    async def result(self, pacer: Pacer, /) -> list[bytes]:
        """The JSON texts of the rows that are wanted."""


@dataclass(slots=True)
class _Later:
    """Those rows that come after a place in the order."""

    query: Query
    after: After
    wanted: _Wanted

    def add(self, order: bytes, text: bytes, document: dict[str, Any]) -> bool:
        """Take a row; True when no more are wanted."""
        place = (sort_key(document, self.query.sort_path), _ids(text)[ID_FIELD].encode())
        is_later = place < self.after if self.query.descending else place > self.after
        return is_later and self.wanted.add(order, text, document)

    async def result(self, pacer: Pacer) -> list[bytes]:
        return await self.wanted.result(pacer)


@dataclass(slots=True)
class _InOrder:
    """Rows that come in the wanted order."""

    query: Query
    seen: int = 0
    size: int = 0
    texts: list[bytes] = field(default_factory=list)

    def add(self, _order: bytes, text: bytes, _document: dict[str, Any]) -> bool:
        """Take a row; True when no more are wanted."""
        self.seen += 1
        if self.seen > self.query.skip:
            self.texts.append(text)
            self.size += len(text)
            _check_size(self.size)
        return bool(self.query.limit) and len(self.texts) == self.query.limit

    async def result(self, _pacer: Pacer) -> list[bytes]:
        return self.texts


_Sortable: TypeAlias = tuple[Order, bytes, bytes]


@dataclass(slots=True)
class _Sorted:
    """Rows to be sorted: in runs that are short enough not to hold the loop, which are merged at the end.

    Where a small limit will cut most of them off, they are let go on the way.
    """

    query: Query
    size: int = 0
    current: list[_Sortable] = field(default_factory=list)
    runs: list[list[_Sortable]] = field(default_factory=list)

    def add(self, order: bytes, text: bytes, document: dict[str, Any]) -> bool:
        """Take a row; never is one the last, since a later one may sort before it."""
        self.current.append((sort_key(document, self.query.sort_path), order, text))
        self.size += len(text)
        if len(self.current) >= _RUN:
            self._end_run()
        _check_size(self.size)
        return False

    def _end_run(self) -> None:
        self.current.sort(reverse=self.query.descending)
        wanted = self.query.skip + self.query.limit
        if self.query.limit and wanted < _RUN // 2:
            self.current = self.current[:wanted]
            self.size = sum(len(row[2]) for row in self.current)
        else:
            self.runs.append(self.current)
            self.current = []

    async def result(self, pacer: Pacer) -> list[bytes]:
        self.current.sort(reverse=self.query.descending)
        stop = self.query.skip + self.query.limit if self.query.limit else None
        merged = heapq.merge(*self.runs, self.current, reverse=self.query.descending)
        texts = []
        for number, row in enumerate(itertools.islice(merged, self.query.skip, stop)):
            texts.append(row[2])
            if number % ROWS_BETWEEN_LOOKS == 0 and pacer.due():
                await pacer.pause()
        return texts


def _check_size(size: int) -> None:
    if size > MAX_RESULT_BYTES:
        raise ResultTooLargeError
