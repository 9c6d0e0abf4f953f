"""Measure our daemon against a real go-threads daemon, both driven by turns with one Go client.

Prints a table of ratios; `--write` also writes it to RESULTS.md. Exit status 1 when a target is missed.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import report
from daemons import Daemon, GoDaemon, build_go, has_go, prepare_godaemon, prepare_threadd

TARGETS = {
    "create-1": 1.5,
    "create-16": 3.0,
    "create-100-instances": 3.0,
    "save-1": 1.5,
    "save-16": 3.0,
    "transaction-of-10": 1.2,
    "new-db": 1.0,
    "find-by-id-1": 0.6,
    "find-by-id-16": 0.4,
    "find-10000": 5.0,
    "find-100000": 5.0,
    "find-10000-indexed": 50.0,
    "find-100000-indexed": 300.0,
    "listen-1": 0.7,
    "listen-100": 0.7,
    "read-under-scans-of-100000": 1.0,
    "memory": 0.5,
    "disk": 0.5,
}
"""The ratio, ours to the reference's, that a case has to reach: the least, or the most where lower is better."""

FOOTPRINT_DOCS = 100_000

MEANINGS = {
    "create-1": "creates, one after the other",
    "create-16": "creates, 16 callers",
    "create-100-instances": "creates of 100 instances a call",
    "save-1": "saves, one after the other",
    "save-16": "saves, 16 callers",
    "transaction-of-10": "write transactions of ten creates",
    "find-by-id-1": "FindByID, one after the other",
    "find-by-id-16": "FindByID, 16 callers",
    "listen-1": "from a create to its event at one listener",
    "listen-100": "from a create to its event at 100 listeners",
    "new-db": "NewDB",
    "memory": f"resident memory after {FOOTPRINT_DOCS:,} documents",
    "disk": f"on disk after {FOOTPRINT_DOCS:,} documents",
}

COLUMNS = ("what", "unit", "ours", "go-threads", "ratio", "spread", "target", "met")


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        case: What the Go program says about one case.
    """

    case: dict[str, Any]

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None when there is none."""
        target, ratio = TARGETS.get(self.case["name"]), self.case["ratio"]
        if target is None:
            return None
        return bool(ratio <= target if self.case["lower_is_better"] else ratio >= target)

    def cells(self) -> tuple[str, ...]:
        """The texts of its columns."""
        case, name = self.case, self.case["name"]
        what = MEANINGS.get(name) or meaning_of_find(name)
        if case.get("error"):
            return (what, case["unit"], "-", "-", "-", "-", "", case["error"])
        ours, reference = case["medians"]
        ratios = [ours / theirs for ours, theirs in zip(case["ours"], case["reference"], strict=True)]
        target = f"{'<=' if case['lower_is_better'] else '>='} {TARGETS[name]}" if name in TARGETS else ""
        met = "" if self.met is None else "yes" if self.met else "NO"
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        return (what, case["unit"], figure(ours), figure(reference), f"{case['ratio']:.2f}", spread, target, met)


def meaning_of_find(name: str) -> str:
    """What a case is that is named after the size of its collection."""
    (number,) = (int(part) for part in name.split("-") if part.isdecimal() and part != "10")
    if name.startswith("lowest-10-of-"):
        return f"the 10 lowest of {number:,}, sorted (go-threads answers with the wrong rows)"
    if name.startswith("read-under-scans"):
        return f"p99 of FindByID while {number:,} are scanned"
    if name.endswith("-named"):
        return f"equality among {number:,}, the index named in the query"
    return f"equality among {number:,}, {'on an index' if name.endswith('-indexed') else 'no index'}"


def figure(number: float) -> str:
    """A figure with about three digits."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write RESULTS.md")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each case")
    parser.add_argument("--cases", default="", help="names of cases, joined by commas (default: all)")
    parser.add_argument("--docs", default="10000,100000", help="sizes of the collections that queries are asked of")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for the number of calls in a round")
    return parser.parse_args()


def measure(programs: Path, ours: Daemon, reference: GoDaemon, options: argparse.Namespace) -> list[Row]:
    """Run the Go program that measures; returns a row for each case."""
    command = [str(programs / "bench"), "-ours", ours.threads_api, "-reference", reference.threads_api]
    command += ["-rounds", str(options.rounds), "-cases", options.cases, "-docs", options.docs]
    command += ["-scale", str(options.scale)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [Row(case) for case in json.loads(done.stdout)["cases"]]


def footprint(programs: Path, ours: Daemon, reference: GoDaemon) -> list[Row]:
    """What two fresh daemons need for so many documents; returns a row for memory and one for the disk."""
    command = [str(programs / "bench"), "-ours", ours.threads_api, "-reference", reference.threads_api]
    subprocess.run(
        [*command, "-fill", "-docs", str(FOOTPRINT_DOCS), "-rounds", "1"], stdout=subprocess.DEVNULL, check=True
    )
    both = (ours, reference)
    return [
        single("memory", "MiB", [resident_bytes(daemon.process.pid) / 2**20 for daemon in both if daemon.process]),
        single("disk", "MiB", [kept_bytes(daemon.folder) / 2**20 for daemon in both]),
    ]


def single(name: str, unit: str, figures: list[float]) -> Row:
    """A row of one figure of each daemon, where less is better."""
    ours, reference = figures
    return Row(
        {
            "name": name,
            "unit": unit,
            "lower_is_better": True,
            "ours": [ours],
            "reference": [reference],
            "medians": [ours, reference],
            "ratio": ours / reference,
        }
    )


def resident_bytes(pid: int) -> int:
    """The memory that a process has, in bytes, without the pages of files that it maps."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024


def kept_bytes(folder: Path) -> int:
    """What the files below a folder take on the disk, in bytes."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def version(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> list[str]:
    """What the figures depend on, without the names of hosts or folders."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line.split(":", 1)[1].strip() for line in information.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"- CPU: {model}, {os.cpu_count()} cores",
        f"- memory: {memory:.1f} GiB",
        f"- kernel: {platform.system()} {platform.release()}",
        f"- Python {platform.python_version()}, {version('go', 'version').removeprefix('go version ')}",
    ]


def table(rows: list[Row]) -> str:
    """The rows as text for a terminal."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in lines
    )


def write(rows: list[Row], options: argparse.Namespace) -> None:
    """Write the results."""
    text = f"""Each figure is the median of {options.rounds} rounds, ours and theirs by turns; the ratio is ours to
theirs, its spread that of the single rounds. Calls write to disk before they answer, on both sides.

{report.table([COLUMNS, *(row.cells() for row in rows)])}
"""
    report.write_section("The machine", "\n".join(machine()))
    report.write_section("Against go-threads", text)


@contextmanager
def daemons(folder: Path, programs: Path) -> Iterator[tuple[Daemon, GoDaemon]]:
    """Ours and the reference, fresh, for as long as the body runs."""
    folders = [folder / name for name in ("ours", "reference")]
    for one in folders:
        one.mkdir(parents=True)
    ours, reference = prepare_threadd(folders[0]), prepare_godaemon(folders[1], programs)
    try:
        ours.start()
        reference.start()
        yield ours, reference
    finally:
        ours.kill()
        reference.kill()


def main() -> int:
    """Run the benchmark; returns the exit status."""
    options = arguments()
    if not has_go():
        print("make bench needs Go: the client and the daemon that ours is measured against are Go programs")
        return 2
    with tempfile.TemporaryDirectory(prefix="threadd-bench-") as folder:
        programs = Path(folder) / "programs"
        build_go(programs)
        with daemons(Path(folder) / "calls", programs) as (ours, reference):
            rows = measure(programs, ours, reference, options)
        if not options.cases:
            with daemons(Path(folder) / "footprint", programs) as (ours, reference):
                rows += footprint(programs, ours, reference)
    print(table(rows))
    if options.write:
        write(rows, options)
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
