"""The live tail: changes of a database as server-sent events, each with its position, so that a browser goes on."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Final

from net.keys import PublicKey
from store import background
from store.errors import ThreaddError
from threadd.db.database import Database
from threadd.db.following import Event

_BEAT: Final = 15.0
"""How often a silent stream says that it is there, in seconds."""


async def stream(database: Database, reader: PublicKey, position: int | None) -> AsyncGenerator[bytes, None]:
    """Give the events as bytes.

    Args:
        database: The database.
        reader: In whose name it is read.
        position: After which to go on; None for now. One that is gone is now.
    """
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(100)
    feeding = background.spawn("events of the console", partial(_feed, database, reader, position, queue))
    try:
        while True:
            try:
                async with asyncio.timeout(_BEAT):
                    piece = await queue.get()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if piece is None:
                return
            yield piece
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def _feed(
    database: Database, reader: PublicKey, position: int | None, queue: "asyncio.Queue[bytes | None]"
) -> None:
    try:
        with database.following([], reader) as following:
            async with aclosing(following.events(position)) as events:
                async for event in events:
                    await queue.put(_message(event))
    except ThreaddError as error:
        await queue.put(_end(error.text))
    except Exception:
        await queue.put(_end("an internal error, which is in the log"))
        await queue.put(None)
        raise
    await queue.put(None)


def _end(text: str) -> bytes:
    return f"event: end\ndata: {json.dumps(text)}\n\n".encode()


def _message(event: Event) -> bytes:
    told = {
        "action": event.action.name.lower(),
        "collection": event.collection,
        "id": event.instance_id,
        "document": None if event.instance is None else event.instance.decode(),
        "position": event.position,
    }
    return f"id: {event.position}\ndata: {json.dumps(told)}\n\n".encode()
