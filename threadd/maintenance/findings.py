"""What a check of a repository finds."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec

Puts = tuple[tuple[bytes, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree.

    Args:
        kind: Which check found it, in a word.
        where: What it is about: a thread, a log, a collection.
        text: What is wrong.
        puts: What makes it right again: the value of each key, None to delete it; nothing where it cannot be rebuilt.
    """

    kind: str
    where: str
    text: str
    puts: Puts = ()


class Fault(msgspec.Struct, frozen=True):
    """A finding as it is reported.

    Args:
        kind: Which check found it.
        where: What it is about.
        text: What is wrong.
        repairable: Whether ``threadd verify --repair`` can rebuild it.
    """

    kind: str
    where: str
    text: str
    repairable: bool


class Report(msgspec.Struct, frozen=True):
    """What was checked, and what is wrong.

    Args:
        counts: How many of each kind of thing were looked at.
        faults: What is wrong, at most `REPORTED` of them.
        fault_count: How many faults there are.
        repaired: How many were repaired before this check.
    """

    counts: dict[str, int]
    faults: list[Fault]
    fault_count: int
    repaired: int = 0


REPORTED = 1_000
"""How many faults are told one by one."""


@dataclass(slots=True)
class Tally:
    """Counts what was looked at; the checks share it."""

    counts: Counter[str] = field(default_factory=Counter)
