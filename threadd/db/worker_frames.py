"""How a worker process is spoken to: msgpack framed by a 4-byte big-endian length, on its stdin and stdout.

The worker's side is here, where it costs its start little; the daemon's side is `threadd.db.workers`.
"""

import resource
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeVar

import msgspec

LENGTH = struct.Struct(">I")

_ORPHAN_SECONDS = 30
_ADDRESS_SPACE_BYTES = 1024 * 1024 * 1024

RequestT = TypeVar("RequestT")


def serve(
    source: BinaryIO, sink: BinaryIO, request_type: type[RequestT], answer: Callable[[RequestT], msgspec.Struct]
) -> None:
    """Answer requests, one after the other, until the source ends.

    The parent keeps the time and ends this process when an answer takes too long; an alarm does so where the parent is
    gone.

    Args:
        source: Framed requests.
        sink: Where the framed answers go.
        request_type: What a request is.
        answer: Answers one.
    """
    decode = msgspec.msgpack.Decoder(request_type).decode
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        request = decode(source.read(*LENGTH.unpack(head)))
        signal.alarm(_ORPHAN_SECONDS)
        reply = msgspec.msgpack.encode(answer(request))
        signal.alarm(0)
        sink.write(LENGTH.pack(len(reply)) + reply)
        sink.flush()


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """End this process by SIGPROF if the body takes more CPU time, which unlike the wall clock ignores other load.

    Args:
        seconds: What the body may take.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def run(request_type: type[RequestT], answer: Callable[[RequestT], msgspec.Struct]) -> None:
    """Be a worker process: bounded in memory and descriptors, and ended by the daemon; arguments as for `serve`."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    for stop in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A service manager may send it to all processes; a call that ends by it would count as the caller's fault.
        signal.signal(stop, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer, request_type, answer)
