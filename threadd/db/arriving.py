"""Records that were made elsewhere on their way into a database: several of them are one transaction of the store.

Each is judged and folded in the state that those before it leave. Where a log turns out to have another history that
takes its place (`net.forks`), the patches of the records that leave it come out of the instances that they made,
which are folded again, and those of the records that come go in.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from net import arrivals, forks
from net.arrivals import Arrival
from net.errors import DecryptionError, InvalidBlockError, InvalidRecordError, NetError
from net.keys import PublicKey
from net.patches import Patch, PatchType, decode_body
from net.records import RecordBlocks
from net.thread_info import AppendedRecord, ThreadInfo
from net.threads import Threads, record_row
from store import documents as document_rows
from store.documents import MAX_INSTANCE_ID_BYTES, PatchPlace
from store.engine import Reader, Transaction
from store.overlay import Staged
from store.records import RecordRow
from threadd.db import changes
from threadd.db.collections import Collection, check_name
from threadd.db.errors import InvalidNameError
from threadd.db.folding import History
from threadd.db.judge import Judge
from threadd.db.reducer import CollectionOf, Reduced, Reducer, RemoteRecord
from threadd.db.schema_checks import SchemaChecks
from threadd.db.slices import Pacer
from threadd.db.timestamps import Timestamps
from threadd.db.transactions import Change, InstanceKey


@dataclass(slots=True)
class Arriving:
    """A transaction that grows with each record.

    Args:
        below: The state that it is built on; whoever builds it has the database's turn.
        threads: Opens records.
        thread: The database's thread.
        timestamps: Those seen so far.
        judge_of: Asks the validators on behalf of an author elsewhere.
        schemas: Checks instances.
        transaction: What there is to write.
        records: What the logs gain, in order.
        changes: What they make of the instances, in order.
        is_whole: Whether each record that was begun has all that it means in the transaction.
    """

    below: Reader
    threads: Threads
    thread: ThreadInfo
    timestamps: Timestamps
    judge_of: Callable[[PublicKey], Judge]
    schemas: SchemaChecks
    transaction: Transaction = field(default_factory=Transaction)
    records: list[AppendedRecord] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    is_whole: bool = True
    _state: Staged = field(init=False)
    _history: History = field(init=False)

    def __post_init__(self) -> None:
        self._state = Staged(self.below, self.transaction)
        self._history = self._fresh_history()

    async def take(self, log_id: bytes, blocks: RecordBlocks, collection_of: CollectionOf) -> None:
        """Put a record to where it belongs, with what it means; one that is here already stays as it is.

        Args:
            log_id: The peer ID of the log.
            blocks: The record.
            collection_of: The collections that are there.

        Raises:
            ThreadNotFoundError, LogNotFoundError, BadSignatureError, NetError: As `arrivals.open_arrival`; nothing of
                the record is in the transaction.
            OutOfOrderError: As `forks.take_beside`.
        """
        arrival = arrivals.open_arrival(self._state, self.thread.id, log_id, blocks)
        if arrival.is_kept:
            return
        if arrival.is_next:
            await self._append(arrival, collection_of)
            return
        turn = forks.take_beside(self._state, self.transaction, arrival, record_row(arrival.opened.record))
        if turn is not None:
            self.is_whole = False
            await self._take_out(arrival.log_number, turn.dropped, collection_of)
            for each in turn.gained:
                next_one = arrivals.open_arrival(self._state, self.thread.id, log_id, each)
                await self._append(next_one, collection_of)
            self.is_whole = True

    async def take_waiting(self, collection: Collection, log_number: int, position: int) -> str:
        """Apply the patches that a kept record has for a collection.

        Args:
            collection: The collection, which nobody sees yet.
            log_number: The number of the record's log.
            position: Its position in that.

        Returns:
            Why they are not applied; nothing where they are.
        """
        kept = self.threads.read_record(self._state, self.thread.id, log_number, position)
        if kept is None:
            return ""
        record = RemoteRecord(self._history.log_id(log_number), log_number, position, kept.author, kept.body)
        reducer = Reducer(self._history, self.timestamps, self.judge_of, self.schemas)
        reduced = await reducer.reduce(record, {collection.name: collection}.get, collection.name)
        self._apply(reduced, log_number, position)
        return reduced.refused

    async def _append(self, arrival: Arrival, collection_of: CollectionOf) -> None:
        log_number, position = arrival.log_number, arrival.position
        reduced = await self._reduce(arrival, collection_of)
        self.records.append(arrivals.stage(self._state, self.transaction, arrival, reduced.refused))
        for name in reduced.waiting:
            document_rows.put_waiting(self.transaction, self.thread.number, name, log_number, position)
        self._apply(reduced, log_number, position)

    async def _reduce(self, arrival: Arrival, collection_of: CollectionOf) -> Reduced:
        try:
            body = self.threads.open_body(self._state, self.thread.id, arrival.opened.record.blocks)
        except (DecryptionError, InvalidBlockError, InvalidRecordError) as error:
            return Reduced(refused=error.text)
        record = RemoteRecord(arrival.log_id, arrival.log_number, arrival.position, arrival.opened.author, body)
        return await Reducer(self._history, self.timestamps, self.judge_of, self.schemas).reduce(record, collection_of)

    def _apply(self, reduced: Reduced, log_number: int, position: int) -> None:
        found = [
            (PatchPlace(change.patch.timestamp, log_number, position, index), change)
            for index, change in reduced.changes
        ]
        self._stage([change for _, change in found])
        for place, change in found:
            document_rows.put_patch(
                self.transaction, self.thread.number, change.collection.number, change.patch.instance_id, place
            )

    def _stage(self, made: list[Change]) -> None:
        changes.stage(self.transaction, self._state, self.thread.number, made, self.timestamps, unique=False)
        self.changes += made

    async def _take_out(
        self, log_number: int, dropped: tuple[tuple[int, RecordRow], ...], collection_of: CollectionOf
    ) -> None:
        """Have records no longer count that are not in their log any more."""
        pacer = Pacer()
        touched: dict[InstanceKey, Patch] = {}
        for position, row in dropped:
            for index, patch in enumerate(self._patches(row)):
                collection = self._collection(patch, collection_of, log_number, position)
                place = PatchPlace(patch.timestamp, log_number, position, index)
                if collection is not None and self._forget(collection, patch.instance_id, place):
                    touched[collection, patch.instance_id] = patch
            if pacer.due():
                await pacer.pause()
        self._history = self._fresh_history()  # it may hold bodies of what has left
        for (collection, instance_id), patch in touched.items():
            number = collection.number
            before = document_rows.get_document(self._state, self.thread.number, number, instance_id)
            after = self._history.folded(number, instance_id, ())
            kind = PatchType.DELETE if after is None else PatchType.CREATE
            again = Patch(instance_id, collection.name, kind, after, patch.timestamp)
            self._stage([Change(collection, again, before, after)])
            if pacer.due():
                await pacer.pause()

    def _patches(self, row: RecordRow) -> list[Patch]:
        blocks = RecordBlocks(row.record, row.event, row.header, row.body)
        try:
            return decode_body(self.threads.open_body(self._state, self.thread.id, blocks))
        except NetError:
            return []  # it never counted

    def _collection(
        self, patch: Patch, collection_of: CollectionOf, log_number: int, position: int
    ) -> Collection | None:
        """The collection of a patch; the patch waits for none any more."""
        try:
            check_name(patch.collection)
        except InvalidNameError:
            return None
        document_rows.delete_waiting(self.transaction, self.thread.number, patch.collection, log_number, position)
        return collection_of(patch.collection)

    def _forget(self, collection: Collection, instance_id: str, place: PatchPlace) -> bool:
        """Forget where a patch is; tells whether it was known, as those of a refused record are not."""
        if len(instance_id.encode()) > MAX_INSTANCE_ID_BYTES:
            return False
        return document_rows.delete_patch(
            self._state, self.transaction, self.thread.number, collection.number, instance_id, place
        )

    def _fresh_history(self) -> History:
        return History(self._state, self.threads, self.thread)
