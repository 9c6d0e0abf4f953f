"""A collection: instances are created, saved, found, followed; alone or in transactions."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar

from net.thread_id import ThreadID
from proto import threadd_pb2
from proto import threads_pb2 as pb
from threadd.client import listening, transactions
from threadd.client.connection import API, OWN, Connection
from threadd.client.instances import decode, encode_all, many
from threadd.client.listening import Event
from threadd.client.queries import EVERYTHING, Query
from threadd.client.transactions import ReadTransaction, WriteTransaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a query is answered.

    Args:
        indexes: The paths of the indexes that were read; none for a scan.
        ordered: Whether nothing had to be sorted.
        rows_read: How many instances were looked at.
        rows_given: How many the query gives.
        microseconds: How long it took.
    """

    indexes: tuple[str, ...]
    ordered: bool
    rows_read: int
    rows_given: int
    microseconds: int


class Collection(Generic[T]):
    """A collection of a database; `Database.collection` gives it.

    Args:
        connection: The line to the daemon.
        thread: The ID of the database's thread.
        name: Its name.
        kind: What an instance is in the program.
    """

    def __init__(self, connection: Connection, thread: ThreadID, name: str, kind: type[T]) -> None:
        self._connection = connection
        self._thread = thread
        self._kind = kind
        self.name = name

    async def create(self, instances: Iterable[T]) -> list[str]:
        """Create instances, all or none.

        Args:
            instances: The instances; one without ``_id`` gets one.

        Returns:
            Their IDs, in order.

        Raises:
            RefusedError: The daemon refused them.
            TypeError: It is one instance, or a string, and no list of instances; so do all that take several.
        """
        texts = encode_all(instances)
        request = pb.CreateRequest(dbID=self._thread.bytes, collectionName=self.name, instances=texts)
        reply = await self._connection.unary(API, "Create", request, pb.CreateReply)
        return list(reply.instanceIDs)

    async def save(self, instances: Iterable[T]) -> None:
        """Replace instances by their ``_id``, or create them; all or none."""
        texts = encode_all(instances)
        request = pb.SaveRequest(dbID=self._thread.bytes, collectionName=self.name, instances=texts)
        await self._connection.unary(API, "Save", request, pb.SaveReply)

    async def verify(self, instances: Iterable[T]) -> None:
        """Ask what `save` would say; nothing is written."""
        texts = encode_all(instances)
        request = pb.VerifyRequest(dbID=self._thread.bytes, collectionName=self.name, instances=texts)
        await self._connection.unary(API, "Verify", request, pb.VerifyReply)

    async def delete(self, instance_ids: Iterable[str]) -> None:
        """Delete instances; one that is not there is no error."""
        ids = many(instance_ids, "instance IDs")
        request = pb.DeleteRequest(dbID=self._thread.bytes, collectionName=self.name, instanceIDs=ids)
        await self._connection.unary(API, "Delete", request, pb.DeleteReply)

    async def has(self, instance_ids: Iterable[str]) -> bool:
        """Ask whether all of some instances are there."""
        ids = many(instance_ids, "instance IDs")
        request = pb.HasRequest(dbID=self._thread.bytes, collectionName=self.name, instanceIDs=ids)
        return (await self._connection.unary(API, "Has", request, pb.HasReply)).exists

    async def get(self, instance_id: str) -> T:
        """Give an instance.

        Raises:
            RefusedError: ``instance not found``, or another refusal.
        """
        request = pb.FindByIDRequest(dbID=self._thread.bytes, collectionName=self.name, instanceID=instance_id)
        reply = await self._connection.unary(API, "FindByID", request, pb.FindByIDReply)
        return decode(reply.instance, self._kind)

    async def find(self, query: Query = EVERYTHING) -> list[T]:
        """Give what a query asks for, all of one state."""
        request = pb.FindRequest(dbID=self._thread.bytes, collectionName=self.name, queryJSON=query.to_json())
        reply = await self._connection.unary(API, "Find", request, pb.FindReply)
        return [decode(text, self._kind) for text in reply.instances]

    async def count(self, query: Query = EVERYTHING) -> int:
        """Tell how many instances `find` would give."""
        request = threadd_pb2.CountRequest(dbID=self._thread.bytes, collectionName=self.name, queryJSON=query.to_json())
        return (await self._connection.unary(OWN, "Count", request, threadd_pb2.CountReply)).count

    async def explain(self, query: Query = EVERYTHING) -> Explanation:
        """Tell how the daemon answers a query."""
        request = threadd_pb2.ExplainRequest(
            dbID=self._thread.bytes, collectionName=self.name, queryJSON=query.to_json()
        )
        reply = await self._connection.unary(OWN, "Explain", request, threadd_pb2.ExplainReply)
        return Explanation(tuple(reply.indexes), reply.ordered, reply.rowsRead, reply.rowsGiven, reply.microseconds)

    async def pages(self, query: Query = EVERYTHING, *, size: int = 100) -> AsyncGenerator[list[T], None]:
        """Give what a query asks for page by page, right under writes: nothing twice, nothing left out.

        Args:
            query: Without limit and skip.
            size: The most instances of a page.
        """
        cursor = b""
        while True:
            request = threadd_pb2.PageRequest(
                dbID=self._thread.bytes, collectionName=self.name, queryJSON=query.to_json(), size=size, cursor=cursor
            )
            reply = await self._connection.unary(OWN, "Page", request, threadd_pb2.PageReply)
            if reply.instances:
                yield [decode(text, self._kind) for text in reply.instances]
            cursor = reply.cursor
            if not cursor:
                return

    def listen(
        self, instance_id: str = "", *, position: int | None = None, snapshot: bool = False
    ) -> AsyncGenerator[Event[T], None]:
        """Follow what happens. Where the line or the daemon fails, it connects again and goes on without a gap.

        Args:
            instance_id: An instance; empty for all.
            position: After which to go on, as an earlier event had it; now when left out.
            snapshot: Whether to begin with all instances.

        Yields:
            Events; the first READY says that from now on every change is told.

        Raises:
            RefusedError: The daemon refuses it, or no longer has what follows the position (OUT_OF_RANGE).
        """
        request = listening.request_of(self._thread, self.name, instance_id)
        return listening.follow(self._connection, request, self._kind, position=position, snapshot=snapshot)

    def read_transaction(self) -> AbstractAsyncContextManager[ReadTransaction[T]]:
        """Begin to read one state: ``async with people.read_transaction() as state``."""
        return transactions.reading(self._connection, self._thread, self.name, self._kind)

    def write_transaction(self) -> AbstractAsyncContextManager[WriteTransaction[T]]:
        """Begin a transaction: what it accepted is committed at the end of the body, and dropped where that raises."""
        return transactions.writing(self._connection, self._thread, self.name, self._kind)
