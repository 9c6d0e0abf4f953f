"""Writes that touch several databases at once: all of them are on disk together, or none is."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from net.keys import PublicKey
from threadd.db.database import Database
from threadd.db.sequencer import enqueue_together


@dataclass(frozen=True, slots=True)
class Creation:
    """One instance that is to be made.

    Args:
        database: Where.
        collection: The name of its collection there.
        instance: Its JSON text.
    """

    database: Database
    collection: str
    instance: bytes


async def create_together(creations: Sequence[Creation], writer: PublicKey) -> None:
    """Create instances in several databases, or several in one: all of them or none.

    Turns are taken in the order of the thread IDs, so that two of these never wait for each other.

    Args:
        creations: The instances.
        writer: Who writes, in all of them.

    Raises:
        DatabaseNotFoundError: One of the databases was deleted.
        ThreaddError: As `Database.create`, for any of the instances.
    """
    databases = sorted({creation.database for creation in creations}, key=lambda database: database.thread_id.bytes)
    async with AsyncExitStack() as turns:
        drafts = {database: await turns.enter_async_context(database.drafting(writer)) for database in databases}
        for creation in creations:
            draft = drafts[creation.database]
            await draft.transaction.create(draft.collection(creation.collection), [creation.instance])
        committed = await enqueue_together([(draft.sequencer, draft.transaction) for draft in drafts.values()])
    await asyncio.shield(committed)
