"""Repositories as the first version left them: it did not find fields whose names are outside ASCII."""

import json
from collections.abc import Sequence
from typing import Any, TypedDict

import msgspec

from store import databases as database_rows
from store import documents as document_rows
from store import indexes as index_rows
from store import tables
from store.databases import IndexRow
from store.engine import Engine, Transaction
from store.indexes import IndexPlace
from store.numbers import Numbers
from threadd.db.collections import Index
from threadd.db.fields import order_bytes, sort_key


def old_value(path: str, text: bytes) -> bytes:
    """Where the first version put an instance: msgspec takes a name for "" that nothing has encoded."""
    first, *rest = path.split(".")
    fresh = json.loads(json.dumps(first))
    fields: Any = TypedDict("Fields", {fresh: Any}, total=False)
    document = msgspec.json.Decoder(fields).decode(text)
    return order_bytes(sort_key(document, (first, *rest)))


async def write_as_format_1(engine: Engine, collection: str, indexes: Sequence[Index], *, schema: bytes) -> None:
    """Give the collections of a name indexes with the entries that the first version made.

    Nothing else is written to the repository before it is opened again, as one of format 1.
    """
    numbers = Numbers(engine)
    transaction = Transaction()
    transaction.put(tables.FORMAT, b"1")
    for thread, row in list(database_rows.list_all_collections(engine)):
        if row.name == collection:
            rows = tuple(IndexRow(numbers.next(transaction), index.path, index.unique) for index in indexes)
            database_rows.put_collection(transaction, thread, msgspec.structs.replace(row, indexes=rows, schema=schema))
            for index in rows:
                place = IndexPlace(thread, row.number, index.number)
                for instance_id, text in document_rows.all_documents(engine, thread, row.number):
                    index_rows.put_entry(transaction, place, old_value(index.path, text), instance_id)
    await engine.commit(transaction)
