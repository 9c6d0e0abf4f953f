"""What is counted of calls, cheaply enough for each of them: how many, how they ended, how long they took."""

import bisect
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from store.errors import StatusCode

if TYPE_CHECKING:
    from threadd.api.dispatcher import CallHead

BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the classes of durations, in seconds; what is longer has a class of its own."""

_READS: Final = frozenset({"Has", "Find", "FindByID", "Count", "Page", "Explain"})
_WRITES: Final = frozenset({"Create", "Save", "Delete", "WriteTransaction"})


class Observer(Protocol):
    """Hears of every call."""

    def begun(self, head: "CallHead", /) -> None:
        """A call begins."""

    def ended(self, head: "CallHead", code: StatusCode, seconds: float, /) -> None:
        """A call has ended, and how; CANCELLED for one whose client went away."""


@dataclass(slots=True)
class Durations:
    """How long something took, as a histogram.

    Args:
        classes: How many fell into each class of `BOUNDS`, and how many beyond.
        total: The sum of them, in seconds.
        longest: The longest one, in seconds.
    """

    classes: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.classes[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.classes)

    def buckets(self) -> list[tuple[str, int]]:
        """Upper bounds and how many took no longer, as Prometheus has them."""
        names = [*map(str, BOUNDS), "+Inf"]
        return list(zip(names, itertools.accumulate(self.classes), strict=True))


class CallCounts:
    """Counts calls; see `Observer`.

    Attributes:
        ended_by: How many calls of a method ended with a code.
        durations: How long the calls of a method took.
        open: How many calls of a method run now.
    """

    def __init__(self) -> None:
        self.ended_by: dict[tuple[str, StatusCode], int] = {}
        self.durations: dict[str, Durations] = {}
        self.open: dict[str, int] = {}

    def begun(self, head: "CallHead") -> None:
        """See `Observer`."""
        self.open[head.method] = self.open.get(head.method, 0) + 1

    def ended(self, head: "CallHead", code: StatusCode, seconds: float) -> None:
        """See `Observer`."""
        method = head.method
        if code is StatusCode.UNIMPLEMENTED:
            # Names that callers made up would be kept for good.
            self._forget(method)
            method = "unknown"
        else:
            self.open[method] -= 1
        self.ended_by[method, code] = self.ended_by.get((method, code), 0) + 1
        durations = self.durations.get(method)
        if durations is None:
            durations = self.durations[method] = Durations()
        durations.add(seconds)

    def _forget(self, method: str) -> None:
        self.open[method] -= 1
        if not self.open[method]:
            del self.open[method]

    def reads(self) -> int:
        """How many calls have read instances."""
        return self._sum(_READS)

    def writes(self) -> int:
        """How many calls have written instances."""
        return self._sum(_WRITES)

    def _sum(self, names: frozenset[str]) -> int:
        found = self.ended_by.items()
        return sum(count for (method, _), count in found if method.rpartition("/")[2] in names)
