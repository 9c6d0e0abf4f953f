"""Documents of buckets that come, change and go, whoever writes them: what is kept of buckets follows them at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from net.thread_id import ThreadID
from store import databases as database_rows
from store import documents as document_rows
from store import threads as thread_rows
from store.engine import Engine, Reader
from threadd.buckets import access
from threadd.buckets.model import Brief, brief_of
from threadd.buckets.registry import Registry
from threadd.buckets.roots import CompleteRoots
from threadd.buckets.sweeping import Sweeping
from threadd.db.transactions import Change


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Takes notice of them.

    Args:
        engine: The store.
        registry: Where buckets are.
        roots: Which roots are complete.
        sweeping: Removes what no bucket reaches.
    """

    engine: Engine
    registry: Registry
    roots: CompleteRoots
    sweeping: Sweeping

    def take_notice(self, thread: ThreadID, changes: Sequence[Change]) -> None:
        """Take notice of changes that are on disk; see `Manager.observe`."""
        for change in changes:
            if change.patch.collection != access.COLLECTION:
                continue
            key, text = change.patch.instance_id, change.after
            if text is None:
                self.roots.forget(thread, key)
                self.sweeping.wake()
                continue
            if change.before is None:
                # What may be kept of a bucket that had this key before says nothing of this one.
                self.roots.forget(thread, key)
            brief = brief_of(text)
            self._learn(thread, key, brief)
            if not self.roots.take_saved(thread, key, brief.root, text):
                self.sweeping.has_changed(thread, key)

    async def database_came(self, thread: ThreadID) -> None:
        """Take notice of all buckets of a database that came as a whole, by an import."""
        for key, brief in await self.engine.read(lambda state: list(_briefs(state, thread.bytes))):
            self._learn(thread, key, brief)
            self.sweeping.has_changed(thread, key)

    def _learn(self, thread: ThreadID, key: str, brief: Brief) -> None:
        if brief.root:
            self.registry.learn(thread, key, brief.owner)


def _briefs(state: Reader, thread_id: bytes) -> Iterator[tuple[str, Brief]]:
    thread = thread_rows.get_thread(state, thread_id)
    collection = None if thread is None else database_rows.get_collection(state, thread.number, access.COLLECTION)
    if thread is not None and collection is not None:
        for key, text in document_rows.all_documents(state, thread.number, collection.number):
            yield key, brief_of(text)
