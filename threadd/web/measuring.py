"""What the operator's pages and Prometheus tell of the daemon: gathered when asked for, and sampled now and then."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from store import background
from store.engine import Engine
from store.errors import StatusCode
from threadd import logs
from threadd.api.observing import CallCounts, Durations
from threadd.browsing_verbs import CallSummary, StatusSummary, TrafficSummary
from threadd.db.manager import Manager

_TICK: Final = 0.1
"""How often the event loop is asked how late it is, in seconds."""

SAMPLE_SECONDS: Final = 10.0
SAMPLES: Final = 360
"""An hour of them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What happened in a while.

    Args:
        time: When it ended, in seconds since 1970.
        reads: Calls that read instances, a second.
        writes: Calls that write them, a second.
        delay: The longest that the event loop was late, in seconds.
    """

    time: float
    reads: float
    writes: float
    delay: float


class Measures:
    """Everything that is measured of one daemon; open it on the event loop that is measured.

    Args:
        engine: The store.
        databases: All databases.
        repo: The folder that holds everything.
        peers: Tells how many records each host is not known to have, by its ID.
        is_ready: Whether work is taken.
    """

    def __init__(
        self,
        engine: Engine,
        databases: Manager,
        repo: Path,
        peers: Callable[[], dict[str, int]],
        is_ready: Callable[[], bool],
    ) -> None:
        self.calls = {"hub": CallCounts(), "threads": CallCounts()}
        """The calls of each kind of door."""
        self.delays = Durations()
        """How late the event loop was."""
        self.samples: deque[Sample] = deque(maxlen=SAMPLES)
        """The last hour, the oldest first."""
        self.started = time.time()
        """When it began, in seconds since 1970."""
        self.is_ready = is_ready
        self.peers = peers
        self._engine = engine
        self._databases = databases
        self._repo = repo
        self._longest = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to measure."""
        self._tasks = [
            background.spawn("measuring", self._watch_loop, restart=SAMPLE_SECONDS),
            background.spawn("measuring", self._sample, restart=SAMPLE_SECONDS),
        ]

    async def close(self) -> None:
        """Measure no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def batches(self) -> tuple[int, int]:
        """How many commits went to the disk, and how many transactions were in them."""
        return getattr(self._engine, "batches", 0), getattr(self._engine, "transactions", 0)

    def listeners(self) -> int:
        """How many follow databases now."""
        return self._databases.count_listeners()

    def databases(self) -> int:
        """How many databases there are."""
        return len(self._databases.list_dbs())

    def sizes(self) -> dict[str, int]:
        """The bytes on the disk, by the part of the repository."""
        found = {}
        for part in sorted(self._repo.iterdir()):
            if part.is_dir():
                found[part.name] = sum(file.stat().st_blocks * 512 for file in part.rglob("*") if file.is_file())
        return found

    def open_calls(self) -> int:
        """How many calls run now, streams among them."""
        return sum(sum(counts.open.values()) for counts in self.calls.values())

    def status(self) -> StatusSummary:
        """Tell how the daemon is doing."""
        batches, commits = self.batches()
        return StatusSummary(
            version=version("threadd"),
            ready=self.is_ready(),
            uptime=time.time() - self.started,
            databases=self.databases(),
            listeners=self.listeners(),
            open_calls=self.open_calls(),
            batches=batches,
            commits=commits,
            loop_delay=self.delays.longest,
            disk=self.sizes(),
            calls=sorted(self._call_summaries(), key=lambda call: -call.ended - call.failed),
            traffic=[TrafficSummary(sample.time, sample.reads, sample.writes) for sample in self.samples],
            log=list(logs.recent.lines),
        )

    def _call_summaries(self) -> Iterator[CallSummary]:
        for door, counts in self.calls.items():
            for method, durations in counts.durations.items():
                well = counts.ended_by.get((method, StatusCode.OK), 0)
                mean = durations.total / max(1, durations.count)
                yield CallSummary(door, method, well, durations.count - well, mean, durations.longest)

    async def _watch_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _TICK
            await asyncio.sleep(_TICK)
            late = max(0.0, loop.time() - due)
            self.delays.add(late)
            self._longest = max(self._longest, late)

    async def _sample(self) -> None:
        reads, writes = self._totals()
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            now_reads, now_writes = self._totals()
            per_second = (now_reads - reads) / SAMPLE_SECONDS, (now_writes - writes) / SAMPLE_SECONDS
            self.samples.append(Sample(time.time(), *per_second, self._longest))
            reads, writes, self._longest = now_reads, now_writes, 0.0

    def _totals(self) -> tuple[int, int]:
        counts = self.calls.values()
        return sum(each.reads() for each in counts), sum(each.writes() for each in counts)
