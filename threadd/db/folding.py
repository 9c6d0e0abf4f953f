"""Folding: an instance is what its patches make of it, in an order on which all hosts agree.

The order is that of `Order` (design, "What a thread means"). A patch that comes last, as nearly all do, is applied to
the instance as it is; a late one has that one instance made again from its patches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from net.patches import Patch, PatchType, decode_body
from net.thread_info import ThreadInfo
from net.threads import Threads
from store import documents as document_rows
from store import threads as thread_rows
from store.documents import PatchPlace
from store.engine import Reader
from threadd.db import documents
from threadd.db.documents import ID_FIELD

_BODIES_KEPT = 64


@dataclass(frozen=True, slots=True, order=True)
class Order:
    """Where a patch stands among those of its instance.

    Args:
        timestamp: Its time, in ns since 1970.
        log_id: The peer ID of the log of its record.
        position: The position of its record in that log, from 1.
        index: Its place in the record, from 0.
    """

    timestamp: int
    log_id: bytes
    position: int
    index: int


def applied(patch: Patch, before: bytes | None) -> bytes | None:
    """What one patch makes of an instance: a create replaces it, a save merges into it, a delete removes it.

    Args:
        patch: The patch; its JSON is an object.
        before: JSON text of the instance, or None.

    Returns:
        JSON text, with the instance's ID whatever the patch says; None where there is no instance then.
    """
    if patch.json is None:
        return None
    content = documents.parse(patch.json)
    if patch.type is PatchType.SAVE:
        content = documents.apply_merge_patch(documents.parse(before or b"{}"), content)
    return documents.to_bytes({**content, ID_FIELD: patch.instance_id})


@dataclass(slots=True)
class History:
    """The patches of a database's instances, read back from the records that hold them.

    Args:
        reader: The state to read.
        threads: Opens records.
        thread: The database's thread.
    """

    reader: Reader
    threads: Threads
    thread: ThreadInfo
    _log_ids: dict[int, bytes] = field(default_factory=dict)
    _bodies: dict[tuple[int, int], list[Patch]] = field(default_factory=dict)

    def latest(self, collection_number: int, instance_id: str) -> Order | None:
        """The order of an instance's last patch; None where it has none."""
        latest: Order | None = None
        for place in document_rows.patches_of(
            self.reader, self.thread.number, collection_number, instance_id, reverse=True
        ):
            if latest is not None and place.timestamp < latest.timestamp:
                break
            order = self._order(place)
            latest = order if latest is None else max(latest, order)
        return latest

    def folded(self, collection_number: int, instance_id: str, new: Sequence[tuple[Order, Patch]]) -> bytes | None:
        """Make an instance from all its patches.

        Args:
            collection_number: Its collection.
            instance_id: The instance.
            new: Patches of it that are not kept yet.

        Returns:
            JSON text, or None where there is no instance.
        """
        kept = document_rows.patches_of(self.reader, self.thread.number, collection_number, instance_id)
        patches: list[tuple[Order, Patch | PatchPlace]] = [(self._order(place), place) for place in kept]
        patches += new
        patches.sort(key=lambda entry: entry[0], reverse=True)
        since_replaced: list[Patch] = []
        for _, entry in patches:
            patch = self._patch(entry) if isinstance(entry, PatchPlace) else entry
            since_replaced.append(patch)
            if patch.type is not PatchType.SAVE:
                break
        text: bytes | None = None
        for patch in reversed(since_replaced):
            text = applied(patch, text)
        return text

    def log_id(self, log_number: int) -> bytes:
        """The peer ID of a log of the thread by its number here."""
        if log_number not in self._log_ids:
            rows = thread_rows.logs_of(self.reader, self.thread.number)
            self._log_ids = {row.number: row.id for row in rows}
        return self._log_ids[log_number]

    def _order(self, place: PatchPlace) -> Order:
        return Order(place.timestamp, self.log_id(place.log_number), place.position, place.index)

    def _patch(self, place: PatchPlace) -> Patch:
        key = (place.log_number, place.position)
        patches = self._bodies.get(key)
        if patches is None:
            record = self.threads.read_record(self.reader, self.thread.id, *key)
            patches = decode_body(record.body) if record is not None else []
            if len(self._bodies) >= _BODIES_KEPT:
                del self._bodies[next(iter(self._bodies))]
            self._bodies[key] = patches
        return patches[place.index]
