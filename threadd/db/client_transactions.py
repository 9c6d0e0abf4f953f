"""Transactions that a client holds open: reads of one state and, in a write transaction, operations on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from threadd.db.collections import Collection
from threadd.db.errors import TransactionEndedError
from threadd.db.transactions import WriteTransaction
from threadd.db.views import View


@dataclass(frozen=True, slots=True)
class ReadTransaction:
    """Reads of one state of one collection; arguments and errors are those of `View`.

    Args:
        collection: The collection.
        view: The state.
    """

    collection: Collection
    view: View

    async def has(self, instance_ids: Sequence[str]) -> bool:
        """Whether all of some instances are there."""
        return await self.view.has(self.collection, instance_ids)

    async def find_by_id(self, instance_id: str) -> bytes:
        """JSON text of an instance."""
        return await self.view.find_by_id(self.collection, instance_id)

    async def find(self, query: bytes) -> list[bytes]:
        """JSON texts of the instances that a query asks for."""
        return await self.view.find(self.collection, query)


@dataclass(slots=True)
class ClientTransaction:
    """A write transaction: reads see the state before it, operations build on each other.

    An operation that is refused leaves nothing behind; whatever was accepted is committed at the end.

    Args:
        reads: The state before it.
        operations: What was accepted so far.
        discarded: Whether the client gave it up; operations still answer, and the end fails.
    """

    reads: ReadTransaction
    operations: WriteTransaction
    discarded: bool = False

    async def create(self, instances: Sequence[bytes]) -> list[str]:
        """As `WriteTransaction.create`."""
        return await self.operations.create(self.reads.collection, instances)

    async def save(self, instances: Sequence[bytes]) -> None:
        """As `WriteTransaction.save`."""
        await self.operations.save(self.reads.collection, instances)

    async def verify(self, instances: Sequence[bytes]) -> None:
        """As `WriteTransaction.verify`."""
        await self.operations.verify(self.reads.collection, instances)

    async def delete(self, instance_ids: Sequence[str]) -> None:
        """As `WriteTransaction.delete`."""
        await self.operations.delete(self.reads.collection, instance_ids)

    def discard(self) -> None:
        """Give up what was accepted; twice is once."""
        self.discarded = True

    def check_not_discarded(self) -> None:
        """Refuse the end of a transaction that was given up.

        Raises:
            TransactionEndedError: It was.
        """
        if self.discarded:
            raise TransactionEndedError
