"""All databases of this daemon: made, found, listed and deleted. They are opened when they are first used."""

import asyncio
import os
from collections.abc import Callable, Sequence

import structlog

from net.crypto import Randomness
from net.keys import PrivateKey, PublicKey
from net.remote_logs import RemoteLog, stage_logs
from net.thread_id import ThreadID
from net.thread_key import ThreadKey
from net.threads import Threads
from store import background, failpoints, stale_indexes
from store import databases as database_rows
from store.databases import DatabaseRow
from store.engine import Engine, Transaction
from store.errors import ThreaddError
from store.failpoints import Failpoint
from threadd.db.collections import CollectionConfig, check_name, new_row
from threadd.db.database import Database
from threadd.db.errors import (
    CollectionExistsError,
    DatabaseExistsError,
    DatabaseNotFoundError,
    ReadKeyRequiredError,
    StoppingError,
)
from threadd.db.filling import adopt
from threadd.db.judge import check_scripts
from threadd.db.query_time import QUERY_SECONDS
from threadd.db.schema_checks import SchemaChecks
from threadd.db.scripts import ScriptRunner
from threadd.db.services import TRANSACTION_SECONDS, ChangeObserver, Services
from threadd.db.sweeper import Sweeper
from threadd.db.timestamps import InstanceIDs

DEFAULT_NAME = "unnamed"
_REBUILDING = "rebuilding of indexes"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Manager:
    """The databases. Make it on the event loop's thread.

    Args:
        engine: The store.
        threads: The threads that databases live in.
        clock: The time, in ns since 1970.
        randomness: Gives so many unpredictable bytes.
        transaction_seconds: How long a client may hold a transaction open.
        query_seconds: How long one query may take.
    """

    def __init__(
        self,
        engine: Engine,
        threads: Threads,
        clock: Callable[[], int],
        randomness: Randomness = os.urandom,
        *,
        transaction_seconds: float = TRANSACTION_SECONDS,
        query_seconds: float = QUERY_SECONDS,
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._sweeper = Sweeper(engine)
        self._services = Services(
            engine,
            threads,
            threads.numbers,
            clock,
            InstanceIDs(clock, randomness),
            self._sweeper,
            ScriptRunner(),
            SchemaChecks(),
            transaction_seconds,
            query_seconds,
        )
        self._open: dict[ThreadID, Database] = {}
        self._making: set[ThreadID] = set()
        self._sweeper.start()
        stale = stale_indexes.threads_with_marks(engine)
        self._rebuilder: asyncio.Task[None] | None = None
        if stale:
            self._rebuilder = background.spawn(_REBUILDING, lambda: self._rebuild_indexes(stale))

    async def new_db(
        self,
        thread_id: ThreadID,
        *,
        key: ThreadKey | None = None,
        log_key: PrivateKey | PublicKey | None = None,
        name: str = "",
        collections: Sequence[CollectionConfig] = (),
        identity: PublicKey,
        logs: Sequence[RemoteLog] = (),
    ) -> Database:
        """Make a thread and a database on it, with its first collections; all of it or nothing.

        The records of a thread that is here already fill the collections, one after the other: each is there whole or
        not at all, and what ends the call in between leaves the database with those before.

        Args:
            thread_id: The ID of the thread.
            key: The thread's key with its read key; made anew when left out.
            log_key: The key of the identity's log; made anew when left out. With a public one it is not written here.
            name: The database's name; `unnamed` when left out.
            collections: Its first collections.
            identity: Who makes it.
            logs: What another host tells of the thread's logs.

        Raises:
            DatabaseExistsError: The thread has a database here.
            ReadKeyRequiredError: The key opens only the outer records.
            CollectionExistsError: Two collections have the same name.
            InvalidNameError, InvalidSchemaError, InvalidIndexError, SchemaEngineError: As `SchemaChecks.check_configs`.
            InvalidScriptError: As `check_scripts`.
            NetError: The thread cannot be made.
        """
        if name:
            check_name(name)
        if key is not None and key.read is None:
            raise ReadKeyRequiredError
        await self._services.schemas.check_configs(collections)
        for config in collections:
            await check_scripts(self._services.scripts, config)
        if len({config.name for config in collections}) < len(collections):
            raise CollectionExistsError
        if thread_id in self._making or self._find(thread_id) is not None:
            raise DatabaseExistsError
        self._making.add(thread_id)
        try:
            transaction = Transaction()
            thread = self._threads.create(
                self._engine,
                transaction,
                thread_id,
                identity=identity,
                key=key,
                log_key=log_key,
            )
            stage_logs(self._threads, self._engine, transaction, thread.number, logs)
            database_rows.put_database(transaction, thread.number, DatabaseRow(thread_id.bytes, name or DEFAULT_NAME))
            with self._engine.snapshot() as snapshot:
                has_records = await adopt(snapshot, transaction, thread)
            for config in () if has_records else collections:
                row = new_row(transaction, self._services.numbers, config)
                database_rows.put_collection(transaction, thread.number, row)
            await asyncio.shield(self._engine.commit(transaction))
            failpoints.hit(Failpoint.DB_MADE)
        finally:
            self._making.discard(thread_id)
        database = self.get(thread_id)
        if has_records:
            for config in collections:
                await database.new_collection(config)
        return database

    def get(self, thread_id: ThreadID) -> Database:
        """The database of a thread.

        Raises:
            DatabaseNotFoundError: There is none, though there is the thread.
            ThreadNotFoundError: There is no such thread.
        """
        database = self._find(thread_id)
        if database is None:
            self._threads.get(self._engine, thread_id)
            raise DatabaseNotFoundError
        return database

    def require_thread(self, thread_id: ThreadID) -> None:
        """See to it that a thread is here.

        Raises:
            ThreadNotFoundError: It is not.
        """
        self._threads.get(self._engine, thread_id)

    def app_of(self, thread_id: ThreadID) -> Database | None:
        """The database of a thread, to which records that come from elsewhere are given; None if there is none."""
        return self._find(thread_id)

    def list_dbs(self) -> list[Database]:
        """All databases, the oldest first."""
        rows = list(database_rows.list_databases(self._engine))
        found = (self._find(ThreadID(row.thread_id)) for row in rows)
        return [database for database in found if database is not None]

    async def delete_db(self, thread_id: ThreadID) -> None:
        """Delete a database with its thread and all that is kept of both.

        It is gone for everyone at once; the space comes back little by little.

        Raises:
            DatabaseNotFoundError, ThreadNotFoundError: As `get`.
        """
        database = self.get(thread_id)
        committed: asyncio.Future[None] | None = None
        try:
            async with database.closed():
                if self._find(thread_id) is not database:
                    raise DatabaseNotFoundError
                transaction = Transaction()
                number = self._threads.delete(self._engine, transaction, thread_id)
                database_rows.delete_database(transaction, number)
                committed = self._engine.commit(transaction)
                await asyncio.shield(committed)
        finally:
            # Where the disk refused, or the caller gave up, the next call opens it anew.
            if committed is None or committed.done():
                self._forget(database)
                self._sweeper.wake()
            else:
                committed.add_done_callback(lambda _: self._forget(database))
                committed.add_done_callback(lambda _: self._sweeper.wake())

    @property
    def sweeper(self) -> Sweeper:
        """Deletes what is hidden or not finished."""
        return self._sweeper

    @property
    def schemas(self) -> SchemaChecks:
        """Compiles the schemas of collections, and checks instances."""
        return self._services.schemas

    def observe(self, observer: ChangeObserver) -> None:
        """Give an observer the changes of every database from now on, whoever makes them."""
        self._services.observers.append(observer)

    def count_listeners(self) -> int:
        """How many follow databases now."""
        return sum(database.count_listeners() for database in self._open.values())

    def end_listeners(self) -> None:
        """End all listeners, so that a daemon that stops need not wait for them."""
        for database in self._open.values():
            database.end_listeners(StoppingError())

    async def close(self) -> None:
        """Close all databases; calls under way are finished."""
        if self._rebuilder is not None:
            self._rebuilder.cancel()
            await asyncio.gather(self._rebuilder, return_exceptions=True)
        for database in list(self._open.values()):
            async with database.closed():
                pass
        await self._sweeper.close()
        await self._services.scripts.close()
        await self._services.schemas.close()

    async def _rebuild_indexes(self, threads: Sequence[int]) -> None:
        """Rebuild stale indexes, one database after the other; those of a database that is written to come first."""
        for number in threads:
            row = database_rows.get_database(self._engine, number)
            database = None if row is None else self._find(ThreadID(row.thread_id))
            try:
                if database is not None:
                    await database.rebuild_indexes()
            except ThreaddError as error:
                log.warning("indexes are rebuilt at the next write", thread=number, reason=error.text)
            except Exception as error:  # noqa: BLE001  a bug with one database is recorded, and the next one follows
                background.record_failure(_REBUILDING, error)

    def _forget(self, database: Database) -> None:
        if self._open.get(database.thread_id) is database:
            del self._open[database.thread_id]

    def _find(self, thread_id: ThreadID) -> Database | None:
        database = self._open.get(thread_id)
        if database is None:
            number = self._threads.number(self._engine, thread_id)
            row = None if number is None else database_rows.get_database(self._engine, number)
            if row is not None:
                thread = self._threads.get(self._engine, thread_id)
                database = self._open[thread_id] = Database(self._services, thread, row.name)
        return database
