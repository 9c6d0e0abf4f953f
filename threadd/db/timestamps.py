"""Times and IDs that a database gives out; clock and randomness are passed in."""

from collections.abc import Callable
from dataclasses import dataclass

_RANDOM_BITS = 80
_NS_PER_MS = 1_000_000

# An ULID is 128 bits in Crockford's base32, five to a character, the two highest bits of the 130 being 0.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_PAIR_MASK = len(_PAIRS) - 1
_SHIFTS = range(120, -1, -10)

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
        milliseconds = self.clock() // _NS_PER_MS
        if milliseconds <= self._last >> _RANDOM_BITS:
            self._last += 1
        else:
            self._last = milliseconds << _RANDOM_BITS | int.from_bytes(self.randomness(_RANDOM_BITS // 8), "big")
        number = self._last
        return "".join([_PAIRS[number >> shift & _PAIR_MASK] for shift in _SHIFTS])
