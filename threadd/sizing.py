"""How large each thread is, counted row by row in the background of whoever asks, and kept until it is written to."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from net.thread_info import ThreadInfo
from store import databases as database_rows
from store.engine import Engine
from store.sizes import Measuring

_ROWS_AT_ONCE = 5_000


@dataclass(slots=True)
class _Known:
    """What is known of a thread.

    Args:
        state: What changes with each write, as it was when the count began.
        measuring: The count that is on its way; None where it is at its end.
        size: What the last whole count came to, in bytes; None before there was one.
    """

    state: tuple[int, ...]
    measuring: Measuring | None
    size: int | None = None


class Sizes:
    """The sizes of threads.

    Args:
        engine: The store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[int, _Known] = {}
        self._turn = asyncio.Lock()

    async def of(self, threads: Sequence[ThreadInfo], seconds: float | None = None) -> dict[int, int]:
        """Measure threads, as far as there is time; the next call goes on where this one stopped.

        Args:
            threads: The threads.
            seconds: How long it may take; None for as long as it needs.

        Returns:
            By the number of the thread, the bytes of its keys and values at its last write, or at an earlier one where
            time was up; a thread that was not measured yet is not there.
        """
        loop = asyncio.get_running_loop()
        ends = None if seconds is None else loop.time() + seconds
        found = {}
        async with self._turn:
            for thread in threads:
                known = self._current(thread)
                while known.measuring is not None and (ends is None or loop.time() < ends):
                    measuring = known.measuring
                    if await self._engine.read(partial(measuring.go_on, rows=_ROWS_AT_ONCE)):
                        known.size, known.measuring = measuring.size, None
                if known.size is not None:
                    found[thread.number] = known.size
        return found

    def _current(self, thread: ThreadInfo) -> _Known:
        sequence = database_rows.get_progress(self._engine, thread.number).sequence
        state = (sequence, *(log.counter for log in thread.logs))
        known = self._known.get(thread.number)
        if known is None:
            known = self._known[thread.number] = _Known(state, Measuring(thread.number))
        elif known.measuring is None and known.state != state:
            known.state, known.measuring = state, Measuring(thread.number)
        return known
