"""Telling that something which callers are admitted by counts no longer: a token, a session, a key, a membership."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Withdrawals:
    """Who wants to know."""

    _hearers: list[Callable[[], None]] = field(default_factory=list)

    def hear(self, hearer: Callable[[], None]) -> None:
        """Have somebody called whenever there is a withdrawal, once it is on disk."""
        self._hearers.append(hearer)

    def tell(self) -> None:
        """Say that there was one."""
        for hearer in self._hearers:
            hearer()
