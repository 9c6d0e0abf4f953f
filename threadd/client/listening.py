"""Following a database, over lines that break: each event says where to go on, so that none is missed or told twice."""

import asyncio
import enum
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from net.thread_id import ThreadID
from proto import threadd_pb2 as pb
from store.errors import StatusCode
from threadd.client.connection import OWN, Connection
from threadd.client.errors import RefusedError
from threadd.client.instances import decode

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0

_TRIED_AGAIN: Final = frozenset({StatusCode.UNAVAILABLE, StatusCode.ABORTED, StatusCode.CANCELLED})
"""How a call ends whose line or daemon failed; anything else will be no better next time."""


class Action(enum.Enum):
    """What an event tells."""

    CREATE = "create"
    SAVE = "save"
    DELETE = "delete"
    PRESENT = "present"
    """An instance of the snapshot."""
    READY = "ready"
    """From now on only changes are told, and all of them."""


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """Something that happened.

    Args:
        action: What.
        position: Where to go on from after it.
        collection: The name of the collection; empty with READY.
        instance_id: The instance; empty with READY.
        instance: The instance after it; None after a delete and with READY.
    """

    action: Action
    position: int
    collection: str = ""
    instance_id: str = ""
    instance: T | None = None


def request_of(thread: ThreadID, collection: str, instance_id: str) -> pb.ListenRequest:
    """Give the request without where it begins."""
    request = pb.ListenRequest(dbID=thread.bytes)
    if collection or instance_id:
        request.filters.add(collectionName=collection, instanceID=instance_id)
    return request


async def follow(
    connection: Connection,
    request: pb.ListenRequest,
    kind: type[T],
    *,
    position: int | None = None,
    snapshot: bool = False,
) -> AsyncGenerator[Event[T], None]:
    """Tell of events until the caller closes the generator; see `Collection.listen`."""
    ready, pause = False, _FIRST_PAUSE
    while True:
        if position is not None:
            request.position = position
        elif snapshot:
            request.snapshot = True
        try:
            async with aclosing(connection.follow(OWN, "Listen", request, pb.ListenReply)) as replies:
                async for reply in replies:
                    pause = _FIRST_PAUSE
                    event = _event(reply, kind)
                    if event.action is not Action.PRESENT:
                        # A snapshot that breaks off is begun anew.
                        position = event.position
                    if event.action is not Action.READY or not ready:
                        ready = ready or event.action is Action.READY
                        yield event
        except RefusedError as error:
            if error.status not in _TRIED_AGAIN:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _event(reply: pb.ListenReply, kind: type[T]) -> Event[T]:
    instance = decode(reply.instance, kind) if reply.instance else None
    action = Action[pb.ListenReply.Action.Name(reply.action)]
    return Event(action, reply.position, reply.collectionName, reply.instanceID, instance)
