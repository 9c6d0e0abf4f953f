"""What an application on a thread owes the network, so that this room never knows what a database is."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from net.records import RecordBlocks
from net.thread_id import ThreadID


class ThreadApp(Protocol):
    """An application that owns what the records of one thread mean."""

    async def accept(self, log_id: bytes, records: Sequence[RecordBlocks]) -> None:
        """Put records that were made elsewhere at the end of their log, with what they mean; those that are here stay.

        A record whose body it does not like is kept and served on all the same, and not applied: it is marked.

        Args:
            log_id: The peer ID of the log.
            records: In the order of the log. All before one that fails are kept.

        Raises:
            ThreadNotFoundError, LogNotFoundError, BadSignatureError, NetError: As `arrivals.open_arrival`.
            OutOfOrderError: One does not follow the last record of its log here.
        """


AppOf: TypeAlias = Callable[[ThreadID], ThreadApp | None]
"""The application that owns a thread; None where nobody does."""
