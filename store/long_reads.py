"""Reads that may take long, in slices that take turns: none makes the others wait, or keeps old pages of the store."""

import asyncio
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, TypeVar

from store.engine import Engine, Reader, Snapshot

T = TypeVar("T")

SLICE_SECONDS: Final = 0.01
"""How long a slice goes on to take steps: what another read waits for at most, times the reads that run at once."""

Steps = Generator[None, None, T]
"""Work that can be left after each step, and what it returns in the end."""


@dataclass(slots=True)
class LatestState:
    """The state of the slice that runs; from one slice to the next it may change.

    Args:
        reader: That state.
    """

    reader: Reader

    def get(self, key: bytes) -> bytes | None:
        """See `Reader`."""
        return self.reader.get(key)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """See `Reader`; the whole range is to be read within a step."""
        return self.reader.scan(start, stop, reverse=reverse)


@dataclass(frozen=True, slots=True)
class _Result(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class LongReads:
    """Runs them away from the event loop, one slice at a time.

    Args:
        engine: What they read.
    """

    engine: Engine
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, begin: Callable[[LatestState], Steps[T]]) -> T:
        """Do work; where the caller is cancelled, it ends with the slice that runs.

        Args:
            begin: Begins it, given what it reads.
        """
        state = LatestState(self.engine)
        steps = _begun(begin, state)
        result: _Result[T] | None = None
        while result is None:
            async with self._turn:
                result = await self.engine.read(partial(_slice, steps, state))
        return result.value


def _begun(begin: Callable[[LatestState], Steps[T]], state: LatestState) -> Steps[T]:
    """The steps, begun with the first of them, which is away from the event loop."""
    return (yield from begin(state))


def _slice(steps: Steps[T], state: LatestState, snapshot: Snapshot) -> _Result[T] | None:
    state.reader = snapshot
    end = time.monotonic() + SLICE_SECONDS
    try:
        while True:
            next(steps)
            if time.monotonic() >= end:
                return None
    except StopIteration as done:
        return _Result(done.value)


def finish(steps: Steps[T]) -> T:
    """Take all steps at once, and give the result."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            value: T = done.value
            return value
