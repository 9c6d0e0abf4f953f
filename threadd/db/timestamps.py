"""Times and IDs that a database gives out; clock and randomness are passed in."""

from collections.abc import Callable
from dataclasses import dataclass

from ulid import ULID

_RANDOM_BITS = 80
_NS_PER_MS = 1_000_000
_YEAR_NS = 365 * 24 * 3600 * 10**9


@dataclass(slots=True)
class Timestamps:
    """Gives every patch of a thread a time after all that were seen there.

    Args:
        clock: The time, in ns since 1970.
        last: The latest time seen in the thread, in ns.
    """

    clock: Callable[[], int]
    last: int = 0

    def next(self) -> int:
        """A time in ns, above `last` and every earlier answer."""
        self.last = max(self.clock(), self.last + 1)
        return self.last

    def saw(self, timestamp: int) -> None:
        """Take notice of a patch that was made elsewhere at a time in ns."""
        self.last = max(self.last, timestamp)

    def is_too_far_ahead(self, timestamp: int) -> bool:
        """Whether a time in ns lies more than a year ahead: to follow it would use up the times that there are."""
        return timestamp > self.clock() + _YEAR_NS


@dataclass(slots=True)
class InstanceIDs:
    """Makes lower-case ULIDs that rise, within a millisecond too.

    Args:
        clock: The time, in ns since 1970.
        randomness: Gives so many random bytes.
    """

    clock: Callable[[], int]
    randomness: Callable[[int], bytes]
    _last: int = 0

    def next(self) -> str:
        """An ID above every earlier one."""
        now = self.clock() // _NS_PER_MS << _RANDOM_BITS | int.from_bytes(self.randomness(_RANDOM_BITS // 8), "big")
        same_millisecond = now >> _RANDOM_BITS <= self._last >> _RANDOM_BITS
        self._last = self._last + 1 if same_millisecond else now
        return str(ULID.from_int(self._last)).lower()
