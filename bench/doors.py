"""Measure the doors for browsers against the gRPC door, and how late a listener in a browser sees a write.

Prints a table; exit status 1 where a target is missed: a call over HTTP costs at most twice the same call over gRPC,
one over a fresh websocket, as `@textile/hub` makes one for each call, at most 4 ms more, and a listener in a browser
sees a write in under 50 ms. `--write` also writes the table to RESULTS.md.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import report
from daemons import Daemon, install_js, prepare_threadd

MAX_RATIO = 2.0
MAX_MORE = 4.0
MAX_DELAY = 50.0
COLUMNS = ("what", "median", "unit", "spread", "target", "met")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each way to call")
    parser.add_argument("--calls", type=int, default=200, help="calls in a round")
    parser.add_argument("--write", action="store_true", help="write the table to RESULTS.md")
    return parser.parse_args()


def measure(programs: Path, folder: Path, daemon: Daemon, options: argparse.Namespace) -> dict[str, list[float]]:
    """Run the JS program that measures; returns the medians of the rounds in milliseconds, by the way to call."""
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    created = json.loads(daemon.run("keys", "create", "--type", "user", "--insecure", "--json"))
    key = json.dumps({"key": created["key"], "secret": created["secret"]})
    command = ["node", str(programs / "doors.js"), browser, str(folder), daemon.hub_api, daemon.hub_web, key]
    done = subprocess.run(
        [*command, str(options.rounds), str(options.calls)], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def row(what: str, figures: list[float], unit: str, most: float | None = None) -> tuple[str, ...]:
    """Make a row of the table: the median of the rounds, their spread, and the target if there is one."""
    median = statistics.median(figures)
    target = "" if most is None else f"<= {most:g}"
    met = "" if most is None else "yes" if median <= most else "NO"
    return (what, f"{median:.2f}", unit, f"{min(figures):.2f} to {max(figures):.2f}", target, met)


def main() -> int:
    """Run the benchmark; returns the exit status."""
    options = arguments()
    if not (shutil.which("node") and shutil.which("npm") and any(map(shutil.which, BROWSERS))):
        print("bench/doors.py needs Node, npm and Chromium: the clients are JS programs")
        return 2
    with tempfile.TemporaryDirectory(prefix="threadd-bench-") as name:
        folder = Path(name)
        install_js(folder / "js")
        daemon = prepare_threadd(folder)
        daemon.start()
        try:
            found = measure(folder / "js", folder, daemon, options)
        finally:
            daemon.kill()
    ratios = [web / grpc for web, grpc in zip(found["http"], found["grpc"], strict=True)]
    more = [web - grpc for web, grpc in zip(found["websocket"], found["grpc"], strict=True)]
    rows = [
        row("FindByID over gRPC, one after the other", found["grpc"], "ms"),
        row("FindByID over HTTP, in calls over gRPC", ratios, "times", MAX_RATIO),
        row("FindByID over a fresh websocket, more than over gRPC", more, "ms", MAX_MORE),
        row("from a write in a browser to its event there", found["browser"], "ms", MAX_DELAY),
    ]
    for what, *cells in rows:
        print(f"{what:<54}", "  ".join(f"{cell:<16}" for cell in cells).rstrip())
    if options.write:
        report.write_section("Doors for browsers", report.table([COLUMNS, *rows]))
    return int(any(met == "NO" for *_, met in rows))


if __name__ == "__main__":
    sys.exit(main())
