"""The verbs of the network API that need other hosts: joining, pulling, replicators, records that are not here yet."""

import asyncio
from collections.abc import Callable, Sequence

from net import remote_logs
from net.address_book import AddressBook
from net.commits import commit
from net.errors import (
    InvalidAddressError,
    MissingKeyError,
    NetError,
    RecordNotFoundError,
    ThreadNotFoundError,
)
from net.keys import PrivateKey, PublicKey
from net.multiaddr import Multiaddr
from net.network import Network
from net.peer_client import PeerClient
from net.pulling import Puller
from net.records import RecordBlocks
from net.remote_logs import RemoteLog, hosts_of
from net.sync import Sync
from net.thread_id import ThreadID
from net.thread_info import ThreadInfo
from net.thread_key import ThreadKey
from net.threads import Threads
from store.engine import Engine, Reader, Transaction


class Replication:
    """What goes on between this host and others on behalf of a client.

    Args:
        engine: The store.
        threads: The threads.
        network: What can be done without other hosts.
        client: Calls other hosts.
        book: Remembers where they are.
        puller: Fetches.
        sync: Keeps threads in step.
        clock: Nanoseconds since 1970.
    """

    def __init__(
        self,
        engine: Engine,
        threads: Threads,
        network: Network,
        client: PeerClient,
        book: AddressBook,
        puller: Puller,
        sync: Sync,
        clock: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._network = network
        self._client = client
        self._book = book
        self._puller = puller
        self._sync = sync
        self._clock = clock

    async def add_thread(
        self,
        address: Multiaddr,
        *,
        identity: PublicKey,
        key: ThreadKey | None = None,
        log_key: PrivateKey | PublicKey | None = None,
    ) -> ThreadInfo:
        """Join the thread at an address; its records follow by themselves. A join that fails leaves nothing behind.

        Args:
            address: Ends in `/p2p/<host>/thread/<thread>`.
            identity: Whoever joins.
            key: The thread's keys. With the service key alone and no log key, no log is made.
            log_key: The log's key; random where left out.

        Returns:
            The thread with the logs that its host tells of.

        Raises:
            InvalidAddressError: The address names no thread or no host.
            LogExistsError, ThreadExistsError: As `Threads.check_new_log`.
            ThreadNotFoundError: The host does not have the thread.
            MissingKeyError: No key is given.
            KeyMismatchError: The thread is here with other keys.
            NetError: As `PeerClient`.
        """
        thread, host = address.thread_id(), address.peer_id()
        if thread is None:
            raise InvalidAddressError("invalid thread address: it must end in /thread/<thread ID>")
        if host is None:
            raise InvalidAddressError("invalid p2p multiaddr: it must name the host with /p2p/<peer ID>")
        if self.is_own(address):
            return await self._network.attach_thread(thread, identity=identity, key=key, log_key=log_key)
        self._threads.check_new_log(self._engine, thread, identity, log_key)
        if key is None:
            raise MissingKeyError("a service-key is required to add a thread")
        logs = await self.ask_for_logs(address, key)

        def build(reader: Reader, transaction: Transaction) -> None:
            self._threads.check_new_log(reader, thread, identity, log_key)
            if key.read is not None or log_key is not None:
                made = self._threads.create(reader, transaction, thread, identity=identity, key=key, log_key=log_key)
                number = made.number
            else:
                number = remote_logs.add_thread(self._threads, reader, transaction, thread, key, self._clock())
            remote_logs.stage_logs(self._threads, reader, transaction, number, logs)

        await commit(self._engine, build)
        return self.has_joined(thread)

    async def ask_for_logs(self, address: Multiaddr, key: ThreadKey) -> list[RemoteLog]:
        """Ask the host of a thread for its logs; nothing is kept but where the host is.

        Args:
            address: Ends in `/p2p/<host>/thread/<thread>`.
            key: The thread's keys.

        Returns:
            At least one log.

        Raises:
            InvalidAddressError: The address names no thread or no host.
            ThreadNotFoundError: The host does not have the thread.
            NetError: As `PeerClient`.
        """
        thread, host = address.thread_id(), address.peer_id()
        if thread is None or host is None:
            raise InvalidAddressError("invalid thread address: it must end in /p2p/<host>/thread/<thread ID>")
        self._learn(host, address)
        logs = [told.log for told in await self._client.get_logs(host, thread, key.service)]
        if not logs:
            raise ThreadNotFoundError
        return logs

    def has_joined(self, thread: ThreadID) -> ThreadInfo:
        """Begin to keep a thread in step that has come here with its logs.

        Args:
            thread: The thread's ID.

        Returns:
            The thread.

        Raises:
            ThreadNotFoundError: It is not here.
        """
        joined = self._threads.get(self._engine, thread)
        self._book.keep(hosts_of(joined.logs))
        self._sync.has_changed(thread)
        return joined

    def learn(self, address: Multiaddr) -> None:
        """Remember where a host may be.

        Args:
            address: Holds `/p2p/<host>` behind what can be dialled; the host's latest address is tried first.
        """
        host = address.peer_id()
        if host is not None:
            self._learn(host, address)

    def is_own(self, address: Multiaddr) -> bool:
        """Tell whether an address is one of this host.

        Args:
            address: Holds `/p2p/<host>`.
        """
        return address.peer_id() == self._threads.host.peer_id

    async def pull_thread(self, thread: ThreadID) -> None:
        """Fetch what the other hosts of a thread have; where there are none, there is nothing to fetch.

        Args:
            thread: The thread's ID.

        Raises:
            ThreadNotFoundError: It is not here.
            NetError: None of its hosts could give it: as `PeerClient`.
        """
        self._threads.get(self._engine, thread)
        hosts = self._sync.hosts(thread)
        results = await asyncio.gather(*(self._pull(host, thread) for host in hosts), return_exceptions=True)
        failed = [result for result in results if isinstance(result, BaseException)]
        for error in failed:
            if not isinstance(error, NetError) or len(failed) == len(results):
                raise error

    async def add_replicator(self, thread: ThreadID, address: Multiaddr) -> bytes:
        """Have a host keep a copy of a thread.

        Args:
            thread: The thread's ID.
            address: Holds `/p2p/<host>`.

        Returns:
            The host's peer ID.

        Raises:
            ThreadNotFoundError: The thread is not here.
            InvalidAddressError: The address names no host.
            NetError: As `PeerClient`; nothing has changed then.
        """
        info = self._threads.get(self._engine, thread)
        host = address.peer_id()
        if host is None:
            raise InvalidAddressError("invalid p2p multiaddr: it must name the host with /p2p/<peer ID>")
        if host == self._threads.host.peer_id:
            return host
        self._learn(host, address)
        for log in info.logs:
            await self._client.push_log(host, thread, log, info.key.service)
        await commit(self._engine, lambda reader, change: remote_logs.add_host(reader, change, thread, host))
        managed = [log for log in self._threads.get(self._engine, thread).logs if log.managed]
        self._book.keep([host])
        self._sync.has_changed(thread)
        told = (self._client.push_log(each, thread, log, None) for each in self._sync.hosts(thread) for log in managed)
        # Whoever is away now hears of the replicator when edges are compared.
        for result in await asyncio.gather(*told, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, NetError):
                raise result
        return host

    async def get_record(self, thread: ThreadID, record: bytes) -> RecordBlocks:
        """Give a record of a thread; where it is not here, the other hosts are asked once.

        Args:
            thread: The thread's ID.
            record: The record's CID, in bytes.

        Raises:
            ThreadNotFoundError: The thread is not here.
            RecordNotFoundError: None of its hosts has it.
        """
        try:
            return await self._network.get_record(thread, record)
        except RecordNotFoundError:
            if not self._sync.hosts(thread):
                raise
        try:
            await self.pull_thread(thread)
        except NetError as error:
            raise RecordNotFoundError from error
        return await self._network.get_record(thread, record)

    def dialable(self, thread: ThreadID) -> Sequence[tuple[bytes, list[Multiaddr]]]:
        """Give the other hosts of a thread with the addresses that are known of them.

        Args:
            thread: The thread's ID.
        """
        return [(host, self._book.addresses(host)) for host in self._sync.hosts(thread)]

    async def _pull(self, host: bytes, thread: ThreadID) -> None:
        await self._puller.pull_logs(host, thread)
        await self._puller.pull_records(host, thread)

    def _learn(self, host: bytes, address: Multiaddr) -> None:
        where = address.until("p2p")
        if where is not None:
            self._book.learn(host, [where.bytes])
