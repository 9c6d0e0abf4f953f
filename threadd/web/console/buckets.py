"""The buckets as the console shows them: what there is, and files that are brought into one."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from threadd.buckets import paths
from threadd.buckets.access import COLLECTION
from threadd.buckets.instances import Actor
from threadd.rooms import Rooms


@dataclass(frozen=True, slots=True)
class BucketRow:
    """A bucket.

    Args:
        db: The text of its thread's ID.
        key: Its key.
        name: Its name; empty for none.
        path: The path of its root.
        owner: The public key of its owner; empty for nobody's.
        is_private: Whether its content is encrypted.
    """

    db: str
    key: str
    name: str
    path: str
    owner: str
    is_private: bool


async def list_all(rooms: Rooms) -> list[BucketRow]:
    """Give all buckets, whoever owns them."""
    found = []
    for database in rooms.databases.list_dbs():
        if all(config.name != COLLECTION for config in database.list_collections()):
            continue
        db = database.thread_id.text
        for text in (await rooms.browser.find(db, COLLECTION, "{}")).documents:
            fields = json.loads(bytes(text))
            is_private = bool(fields.get("key") or fields.get("linkKey"))
            row = (fields.get("name", ""), fields.get("path", ""), fields.get("owner", ""))
            found.append(BucketRow(db, fields["_id"], *row, is_private))
    return found


async def upload(rooms: Rooms, db: str, key: str, path: str, pieces: AsyncIterator[bytes]) -> int:
    """Bring a file into a bucket, in the daemon's own name.

    Args:
        rooms: The rooms.
        db: The text of the thread's ID.
        key: The bucket's key.
        path: Where the file goes.
        pieces: Its bytes.

    Returns:
        How many bytes it has.

    Raises:
        ThreaddError: The bucket is not there, or refuses it.
    """
    thread = rooms.browser.database(db).thread_id
    actor = Actor(rooms.browser.operator, named=False)
    async with rooms.buckets.pushing(thread, actor, key) as push:
        file = await push.begin(paths.clean_writable(path))
        async for piece in pieces:
            await file.add(piece)
        await push.finish(file)
        await push.save()
        return file.writer.size
