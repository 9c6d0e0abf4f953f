"""`threadd.v1.API`: reads beyond those of the Hub; see `proto/threadd.proto`. The rules are in `threadd.db`."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from net.patches import PatchType
from net.thread_id import ThreadID
from proto import threadd_pb2 as pb
from threadd.api.dispatcher import Call
from threadd.api.statuses import InvalidRequestError
from threadd.db import reads
from threadd.db.following import Event, News
from threadd.db.listeners import ListenFilter
from threadd.db.manager import Manager

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["API"]

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
    News.PRESENT: pb.ListenReply.PRESENT,
    News.READY: pb.ListenReply.READY,
}


class OwnService:
    """The servicer.

    Args:
        manager: All databases.
    """

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def count(self, call: Call, request: pb.CountRequest) -> pb.CountReply:
        """Tell how many instances a query gives."""
        database = self._manager.get(ThreadID.from_bytes(request.dbID))
        number = await reads.count(database, request.collectionName, request.queryJSON or b"{}", call.identity)
        return pb.CountReply(count=number)

    async def explain(self, call: Call, request: pb.ExplainRequest) -> pb.ExplainReply:
        """Tell how a query is answered."""
        database = self._manager.get(ThreadID.from_bytes(request.dbID))
        found = await reads.explain(database, request.collectionName, request.queryJSON or b"{}", call.identity)
        return pb.ExplainReply(
            indexes=found.indexes,
            ordered=found.ordered,
            rowsRead=found.rows_read,
            rowsGiven=len(found.instances),
            microseconds=found.microseconds,
        )

    async def page(self, call: Call, request: pb.PageRequest) -> pb.PageReply:
        """Give a part of what a query asks for."""
        database = self._manager.get(ThreadID.from_bytes(request.dbID))
        query = request.queryJSON or b"{}"
        size, cursor = request.size, request.cursor
        page = await reads.page(database, request.collectionName, query, call.identity, size=size, cursor=cursor)
        return pb.PageReply(instances=page.instances, cursor=page.cursor)

    async def listen(self, call: Call, request: pb.ListenRequest) -> AsyncGenerator[pb.ListenReply, None]:
        """Tell of changes until the client goes away."""
        filters = [_filter(given) for given in request.filters]
        start = request.WhichOneof("start")
        position = request.position if start == "position" else None
        with self._manager.get(ThreadID.from_bytes(request.dbID)).following(filters, call.identity) as following:
            await call.send_headers()
            snapshot = start == "snapshot" and request.snapshot
            async with aclosing(following.events(position, snapshot=snapshot)) as events:
                async for event in events:
                    yield _reply(event)


def _filter(given: pb.ListenRequest.Filter) -> ListenFilter:
    if given.action not in _ACTIONS:
        raise InvalidRequestError(
            f"invalid filter action {given.action}: use 0 (all), 1 (create), 2 (save) or 3 (delete)",
        )
    return ListenFilter(given.collectionName, given.instanceID, _ACTIONS[given.action])


def _reply(event: Event) -> pb.ListenReply:
    return pb.ListenReply(
        collectionName=event.collection,
        instanceID=event.instance_id,
        action=_REPLY_ACTIONS[event.action],
        instance=event.instance or b"",
        position=event.position,
    )
