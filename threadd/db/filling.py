"""Records that came before their collections: they wait, and fill a collection before anybody sees it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from net import records
from net.crypto import Cipher
from net.errors import NetError
from net.patches import decode_body
from net.records import RecordBlocks
from net.thread_info import ThreadInfo
from store import deletions, failpoints, tables
from store import documents as document_rows
from store import records as record_rows
from store.databases import CollectionRow
from store.deletions import Deletion
from store.engine import Reader, Transaction
from store.failpoints import Failpoint
from threadd.db.collections import Collection, check_name
from threadd.db.errors import InvalidNameError
from threadd.db.sequencer import Sequencer
from threadd.db.slices import Pacer
from threadd.db.sweeper import Sweeper

_RECORDS_AT_ONCE = 256


@asynccontextmanager
async def filling(
    sequencer: Sequencer,
    sweeper: Sweeper,
    numbered: Transaction,
    thread: int,
    new: CollectionRow,
) -> AsyncGenerator[Transaction, None]:
    """Apply to a new collection what waits for it.

    Until it counts the collection is marked as to be deleted, so that one that is not finished does not stay.

    Args:
        sequencer: Applies records; the caller has its turn.
        sweeper: Deletes what is not finished.
        numbered: What took the numbers of the collection.
        thread: The number of the thread.
        new: The collection.

    Yields:
        A transaction to be completed with the collection and committed; what waited waits no longer then.
    """
    waiting = list(document_rows.waiting_for(sequencer.reader, thread, new.name))
    if not waiting:
        yield numbered
        return
    mark = Deletion(thread, new.number)
    sweeper.held.add(mark)
    try:
        deletions.mark(numbered, mark)
        await sequencer.reader.submit(numbered)
        await _apply(sequencer, Collection.of(new), waiting)
        finished = Transaction()
        deletions.unmark(finished, mark)
        for log_number, position in waiting:
            document_rows.delete_waiting(finished, thread, new.name, log_number, position)
        yield finished
    finally:
        sweeper.held.discard(mark)
        sweeper.wake()


async def _apply(sequencer: Sequencer, collection: Collection, waiting: list[tuple[int, int]]) -> None:
    for first in range(0, len(waiting), _RECORDS_AT_ONCE):
        places = waiting[first : first + _RECORDS_AT_ONCE]
        await asyncio.gather(*[await sequencer.take_waiting(collection, *place) for place in places])
        failpoints.hit(Failpoint.FILL_SLICE)


async def adopt(reader: Reader, transaction: Transaction, thread: ThreadInfo) -> bool:
    """Have the records of a thread that was no database until now wait for their collections.

    Args:
        reader: The state.
        transaction: What makes the thread a database; it fails with a conflict if there are more records by then.
        thread: The thread as it will be, with its read key.

    Returns:
        Whether it has any records.
    """
    if thread.key.read is None:
        return False
    read, pacer, found = Cipher(thread.key.read), Pacer(), False
    for log in thread.logs:
        head = tables.head(thread.number, log.number)
        transaction.require(head, reader.get(head))
        for position, row in record_rows.records_from(reader, thread.number, log.number):
            found = True
            try:
                body = records.open_body(RecordBlocks(row.record, row.event, row.header, row.body), read)
                names = {patch.collection for patch in decode_body(body)}
                for name in names:
                    check_name(name)
            except (NetError, InvalidNameError) as error:
                record_rows.put_refusal(transaction, thread.number, log.number, position, row, error.text)
            else:
                for name in names:
                    document_rows.put_waiting(transaction, thread.number, name, log.number, position)
            if pacer.due():
                await pacer.pause()
    return found
