"""Transactions: one stream each, on which a request waits for its reply."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from net.thread_id import ThreadID
from proto import threads_pb2 as pb
from threadd.client.connection import API, Connection
from threadd.client.errors import OperationRefusedError, RefusedError, refused_by
from threadd.client.instances import decode, encode_all, many
from threadd.client.queries import EVERYTHING, Query

T = TypeVar("T")


class Conversation:
    """A call with streams on both sides, on which each request has one reply; left, it is broken off if it still runs.

    Args:
        call: The call of grpc.aio.
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.cancel()

    async def ask(self, request: Any) -> Any:
        """Send a request and wait for its reply.

        Raises:
            grpc.aio.AioRpcError: The daemon ended the call.
            RefusedError: It ended the call as if all were well.
        """
        await self._call.write(request)
        return await self._reply()

    async def _reply(self) -> Any:
        async for reply in self._call:
            return reply
        raise RefusedError.unanswered()

    async def tell(self, request: Any) -> None:
        """Send what has no reply."""
        await self._call.write(request)

    async def finish(self) -> None:
        """Say that nothing follows, and wait for the end.

        Raises:
            grpc.aio.AioRpcError: The daemon refused the whole.
        """
        await self._call.done_writing()
        async for _ in self._call:
            pass


class ReadTransaction(Generic[T]):
    """One state of a collection.

    Args:
        conversation: The call.
        kind: What an instance is in the program.
        request: Makes the message that holds a request.
    """

    def __init__(self, conversation: Conversation, kind: type[T], request: Any = pb.ReadTransactionRequest) -> None:
        self._conversation = conversation
        self._kind = kind
        self._request = request

    async def has(self, instance_ids: Iterable[str]) -> bool:
        """Ask whether all of some instances are there."""
        return bool((await self._ask("has", pb.HasRequest(instanceIDs=many(instance_ids, "instance IDs")))).exists)

    async def get(self, instance_id: str) -> T:
        """Give an instance.

        Raises:
            OperationRefusedError: ``instance not found``, or another refusal.
        """
        return decode((await self._ask("findByID", pb.FindByIDRequest(instanceID=instance_id))).instance, self._kind)

    async def find(self, query: Query = EVERYTHING) -> list[T]:
        """Give what a query asks for."""
        reply = await self._ask("find", pb.FindRequest(queryJSON=query.to_json()))
        return [decode(text, self._kind) for text in reply.instances]

    async def _ask(self, name: str, request: Any) -> Any:
        with refused_by():
            reply = await self._conversation.ask(self._request(**{f"{name}Request": request}))
        answer = getattr(reply, f"{name}Reply")
        if name != "discard" and answer.transactionError:
            raise OperationRefusedError(answer.transactionError)
        return answer


class WriteTransaction(ReadTransaction[T]):
    """A transaction on a collection. Its reads see the state from before it.

    Args:
        conversation: The call.
        kind: What an instance is in the program.
    """

    def __init__(self, conversation: Conversation, kind: type[T]) -> None:
        super().__init__(conversation, kind, pb.WriteTransactionRequest)
        self.is_discarded = False

    async def create(self, instances: Iterable[T]) -> list[str]:
        """Create instances; gives their IDs in order.

        Raises:
            OperationRefusedError: They were refused; the transaction goes on without them.
        """
        request = pb.CreateRequest(instances=encode_all(instances))
        return list((await self._ask("create", request)).instanceIDs)

    async def save(self, instances: Iterable[T]) -> None:
        """Replace or create instances; raises as `create`."""
        await self._ask("save", pb.SaveRequest(instances=encode_all(instances)))

    async def verify(self, instances: Iterable[T]) -> None:
        """Ask what `save` would say; raises as `create`."""
        await self._ask("verify", pb.VerifyRequest(instances=encode_all(instances)))

    async def delete(self, instance_ids: Iterable[str]) -> None:
        """Delete instances; raises as `create`."""
        await self._ask("delete", pb.DeleteRequest(instanceIDs=many(instance_ids, "instance IDs")))

    async def discard(self) -> None:
        """Drop all that the transaction has done."""
        await self._ask("discard", pb.DiscardRequest())
        self.is_discarded = True


@asynccontextmanager
async def reading(
    connection: Connection, thread: ThreadID, collection: str, kind: type[T]
) -> AsyncGenerator[ReadTransaction[T], None]:
    """Read one state for as long as the body runs.

    Raises:
        RefusedError: There is no such collection, or the body took too long.
    """
    with Conversation(connection.converse(API, "ReadTransaction")) as conversation:
        start = pb.StartTransactionRequest(dbID=thread.bytes, collectionName=collection)
        with refused_by():
            await conversation.tell(pb.ReadTransactionRequest(startTransactionRequest=start))
        yield ReadTransaction(conversation, kind)
        with refused_by():
            await conversation.finish()


@asynccontextmanager
async def writing(
    connection: Connection, thread: ThreadID, collection: str, kind: type[T]
) -> AsyncGenerator[WriteTransaction[T], None]:
    """Have a transaction for as long as the body runs, and commit it at its end; nothing is written where it raises.

    Raises:
        RefusedError: There is no such collection, the body took too long, or the commit was refused.
    """
    with Conversation(connection.converse(API, "WriteTransaction")) as conversation:
        start = pb.StartTransactionRequest(dbID=thread.bytes, collectionName=collection)
        with refused_by():
            await conversation.tell(pb.WriteTransactionRequest(startTransactionRequest=start))
        transaction = WriteTransaction(conversation, kind)
        yield transaction
        if not transaction.is_discarded:
            with refused_by():
                await conversation.finish()
