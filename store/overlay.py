"""What has been enqueued and is not yet on disk, laid over the latest commit."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from store.engine import Engine, Transaction


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
    _submissions: int = 0
    _epoch: int = 0

    def get(self, key: bytes) -> bytes | None:
        """The value that a key will have."""
        pending = self._pending.get(key)
        return self.engine.get(key) if pending is None else pending.value

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """What a range will hold; both sides of the merge are in the order that is asked for."""
        pending = sorted((key for key in self._pending if start <= key < stop), reverse=reverse)
        position = 0
        for key, value in self.engine.scan(start, stop, reverse=reverse):
            while position < len(pending) and (pending[position] > key if reverse else pending[position] < key):
                yield from self._present(pending[position])
                position += 1
            if position < len(pending) and pending[position] == key:
                yield from self._present(key)
                position += 1
            else:
                yield key, value
        for key in pending[position:]:
            yield from self._present(key)

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
            return
        for key in transaction.puts:
            pending = self._pending.get(key)
            if pending is not None and pending.submission == submission:
                del self._pending[key]

    def _present(self, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        pending = self._pending.get(key)
        value = self.engine.get(key) if pending is None else pending.value
        if value is not None:
            yield key, value
