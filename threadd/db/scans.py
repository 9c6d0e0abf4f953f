"""Making the answer of a query from the rows that may belong to it, in slices and with bounded memory."""

import heapq
import itertools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from threadd.db.errors import ResultTooLargeError
from threadd.db.fields import Order, decoder_of, sort_key
from threadd.db.queries import Query
from threadd.db.slices import Pacer

MAX_RESULT_BYTES = 256 * 1024 * 1024
"""What the rows of one answer may take; a client pages with `limit` and `seek` beyond it."""

_RUN = 2_048

ROWS_BETWEEN_LOOKS = 16
"""How many rows are read between two looks at the clock."""

Row: TypeAlias = tuple[str, bytes]
ReadFilter: TypeAlias = Callable[[bytes], Awaitable[bytes | None]]


async def run(query: Query, rows: Iterable[Row], read_filter: ReadFilter | None, *, ordered: bool) -> list[bytes]:
    """Filter, sort, skip and limit.

    Args:
        query: What is asked for.
        rows: ID and JSON text of all instances that may match.
        read_filter: What the reader may see of an instance; None where that is everything.
        ordered: Whether the rows come in the wanted order.

    Returns:
        The JSON texts.

    Raises:
        ResultTooLargeError: The rows would take more than `MAX_RESULT_BYTES`.
    """
    pacer = Pacer()
    wanted = _InOrder(query) if ordered else _Sorted(query)
    decode = None if query.matches_all and ordered else decoder_of(query.fields)
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
    return await wanted.result(pacer)


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

    async def result(self, _pacer: Pacer) -> list[bytes]:
        return self.texts


_Sortable: TypeAlias = tuple[Order, str, bytes]


@dataclass(slots=True)
class _Sorted:
    """Rows to be sorted: in runs that are short enough not to hold the loop, which are merged at the end.

    Where a small limit will cut most of them off, they are let go on the way.
    """

    query: Query
    size: int = 0
    current: list[_Sortable] = field(default_factory=list)
    runs: list[list[_Sortable]] = field(default_factory=list)

    def add(self, instance_id: str, text: bytes, document: dict[str, Any]) -> bool:
        """Take a row; never is one the last, since a later one may sort before it."""
        self.current.append((sort_key(document, self.query.sort_path), instance_id, text))
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
