"""What records that were made elsewhere mean for a database: judged as a whole, then folded patch by patch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from net.errors import InvalidBodyError
from net.keys import PublicKey
from net.patches import Patch, PatchType, decode_body
from store import documents as document_rows
from threadd.db import documents
from threadd.db.collections import Collection, check_name
from threadd.db.errors import (
    InvalidInstanceError,
    InvalidNameError,
    SchemaCostError,
    SchemaViolationError,
    ScriptError,
    WriteDeniedError,
)
from threadd.db.folding import History, Order, applied
from threadd.db.judge import Judge
from threadd.db.schema_checks import Allowance, SchemaChecks
from threadd.db.slices import Pacer
from threadd.db.timestamps import Timestamps
from threadd.db.transactions import Change, InstanceKey

_VERDICTS = (
    InvalidBodyError,
    InvalidInstanceError,
    InvalidNameError,
    SchemaCostError,
    SchemaViolationError,
    ScriptError,
    WriteDeniedError,
)
"""What a record can be at fault with; anything else is a fault of this host, and the record comes again."""

CollectionOf = Callable[[str], Collection | None]


@dataclass(frozen=True, slots=True)
class RemoteRecord:
    """A record of a database's thread, opened.

    Args:
        log_id: The peer ID of its log.
        log_number: The number of the log in this store.
        position: Its position in the log, from 1.
        author: Whoever wrote it.
        body: DAG-CBOR.
    """

    log_id: bytes
    log_number: int
    position: int
    author: PublicKey
    body: bytes


@dataclass(slots=True)
class Reduced:
    """What a record means.

    Args:
        changes: What its patches change, with their places in the record.
        waiting: Names of collections that it has patches for and that are not there yet.
        refused: Why nothing of it is applied; "" where it is.
    """

    changes: list[tuple[int, Change]] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Reducer:
    """Judges and folds.

    A save is not held against the schema: what it makes of an instance depends on what else has arrived, and hosts
    whose records arrived in another order would come to another end (decision 0005).

    Args:
        history: The patches that are kept.
        timestamps: Those seen so far.
        judge_of: Asks the validators on behalf of an author.
        schemas: Checks instances.
    """

    history: History
    timestamps: Timestamps
    judge_of: Callable[[PublicKey], Judge]
    schemas: SchemaChecks

    async def reduce(self, record: RemoteRecord, collection_of: CollectionOf, only: str = "") -> Reduced:
        """Say what a record means in the state before it.

        Args:
            record: The record.
            collection_of: The collections that are there.
            only: The name of the collection whose patches count; "" for all.
        """
        pacer, allowance = Pacer(), Allowance()
        reduced = Reduced()
        accepted: list[tuple[int, Patch, Collection]] = []
        try:
            for index, patch in enumerate(decode_body(record.body)):
                if only not in {"", patch.collection}:
                    continue
                collection = await self._checked(patch, collection_of, allowance)
                if collection is None:
                    reduced.waiting.add(patch.collection)
                else:
                    await self._ask_validator(record, patch, collection)
                    accepted.append((index, patch, collection))
                if pacer.due():
                    await pacer.pause()
        except _VERDICTS as error:
            return Reduced(refused=error.text)
        folding = _Folding(self, record)
        for index, patch, collection in accepted:
            reduced.changes.append((index, folding.change(index, patch, collection)))
            if pacer.due():
                await pacer.pause()
        return reduced

    async def _checked(self, patch: Patch, collection_of: CollectionOf, allowance: Allowance) -> Collection | None:
        """The collection of a patch that could be applied; None where that is not there yet."""
        if not patch.instance_id:
            raise InvalidInstanceError("invalid instance: missing _id attribute")
        documents.check_instance_id(patch.instance_id)
        if self.timestamps.is_too_far_ahead(patch.timestamp):
            raise InvalidInstanceError("invalid patch: its time lies more than a year ahead")
        collection = collection_of(patch.collection)
        if collection is None:
            check_name(patch.collection)
        if patch.json is not None:
            document = documents.parse_instance(patch.json)
            if collection is not None and patch.type is PatchType.CREATE:
                await self.schemas.check(collection, document, patch.json, patch.timestamp, allowance)
        return collection

    async def _ask_validator(self, record: RemoteRecord, patch: Patch, collection: Collection) -> None:
        if collection.config.write_validator:
            before = self.stored(collection, patch.instance_id)
            await self.judge_of(record.author).check_write(collection, patch, before)

    def stored(self, collection: Collection, instance_id: str) -> bytes | None:
        """JSON text of an instance before the record, or None."""
        history = self.history
        return document_rows.get_document(history.reader, history.thread.number, collection.number, instance_id)


@dataclass(slots=True)
class _Folding:
    """One record on its way into the instances."""

    reducer: Reducer
    record: RemoteRecord
    newest: int = field(init=False)
    touched: dict[InstanceKey, bytes | None] = field(default_factory=dict)
    own: dict[InstanceKey, list[tuple[Order, Patch]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.newest = self.reducer.timestamps.last

    def change(self, index: int, patch: Patch, collection: Collection) -> Change:
        key = (collection, patch.instance_id)
        before = self.touched[key] if key in self.touched else self.reducer.stored(*key)
        order = Order(patch.timestamp, self.record.log_id, self.record.position, index)
        own = self.own.setdefault(key, [])
        own.append((order, patch))
        if self._is_last(order, own, collection, patch.instance_id):
            after = applied(patch, before)
        else:
            after = self.reducer.history.folded(collection.number, patch.instance_id, own)
        self.touched[key] = after
        self.reducer.timestamps.saw(patch.timestamp)
        return Change(collection, patch, before, after)

    def _is_last(
        self,
        order: Order,
        own: Sequence[tuple[Order, Patch]],
        collection: Collection,
        instance_id: str,
    ) -> bool:
        if any(order < other for other, _ in own):
            return False
        if order.timestamp > self.newest:
            return True
        latest = self.reducer.history.latest(collection.number, instance_id)
        return latest is None or order > latest
