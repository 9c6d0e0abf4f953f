"""The collections of one database: as they are kept, as they are used, and how they come, change and go."""

import msgspec
import structlog

from net.thread_info import ThreadInfo
from store import databases as database_rows
from store import deletions, stale_indexes
from store.databases import CollectionRow, IndexRow
from store.deletions import Deletion
from store.engine import Transaction
from threadd.db.collections import Collection, CollectionConfig, config_of, new_row
from threadd.db.errors import CollectionExistsError, CollectionNotFoundError
from threadd.db.filling import filling
from threadd.db.index_building import building
from threadd.db.judge import check_scripts
from threadd.db.rebuilding import Duplicates
from threadd.db.sequencer import Sequencer
from threadd.db.services import Services

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Catalogue:
    """All of them, by name. Whoever changes it has the database's turn.

    Args:
        services: What databases share.
        thread: The database's thread.
        sequencer: That of the database.
    """

    def __init__(self, services: Services, thread: ThreadInfo, sequencer: Sequencer) -> None:
        self._services = services
        self._thread = thread.number
        self._thread_id = thread.id
        self._sequencer = sequencer
        self._rows = {row.name: row for row in database_rows.list_collections(services.engine, thread.number)}
        self._compiled: dict[str, Collection] = {}
        self._stale = stale_indexes.marked(services.engine, thread.number)

    def __contains__(self, name: str) -> bool:
        """Whether there is one of that name."""
        return name in self._rows

    def row(self, name: str) -> CollectionRow:
        """What is kept of one.

        Raises:
            KeyError: There is none of that name.
        """
        return self._rows[name]

    def get(self, name: str) -> Collection:
        """One, compiled when it is first used.

        Raises:
            CollectionNotFoundError: There is none of that name.
        """
        collection = self.find(name)
        if collection is None:
            raise CollectionNotFoundError
        return collection

    def find(self, name: str) -> Collection | None:
        """See `get`; None where there is none of that name."""
        collection = self._compiled.get(name)
        if collection is None and name in self._rows:
            collection = self._compiled[name] = Collection.of(self._rows[name], self._stale)
        return collection

    def all(self) -> list[Collection]:
        """All, by name."""
        return [self.get(name) for name in sorted(self._rows)]

    def configs(self) -> list[CollectionConfig]:
        """The configurations of all, by name."""
        return [config_of(self._rows[name]) for name in sorted(self._rows)]

    async def check(self, config: CollectionConfig) -> None:
        """Refuse a configuration that is none.

        Raises:
            InvalidNameError, InvalidSchemaError, InvalidIndexError, SchemaEngineError: As `SchemaChecks.check_configs`.
            InvalidScriptError: As `check_scripts`.
        """
        await self._services.schemas.check_configs([config])
        await check_scripts(self._services.scripts, config)

    async def add(self, config: CollectionConfig) -> None:
        """Add one with a configuration that was checked; records that wait for it are applied.

        Raises:
            CollectionExistsError: There is one of that name.
        """
        if config.name in self._rows:
            raise CollectionExistsError
        services = self._services
        numbered = Transaction()
        row = new_row(numbered, services.numbers, config)
        async with filling(self._sequencer, services.sweeper, numbered, self._thread, row) as finished:
            database_rows.put_collection(finished, self._thread, row)
            await self._commit(finished, config.name, row)

    async def change(self, config: CollectionConfig) -> None:
        """Give one another configuration, which was checked.

        Raises:
            CollectionNotFoundError: There is none of that name.
            IndexNotUniqueError: Instances share a value at the path of a new unique index; nothing is changed.
        """
        old = self._rows.get(config.name)
        if old is None:
            raise CollectionNotFoundError(f"{CollectionNotFoundError.default_text}: {config.name}")
        services = self._services
        numbered = Transaction()
        row = new_row(numbered, services.numbers, config, old)
        async with building(services.engine, services.sweeper, numbered, self._thread, old, row) as finished:
            database_rows.put_collection(finished, self._thread, row)
            await self._commit(finished, config.name, row)

    @property
    def has_stale_indexes(self) -> bool:
        """Whether `rebuild` has anything to do."""
        return bool(self._stale)

    async def rebuild(self) -> None:
        """Rebuild stale indexes, one after the other; the caller sees to it that there are no writes meanwhile.

        Each finished index stays if the rest fails or is cancelled.

        Raises:
            StoreError: The disk does not take it.
        """
        for name in sorted(self._rows):
            for index in self._rows[name].indexes:
                if index.number in self._stale:
                    await self._rebuild(name, index)
        # Marks that are left belong to collections that were deleted.
        self._stale.clear()

    async def _rebuild(self, name: str, index: IndexRow) -> None:
        services, old, duplicates = self._services, self._rows[name], Duplicates()
        numbered = Transaction()
        fresh = IndexRow(services.numbers.next(numbered), index.path, index.unique)
        new = msgspec.structs.replace(old, indexes=tuple(fresh if one == index else one for one in old.indexes))
        built = building(services.engine, services.sweeper, numbered, self._thread, old, new, duplicates.add)
        async with built as finished:
            stale_indexes.unmark(finished, self._thread, old.number, index.number)
            database_rows.put_collection(finished, self._thread, new)
            await self._commit(finished, name, new)
        self._stale.discard(index.number)
        facts = {"thread": self._thread_id.text, "collection": name, "path": index.path}
        log.info("index rebuilt", **facts)
        if duplicates.count:
            log.warning(
                "documents share a value of a unique index: they stay, and further ones are refused",
                **facts,
                documents=duplicates.documents,
                duplicates=duplicates.count,
            )

    async def remove(self, name: str) -> None:
        """Remove one, and mark what is in it to be deleted.

        Raises:
            CollectionNotFoundError: There is none of that name.
        """
        row = self._rows.get(name)
        if row is None:
            raise CollectionNotFoundError
        transaction = Transaction()
        database_rows.delete_collection(transaction, self._thread, name)
        deletions.mark(transaction, Deletion(self._thread, row.number))
        await self._commit(transaction, name, None)

    async def _commit(self, transaction: Transaction, name: str, row: CollectionRow | None) -> None:
        """Write what gives a collection a row or takes it away, and do so here as well, even if cancelled meanwhile."""
        committed = self._sequencer.reader.submit(transaction)
        try:
            await committed
        finally:
            if committed.done() and committed.exception() is None:
                self._compiled.pop(name, None)
                if row is None:
                    del self._rows[name]
                else:
                    self._rows[name] = row
