"""Keeping threads in step with the other hosts that serve them.

Each host has two lanes of work, so that a long pull holds up no push. A host that cannot be reached is tried again
later and later, and at once when it calls. Every cycle all threads are compared by their edges, which mends whatever
was missed (cycle and numbers: threads-protocol.md, "Peer protocol").
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from net.address_book import AddressBook
from net.errors import SubscriberTooSlowError, ThreadNotFoundError
from net.gossiping import Gossiping
from net.peer_client import PeerClient
from net.peer_errors import HostError, PeerRefusedError, PeerTooSlowError, PeerUnreachableError
from net.pulling import Puller
from net.pushing import Known, Pusher
from net.remote_logs import hosts_of
from net.thread_id import ThreadID
from net.thread_info import AppendedRecord
from net.threads import Threads
from store import background
from store import threads as rows
from store.engine import Engine
from store.errors import ThreaddError

FIRST_CYCLE_SECONDS = 1.0
CYCLE_SECONDS = 10.0
THREADS_PER_EXCHANGE = 10

FIRST_RETRY_SECONDS = 1.0
_BACKGROUND = "exchange with peers"
LAST_RETRY_SECONDS = 300.0

_CONFIRM_SECONDS = (0.1, 0.3, 1.0, 3.0)
_AWAY = (PeerUnreachableError, PeerTooSlowError, HostError)

Sleep = Callable[[float], Awaitable[None]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PeerState:
    """How the exchange with a host stands.

    Args:
        peer: Its peer ID.
        threads: How many threads it serves.
        failures: How many times in a row it could not be reached.
        last_contact: When it last answered, by the clock that was passed in; None for never.
        last_error: What went wrong last, or nothing.
    """

    peer: bytes
    threads: int
    failures: int
    last_contact: float | None
    last_error: str


@dataclass(slots=True, eq=False)
class _Lane:
    """Work of one kind for one host, each piece once."""

    work: "dict[tuple[str, ThreadID], None]" = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, kind: str, thread: ThreadID) -> None:
        self.work[kind, thread] = None
        self.news.set()

    def take(self, kind: str, most: int) -> list[ThreadID]:
        found = [thread for each, thread in self.work if each == kind][:most]
        for thread in found:
            del self.work[kind, thread]
        return found


@dataclass(slots=True, eq=False)
class _Peer:
    id: bytes
    threads: set[ThreadID] = field(default_factory=set)
    known: Known = field(default_factory=Known)
    pushes: _Lane = field(default_factory=_Lane)
    pulls: _Lane = field(default_factory=_Lane)
    back: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    last_contact: float | None = None
    last_error: str = ""


class Sync:
    """The exchange with all hosts; it is told what happens here and what peers call (`peer_service.PeerEvents`).

    Args:
        engine: The store.
        threads: The threads.
        client: Calls other hosts.
        book: Remembers where they are.
        puller: Fetches.
        gossiping: Tells of records by pubsub, where that is on.
        clock: Seconds from any moment.
        sleep: Waits some seconds.
        chance: Spreads retries.
    """

    def __init__(
        self,
        engine: Engine,
        threads: Threads,
        client: PeerClient,
        book: AddressBook,
        puller: Puller,
        gossiping: Gossiping,
        *,
        clock: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
        chance: random.Random,
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._client = client
        self._book = book
        self._puller = puller
        self._gossiping = gossiping
        self._pusher = Pusher(engine, threads, client)
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._own = threads.host.peer_id
        self._peers: dict[bytes, _Peer] = {}
        self._hosts: dict[ThreadID, frozenset[bytes]] = {}
        self._confirming: set[tuple[bytes, ThreadID]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def start(self) -> None:
        """Begin: dial the hosts of all threads, compare, pull and push."""
        for thread in self._threads.list(self._engine):
            self.has_changed(thread)
        self._spawn(self._follow, restart=FIRST_RETRY_SECONDS)
        self._spawn(self._cycle, restart=FIRST_RETRY_SECONDS)

    async def close(self) -> None:
        """End all work; what is not done is done after the next start."""
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def states(self) -> list[PeerState]:
        """Give how the exchange with each host stands."""
        return [
            PeerState(peer.id, len(peer.threads), peer.failures, peer.last_contact, peer.last_error)
            for peer in self._peers.values()
        ]

    def hosts(self, thread: ThreadID) -> list[bytes]:
        """Give the other hosts of a thread.

        Args:
            thread: The thread.
        """
        return sorted(self._hosts.get(thread, ()))

    def lag(self, peer: bytes, thread: ThreadID) -> int | None:
        """Give how many records of a thread that are here a host is not known to have; None where nothing is known.

        Args:
            peer: The host.
            thread: The thread.
        """
        known = self._peers[peer].known.get(thread) if peer in self._peers else {}
        if not known:
            return None
        logs = self._threads.get(self._engine, thread).logs
        return sum(max(0, each.counter - known.get(each.id, 0)) for each in logs)

    def is_back(self, peer: bytes) -> None:
        """A host is connected: if it serves threads that are here, compare them at once."""
        known = self._peers.get(peer)
        if known is not None:
            known.failures = 0
            known.back.set()
            self._compare(known, known.threads)

    def has_news(self, peer: bytes, thread: ThreadID) -> None:
        """A peer has records of a thread that are not here."""
        self._peer(peer).pulls.add("records", thread)

    def has_logs(self, peer: bytes, thread: ThreadID) -> None:
        """A peer knows other addresses of a thread."""
        self._peer(peer).pulls.add("logs", thread)

    def has_record(self, peer: bytes, thread: ThreadID, log_id: bytes, record: bytes) -> None:
        """A peer has a record."""
        row = rows.get_thread(self._engine, thread.bytes)
        known = None if row is None else rows.get_log(self._engine, row.number, log_id)
        if row is None or known is None:
            return
        head = rows.get_head(self._engine, row.number, known.number)
        if head.cid == record:
            self._peer(peer).known.set(thread, {log_id: head.counter})

    def was_served(self, peer: bytes, thread: ThreadID, *, is_all: bool) -> None:
        """A peer was given records of a thread: all that it lacked, or as many as a reply holds.

        A go-threads daemon that is shown other heads while it takes in what it was given asks for all of it again.
        """
        self._pusher.remember(thread)
        if not is_all and (peer, thread) not in self._confirming:
            self._confirming.add((peer, thread))
            self._spawn(partial(self._confirm, self._peer(peer), thread))

    def has_changed(self, thread: ThreadID) -> None:
        """The thread has come here, or its logs or their hosts have changed, or it has gone."""
        try:
            logs = self._threads.get(self._engine, thread).logs
        except ThreadNotFoundError:
            hosts: frozenset[bytes] = frozenset()
        else:
            hosts = frozenset(hosts_of(logs)) - {self._own}
        for gone in self._hosts.get(thread, frozenset()) - hosts:
            self._peers[gone].threads.discard(thread)
        for host in hosts:
            peer = self._peer(host)
            peer.threads.add(thread)
            peer.pulls.add("edges", thread)
        self._hosts[thread] = hosts
        if not hosts:
            del self._hosts[thread]
        self._book.keep(hosts)
        self._gossiping.has_changed(thread)

    def is_followed(self, thread: ThreadID) -> None:
        """A peer has shown that it knows the service key of a thread that is here."""
        self._gossiping.has_changed(thread)

    def _peer(self, peer_id: bytes) -> _Peer:
        peer = self._peers.get(peer_id)
        if peer is None:
            peer = self._peers[peer_id] = _Peer(peer_id)
            self._spawn(partial(self._work, peer, peer.pushes, self._push_some))
            self._spawn(partial(self._work, peer, peer.pulls, self._pull_some))
        return peer

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]], restart: float | None = None) -> None:
        if self._closing:
            return
        task = background.spawn(_BACKGROUND, work, restart=restart, sleep=self._sleep)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self) -> None:
        """Push what is written here."""
        while True:
            with self._threads.feed.subscribe(()) as subscription, suppress(SubscriberTooSlowError):
                async for record in subscription.records():
                    self._written(record)
                return
            for peer in self._peers.values():
                for thread in peer.threads:
                    peer.pushes.add("push", thread)

    def _written(self, record: AppendedRecord) -> None:
        hosts = self._hosts.get(record.thread)
        if not hosts and not self._gossiping.is_on:
            return
        row = rows.get_log(self._engine, record.thread_number, record.log_id)
        if row is None or not row.managed:
            return  # whoever wrote it brings it to the others
        self._gossiping.publish(record)
        for host in hosts or ():
            self._peer(host).pushes.add("push", record.thread)

    async def _cycle(self) -> None:
        await self._sleep(FIRST_CYCLE_SECONDS)
        while True:
            for peer in list(self._peers.values()):
                self._compare(peer, peer.threads)
                await asyncio.sleep(0)
            await self._sleep(CYCLE_SECONDS * (0.9 + 0.2 * self._chance.random()))

    def _compare(self, peer: _Peer, threads: Iterable[ThreadID]) -> None:
        for thread in threads:
            peer.pulls.add("edges", thread)

    async def _confirm(self, peer: _Peer, thread: ThreadID) -> None:
        """Compare until the host has taken in what it was given: it asks for more then, or can be pushed to."""
        try:
            for pause in _CONFIRM_SECONDS:
                await self._sleep(pause)
                if self.lag(peer.id, thread) == 0:
                    return
                peer.pulls.add("edges", thread)
        except ThreadNotFoundError:
            return
        finally:
            self._confirming.discard((peer.id, thread))

    async def _work(self, peer: _Peer, lane: _Lane, do: Callable[[_Peer], Awaitable[None]]) -> None:
        """Do the work of a lane for as long as the daemon runs."""
        while True:
            await lane.news.wait()
            lane.news.clear()
            while lane.work:
                try:
                    await do(peer)
                except _AWAY as error:
                    peer.known.forget()
                    peer.last_error = error.text
                    peer.failures += 1
                    await self._rest(peer)
                    self._compare(peer, peer.threads)
                except ThreaddError as error:
                    peer.last_error = error.text
                    log.warning("exchange with a peer: %s", error.text)
                except Exception as error:  # noqa: BLE001  a bug in one exchange is not to end all with this host
                    background.record_failure(_BACKGROUND, error)
                    peer.last_error = "an internal error, which is in the log"
                    peer.failures += 1
                    await self._rest(peer)
                else:
                    peer.failures = 0
                    peer.last_contact = self._clock()

    async def _rest(self, peer: _Peer) -> None:
        """Leave a host that is away alone for a while, unless it calls."""
        seconds = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(peer.failures - 1, 10))
        peer.back.clear()
        sleep = asyncio.ensure_future(self._sleep(seconds * (0.5 + 0.5 * self._chance.random())))
        back = asyncio.ensure_future(peer.back.wait())
        try:
            await asyncio.wait((sleep, back), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in (sleep, back):
                waiting.cancel()
            await asyncio.gather(sleep, back, return_exceptions=True)

    async def _push_some(self, peer: _Peer) -> None:
        for thread in peer.pushes.take("push", 1):
            if not await self._pusher.push(peer.id, thread, peer.known):
                peer.pulls.add("edges", thread)

    async def _pull_some(self, peer: _Peer) -> None:
        threads = peer.pulls.take("edges", THREADS_PER_EXCHANGE)
        if threads:
            await self._exchange(peer, threads)
        for thread in peer.pulls.take("logs", 1):
            with suppress(ThreadNotFoundError):
                await self._puller.pull_logs(peer.id, thread)
        for thread in peer.pulls.take("records", 1):
            await self._pull(peer, thread)

    async def _exchange(self, peer: _Peer, threads: list[ThreadID]) -> None:
        ours = {}
        for thread in threads:
            if self._threads.number(self._engine, thread) is None:
                self.has_changed(thread)
            else:
                ours[thread] = self._pusher.remember(thread)
        if not ours:
            return
        theirs = await self._client.exchange_edges(peer.id, ours.items())
        for thread, edges in theirs.items():
            if self._threads.number(self._engine, thread) is None:
                continue
            if edges.addresses not in (0, ours[thread].addresses):
                peer.pulls.add("logs", thread)
            if self._pusher.compare(thread, peer.known, edges):
                peer.pulls.add("records", thread)
            elif edges.heads != ours[thread].heads and self._pusher.can_push(thread, peer.known):
                peer.pushes.add("push", thread)

    async def _pull(self, peer: _Peer, thread: ThreadID) -> None:
        try:
            pulled = await self._puller.pull_records(peer.id, thread)
        except ThreadNotFoundError:
            return
        except PeerRefusedError as error:
            peer.last_error = error.text
            log.info("a peer gives no records: %s", error.text)
            return
        if pulled.gaps:
            peer.last_error = "the peer no longer gives the oldest records of a log"
