"""What changes of instances are for the store: documents, index entries, and the changes that followers read."""

from collections.abc import Sequence

from store import databases as database_rows
from store import documents as document_rows
from store.databases import ProgressRow
from store.documents import ChangeRow
from store.engine import Reader, Transaction
from threadd.db import indexes
from threadd.db.timestamps import Timestamps
from threadd.db.transactions import Change


def stage(
    transaction: Transaction,
    reader: Reader,
    thread: int,
    changes: Sequence[Change],
    timestamps: Timestamps,
    *,
    unique: bool,
) -> None:
    """Add to a transaction what changes make of instances.

    Args:
        transaction: Where to. It fails with a conflict if the database is not where the reader shows it.
        reader: The state that the changes are made to.
        thread: The number of the thread.
        changes: The changes, in order.
        timestamps: Those seen so far, these changes included.
        unique: Whether unique indexes bind: they do for what is written here, not for what comes from elsewhere.

    Raises:
        UniqueConstraintError: As `indexes.stage`.
    """
    if not changes:
        return
    indexes.stage(transaction, reader, thread, changes, unique=unique)
    progress = database_rows.get_progress(reader, thread)
    sequence = progress.sequence
    for change in changes:
        collection, instance_id = change.collection.number, change.patch.instance_id
        document_rows.put_document(transaction, thread, collection, instance_id, change.after)
        if change.is_seen:
            sequence += 1
            is_hidden = change.after is None and change.collection.config.read_filter
            before = change.before if is_hidden else None
            row = ChangeRow(collection, instance_id, change.action, change.after, before)
            document_rows.put_change(transaction, thread, sequence, row)
    database_rows.put_progress(transaction, thread, progress, ProgressRow(sequence, timestamps.last))
