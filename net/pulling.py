"""Fetching from another host what it has of a thread: its logs, and the records behind the heads here."""

from collections.abc import Callable
from dataclasses import dataclass

from net import remote_logs
from net.address_book import AddressBook
from net.commits import commit
from net.errors import OutOfOrderError, ThreadNotFoundError
from net.gaps import GapFiller
from net.network import Network
from net.peer_client import PeerClient
from net.peer_codec import LogRecords
from net.peer_errors import InvalidReplyError
from net.remote_logs import RemoteLog, hosts_of
from net.thread_id import ThreadID
from net.threads import Threads
from store.engine import Engine


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
        total = 0
        while True:
            before = self._threads.get(self._engine, thread)
            entries = await self._client.get_records(peer, before)
            gaps = [entry.log_id for entry in entries if not await self._take(peer, thread, entry)]
            known = {log.id: log.counter for log in before.logs}
            after = self._threads.get(self._engine, thread)
            told = {entry.log_id for entry in entries}
            fresh = sum(log.counter - known.get(log.id, 0) for log in after.logs if log.id in told)
            total += fresh
            # Each round that is followed by another has brought something, whatever the host says of its counters.
            if fresh <= 0:
                return Pulled(total, tuple(gaps))

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

    async def _take(self, peer: bytes, thread: ThreadID, entry: LogRecords) -> bool:
        """Take the records of a log; False where what comes before them is missing."""
        if entry.log is not None and entry.log.log.id == entry.log_id:
            await self.join(thread, [entry.log.log])
        info = self._threads.get(self._engine, thread)
        log = next((each for each in info.logs if each.id == entry.log_id), None)
        if log is None or not entry.records:
            return True  # without its key nothing of it can be verified
        try:
            await self._network.add_records(thread, entry.log_id, entry.records)
        except OutOfOrderError:
            try:
                await self._gaps.fill(peer, info, log, entry.records[0])
                await self._network.add_records(thread, entry.log_id, entry.records)
            except (OutOfOrderError, InvalidReplyError):
                return False
        except ThreadNotFoundError:
            return True  # it was deleted meanwhile
        return True
