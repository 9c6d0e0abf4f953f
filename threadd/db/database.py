"""One database: its collections and the verbs on their instances."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from net.keys import PublicKey
from net.records import RecordBlocks
from net.thread_id import ThreadID
from net.thread_info import ThreadInfo
from net.thread_key import ThreadKey
from store import documents as document_rows
from store.engine import Reader
from threadd.db.catalogue import Catalogue
from threadd.db.client_transactions import ClientTransaction, ReadTransaction
from threadd.db.collections import Collection, CollectionConfig
from threadd.db.errors import (
    CollectionNotFoundError,
    DatabaseNotFoundError,
)
from threadd.db.following import Following
from threadd.db.judge import Judge
from threadd.db.listeners import Listener, Listeners, ListenFilter
from threadd.db.open_transactions import OpenTransactions
from threadd.db.plans import Source
from threadd.db.query_time import limited
from threadd.db.rebuilding import Rebuilding
from threadd.db.scans import ReadFilter
from threadd.db.sequencer import Sequencer
from threadd.db.services import Services
from threadd.db.transactions import Change, WriteTransaction
from threadd.db.views import View

_RECORDS_AT_ONCE = 128
"""How many records from elsewhere are one transaction, before others have a turn."""

_RECORDS_SECONDS = 0.5
"""How long records are added to such a transaction: scripts and schemas may take seconds for each."""


@dataclass(frozen=True, slots=True)
class DatabaseInfo:
    """What a client may know of a database.

    Args:
        name: Its name.
        key: The key of its thread.
    """

    name: str
    key: ThreadKey


@dataclass(frozen=True, slots=True)
class Draft:
    """A write to one database that is enqueued together with others; see `threadd.db.joint`.

    Args:
        sequencer: Of which the turn is held.
        transaction: What is to be written.
        collection: Looks up a collection by its name, or raises `CollectionNotFoundError`.
    """

    sequencer: Sequencer
    transaction: WriteTransaction
    collection: Callable[[str], Collection]


T = TypeVar("T")


class Database:
    """A database that is kept here; `Manager` makes it.

    Args:
        services: What databases share.
        thread: Its thread.
        name: Its name.
    """

    def __init__(self, services: Services, thread: ThreadInfo, name: str) -> None:
        self._services = services
        self._thread = thread
        self.name = name
        self._closed = False
        self._listeners = Listeners()
        self._transactions = OpenTransactions(services.transaction_seconds, self._check_not_ending)
        self._ending: set[str] = set()
        self._sequencer = Sequencer(
            services.engine,
            services.threads,
            thread,
            services.clock,
            services.instance_ids,
            self._tell,
            self._judge,
            services.schemas,
        )
        self._catalogue = Catalogue(services, thread, self._sequencer)
        self._rebuilding = Rebuilding(lambda: self._catalogue.has_stale_indexes, self._catalogue.rebuild)

    @property
    def thread_id(self) -> ThreadID:
        """The ID of its thread."""
        return self._thread.id

    def info(self) -> DatabaseInfo:
        """Its name and key."""
        return DatabaseInfo(self.name, self._thread.key)

    def collection(self, name: str) -> CollectionConfig:
        """The configuration of a collection.

        Raises:
            CollectionNotFoundError: There is none of that name.
        """
        return self._catalogue.get(name).config

    def list_collections(self) -> list[CollectionConfig]:
        """The configurations of all collections, by name."""
        return self._catalogue.configs()

    async def new_collection(self, config: CollectionConfig) -> None:
        """Add a collection.

        Raises:
            CollectionExistsError: There is one of that name.
            InvalidNameError, InvalidSchemaError, InvalidIndexError, SchemaEngineError: As `SchemaChecks.check_configs`.
            InvalidScriptError: As `check_scripts`.
        """
        await self._catalogue.check(config)
        async with self._turn():
            await self._catalogue.add(config)

    async def update_collection(self, config: CollectionConfig) -> None:
        """Give a collection another schema, other indexes, another validator or filter; its instances stay.

        Writers wait while new indexes are built, readers do not.

        Raises:
            CollectionNotFoundError: There is none of that name; a name cannot be changed.
            IndexNotUniqueError: Instances share a value at the path of a new unique index; nothing is changed.
            InvalidNameError, InvalidSchemaError, InvalidIndexError, SchemaEngineError: As `SchemaChecks.check_configs`.
            InvalidScriptError: As `check_scripts`.
        """
        await self._catalogue.check(config)
        async with self._turn():
            await self._catalogue.change(config)

    async def delete_collection(self, name: str) -> None:
        """Remove a collection with its instances; one that is made again under the name starts empty.

        Raises:
            CollectionNotFoundError: There is none of that name.
        """
        self._ending.add(name)
        self._transactions.end(name)
        try:
            async with self._turn():
                try:
                    await self._catalogue.remove(name)
                finally:
                    if name not in self._catalogue:
                        self._listeners.end_of_collection(name, CollectionNotFoundError())
        finally:
            self._ending.discard(name)
            self._services.sweeper.wake()

    async def create(self, collection: str, instances: Sequence[bytes], writer: PublicKey) -> list[str]:
        """Create instances, all or none.

        Args:
            collection: The name of their collection.
            instances: A JSON text each.
            writer: Who writes.

        Returns:
            Their IDs, in order.

        Raises:
            CollectionNotFoundError: There is no such collection.
            CreateConflictError: Two have the same ID.
            InvalidInstanceError, SchemaViolationError, InstanceExistsError: As `WriteTransaction.create`.
        """

        async def build(transaction: WriteTransaction) -> list[str]:
            return await transaction.create(self._catalogue.get(collection), instances)

        return await self._write(build, writer)

    async def save(self, collection: str, instances: Sequence[bytes], writer: PublicKey) -> None:
        """Replace or create instances, all or none.

        Args:
            collection: The name of their collection.
            instances: A JSON text each, with `_id`.
            writer: Who writes.

        Raises:
            CollectionNotFoundError: There is no such collection.
            InvalidInstanceError, SchemaViolationError: As `WriteTransaction.save`.
        """

        async def build(transaction: WriteTransaction) -> None:
            await transaction.save(self._catalogue.get(collection), instances)

        await self._write(build, writer)

    @asynccontextmanager
    async def drafting(self, writer: PublicKey) -> AsyncGenerator[Draft, None]:
        """Have the database's sequence, to build what is enqueued together with writes to others.

        Args:
            writer: Who writes.

        Raises:
            DatabaseNotFoundError: The database was deleted.
        """
        async with self._turn():
            yield Draft(self._sequencer, self._sequencer.begin(self._judge(writer)), self._catalogue.get)

    async def verify(self, collection: str, instances: Sequence[bytes], writer: PublicKey) -> None:
        """Check what `save` would say; nothing is written. Arguments and errors are those of `save`."""
        async with self._turn():
            await self._sequencer.begin(self._judge(writer)).verify(self._catalogue.get(collection), instances)

    async def delete(self, collection: str, instance_ids: Sequence[str], writer: PublicKey) -> None:
        """Delete instances; an ID that is not there is passed over.

        Args:
            collection: The name of their collection.
            instance_ids: Their IDs.
            writer: Who deletes.

        Raises:
            CollectionNotFoundError: There is no such collection.
        """

        async def build(transaction: WriteTransaction) -> None:
            await transaction.delete(self._catalogue.get(collection), instance_ids)

        await self._write(build, writer)

    async def accept(self, log_id: bytes, records: Sequence[RecordBlocks]) -> None:
        """See `ThreadApp`: what a record means for collections that are not there yet waits for them."""
        clock, taken = asyncio.get_running_loop().time, 0
        while taken < len(records):
            async with self._turn():
                arriving, end = self._sequencer.arriving(), clock() + _RECORDS_SECONDS
                failure: BaseException | None = None
                try:
                    for each in records[taken : taken + _RECORDS_AT_ONCE]:
                        await arriving.take(log_id, each, self._catalogue.find)
                        taken += 1
                        if clock() >= end:
                            break
                except BaseException as error:
                    if not arriving.is_whole:
                        raise
                    failure = error
                committed = self._sequencer.send(arriving)
            # Where one is refused, those before it are on disk when the caller hears of it.
            await asyncio.shield(committed)
            if failure is not None:
                raise failure

    async def has(self, collection: str, instance_ids: Sequence[str], reader: PublicKey) -> bool:
        """Whether all of some instances are there.

        Raises:
            CollectionNotFoundError: There is no such collection.
        """
        return await self._view(self._services.engine, reader).has(self._catalogue.get(collection), instance_ids)

    async def find_by_id(self, collection: str, instance_id: str, reader: PublicKey) -> bytes:
        """JSON text of an instance, as the reader may see it.

        Raises:
            CollectionNotFoundError: There is no such collection.
            InstanceNotFoundError, ScriptError, QueryTimeError: As `View.find_by_id`.
        """
        view = self._view(self._services.engine, reader)
        return await view.find_by_id(self._catalogue.get(collection), instance_id)

    async def find(self, collection: str, query: bytes, reader: PublicKey) -> list[bytes]:
        """JSON texts of the instances that a query asks for, all of one state, as the reader may see them.

        Raises:
            CollectionNotFoundError: There is no such collection.
            InvalidQueryError, ResultTooLargeError, ScriptError, QueryTimeError: As `View.find`.
        """
        found = self._catalogue.get(collection)
        with self._services.engine.snapshot() as snapshot:
            return await self._view(snapshot, reader).find(found, query)

    @asynccontextmanager
    async def querying(
        self, collection: str, reader: PublicKey | None
    ) -> AsyncGenerator[tuple[Source, ReadFilter | None], None]:
        """One state of a collection, and what of its instances the reader may see; for one query that is no `find`.

        Args:
            collection: The name of the collection.
            reader: Who reads; None for the daemon's operator, who sees everything.

        Raises:
            CollectionNotFoundError: There is no such collection.
            QueryTimeError: The body took too long.
        """
        found = self._catalogue.get(collection)
        with self._services.engine.snapshot() as snapshot:
            read_filter = None if reader is None else self._judge(reader).filter_of(found)
            async with limited(self._services.query_seconds):
                yield Source(snapshot, self._thread.number, found), read_filter

    async def shown(self, collection: str, text: bytes, reader: PublicKey) -> bytes | None:
        """JSON text of an instance as the reader may see it, or None; it need not be one that is kept.

        Raises:
            CollectionNotFoundError: There is no such collection.
            ScriptError: The read filter fails.
        """
        return await self._judge(reader).shown(self._catalogue.get(collection), text)

    def stored_instance(self, collection: str, instance_id: str) -> bytes | None:
        """JSON text of an instance as it is kept, past the read filter, or None; for the daemon's own ends.

        Raises:
            CollectionNotFoundError: There is no such collection.
        """
        number = self._catalogue.get(collection).number
        return document_rows.get_document(self._services.engine, self._thread.number, number, instance_id)

    def stored(self, collection: str) -> Iterator[bytes]:
        """JSON texts of all instances as they are kept, past the read filter: for the daemon's own ends.

        Raises:
            CollectionNotFoundError: There is no such collection.
        """
        number = self._catalogue.get(collection).number
        for _, text in document_rows.all_documents(self._services.engine, self._thread.number, number):
            yield text

    @asynccontextmanager
    async def read_transaction(self, collection: str, reader: PublicKey) -> AsyncGenerator[ReadTransaction, None]:
        """One state of a collection, for as long as the body runs.

        Args:
            collection: The name of the collection.
            reader: Who reads.

        Raises:
            CollectionNotFoundError: There is no such collection.
            TransactionTooOldError: The body took too long.
        """
        found = self._catalogue.get(collection)
        with self._services.engine.snapshot() as snapshot:
            async with self._transactions.holding(collection):
                yield ReadTransaction(found, self._view(snapshot, reader))

    @asynccontextmanager
    async def write_transaction(self, collection: str, writer: PublicKey) -> AsyncGenerator[ClientTransaction, None]:
        """Have the database's sequence for as long as the body runs; what it accepted is committed at its end.

        Where the body raises, nothing is written.

        Args:
            collection: The name of the collection.
            writer: Who writes.

        Raises:
            CollectionNotFoundError: There is no such collection.
            TransactionTooOldError: The body took too long.
            TransactionEndedError: It was discarded.
            CreateConflictError, UniqueConstraintError, WriteDeniedError, ScriptError: As `Sequencer.enqueue`.
        """
        async with self._turn():
            found = self._catalogue.get(collection)
            await self._sequencer.settled()
            operations = self._sequencer.begin(self._judge(writer))
            with self._services.engine.snapshot() as snapshot:
                reads = ReadTransaction(found, self._view(snapshot, writer))
                transaction = ClientTransaction(reads, operations)
                async with self._transactions.holding(collection):
                    yield transaction
            transaction.check_not_discarded()
            committed = await self._sequencer.enqueue(operations)
        await asyncio.shield(committed)

    async def rebuild_indexes(self) -> None:
        """Bring stale indexes up to date; until then reads scan, and writes wait.

        Raises:
            StoreError: The disk does not take it.
        """
        await self._rebuilding.done()

    @contextmanager
    def listen(self, filters: Sequence[ListenFilter], reader: PublicKey) -> Iterator[Listener]:
        """Hear of every change, from the first moment of the body on.

        Args:
            filters: What is wanted, any of them; none for everything.
            reader: Who listens.

        Raises:
            DatabaseNotFoundError: The database was deleted.
        """
        if self._closed:
            raise DatabaseNotFoundError
        listener = Listener(filters, self._judge(reader))
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.remove(listener)

    @contextmanager
    def following(self, filters: Sequence[ListenFilter], reader: PublicKey) -> Iterator[Following]:
        """Read the changes that are kept, from any of them on, and what comes after them.

        Args:
            filters: What is wanted, any of them; none for everything.
            reader: Who listens.

        Raises:
            DatabaseNotFoundError: The database was deleted.
        """
        if self._closed:
            raise DatabaseNotFoundError
        services = self._services
        following = Following(
            services.engine,
            self._thread.number,
            filters,
            self._judge(reader),
            self._catalogue.all,
            services.transaction_seconds,
        )
        self._listeners.add(following)
        try:
            yield following
        finally:
            self._listeners.remove(following)

    def count_listeners(self) -> int:
        """How many follow it now."""
        return len(self._listeners)

    def end_listeners(self, error: Exception) -> None:
        """End all listeners, once what waits for them is delivered."""
        self._listeners.end_all(error)

    @asynccontextmanager
    async def closed(self) -> AsyncGenerator[None, None]:
        """Take no more calls and end what clients hold open; the body runs once what is under way is enqueued."""
        self._closed = True
        self._transactions.end()
        await self._rebuilding.stop()
        async with self._sequencer.turn():
            self._listeners.end_all(DatabaseNotFoundError())
            yield

    def _view(self, state: Reader, identity: PublicKey) -> View:
        return View(state, self._thread.number, self._judge(identity), self._services.query_seconds)

    def _tell(self, changes: Sequence[Change]) -> None:
        self._listeners.tell(changes)
        for observer in self._services.observers:
            observer(self._thread.id, changes)

    def _check_not_ending(self, collection: str) -> None:
        if self._closed:
            raise DatabaseNotFoundError
        if collection in self._ending or collection not in self._catalogue:
            raise CollectionNotFoundError

    def _judge(self, identity: PublicKey) -> Judge:
        return Judge(self._services.scripts, identity, self._services.threads.host)

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None, None]:
        async with self._sequencer.turn():
            if not self._closed:
                # A stale index does not refuse duplicates, and once it is rebuilt its readers must find every write.
                await self._rebuilding.done()
            if self._closed:
                raise DatabaseNotFoundError
            yield

    async def _write(self, build: Callable[[WriteTransaction], Awaitable[T]], writer: PublicKey) -> T:
        """Run one call as a transaction of its own; it is answered once it is on disk."""
        async with self._turn():
            transaction = self._sequencer.begin(self._judge(writer))
            result = await build(transaction)
            committed = await self._sequencer.enqueue(transaction)
        await asyncio.shield(committed)
        return result
