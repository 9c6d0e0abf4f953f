"""The streams of `threads.pb.API`: transactions that a client holds open, and listening.

Inside of a transaction an operation that is refused says so in its reply's `transactionError`, and the stream goes on;
what the end of a write transaction refuses is the status of the stream.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from net.patches import PatchType
from net.thread_id import ThreadID
from proto import threads_pb2 as pb
from store.errors import ThreaddError
from threadd.api.dispatcher import Call
from threadd.api.statuses import InvalidRequestError
from threadd.db.client_transactions import ClientTransaction, ReadTransaction
from threadd.db.listeners import Event, ListenFilter
from threadd.db.manager import Manager


@dataclass(frozen=True, slots=True)
class _Operation:
    """What answers one kind of message in a transaction.

    Args:
        field: The field of the reply.
        reply_type: The message in it.
        run: Makes that of the transaction and the request.
    """

    field: str
    reply_type: Callable[..., Any]
    run: Callable[[Any, Any], Awaitable[Any]]


_ACTIONS = {
    pb.ListenRequest.Filter.ALL: None,
    pb.ListenRequest.Filter.CREATE: PatchType.CREATE,
    pb.ListenRequest.Filter.SAVE: PatchType.SAVE,
    pb.ListenRequest.Filter.DELETE: PatchType.DELETE,
}
_REPLY_ACTIONS = {
    PatchType.CREATE: pb.ListenReply.CREATE,
    PatchType.SAVE: pb.ListenReply.SAVE,
    PatchType.DELETE: pb.ListenReply.DELETE,
}


async def read_transaction(
    manager: Manager,
    call: Call,
    requests: AsyncIterator[pb.ReadTransactionRequest],
) -> AsyncGenerator[pb.ReadTransactionReply, None]:
    """Answer reads of one state until the client ends the stream."""
    start = _start(await anext(requests, None))
    database = manager.get(ThreadID.from_bytes(start.dbID))
    async with database.read_transaction(start.collectionName, call.identity) as transaction:
        async for request in requests:
            yield pb.ReadTransactionReply(**await _answer(_READS, transaction, request))


async def write_transaction(
    manager: Manager,
    call: Call,
    requests: AsyncIterator[pb.WriteTransactionRequest],
) -> AsyncGenerator[pb.WriteTransactionReply, None]:
    """Answer reads and operations until the client ends the stream; then what was accepted is committed."""
    start = _start(await anext(requests, None))
    database = manager.get(ThreadID.from_bytes(start.dbID))
    async with database.write_transaction(start.collectionName, call.identity) as transaction:
        async for request in requests:
            is_read = request.WhichOneof("option") in _READS
            answer = _answer(_READS, transaction.reads, request) if is_read else _answer(_WRITES, transaction, request)
            yield pb.WriteTransactionReply(**await answer)


async def _answer(operations: Mapping[str, _Operation], transaction: Any, request: Any) -> dict[str, Any]:
    """The reply to one message, by the name of its field."""
    option = request.WhichOneof("option")
    operation = operations.get(option)
    if operation is None:
        raise _unexpected(option)
    try:
        reply = await operation.run(transaction, getattr(request, option))
    except ThreaddError as error:
        reply = operation.reply_type(transactionError=error.text)
    return {operation.field: reply}


async def _has(transaction: ReadTransaction, request: pb.HasRequest) -> pb.HasReply:
    return pb.HasReply(exists=await transaction.has(request.instanceIDs))


async def _find(transaction: ReadTransaction, request: pb.FindRequest) -> pb.FindReply:
    return pb.FindReply(instances=await transaction.find(request.queryJSON))


async def _find_by_id(transaction: ReadTransaction, request: pb.FindByIDRequest) -> pb.FindByIDReply:
    return pb.FindByIDReply(instance=await transaction.find_by_id(request.instanceID))


async def _create(transaction: ClientTransaction, request: pb.CreateRequest) -> pb.CreateReply:
    return pb.CreateReply(instanceIDs=await transaction.create(request.instances))


async def _verify(transaction: ClientTransaction, request: pb.VerifyRequest) -> pb.VerifyReply:
    await transaction.verify(request.instances)
    return pb.VerifyReply()


async def _save(transaction: ClientTransaction, request: pb.SaveRequest) -> pb.SaveReply:
    await transaction.save(request.instances)
    return pb.SaveReply()


async def _delete(transaction: ClientTransaction, request: pb.DeleteRequest) -> pb.DeleteReply:
    await transaction.delete(request.instanceIDs)
    return pb.DeleteReply()


async def _discard(transaction: ClientTransaction, _request: pb.DiscardRequest) -> pb.DiscardReply:
    transaction.discard()
    return pb.DiscardReply()


_READS = {
    "hasRequest": _Operation("hasReply", pb.HasReply, _has),
    "findRequest": _Operation("findReply", pb.FindReply, _find),
    "findByIDRequest": _Operation("findByIDReply", pb.FindByIDReply, _find_by_id),
}
_WRITES = {
    "createRequest": _Operation("createReply", pb.CreateReply, _create),
    "verifyRequest": _Operation("verifyReply", pb.VerifyReply, _verify),
    "saveRequest": _Operation("saveReply", pb.SaveReply, _save),
    "deleteRequest": _Operation("deleteReply", pb.DeleteReply, _delete),
    "discardRequest": _Operation("discardReply", pb.DiscardReply, _discard),
}


def _start(
    request: pb.ReadTransactionRequest | pb.WriteTransactionRequest | None,
) -> pb.StartTransactionRequest:
    option = request.WhichOneof("option") if request is not None else None
    if request is None or option != "startTransactionRequest":
        raise InvalidRequestError("a transaction begins with startTransactionRequest: it names the database")
    return request.startTransactionRequest


def _unexpected(option: str | None) -> InvalidRequestError:
    if option == "startTransactionRequest":
        return InvalidRequestError("the transaction has begun already: open another stream for another one")
    return InvalidRequestError("no request type set: a message of a transaction holds one request")


async def listen(manager: Manager, call: Call, request: pb.ListenRequest) -> AsyncGenerator[pb.ListenReply, None]:
    """Tell of changes until the client goes away; the headers say that no change will be missed from now on."""
    filters = [_filter(given) for given in request.filters]
    with manager.get(ThreadID.from_bytes(request.dbID)).listen(filters, call.identity) as listener:
        await call.send_headers()
        async with aclosing(listener.events()) as events:
            async for event in events:
                yield _listen_reply(event)


def _filter(given: pb.ListenRequest.Filter) -> ListenFilter:
    if given.action not in _ACTIONS:
        raise InvalidRequestError(
            f"invalid filter action {given.action}: use 0 (all), 1 (create), 2 (save) or 3 (delete)",
        )
    return ListenFilter(given.collectionName, given.instanceID, _ACTIONS[given.action])


def _listen_reply(event: Event) -> pb.ListenReply:
    return pb.ListenReply(
        collectionName=event.collection,
        instanceID=event.instance_id,
        action=_REPLY_ACTIONS[event.action],
        instance=event.instance or b"",
    )
