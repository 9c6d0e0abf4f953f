"""An engine that fails on order, for tests of what happens then."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from store.engine import Commit, Engine, Snapshot, Transaction
from store.errors import StoreError, StoreFullError
from store.memory import settle

T = TypeVar("T")


class Fault(Enum):
    """What happens to a commit."""

    NONE = "it works"
    FULL = "the disk is full and nothing is written"
    REFUSED = "the disk fails and nothing is written"
    UNANSWERED = "it is written, and the answer is an error"


@dataclass(slots=True)
class FaultyEngine:
    """Passes everything on to an engine, but for the commits that `faults` names.

    Args:
        engine: Does the work.
        faults: What happens to the next commits, in order; those after them work.
    """

    engine: Engine
    faults: deque[Fault] = field(default_factory=deque)

    @property
    def is_sound(self) -> bool:
        """See `Engine`."""
        return self.engine.is_sound

    def get(self, key: bytes) -> bytes | None:
        """See `Reader`."""
        return self.engine.get(key)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """See `Reader`."""
        return self.engine.scan(start, stop, reverse=reverse)

    def snapshot(self) -> Snapshot:
        """See `Engine`."""
        return self.engine.snapshot()

    async def read(self, function: Callable[[Snapshot], T]) -> T:
        """See `Engine`."""
        return await self.engine.read(function)

    def commit(self, transaction: Transaction) -> "asyncio.Future[None]":
        """See `Engine`; or the next fault."""
        fault = self.faults.popleft() if self.faults else Fault.NONE
        if fault is Fault.NONE:
            return self.engine.commit(transaction)
        loop = asyncio.get_running_loop()
        failed = Commit(loop=loop)
        error = StoreFullError() if fault is Fault.FULL else StoreError(f"the disk failed: {fault.value}")
        if fault is Fault.UNANSWERED:
            self.engine.commit(transaction).add_done_callback(lambda _: settle(failed, error))
        else:
            loop.call_soon(settle, failed, error)
        return failed

    async def close(self) -> None:
        """See `Engine`."""
        await self.engine.close()
