"""How a query is answered: by reading the whole collection, or through an index.

An index only ever leaves out instances that cannot match; every row is looked at again. So plans differ in their cost
and never in their answer.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from store import documents as document_rows
from store import indexes as index_rows
from store.databases import IndexRow
from store.engine import Reader
from store.indexes import EXACT_BYTES, Entry, IndexPlace
from store.keys import NUMBER, STRING, after_prefix, scalar, shortened
from store.tables import INDEXED_VALUE_BYTES
from threadd.db.collections import Collection
from threadd.db.fields import Order, Path, decoder_of, sort_key
from threadd.db.queries import Criterion, Operation, Query, Scalar

Row = tuple[bytes, bytes]
"""What orders an instance by its ID among others of its collection, and its JSON text."""

FEW_ROWS = 1_000
"""A range of fewer entries than this is read rather than the head of the collection."""

_RUN = 1_024


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an index that holds every instance that a condition allows.

    Args:
        index: The index.
        start: Where it begins.
        stop: Where it ends, exclusive; None for the end of the index.
        is_equality: Whether all its entries have one value, so that they lie in the order of their IDs.
    """

    index: IndexRow
    start: bytes = b""
    stop: bytes | None = None
    is_equality: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """How to answer a query.

    Args:
        spans: The parts of indexes to read; none for the whole collection.
        ordered: Whether rows come in the wanted order.
    """

    spans: tuple[Span, ...]
    ordered: bool


@dataclass(frozen=True, slots=True)
class Source:
    """Where to read.

    Args:
        reader: A state.
        thread: The number of the thread.
        collection: The collection.
    """

    reader: Reader
    thread: int
    collection: Collection

    def place(self, index: IndexRow) -> IndexPlace:
        """Where an index of the collection is."""
        return IndexPlace(self.thread, self.collection.number, index.number)

    def text(self, instance_id: str) -> bytes | None:
        """JSON text of an instance."""
        return document_rows.get_document(self.reader, self.thread, self.collection.number, instance_id)


def choose(query: Query, source: Source) -> Plan:
    """The plan for a query."""
    whole = Plan((), ordered=query.by_id)
    if query.matches_all and query.by_id:
        return whole
    by_path = {tuple(index.path.split(".")): index for index in source.collection.indexes}
    span = None if query.ors else _best_span(query.ands, by_path, query.index)
    if span is not None and span.is_equality:
        return Plan((span,), ordered=query.by_id)
    if query.limit and query.sort_path in by_path:
        index = by_path[query.sort_path]
        bounded = None if query.ors else _span_of(index, query.sort_path, query.ands)
        return Plan((bounded or Span(index),), ordered=True)
    if span is not None:
        return whole if query.by_id and query.limit and not _is_small(span, source) else Plan((span,), ordered=False)
    spans = [_best_span(ands, by_path, query.index) for ands in _alternatives(query)]
    usable = tuple(span for span in spans if span is not None)
    if query.ors and len(usable) == len(spans):
        return Plan(usable, ordered=False)
    return whole


def rows(plan: Plan, query: Query, source: Source) -> Iterator[Row | None]:
    """The rows of a plan, each once; `query.seek` is kept to.

    Args:
        plan: As `choose` gave it.
        query: The query.
        source: Where to read.

    Yields:
        Rows, and None for each step that came to no row, so that the reader may look at the clock.
    """
    reverse = query.descending and plan.ordered
    if not plan.spans:
        keys = document_rows.range_from(source.thread, source.collection.number, query.seek, reverse=reverse)
        return source.reader.scan(*keys, reverse=reverse)
    return _rows_of_spans(plan, query, source, reverse=reverse)


def _rows_of_spans(plan: Plan, query: Query, source: Source, *, reverse: bool) -> Iterator[Row | None]:
    seen: set[str] = set()
    for span in plan.spans:
        place = source.place(span.index)
        entries = index_rows.entries(source.reader, place, span.start, span.stop, reverse=reverse)
        found = _sought(entries, query)
        if plan.ordered and not span.is_equality:
            yield from _in_order(found, query.sort_path, source, reverse=reverse)
            return
        for entry in found:
            if entry is None or entry.instance_id in seen:
                yield None
                continue
            if len(plan.spans) > 1:
                seen.add(entry.instance_id)
            yield _row(entry, source)


def _row(entry: Entry, source: Source) -> Row | None:
    text = source.text(entry.instance_id)
    return None if text is None else (entry.instance_id.encode(), text)


def _sought(entries: Iterable[Entry], query: Query) -> Iterator[Entry | None]:
    """The entries from `seek` on, as UTF-8 has it, with a descending order by ID those up to it; None for others."""
    if not query.seek:
        yield from entries
        return
    seek = query.seek.encode()
    downwards = query.by_id and query.descending
    for entry in entries:
        instance_id = entry.instance_id.encode()
        yield entry if (instance_id <= seek if downwards else instance_id >= seek) else None


def _in_order(entries: Iterable[Entry | None], path: Path, source: Source, *, reverse: bool) -> Iterator[Row | None]:
    """Rows in the order of an index; where values may be cut they are sorted by what the documents hold."""
    decode = decoder_of(frozenset(path[:1]))
    group = _Group(reverse)
    beginning: tuple[bytes, bool] | None = None
    for entry in entries:
        row = None if entry is None else _row(entry, source)
        if entry is None or row is None:
            yield None
            continue
        if _exactness(entry) != beginning:
            yield from group.end()
            beginning = _exactness(entry)
        if beginning[1]:
            yield row
        else:
            group.add(sort_key(decode(row[1]), path), row)
            yield None
    yield from group.end()


@dataclass(slots=True)
class _Group:
    """Rows of which an index knows only where all of them stand; sorted in runs that do not hold the loop.

    Args:
        reverse: Whether they are wanted backwards.
    """

    reverse: bool
    current: list[tuple[Order, Row]] = field(default_factory=list)
    runs: list[list[tuple[Order, Row]]] = field(default_factory=list)

    def add(self, order: Order, row: Row) -> None:
        """Take a row with its place in the order."""
        self.current.append((order, row))
        if len(self.current) == _RUN:
            self._end_run()

    def end(self) -> Iterator[Row]:
        """All rows in their order; those that are added after it are another group."""
        self._end_run()
        runs, self.runs = self.runs, []
        for _, row in heapq.merge(*runs, reverse=self.reverse):
            yield row

    def _end_run(self) -> None:
        self.current.sort(reverse=self.reverse)
        self.runs.append(self.current)
        self.current = []


def _exactness(entry: Entry) -> tuple[bytes, bool]:
    """What entries share whose order among themselves is not known by the index, and whether it is known."""
    return entry.value[:EXACT_BYTES], len(entry.value) <= EXACT_BYTES


def _alternatives(query: Query) -> Iterator[tuple[Criterion, ...]]:
    """Conditions of which one must hold, each a list of criteria that must all hold."""
    if query.ands or not query.ors:
        yield query.ands
    for alternative in query.ors:
        yield from _alternatives(alternative)


def _best_span(ands: tuple[Criterion, ...], by_path: dict[Path, IndexRow], hint: str) -> Span | None:
    """The most promising part of an index for criteria that must all hold.

    Equality comes before a range, a unique index before another, and what the client names before what it does not.
    """
    paths = {criterion.path for criterion in ands if criterion.path in by_path}
    spans = [span for path in paths if (span := _span_of(by_path[path], path, ands)) is not None]
    return max(
        spans,
        key=lambda span: (span.is_equality, span.index.unique, span.index.path == hint, span.index.path),
        default=None,
    )


def _span_of(index: IndexRow, path: Path, ands: tuple[Criterion, ...]) -> Span | None:
    """The part of an index that the criteria on its path allow; None where they do not bound it."""
    start, stop = b"", None
    for criterion in ands:
        if criterion.path != path or criterion.operation is Operation.NE:
            continue
        if criterion.operation is Operation.EQ:
            value = shortened(scalar(criterion.value), INDEXED_VALUE_BYTES)
            return Span(index, value, after_prefix(value), is_equality=True)
        low, high = _bounds(criterion.operation, criterion.value)
        start, stop = max(start, low), high if stop is None else min(stop, high)
    return None if stop is None else Span(index, start, max(start, stop))


def _bounds(operation: Operation, value: Scalar) -> tuple[bytes, bytes]:
    """Where the values that compare so lie, a little too wide rather than too narrow."""
    exact = scalar(value)[:EXACT_BYTES]
    kind_start, kind_stop = _kind_range(value)
    if operation in {Operation.GT, Operation.GE}:
        return exact, kind_stop
    return kind_start, after_prefix(exact)


def _kind_range(value: Scalar) -> tuple[bytes, bytes]:
    if isinstance(value, bool):
        return scalar(False), after_prefix(scalar(True))  # noqa: FBT003  # both are JSON values here
    prefix = STRING if isinstance(value, str) else NUMBER
    return prefix, after_prefix(prefix)


def _is_small(span: Span, source: Source) -> bool:
    entries = index_rows.entries(source.reader, source.place(span.index), span.start, span.stop)
    return sum(1 for _ in itertools.islice(entries, FEW_ROWS)) < FEW_ROWS
