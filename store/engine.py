"""What every engine of the store is: ordered bytes, snapshots, and transactions that are durable or nothing."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TypeVar

T = TypeVar("T")


class Reader(Protocol):
    """One state of the keys."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values from `start` (inclusive) to `stop` (exclusive), in the order of the keys or against it."""


class Snapshot(Reader, Protocol):
    """A state that stays as it is until it is closed."""

    def close(self) -> None:
        """Let the state go; twice is once."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass(slots=True)
class Transaction:
    """What is to be written at once, and what has to hold for it.

    Args:
        puts: The new value of each key; None deletes it.
        requirements: The value that each key must have when the transaction's turn comes; None for no value.
    """

    puts: dict[bytes, bytes | None] = field(default_factory=dict)
    requirements: dict[bytes, bytes | None] = field(default_factory=dict)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        self.puts[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key; one that is not there is no error."""
        self.puts[key] = None

    def require(self, key: bytes, expected: bytes | None) -> None:
        """Make the whole transaction fail unless a key has a value (None: has none) when its turn comes."""
        self.requirements[key] = expected


class Commit(asyncio.Future[None]):
    """A commit that is under way.

    It cannot be called back, so a task that is cancelled while it awaits one is cancelled once the disk has answered:
    by then it is known what became of it, and what cleans up sees it. Whoever need not wait shields it.
    """

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002  what the library calls it with
        """Refuse."""
        return False


class Engine(Reader, Protocol):
    """A store. Reads outside of a snapshot see the latest commit; all methods are called on the event loop's thread."""

    @property
    def is_sound(self) -> bool:
        """Whether it still takes writes; once the disk has failed it does not, until it is opened anew."""

    def snapshot(self) -> Snapshot:
        """The state as of the latest commit, kept until it is closed."""

    async def read(self, function: Callable[[Snapshot], T]) -> T:
        """Run a function on a snapshot, away from the event loop."""

    def commit(self, transaction: Transaction) -> "asyncio.Future[None]":
        """Write a transaction.

        Transactions take effect in the order of the calls, each whole or not at all.

        Returns:
            A future that cannot be cancelled (`Commit`), and is done, in that order, once the transaction is on disk.
            It raises `ConflictError` if a requirement did not hold, `StoreFullError` or another `StoreError` if the
            disk did not take it.
        """

    async def close(self) -> None:
        """Write what is queued, then let the files go."""
