"""Places where a test makes the daemon fail: all of them are listed here, and none costs anything unless it is armed.

The environment arms them: ``THREADD_FAILPOINTS="store.before-commit=kill@3;sweeper.slice=raise"``. What is named is
done the third time, or else the first, that the place is come by:

- ``kill`` ends the process at once, as a crash does;
- ``raise`` raises `FailpointError`, as if the disk had refused;
- ``sleep`` waits for half a second, so that a kill from outside falls there.
"""

import enum
import os
import signal
import time
from collections.abc import Mapping
from typing import Final

from store.errors import StoreError

VARIABLE: Final = "THREADD_FAILPOINTS"

_SLEEP_SECONDS = 0.5


class Failpoint(enum.StrEnum):
    """The places."""

    BEFORE_BATCH = "store.before-batch"
    """The writer has taken a batch and written nothing of it."""
    BEFORE_COMMIT = "store.before-commit"
    """A batch is written and not committed."""
    AFTER_COMMIT = "store.after-commit"
    """A batch is on disk, and nobody knows."""
    BEFORE_SUBMIT = "db.before-submit"
    """A transaction is built, its record is made, and it is not on its way to the disk."""
    AFTER_SUBMIT = "db.after-submit"
    """A transaction is on its way to the disk, and its caller waits."""
    INDEX_SLICE = "db.index-slice"
    """A part of a new index is on disk."""
    INDEX_BUILT = "db.index-built"
    """A new index is complete and does not count yet."""
    FILL_SLICE = "db.fill-slice"
    """A part of what waited for a collection is applied."""
    SWEEP_SLICE = "db.sweep-slice"
    """A part of a deletion is on disk."""
    DB_MADE = "db.made"
    """A database is on disk, and its caller does not know."""
    OWNED = "hub.owned"
    """The owner of a thread is recorded, and the thread is not made."""
    IMPORT_SLICE = "import.slice"
    """A part of an imported database is on disk."""
    BLOCKS_SYNCED = "blocks.synced"
    """The blocks of a file are on disk, and no bucket names them."""


class FailpointError(StoreError):
    """What ``raise`` raises."""

    default_text = "a failpoint"


_armed: dict[str, tuple[str, int]] = {}


def arm(environment: Mapping[str, str] = os.environ) -> None:
    """Arm what the environment names, and disarm the rest.

    Raises:
        ValueError: It names no place, or nothing that can be done there.
    """
    _armed.clear()
    for part in environment.get(VARIABLE, "").split(";"):
        if part.strip():
            name, _, what = part.strip().partition("=")
            action, _, count = what.partition("@")
            if action not in {"kill", "raise", "sleep"} or not (count or "1").isdigit():
                raise ValueError(f"{VARIABLE}: '{part}' is not NAME=kill|raise|sleep[@COUNT]")
            _armed[Failpoint(name)] = action, int(count or "1")


def hit(place: Failpoint) -> None:
    """Come by a place.

    Raises:
        FailpointError: The place is armed so.
    """
    if _armed:
        _act(place)


def _act(place: Failpoint) -> None:
    action, count = _armed.get(place, ("", 0))
    if count > 1:
        _armed[place] = action, count - 1
    elif count == 1:
        del _armed[place]
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action == "raise":
            raise FailpointError
        else:
            time.sleep(_SLEEP_SECONDS)


arm()
