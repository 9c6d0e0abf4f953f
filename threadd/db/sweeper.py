"""Deletes what deleted databases and collections leave behind, slice by slice, beside everything else."""

import asyncio
from dataclasses import dataclass, field

import structlog

from store import background, deletions, failpoints
from store.deletions import Deletion
from store.engine import Engine
from store.errors import StoreError
from store.failpoints import Failpoint

_PAUSE_SECONDS = 0.01
_RETRY_SECONDS = 30.0
_NAME = "deletions"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Sweeper:
    """Works off the marks of `store.deletions`; those that an earlier stop left come first.

    Args:
        engine: The store.
        held: Marks of what is still being made; they count once their maker has gone without taking them away.
    """

    engine: Engine
    held: set[Deletion] = field(default_factory=set)
    _task: asyncio.Task[None] | None = None
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        """Begin; call it on the event loop's thread."""
        self._task = background.spawn(_NAME, self._run, restart=_RETRY_SECONDS)

    def wake(self) -> None:
        """Say that there is a new mark on disk."""
        self._wanted.set()

    async def close(self) -> None:
        """Stop; what is left goes on at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        self._wanted.set()  # at first, and after a failure, for all that is left
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if not await self._sweep_all():
                await asyncio.sleep(_RETRY_SECONDS)
                self._wanted.set()

    async def _sweep_all(self) -> bool:
        """Work off all marks; tells whether nothing is left to be tried again."""
        is_done = True
        for deletion in [mark for mark in deletions.list_marks(self.engine) if mark not in self.held]:
            try:
                await self._sweep(deletion)
            except StoreError as error:
                log.warning("deletion goes on later", reason=error.text)
                return False
            except Exception as error:  # noqa: BLE001  a bug with one mark is recorded, and the next one follows
                background.record_failure(_NAME, error)
                is_done = False
        return is_done

    async def _sweep(self, deletion: Deletion) -> None:
        left = True
        while left:
            transaction = deletions.next_slice(self.engine, deletion)
            left = not deletions.is_last(transaction, deletion)
            await self.engine.commit(transaction)
            failpoints.hit(Failpoint.SWEEP_SLICE)
            await asyncio.sleep(_PAUSE_SECONDS if left else 0)
