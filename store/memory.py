"""An engine without a disk, for tests: the same rules, nothing is kept."""

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

from store.engine import Commit, Snapshot, Transaction
from store.errors import ConflictError, StoreError

T = TypeVar("T")


@dataclass(slots=True)
class _State:
    values: dict[bytes, bytes] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        keys = self.keys[bisect_left(self.keys, start) : bisect_left(self.keys, stop)]
        for key in reversed(keys) if reverse else keys:
            yield key, self.values[key]

    def put(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            if self.values.pop(key, None) is not None:
                del self.keys[bisect_left(self.keys, key)]
        else:
            if key not in self.values:
                insort(self.keys, key)
            self.values[key] = value


class _MemorySnapshot(_State):
    def close(self) -> None:
        """See `Snapshot`; there is nothing to let go."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(slots=True)
class MemoryEngine:
    """See `store.engine.Engine`."""

    _state: _State = field(default_factory=_State)
    _closed: bool = False

    @property
    def is_sound(self) -> bool:
        """See `Engine`."""
        return True

    def get(self, key: bytes) -> bytes | None:
        """See `Reader`."""
        return self._state.get(key)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """See `Reader`; the range is as of the first step."""
        yield from list(self._state.scan(start, stop, reverse=reverse))

    def snapshot(self) -> Snapshot:
        """See `Engine`."""
        return _MemorySnapshot(dict(self._state.values), list(self._state.keys))

    async def read(self, function: Callable[[Snapshot], T]) -> T:
        """See `Engine`."""
        with self.snapshot() as snapshot:
            return await asyncio.to_thread(function, snapshot)

    def commit(self, transaction: Transaction) -> "asyncio.Future[None]":
        """See `Engine`; it is done at once, and said in the next turn of the loop."""
        loop = asyncio.get_running_loop()
        future = Commit(loop=loop)
        error: StoreError | None = None
        if self._closed:
            error = StoreError("the store is closed")
        elif any(self.get(key) != expected for key, expected in transaction.requirements.items()):
            error = ConflictError()
        else:
            for key, value in transaction.puts.items():
                self._state.put(key, value)
        loop.call_soon(settle, future, error)
        return future

    async def close(self) -> None:
        """See `Engine`."""
        self._closed = True


def settle(future: "asyncio.Future[None]", error: Exception | None) -> None:
    """Say how a commit ended, unless nobody waits for it any more.

    Args:
        future: What `commit` returned.
        error: Why nothing was written; None where it was.
    """
    if future.cancelled():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
