"""Measure buckets: a large file both ways, the same over the gateway, and many small files in one upload.

Prints a table; exit status 1 where a target is missed: anonymous memory grows by under 100 MiB, 10,000 files of 1 kB
take under 60 s, downloads run at over 100 MiB/s. A private file that was not sealed since the daemon started is read
twice, once to check it whole before anything of it is let out: that is measured after a restart, without a target.
`--write` also writes the table to RESULTS.md.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import grpc

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import report
from daemons import Daemon, free_ports, prepare_threadd

from net.thread_id import ThreadID
from proto import bucketsd_pb2 as pb
from proto import threads_pb2

THREAD = ThreadID(bytes([1, 0x55]) + b"b" * 32)
METADATA = [("x-textile-thread", THREAD.text)]
SERVICE = "/api.bucketsd.pb.APIService"
MIB = 1 << 20
MAX_GROWTH = 100
MAX_SECONDS = 60
MIN_SPEED = 100
COLUMNS = ("what", "figure", "unit", "target", "met")


class Memory:
    """Watches the anonymous memory of a process.

    Args:
        pid: The process.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._peak = self._first = self._now()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def growth(self) -> float:
        """By how much it has grown at most, in MiB."""
        return (self._peak - self._first) / MIB

    def _now(self) -> int:
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) * 1024

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self._peak = max(self._peak, self._now())


def unary(channel: grpc.Channel, rpc: str, request: object, reply: type) -> object:
    """Make a call."""
    stub = channel.unary_unary(f"/{rpc}", response_deserializer=reply.FromString)
    return stub(request.SerializeToString(), metadata=METADATA, timeout=60)


def upload(channel: grpc.Channel, rpc: str, requests: Iterator[object]) -> int:
    """Send the requests of an upload; returns how many replies came."""
    stub = channel.stream_stream(
        f"{SERVICE}/{rpc}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=getattr(pb, f"{rpc}Response").FromString,
    )
    return sum(1 for _ in stub(requests, metadata=METADATA))


def large_file(key: str, size: int) -> Iterator[object]:
    """The requests that upload a file of so many MiB."""
    yield pb.PushPathRequest(header=pb.PushPathRequest.Header(key=key, path="large"))
    rest = os.urandom(MIB - 8)
    for number in range(size):
        yield pb.PushPathRequest(chunk=number.to_bytes(8, "big") + rest)


def small_files(key: str, count: int) -> Iterator[object]:
    """The requests that upload so many files of 1 kB."""
    names = [f"small/{number}" for number in range(count)]
    yield pb.PushPathsRequest(header=pb.PushPathsRequest.Header(key=key, paths=names))
    for number, name in enumerate(names):
        data = number.to_bytes(8, "big") * 125
        yield pb.PushPathsRequest(chunk=pb.PushPathsRequest.Chunk(path=name, data=data))
        yield pb.PushPathsRequest(chunk=pb.PushPathsRequest.Chunk(path=name))


def download(channel: grpc.Channel, key: str) -> int:
    """Download the large file; returns its size."""
    stub = channel.unary_stream(f"{SERVICE}/PullPath", response_deserializer=pb.PullPathResponse.FromString)
    request = pb.PullPathRequest(key=key, path="large").SerializeToString()
    return sum(len(reply.chunk) for reply in stub(request, metadata=METADATA))


def fetch(url: str) -> int:
    """Read a page; returns its size."""
    size = 0
    with urllib.request.urlopen(url) as reply:
        while piece := reply.read(MIB):
            size += len(piece)
    return size


def measure(daemon: Daemon, gateway: int, options: argparse.Namespace) -> list[tuple[str, ...]]:
    """Print the figures; returns the rows of the table."""
    rows: list[tuple[str, ...]] = []

    def say(what: str, figure: float, unit: str, target: str = "", *, good: bool = True) -> None:
        met = "" if not target else "yes" if good else "NO"
        rows.append((what, f"{figure:.1f}", unit, target, met))
        print(f"{what:<44} {figure:10.1f} {unit:<6} {target:<10} {met}")

    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(daemon.threads_api, options=unlimited) as channel:
        unary(channel, "threads.pb.API/NewDB", threads_pb2.NewDBRequest(dbID=THREAD.bytes), threads_pb2.NewDBReply)
        for kind in ("public", "private"):
            request = pb.CreateRequest(private=kind == "private")
            key = unary(channel, "api.bucketsd.pb.APIService/Create", request, pb.CreateResponse).root.key
            with Memory(daemon.process.pid) as memory:
                began = time.monotonic()
                upload(channel, "PushPath", large_file(key, options.mib))
                speed = options.mib / (time.monotonic() - began)
            say(f"{kind}: upload of {options.mib} MiB", speed, "MiB/s")
            say(f"{kind}: memory grows by", memory.growth, "MiB", f"< {MAX_GROWTH}", good=memory.growth < MAX_GROWTH)
            began = time.monotonic()
            speed = download(channel, key) / MIB / (time.monotonic() - began)
            target = f"> {MIN_SPEED}"
            say(f"{kind}: download", speed, "MiB/s", target, good=speed > MIN_SPEED)
            began = time.monotonic()
            speed = fetch(f"http://127.0.0.1:{gateway}/ipns/{key}/large") / MIB / (time.monotonic() - began)
            say(f"{kind}: over the gateway", speed, "MiB/s", target, good=speed > MIN_SPEED)
            with Memory(daemon.process.pid) as memory:
                began = time.monotonic()
                upload(channel, "PushPaths", small_files(key, options.files))
                seconds = time.monotonic() - began
            good = seconds < MAX_SECONDS
            say(f"{kind}: {options.files:,} files of 1 kB", seconds, "s", f"< {MAX_SECONDS}", good=good)
            say(f"{kind}: memory grows by", memory.growth, "MiB", f"< {MAX_GROWTH}", good=memory.growth < MAX_GROWTH)
    daemon.restart()
    with grpc.insecure_channel(daemon.threads_api, options=unlimited) as channel:
        began = time.monotonic()
        speed = download(channel, key) / MIB / (time.monotonic() - began)
        say("private: download, the first after a restart", speed, "MiB/s")
    return rows


def main() -> int:
    """Run a daemon of its own and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the large file")
    parser.add_argument("--files", type=int, default=10_000, help="how many small files")
    parser.add_argument("--write", action="store_true", help="write the table to RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (gateway,) = free_ports(1)
        daemon = prepare_threadd(Path(folder), "--gateway", f"127.0.0.1:{gateway}")
        daemon.start()
        try:
            rows = measure(daemon, gateway, options)
        finally:
            daemon.kill()
    if options.write:
        report.write_section("Buckets", report.table([COLUMNS, *rows]))
    return int(any(met == "NO" for *_, met in rows))


if __name__ == "__main__":
    sys.exit(main())
