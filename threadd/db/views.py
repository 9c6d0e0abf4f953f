"""Reading a database in one state, on behalf of somebody."""

from collections.abc import Sequence
from dataclasses import dataclass

from store import documents as document_rows
from store.engine import Reader
from threadd.db import plans, scans
from threadd.db.collections import Collection
from threadd.db.errors import InstanceNotFoundError
from threadd.db.judge import Judge
from threadd.db.plans import Source
from threadd.db.queries import parse_query
from threadd.db.query_time import limited
from threadd.db.slices import Pacer


@dataclass(frozen=True, slots=True)
class View:
    """A state of a database as somebody may see it.

    Args:
        reader: The state.
        thread: The number of the thread.
        judge: Asks the read filters.
        query_seconds: How long each of its reads may take.
    """

    reader: Reader
    thread: int
    judge: Judge
    query_seconds: float

    async def has(self, collection: Collection, instance_ids: Sequence[str]) -> bool:
        """Whether all of some instances are there.

        Raises:
            ScriptError: The read filter failed.
            QueryTimeError: It took too long.
        """
        pacer = Pacer()
        async with limited(self.query_seconds):
            for instance_id in instance_ids:
                text = self._stored(collection, instance_id)
                if text is None or await self.judge.shown(collection, text) is None:
                    return False
                if pacer.due():
                    await pacer.pause()
        return True

    async def find_by_id(self, collection: Collection, instance_id: str) -> bytes:
        """JSON text of an instance.

        Raises:
            InstanceNotFoundError: There is no such instance, or the reader may not see it.
            ScriptError: The read filter failed.
            QueryTimeError: The read filter took too long.
        """
        text = self._stored(collection, instance_id)
        if text is not None and collection.config.read_filter:
            async with limited(self.query_seconds):
                text = await self.judge.shown(collection, text)
        if text is None:
            raise InstanceNotFoundError
        return text

    async def find(self, collection: Collection, query: bytes) -> list[bytes]:
        """JSON texts of the instances that a query asks for; the state must not change meanwhile.

        Raises:
            InvalidQueryError: As `parse_query`.
            ResultTooLargeError: As `scans.run`.
            ScriptError: The read filter failed.
            QueryTimeError: It took too long.
        """
        parsed = parse_query(query)
        source = Source(self.reader, self.thread, collection)
        plan = plans.choose(parsed, source)
        rows = plans.rows(plan, parsed, source)
        async with limited(self.query_seconds):
            return await scans.run(parsed, rows, self.judge.filter_of(collection), ordered=plan.ordered)

    def _stored(self, collection: Collection, instance_id: str) -> bytes | None:
        return document_rows.get_document(self.reader, self.thread, collection.number, instance_id)
