"""Programs that talk with somebody at a terminal, run by a test.

A plain module without pytest.
"""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]")
_SIZE = struct.pack("HHHH", 50, 200, 0, 0)
_PAUSE_SECONDS = 0.05


class TerminalError(Exception):
    """A program did not end, or did not ask what it should; the text holds what it said."""


class Answer(NamedTuple):
    """What to type, and when.

    Args:
        prompt: It is typed once this was printed since the last answer.
        text: What; a line break is added.
    """

    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended.

    Args:
        status: Its exit status.
        said: All that it printed, without colours.
    """

    status: int
    said: str


def run(
    command: Sequence[str], environment: Mapping[str, str], answers: Sequence[Answer] = (), seconds: float = 90
) -> Ran:
    """Run a program at a terminal of its own and answer what it asks.

    Args:
        command: The command line.
        environment: Its whole environment.
        answers: What to type, in order.
        seconds: How long it may take.

    Raises:
        TerminalError: It took longer, or ended before it had asked everything.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, _SIZE)
    try:
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    finally:
        os.close(theirs)
    try:
        said = _converse(ours, list(answers), time.monotonic() + seconds)
        status = process.wait(10)
    except (TerminalError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()
        raise
    finally:
        os.close(ours)
    return Ran(status, _plain(said))


def _converse(terminal: int, answers: list[Answer], ends: float) -> bytes:
    said, heard = b"", 0
    while time.monotonic() < ends:
        data = _read(terminal)
        if data == b"":
            if answers:
                raise TerminalError(f"ended before it asked {answers[0].prompt!r}:\n{_plain(said)}")
            return said
        said += data or b""
        if answers and answers[0].prompt in _plain(said[heard:]):
            # Whoever is at a terminal types once the prompt is drawn, a key at a time.
            time.sleep(_PAUSE_SECONDS)
            heard = len(said)
            os.write(terminal, answers.pop(0).text.encode() + b"\r")
    raise TerminalError(f"did not end in time:\n{_plain(said)}")


def _read(terminal: int) -> bytes | None:
    """What was printed; None for nothing yet, empty for the end."""
    ready, _, _ = select.select([terminal], [], [], _PAUSE_SECONDS)
    if not ready:
        return None
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # what Linux says once the program has ended
        return b""


def _plain(said: bytes) -> str:
    return _ESCAPES.sub(b"", said).decode(errors="replace")
