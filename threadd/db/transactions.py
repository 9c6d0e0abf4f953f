"""The operations of one client transaction: checked as they come, each all or nothing.

Operations build on each other and on everything that was enqueued before. One that is refused leaves nothing behind and
the others go on (design, "What a thread means"). Whoever uses a transaction holds the database's sequence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from net.patches import Patch, PatchType
from threadd.db import documents
from threadd.db.collections import Collection
from threadd.db.documents import ID_FIELD, MODIFIED_FIELD
from threadd.db.errors import CreateConflictError, InstanceExistsError, InvalidInstanceError, WriteDeniedError
from threadd.db.judge import Judge
from threadd.db.schema_checks import Allowance, SchemaChecks
from threadd.db.slices import Pacer
from threadd.db.timestamps import InstanceIDs, Timestamps

InstanceKey = tuple[Collection, str]


@dataclass(frozen=True, slots=True)
class Change:
    """What one patch makes of one instance.

    Args:
        collection: Where the instance is.
        patch: The patch as it goes into the record.
        before: The JSON text that it is applied to; None where there is no instance.
        after: The JSON text that comes of it; None after a delete.
    """

    collection: Collection
    patch: Patch
    before: bytes | None
    after: bytes | None

    @property
    def is_seen(self) -> bool:
        """Whether the instance is another one after it: a late patch may come to nothing."""
        return self.before != self.after

    @property
    def action(self) -> PatchType:
        """What it does to the instance, which is what its patch says unless that is late."""
        if self.after is None:
            return PatchType.DELETE
        if self.patch.type is PatchType.DELETE or (self.patch.type is PatchType.CREATE and self.before is not None):
            return PatchType.SAVE
        return self.patch.type


@dataclass(slots=True)
class WriteTransaction:
    """The operations so far.

    Args:
        stored: Gives the JSON text of an instance in the state that the transaction starts from, or None.
        judge: Asks the collections' scripts, for whoever writes.
        schemas: Checks instances.
        timestamps: Gives each patch its time.
        instance_ids: Gives an ID to an instance that came without.
        changes: What the accepted operations change, in order.
        touched: The JSON text, or None, of every instance that they changed.
        made: The instances that were not there before one of them.
        conflict: Whether they contradict each other.
    """

    stored: Callable[[Collection, str], bytes | None]
    judge: Judge
    schemas: SchemaChecks
    timestamps: Timestamps
    instance_ids: InstanceIDs
    changes: list[Change] = field(default_factory=list)
    touched: dict[InstanceKey, bytes | None] = field(default_factory=dict)
    made: set[InstanceKey] = field(default_factory=set)
    conflict: bool = False
    _pacer: Pacer = field(default_factory=Pacer)
    _allowance: Allowance = field(default_factory=Allowance)

    async def create(self, collection: Collection, instances: Sequence[bytes]) -> list[str]:
        """Create instances; one without an ID gets one.

        Args:
            collection: Where they go.
            instances: A JSON text each.

        Returns:
            Their IDs, in order.

        Raises:
            InvalidInstanceError: A text is no instance.
            SchemaViolationError: The schema does not allow one.
            SchemaCostError, SchemaEngineError: As `SchemaChecks.check`.
            InstanceExistsError: An ID is taken by an instance from before this transaction.
        """
        operation = _Operation(self)
        for data in instances:
            document = documents.parse_instance(data)
            instance_id = document[ID_FIELD] = document.get(ID_FIELD) or self.instance_ids.next()
            timestamp = self.timestamps.next()
            await self.schemas.check(collection, document, data, timestamp, self._allowance)
            before = operation.current(collection, instance_id)
            if before is not None:
                if not operation.has_made(collection, instance_id):
                    raise InstanceExistsError
                operation.conflict = True
            document[MODIFIED_FIELD] = timestamp
            text = documents.to_bytes(document)
            operation.add(
                collection, Patch(instance_id, collection.name, PatchType.CREATE, text, timestamp), before, text
            )
            await self._breathe()
        operation.accept()
        return [change.patch.instance_id for change in operation.changes]

    async def save(self, collection: Collection, instances: Sequence[bytes]) -> None:
        """Replace instances, or create those that are not there.

        Args:
            collection: Where they are.
            instances: A JSON text each, with `_id`.

        Raises:
            InvalidInstanceError: A text is no instance or has no ID.
            SchemaViolationError: The schema does not allow one.
            SchemaCostError, SchemaEngineError: As `SchemaChecks.check`.
            WriteDeniedError: The read filter hides an instance from the writer, who cannot know what is replaced.
        """
        operation = await self._saving(collection, instances)
        operation.accept()

    async def verify(self, collection: Collection, instances: Sequence[bytes]) -> None:
        """Check instances as `save` and the end of the transaction would, and change nothing.

        Raises:
            InvalidInstanceError, SchemaViolationError: As `save`.
            WriteDeniedError, ScriptError: As `check_commit`.
        """
        operation = await self._saving(collection, instances)
        await self._ask_validators(operation.changes)

    async def _saving(self, collection: Collection, instances: Sequence[bytes]) -> "_Operation":
        operation = _Operation(self)
        for data in instances:
            document = documents.parse_instance(data)
            timestamp = self.timestamps.next()
            await self.schemas.check(collection, document, data, timestamp, self._allowance)
            instance_id = document.get(ID_FIELD)
            if not instance_id:
                raise InvalidInstanceError("invalid instance: missing _id attribute")
            document[MODIFIED_FIELD] = timestamp
            before = operation.current(collection, instance_id)
            seen = before if before is None else await self.judge.shown(collection, before)
            if before is not None and seen is None:
                raise WriteDeniedError
            merge = documents.merge_patch(documents.parse(seen or b"{}"), document)
            after = documents.to_bytes(documents.apply_merge_patch(documents.parse(before or b"{}"), merge))
            text = documents.to_bytes(merge)
            operation.add(
                collection, Patch(instance_id, collection.name, PatchType.SAVE, text, timestamp), before, after
            )
            await self._breathe()
        return operation

    async def delete(self, collection: Collection, instance_ids: Sequence[str]) -> None:
        """Delete instances; an ID that is not there is passed over.

        Args:
            collection: Where they are.
            instance_ids: Their IDs.
        """
        operation = _Operation(self)
        for instance_id in instance_ids:
            before = operation.current(collection, instance_id)
            if before is not None:
                patch = Patch(instance_id, collection.name, PatchType.DELETE, None, self.timestamps.next())
                operation.add(collection, patch, before, None)
            await self._breathe()
        operation.accept()

    async def check_commit(self) -> None:
        """Refuse the whole transaction where its operations contradict each other or a write validator says no.

        Raises:
            CreateConflictError: An instance is created although an earlier operation made it already.
            WriteDeniedError: A validator does not accept a change.
            ScriptError: A validator failed.
        """
        if self.conflict:
            raise CreateConflictError
        await self._ask_validators(self.changes)

    async def _ask_validators(self, changes: Sequence[Change]) -> None:
        """Every validator sees the state from before the transaction."""
        for change in changes:
            if change.collection.config.write_validator:
                before = self.stored(change.collection, change.patch.instance_id)
                await self.judge.check_write(change.collection, change.patch, before)

    async def _breathe(self) -> None:
        if self._pacer.due():
            await self._pacer.pause()


@dataclass(slots=True)
class _Operation:
    """One operation on its way: its changes count for itself, and for the transaction once it is accepted."""

    transaction: WriteTransaction
    conflict: bool = False
    changes: list[Change] = field(default_factory=list)
    touched: dict[InstanceKey, bytes | None] = field(default_factory=dict)
    made: set[InstanceKey] = field(default_factory=set)

    def has_made(self, collection: Collection, instance_id: str) -> bool:
        key = (collection, instance_id)
        return key in self.made or key in self.transaction.made

    def current(self, collection: Collection, instance_id: str) -> bytes | None:
        key = (collection, instance_id)
        if key in self.touched:
            return self.touched[key]
        if key in self.transaction.touched:
            return self.transaction.touched[key]
        return self.transaction.stored(collection, instance_id)

    def add(self, collection: Collection, patch: Patch, before: bytes | None, after: bytes | None) -> None:
        self.touched[collection, patch.instance_id] = after
        if before is None:
            self.made.add((collection, patch.instance_id))
        self.changes.append(Change(collection, patch, before, after))

    def accept(self) -> None:
        self.transaction.touched.update(self.touched)
        self.transaction.made |= self.made
        self.transaction.changes.extend(self.changes)
        self.transaction.conflict |= self.conflict
