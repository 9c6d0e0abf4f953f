"""Measures what goes on between two daemons: joins, and writes until the other side has them.

Prints one line a case; `bench/run.py` takes the figures into its table. `--only JOINS` with `--records` measures single
joins, as `ours,ours`.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from daemons import Daemon, GoDaemon, build_go, prepare_godaemon, prepare_threadd
from peers import Api, in_step, new_thread

from proto import threadsnet_pb2 as pb

JOINED_RECORDS = 5_000
SEEN_WRITES = 30
FIRST_WRITES = 5
JOIN_SECONDS = 900.0

Start = Callable[[str], Api]
"""Starts a fresh daemon of a kind, `ours` or `go`."""


@dataclass(frozen=True)
class Figure:
    """What was measured between two daemons.

    Args:
        name: The case.
        unit: Its unit.
        ours: The figure where ours is, in this unit.
        reference: The figure between two of go-threads.
    """

    name: str
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


def measure(start: Start, records: int = JOINED_RECORDS) -> list[Figure]:
    """All cases.

    Args:
        start: Starts daemons.
        records: How many records are joined.
    """
    ours, other, go, other_go = start("ours"), start("ours"), start("go"), start("go")
    reference = join(go, other_go, records)
    figures = [
        Figure("join-from-go", "s", join(go, ours, records), reference),
        Figure("join-from-ours", "s", join(ours, other, records), reference),
        Figure("go-joins-from-ours", "s", join(ours, other_go, records), reference),
    ]
    (later, first), (later_of_go, first_of_go) = seen(ours, other), seen(go, other_go)
    figures += [
        Figure("seen-by-ours", "ms", later, later_of_go),
        Figure("first-seen-by-ours", "ms", first, first_of_go),
    ]
    later, first = seen(ours, go)
    figures += [
        Figure("seen-by-go", "ms", later, later_of_go),
        Figure("first-seen-by-go", "ms", first, first_of_go),
    ]
    return figures


def starting(folder: Path, programs: Path, started: list[Daemon | GoDaemon]) -> Start:
    """Gives what starts daemons below a folder.

    Args:
        folder: Where their files are.
        programs: The built Go programs.
        started: Takes what was started, for whoever ends it.
    """

    def start(kind: str) -> Api:
        own = folder / f"{len(started)}"
        own.mkdir(parents=True)
        daemon = prepare_threadd(own) if kind == "ours" else prepare_godaemon(own, programs, "-pull")
        started.append(daemon)
        daemon.start()
        return Api(daemon)

    return start


def main() -> None:
    """Measure single joins, or everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="origin and joiner of one join, as ours,go")
    parser.add_argument("--records", type=int, default=JOINED_RECORDS, help="how many records are joined")
    options = parser.parse_args()
    started: list[Daemon | GoDaemon] = []
    with tempfile.TemporaryDirectory(prefix="threadd-bench-") as folder:
        programs = Path(os.environ.get("THREADD_BENCH_PROGRAMS", Path(folder) / "programs"))
        if options.only != "ours,ours":
            build_go(programs)
        start = starting(Path(folder) / "daemons", programs, started)
        try:
            if options.only:
                origin, joiner = map(start, options.only.split(","))
                print(f"{options.only} {options.records} {join(origin, joiner, options.records):.2f} s", flush=True)
                return
            for figure in measure(start, options.records):
                print(f"{figure.name} {figure.unit} {figure.ours:.2f} {figure.reference:.2f}", flush=True)
        finally:
            for daemon in started:
                daemon.kill()


if __name__ == "__main__":
    main()
