"""Measures what goes on between two daemons, beside the same between two of go-threads: joins, and writes until the
other side has them.

Prints a table, which `--write` also writes to RESULTS.md; exit status 1 when a target is missed. `--only JOIN` with
`--records` measures a single join, as `ours,ours`.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import report
from daemons import Daemon, GoDaemon, build_go, prepare_godaemon, prepare_threadd
from peers import Api, in_step, new_thread

from proto import threadsnet_pb2 as pb

JOINED_RECORDS = 5_000
SEEN_WRITES = 30
FIRST_WRITES = 5
JOIN_SECONDS = 900.0

Start = Callable[[str], Api]
"""Starts a fresh daemon of a kind, `ours` or `go`."""


COLUMNS = ("what", "unit", "ours", "go-threads", "ratio", "spread", "target", "met")

TARGETS = {
    "ours joins from go-threads": 0.25,
    "ours joins from ours": 0.25,
    "go-threads joins from ours": 1.1,
    "from a write of ours to a listener of ours elsewhere": 1.0,
    "the same, the first write of a log": 1.0,
}
"""The ratio to the same between two of go-threads that a case may reach at most."""


@dataclass(frozen=True)
class Figure:
    """What was measured between two daemons in one round.

    Args:
        what: The case.
        unit: Its unit.
        ours: The figure where ours is, in this unit.
        reference: The figure between two of go-threads.
    """

    what: str
    unit: str
    ours: float
    reference: float


def fill(origin: Api, thread: bytes, records: int) -> None:
    """Write records to a thread; many at a time to one of ours, since go-threads would fork the log."""
    with ThreadPoolExecutor(16 if isinstance(origin.daemon, Daemon) else 1) as pool:
        list(pool.map(lambda _: origin.write(thread), range(records)))


def join(origin: Api, joiner: Api, records: int) -> float:
    """The seconds from the call that joins a thread until all its records are at the other side."""
    thread, key = new_thread()
    origin.create(thread, key)
    fill(origin, thread, records)
    began = time.monotonic()
    joiner.join(origin, thread, key)
    in_step(thread, origin, joiner, seconds=JOIN_SECONDS)
    return time.monotonic() - began


class Hearer:
    """Follows a thread of a daemon."""

    def __init__(self, api: Api, thread: bytes) -> None:
        self._times: list[float] = []
        self._news = threading.Condition()
        self._call = api.channel.unary_stream(
            "/threads.net.pb.API/Subscribe",
            request_serializer=pb.SubscribeRequest.SerializeToString,
            response_deserializer=pb.NewRecordReply.FromString,
        )(pb.SubscribeRequest(threadIDs=[thread]))
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        time.sleep(0.5)  # some daemons answer before they listen

    def wait(self, number: int) -> float:
        """When so many records had come."""
        with self._news:
            if not self._news.wait_for(lambda: len(self._times) >= number, timeout=60):
                raise TimeoutError(f"{number} records did not come within a minute")
            return self._times[number - 1]

    def close(self) -> None:
        """Follow no longer."""
        self._call.cancel()
        self._thread.join()

    def _follow(self) -> None:
        try:
            for _ in self._call:
                with self._news:
                    self._times.append(time.monotonic())
                    self._news.notify_all()
        except Exception:  # noqa: BLE001 - a call that is cancelled ends with an error of grpc's own
            return


def seen(writer: Api, listener: Api) -> tuple[float, float]:
    """The milliseconds until a listener at the other side has a write: of any, and of the first of a log; medians."""
    firsts, later = [], []
    for turn in range(FIRST_WRITES):
        thread, key = new_thread()
        writer.create(thread, key)
        listener.join(writer, thread, key)
        in_step(thread, writer, listener, logs=0)
        time.sleep(1)
        hearer = Hearer(listener, thread)
        for number in range(1 + (SEEN_WRITES if turn == 0 else 0)):
            began = time.monotonic()
            writer.write(thread)
            (later if number else firsts).append(1000 * (hearer.wait(number + 1) - began))
        hearer.close()
    return statistics.median(later), statistics.median(firsts)


def joins(folder: Path, programs: Path, records: int) -> list[Figure]:
    """Joins, each between two fresh daemons: one of go-threads is busy for long with what it has joined.

    Args:
        folder: Where the daemons' files are.
        programs: The built Go programs.
        records: How many records are joined.
    """
    took = {}
    for kinds in (("go", "go"), ("go", "ours"), ("ours", "ours"), ("ours", "go")):
        with daemons(folder / "-".join(kinds), programs) as start:
            origin, joiner = map(start, kinds)
            took[kinds] = join(origin, joiner, records)
    reference = took["go", "go"]
    return [
        Figure("ours joins from go-threads", "s", took["go", "ours"], reference),
        Figure("ours joins from ours", "s", took["ours", "ours"], reference),
        Figure("go-threads joins from ours", "s", took["ours", "go"], reference),
    ]


def writes(start: Start) -> list[Figure]:
    """Writes between fresh daemons, until the other side has them."""
    ours, other, go, other_go = start("ours"), start("ours"), start("go"), start("go")
    (later, first), (later_of_go, first_of_go) = seen(ours, other), seen(go, other_go)
    later_at_go, first_at_go = seen(ours, go)
    return [
        Figure("from a write of ours to a listener of ours elsewhere", "ms", later, later_of_go),
        Figure("the same, the first write of a log", "ms", first, first_of_go),
        Figure("from a write of ours to a listener of go-threads", "ms", later_at_go, later_of_go),
        Figure("the same there, the first write of a log", "ms", first_at_go, first_of_go),
    ]


def row(figures: Sequence[Figure]) -> tuple[str, ...]:
    """Make a row of the table of a case in all rounds."""
    one = figures[0]
    ours = statistics.median(figure.ours for figure in figures)
    reference = statistics.median(figure.reference for figure in figures)
    ratios = [figure.ours / figure.reference for figure in figures]
    target = TARGETS.get(one.what)
    met = "" if target is None else "yes" if ours / reference <= target else "NO"
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    most = "" if target is None else f"<= {target}"
    return (one.what, one.unit, f"{ours:.2f}", f"{reference:.2f}", f"{ours / reference:.2f}", spread, most, met)


@contextmanager
def daemons(folder: Path, programs: Path) -> Iterator[Start]:
    """Have daemons below a folder started, which end with the body.

    Args:
        folder: Where their files are.
        programs: The built Go programs.
    """
    started: list[Daemon | GoDaemon] = []

    def start(kind: str) -> Api:
        own = folder / f"{len(started)}"
        own.mkdir(parents=True)
        daemon = prepare_threadd(own) if kind == "ours" else prepare_godaemon(own, programs, "-pull")
        started.append(daemon)
        daemon.start()
        return Api(daemon)

    try:
        yield start
    finally:
        for daemon in started:
            daemon.kill()


def main() -> int:
    """Measure single joins, or everything; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="origin and joiner of one join, as ours,go")
    parser.add_argument("--records", type=int, default=JOINED_RECORDS, help="how many records are joined")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each case, with fresh daemons")
    parser.add_argument("--write", action="store_true", help="write the table to RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="threadd-bench-") as name:
        folder = Path(name)
        programs = Path(os.environ.get("THREADD_BENCH_PROGRAMS", folder / "programs"))
        if options.only != "ours,ours":
            build_go(programs)
        if options.only:
            with daemons(folder / "daemons", programs) as start:
                origin, joiner = map(start, options.only.split(","))
                print(f"{options.only} {options.records} {join(origin, joiner, options.records):.2f} s", flush=True)
            return 0
        rounds: list[list[Figure]] = []
        for number in range(options.rounds):
            figures = joins(folder / f"joins-{number}", programs, options.records)
            with daemons(folder / f"writes-{number}", programs) as start:
                rounds.append(figures + writes(start))
    rows = [row(figures) for figures in zip(*rounds, strict=True)]
    for what, *cells in rows:
        print(f"{what:<54}", "  ".join(f"{cell:<12}" for cell in cells).rstrip())
    if options.write:
        text = f"{options.records:,} records are joined; medians of {options.rounds} rounds, each with fresh daemons."
        report.write_section("Between two daemons", f"{text}\n\n{report.table([COLUMNS, *rows])}")
    return int(any(cells[-1] == "NO" for cells in rows))


if __name__ == "__main__":
    sys.exit(main())
