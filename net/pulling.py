"""Fetching from another host what it has of a thread: its logs, and the records behind the heads here."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from net import cid, remote_logs
from net.address_book import AddressBook
from net.arrivals import place_of
from net.commits import commit
from net.errors import OutOfOrderError, ThreadNotFoundError
from net.forks import MAX_BRANCH
from net.gaps import GapFiller
from net.network import Network
from net.peer_client import PeerClient, Place
from net.peer_codec import LogRecords
from net.peer_errors import InvalidReplyError
from net.records import RecordBlocks
from net.remote_logs import RemoteLog, hosts_of
from net.thread_id import ThreadID
from net.thread_info import LogInfo, ThreadInfo
from net.threads import Threads
from store import records as record_rows
from store.engine import Engine

_MAX_LOOKED = 10_000


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull brought.

    Args:
        records: How many records.
        gaps: The logs of which the host gives only records whose predecessors are missing here.
    """

    records: int
    gaps: tuple[bytes, ...] = ()


class Puller:
    """Fetches.

    Args:
        engine: The store.
        threads: The threads.
        network: Takes records.
        client: Asks other hosts.
        book: Is told which hosts serve a thread here.
        gaps: Fetches records that hosts no longer hand out.
        changed: Is told that the logs of a thread or their hosts have changed.
    """

    def __init__(
        self,
        engine: Engine,
        threads: Threads,
        network: Network,
        client: PeerClient,
        book: AddressBook,
        gaps: GapFiller,
        changed: Callable[[ThreadID], None],
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._network = network
        self._client = client
        self._book = book
        self._gaps = gaps
        self._changed = changed
        self._looked: OrderedDict[tuple[bytes, bytes, bytes], None] = OrderedDict()

    async def pull_logs(self, peer: bytes, thread: ThreadID) -> None:
        """Fetch the logs of a thread that is here.

        Args:
            peer: The host.
            thread: The thread.

        Raises:
            ThreadNotFoundError: The thread is not here.
            NetError: As `PeerClient`, `remote_logs.join_logs`.
        """
        key = self._threads.key(self._engine, thread)
        logs = await self._client.get_logs(peer, thread, key.service)
        await self.join(thread, [log.log for log in logs])

    async def pull_records(self, peer: bytes, thread: ThreadID) -> Pulled:
        """Fetch the records of a thread that is here until the host has nothing new.

        Args:
            peer: The host.
            thread: The thread.

        Returns:
            What came.

        Raises:
            ThreadNotFoundError: The thread is not here.
            NetError: As `PeerClient`, or a record is not what it should be; all before it is kept.
        """
        start = self._count(thread)
        offsets: dict[bytes, Place] = {}
        gaps: set[bytes] = set()
        rounds = 0
        while True:
            rounds += 1
            entries = await self._client.get_records(peer, self._threads.get(self._engine, thread), offsets)
            fresh = False
            for entry in entries:
                fresh = await self._take(peer, thread, entry, offsets, gaps) or fresh
            # Each round that is followed by another has brought something, whatever the host says of its counters.
            if not fresh and (rounds > 1 or not await self._look_for_forks(peer, thread, offsets)):
                return Pulled(self._count(thread) - start, tuple(gaps))

    async def join(self, thread: ThreadID, logs: list[RemoteLog]) -> None:
        """Take in logs, and the hosts that serve them.

        Args:
            thread: The thread.
            logs: The logs.

        Raises:
            ThreadNotFoundError, TooManyLogsError: As `remote_logs.join_logs`.
        """
        news = await commit(
            self._engine,
            lambda reader, transaction: remote_logs.join_logs(self._threads, reader, transaction, thread, logs),
        )
        if news:
            self._book.keep(hosts_of(self._threads.get(self._engine, thread).logs))
            self._changed(thread)

    async def _take(
        self, peer: bytes, thread: ThreadID, entry: LogRecords, offsets: dict[bytes, Place], gaps: set[bytes]
    ) -> bool:
        """Take the records of a log.

        Args:
            peer: Who gave them.
            thread: The thread.
            entry: The records.
            offsets: Where to go on in the log is put here, where that is not its head.
            gaps: The log is put here where what comes before the records is missing.

        Returns:
            Whether any are new.
        """
        if entry.log is not None and entry.log.log.id == entry.log_id:
            await self.join(thread, [entry.log.log])
        info = self._threads.get(self._engine, thread)
        log = next((each for each in info.logs if each.id == entry.log_id), None)
        if log is None or not entry.records:
            return False  # without its key nothing of it can be verified
        last = cid.of_block(entry.records[-1].record)
        before, _ = place_of(self._engine, info.number, log.number, last)
        try:
            await self._take_or_fill(peer, info, log, entry.records)
        except (OutOfOrderError, InvalidReplyError):
            gaps.add(log.id)
        except ThreadNotFoundError:
            return False  # it was deleted meanwhile
        position, is_beside = place_of(self._engine, info.number, log.number, last)
        offsets.pop(log.id, None)
        if is_beside:
            offsets[log.id] = Place(last, position)
        return not before and position > 0

    async def _take_or_fill(
        self, peer: bytes, thread: ThreadInfo, log: LogInfo, records: Sequence[RecordBlocks]
    ) -> None:
        try:
            await self._network.add_records(thread.id, log.id, records)
        except OutOfOrderError:
            await self._gaps.fill(peer, thread, log, records[0])
            await self._network.add_records(thread.id, log.id, records)

    def _count(self, thread: ThreadID) -> int:
        return sum(log.counter for log in self._threads.get(self._engine, thread).logs)

    async def _look_for_forks(self, peer: bytes, thread: ThreadID, offsets: dict[bytes, Place]) -> bool:
        """Find where the logs of a thread part from what a host has that gives nothing behind the heads here.

        Args:
            peer: The host.
            thread: The thread.
            offsets: A record of each such log that the host has as well is put here.

        Returns:
            Whether there is any.
        """
        info = self._threads.get(self._engine, thread)
        logs = {log.id: log for log in info.logs}
        found = False
        for told in await self._client.get_logs(peer, thread, info.key.service):
            log = logs.get(told.log.id)
            if log is None or log.head is None or told.head is None:
                continue
            key = (peer, log.id, told.head)
            if key in self._looked or place_of(self._engine, info.number, log.number, told.head)[0]:
                continue  # nothing is asked for again and again
            self._looked[key] = None
            if len(self._looked) > _MAX_LOOKED:
                self._looked.popitem(last=False)
            if await self._gaps.is_of(peer, info, log, told.head):
                found = await self._look_back(peer, info, log, offsets) or found
        return found

    async def _look_back(self, peer: bytes, thread: ThreadInfo, log: LogInfo, offsets: dict[bytes, Place]) -> bool:
        """Go back from a head, by longer and longer steps, to a record that a host has as well."""
        step = 1
        while step <= MAX_BRANCH:
            position = max(0, log.counter - step)
            row = record_rows.get_record(self._engine, thread.number, log.number, position) if position else None
            place = Place(None if row is None else row.cid, position)
            entries = await self._client.get_records(peer, thread, {log.id: place}, limit=1)
            if any(entry.log_id == log.id and entry.records for entry in entries):
                offsets[log.id] = place
                return True
            if not position:
                return False
            step *= 2
        return False
