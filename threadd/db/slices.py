"""Long work on the event loop, done in slices."""

import asyncio
import time
from dataclasses import dataclass, field

SLICE_SECONDS = 0.001
"""How long a slice may take: what another caller waits for at most, times the number of slices that run at once."""


@dataclass(slots=True)
class Pacer:
    """Gives the loop back whenever a slice is over.

    Args:
        seconds: The length of a slice.
    """

    seconds: float = SLICE_SECONDS
    _end: float = field(default_factory=lambda: time.perf_counter() + SLICE_SECONDS)

    def due(self) -> bool:
        """Whether it is time to `pause`."""
        return time.perf_counter() >= self._end

    async def pause(self) -> None:
        """Let everybody else run, then begin a new slice."""
        await asyncio.sleep(0)
        self._end = time.perf_counter() + self.seconds
