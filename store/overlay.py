"""What has been enqueued and is not yet on disk, and what is still being built, laid over the latest commit."""

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from store.engine import Engine, Reader, Transaction


@dataclass(slots=True)
class _Pending:
    value: bytes | None
    submission: int


@dataclass(slots=True)
class Overlay:
    """A reader that sees its own transactions at once, so that the next one can be built before the disk has the last.

    A transaction that is built on pending ones requires what it read of them: if one of those fails, so does it.

    Args:
        engine: Where the transactions go.
    """

    engine: Engine
    _pending: dict[bytes, _Pending] = field(default_factory=dict)
    _order: list[bytes] = field(default_factory=list)
    _submissions: int = 0
    _epoch: int = 0

    def get(self, key: bytes) -> bytes | None:
        """The value that a key will have."""
        pending = self._pending.get(key)
        return self.engine.get(key) if pending is None else pending.value

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """What a range will hold."""
        above = _between(self._order, start, stop, reverse=reverse)
        below = self.engine.scan(start, stop, reverse=reverse)
        return _merged(below, above, self.get, reverse=reverse)

    def submit(self, transaction: Transaction) -> "asyncio.Future[None]":
        """Commit a transaction and see it from now on; as `Engine.commit`."""
        future = self.engine.commit(transaction)
        self.follow(transaction, future)
        return future

    def follow(self, transaction: Transaction, committed: "asyncio.Future[None]") -> None:
        """See a transaction from now on that was submitted through another overlay of the same engine.

        Args:
            transaction: The transaction; this overlay was read for it, and nothing was submitted here since.
            committed: What the other overlay's `submit` returned.
        """
        self._submissions += 1
        submission, epoch = self._submissions, self._epoch
        for key, value in transaction.puts.items():
            if key not in self._pending:
                insort(self._order, key)
            self._pending[key] = _Pending(value, submission)
        committed.add_done_callback(lambda done: self._settle(transaction, submission, epoch, done))

    @property
    def is_idle(self) -> bool:
        """Whether everything submitted is on disk."""
        return not self._pending

    def _settle(self, transaction: Transaction, submission: int, epoch: int, done: "asyncio.Future[None]") -> None:
        if epoch != self._epoch:
            return  # what this one wrote was dropped with the one that failed before it
        if done.cancelled() or done.exception() is not None:
            self._epoch += 1
            self._pending.clear()
            self._order.clear()
            return
        for key in transaction.puts:
            pending = self._pending.get(key)
            if pending is not None and pending.submission == submission:
                del self._pending[key]
                del self._order[bisect_left(self._order, key)]


class Staged:
    """A state with a transaction that is still being built laid over it, so that a long one can build on itself.

    Args:
        below: The state that the transaction is built on.
        transaction: The transaction; it may grow.
    """

    def __init__(self, below: Reader, transaction: Transaction) -> None:
        self._below = below
        self._puts = transaction.puts
        self._order: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        """The value that a key will have."""
        return self._puts[key] if key in self._puts else self._below.get(key)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """What a range will hold."""
        # A dictionary keeps the order in which its keys came, and none leaves a transaction.
        for key in islice(self._puts, len(self._order), None):
            insort(self._order, key)
        above = _between(self._order, start, stop, reverse=reverse)
        below = self._below.scan(start, stop, reverse=reverse)
        return _merged(below, above, self.get, reverse=reverse)


def _between(keys: list[bytes], start: bytes, stop: bytes, *, reverse: bool) -> list[bytes]:
    """The sorted keys of a range."""
    found = keys[bisect_left(keys, start) : bisect_left(keys, stop)]
    if reverse:
        found.reverse()
    return found


def _merged(
    below: Iterator[tuple[bytes, bytes]],
    above: list[bytes],
    get: Callable[[bytes], bytes | None],
    *,
    reverse: bool,
) -> Iterator[tuple[bytes, bytes]]:
    """What is below with what is above; both are in the order that is asked for.

    A key that is above when the scan begins is read when its turn comes, whether it is still above by then or not.
    """
    position = 0
    for key, value in below:
        while position < len(above) and (above[position] > key if reverse else above[position] < key):
            yield from _present(above[position], get)
            position += 1
        if position < len(above) and above[position] == key:
            yield from _present(key, get)
            position += 1
        else:
            yield key, value
    for key in above[position:]:
        yield from _present(key, get)


def _present(key: bytes, get: Callable[[bytes], bytes | None]) -> Iterator[tuple[bytes, bytes]]:
    value = get(key)
    if value is not None:
        yield key, value
