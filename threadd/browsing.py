"""What the operator sees of everything that is kept, on the console's pages and on the command line."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from net import cid as cids
from net import multibase
from net.errors import NetError, ThreadNotFoundError
from net.keys import PublicKey
from net.patches import decode_body
from net.thread_id import ThreadID
from net.thread_info import ThreadInfo
from net.threads import Threads
from store import accounts as account_rows
from store import records as record_rows
from store.accounts import AccountRow
from store.engine import Engine, Snapshot
from store.records import RecordRow
from threadd.browsing_verbs import (
    AccountSummary,
    BrowseRequest,
    BrowseResult,
    CollectionSummary,
    CountDocuments,
    Counted,
    DeleteDocuments,
    FindDocuments,
    FoundDocuments,
    ListAccounts,
    ListCollections,
    ListSizes,
    MailSummary,
    PatchSummary,
    RecordSummary,
    SavedDocument,
    SaveDocument,
    ShowLog,
    SizeSummary,
)
from threadd.db import documents, reads
from threadd.db.database import Database
from threadd.db.documents import ID_FIELD
from threadd.db.errors import CollectionNotFoundError, DatabaseNotFoundError
from threadd.db.manager import Manager
from threadd.hub import mailboxes
from threadd.hub.accounts import AccountKind
from threadd.hub.ownership import Ownership
from threadd.sizing import Sizes


class Browser:
    """Looks, and writes in the daemon's own name.

    Args:
        engine: The store.
        threads: All threads.
        databases: All databases.
        ownership: Who owns which thread.
    """

    def __init__(self, engine: Engine, threads: Threads, databases: Manager, ownership: Ownership) -> None:
        self._engine = engine
        self._threads = threads
        self._databases = databases
        self._ownership = ownership
        self._sizes = Sizes(engine)

    @property
    def operator(self) -> PublicKey:
        """In whose name it writes."""
        return self._threads.host

    async def handle(self, request: BrowseRequest) -> BrowseResult:
        """Carry out a request; answered as its class says.

        Raises:
            ThreaddError: It was refused.
        """
        result: BrowseResult
        match request:
            case ListCollections():
                result = await self.collections(request.db)
            case FindDocuments():
                result = await self.find(request.db, request.collection, request.query)
            case CountDocuments():
                result = await self.count(request.db, request.collection, request.query)
            case SaveDocument():
                result = await self.save(request.db, request.collection, request.document)
            case DeleteDocuments():
                result = await self.delete(request.db, request.collection, request.ids)
            case ShowLog():
                result = self.log(request.db, request.limit)
            case ListAccounts():
                result = await self.accounts()
            case ListSizes():
                result = await self.sizes()
        return result

    def database(self, db: str) -> Database:
        """Give a database by the text of its ID.

        Raises:
            InvalidThreadIDError, ThreadNotFoundError, DatabaseNotFoundError: There is none.
        """
        return self._databases.get(ThreadID.from_text(db))

    async def collections(self, db: str) -> list[CollectionSummary]:
        """List the collections of a database; see `ListCollections`."""
        database = self.database(db)
        return [
            CollectionSummary(
                config.name,
                (await self.count(db, config.name, "{}")).count,
                [index.path + ("!" if index.unique else "") for index in config.indexes],
                bool(config.write_validator),
                bool(config.read_filter),
                config.schema.decode("utf-8", "replace"),
            )
            for config in database.list_collections()
        ]

    async def find(self, db: str, collection: str, query: str) -> FoundDocuments:
        """Find instances; see `FindDocuments`."""
        found = await reads.explain(self.database(db), collection, query.encode(), None)
        return FoundDocuments(
            [msgspec.Raw(text) for text in found.instances],
            list(found.indexes),
            found.ordered,
            found.rows_read,
            found.microseconds,
        )

    async def count(self, db: str, collection: str, query: str) -> Counted:
        """Count instances; see `CountDocuments`."""
        count = await reads.count(self.database(db), collection, query.encode(), None)
        return Counted(count)

    async def save(self, db: str, collection: str, document: str) -> SavedDocument:
        """Create or replace an instance; see `SaveDocument`."""
        text = document.encode("utf-8", "surrogatepass")
        database = self.database(db)
        parsed = documents.parse_instance(text)
        if parsed.get(ID_FIELD):
            await database.save(collection, [text], self.operator)
            return SavedDocument(parsed[ID_FIELD])
        [made] = await database.create(collection, [text], self.operator)
        return SavedDocument(made)

    async def delete(self, db: str, collection: str, ids: Sequence[str]) -> Counted:
        """Delete instances; see `DeleteDocuments`."""
        database = self.database(db)
        there = [one for one in ids if await database.has(collection, [one], self.operator)]
        await database.delete(collection, ids, self.operator)
        return Counted(len(there))

    def log(self, db: str, limit: int) -> list[RecordSummary]:
        """Show the last records; see `ShowLog`."""
        with self._engine.snapshot() as state:
            thread = self._threads.get(state, ThreadID.from_text(db))
            found = list(self._records(state, thread, max(1, limit)))
        found.sort(key=lambda record: (_time(record), record.position), reverse=True)
        return found

    def _records(self, state: Snapshot, thread: ThreadInfo, limit: int) -> Iterator[RecordSummary]:
        for log in thread.logs:
            first = max(1, log.counter - limit + 1)
            for position, row in record_rows.records_from(state, thread.number, log.number, first):
                yield self._record(state, thread.id, (log.number, multibase.encode_base58(log.id)), position, row)

    def _record(
        self, state: Snapshot, thread: ThreadID, log: tuple[int, str], position: int, row: RecordRow
    ) -> RecordSummary:
        number, name = log
        author, patches, refused = "", [], row.refused
        try:
            kept = self._threads.read_record(state, thread, number, position)
            if kept is not None:
                author = kept.author.text
                patches = [
                    PatchSummary(
                        patch.type.name.lower(),
                        patch.collection,
                        patch.instance_id,
                        patch.timestamp,
                        (patch.json or b"").decode("utf-8", "replace"),
                    )
                    for patch in decode_body(kept.body)
                ]
        except NetError as error:
            refused = refused or error.text
        return RecordSummary(name, position, cids.text(row.cid), author, refused, patches)

    async def sizes(self, seconds: float | None = None) -> list[SizeSummary]:
        """Measure all databases; see `ListSizes`.

        Args:
            seconds: How long it may take; None for as long as it needs.
        """
        with self._engine.snapshot() as state:
            kept = [(found, self._threads.get(state, found.thread_id)) for found in self._databases.list_dbs()]
        sizes = await self._sizes.of([thread for _, thread in kept], seconds)
        found = [
            SizeSummary(
                thread.id.text, database.name, sum(log.counter for log in thread.logs), sizes.get(thread.number)
            )
            for database, thread in kept
        ]
        return sorted(found, key=lambda one: (-(one.size or 0), one.name, one.id))

    async def accounts(self) -> list[AccountSummary]:
        """List who owns something here; see `ListAccounts`."""
        owned = self._ownership.list_all()
        threads = Counter(owner for owner, _, _ in owned)
        mail = {
            owner: await self._mail(thread)
            for owner, thread, row in owned
            if row.name == mailboxes.THREAD_NAME and row.is_db
        }
        keys = Counter(row.owner for row in account_rows.list_all_api_keys(self._engine))
        known = sorted(account_rows.list_accounts(self._engine), key=lambda row: (row.kind, row.created, row.name))
        found = [
            _account(row, keys[row.public_key], threads[row.public_key], mail.get(row.public_key)) for row in known
        ]
        users = sorted(set(threads) - {row.public_key for row in known})
        return found + [
            AccountSummary("", "user", PublicKey.from_bytes(user).text, "", 0, 0, threads[user], [], mail.get(user))
            for user in users
        ]

    async def _mail(self, thread: ThreadID) -> MailSummary | None:
        try:
            box = self._databases.get(thread)
            return MailSummary(
                received=await reads.count(box, mailboxes.INBOX, b"{}", None),
                unread=await reads.count(box, mailboxes.INBOX, mailboxes.UNREAD, None),
                sent=await reads.count(box, mailboxes.SENTBOX, b"{}", None),
            )
        except (ThreadNotFoundError, DatabaseNotFoundError, CollectionNotFoundError):
            # It is going, or somebody gave the name to a database of his own.
            return None


def _account(row: AccountRow, keys: int, threads: int, mail: MailSummary | None) -> AccountSummary:
    return AccountSummary(
        row.name,
        AccountKind(row.kind).name.lower(),
        PublicKey.from_bytes(row.public_key).text,
        row.email,
        row.created,
        keys,
        threads,
        [member.name for member in row.members],
        mail,
    )


def _time(record: RecordSummary) -> int:
    return max((patch.time for patch in record.patches), default=0)
