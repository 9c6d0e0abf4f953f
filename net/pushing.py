"""Handing new records to another host: each only if it has the one before, else both sides compare what they have.

A go-threads daemon that is given a record whose predecessor it lacks looks for that by other ways, and a thread may
stand still there until it restarts (threads-protocol.md, "Peer protocol").
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from net import remote_logs
from net.errors import ThreadNotFoundError
from net.peer_client import PeerClient
from net.peer_errors import PeerRefusedError
from net.remote_logs import Edges
from net.thread_id import ThreadID
from net.thread_info import LogInfo, ThreadInfo
from net.threads import Threads
from store import records as record_rows
from store.engine import Engine
from store.errors import StatusCode

MAX_PUSHED = 32
"""A host that is further behind is asked to pull."""

MAX_REMEMBERED = 8
"""How many states of a thread are remembered, to recognise one that another host still has."""

_MAX_THREADS = 10_000

Positions = dict[bytes, int]
"""How many records of each log, by log ID."""


@dataclass(slots=True)
class Known:
    """What is known of what a host has."""

    positions: OrderedDict[ThreadID, Positions] = field(default_factory=OrderedDict)

    def set(self, thread: ThreadID, positions: Positions) -> None:
        """It is known how many records of each log of a thread it has."""
        kept = self.positions.setdefault(thread, {})
        for log_id, position in positions.items():
            kept[log_id] = max(position, kept.get(log_id, 0))
        self.positions.move_to_end(thread)
        if len(self.positions) > _MAX_THREADS:
            self.positions.popitem(last=False)

    def get(self, thread: ThreadID) -> Positions:
        """How many records of the logs of a thread it is known to have."""
        return self.positions.get(thread, {})

    def forget(self) -> None:
        """The host may have lost anything."""
        self.positions.clear()


class Pusher:
    """Hands over records and compares edges.

    Args:
        engine: The store.
        threads: The threads.
        client: Calls other hosts.
    """

    def __init__(self, engine: Engine, threads: Threads, client: PeerClient) -> None:
        self._engine = engine
        self._threads = threads
        self._client = client
        self._states: OrderedDict[ThreadID, OrderedDict[int, Positions]] = OrderedDict()

    def remember(self, thread: ThreadID) -> Edges:
        """Give the edges of a thread, and remember the state that they stand for.

        Args:
            thread: The thread.
        """
        edges = remote_logs.edges_of(self._engine, thread)
        if edges.heads:
            states = self._states.setdefault(thread, OrderedDict())
            states[edges.heads] = _positions(self._threads.get(self._engine, thread))
            while len(states) > MAX_REMEMBERED:
                states.popitem(last=False)
            self._states.move_to_end(thread)
            if len(self._states) > _MAX_THREADS:
                self._states.popitem(last=False)
        return edges

    def compare(self, thread: ThreadID, known: Known, theirs: Edges) -> bool:
        """Take note of the edges of a thread at another host.

        Args:
            thread: The thread.
            known: What is known of the host.
            theirs: The edges there.

        Returns:
            Whether the host may have records that are not here.
        """
        ours = self.remember(thread)
        states = self._states.get(thread)
        state = None if states is None else states.get(theirs.heads)
        if state is not None:
            known.set(thread, state)
        return theirs.heads not in (0, ours.heads) and state is None

    def can_push(self, thread: ThreadID, known: Known) -> bool:
        """Tell whether pushes would bring a host further.

        Args:
            thread: The thread; it is here.
            known: What is known of the host.
        """
        positions = known.get(thread)
        for log in self._threads.get(self._engine, thread).logs:
            have = positions.get(log.id, 0 if log.counter == 1 else None)
            if log.managed and have is not None and have < log.counter <= have + MAX_PUSHED:
                return True
        return False

    async def push(self, peer: bytes, thread: ThreadID, known: Known) -> bool:
        """Hand over what was written here and the host lacks.

        Args:
            peer: The host.
            thread: The thread.
            known: What is known of the host; it is brought up to date.

        Returns:
            Whether it has all of it now; where it does not, both sides have to compare what they have.

        Raises:
            NetError: As `PeerClient`.
        """
        try:
            info = self._threads.get(self._engine, thread)
        except ThreadNotFoundError:
            return True
        done = True
        for log in info.logs:
            if log.managed and log.counter:
                done = await self._push_log(peer, info, log, known) and done
        return done

    async def _push_log(self, peer: bytes, thread: ThreadInfo, log: LogInfo, known: Known) -> bool:
        have = known.get(thread.id).get(log.id)
        if have is None and log.counter > 1:
            return False
        have = have or 0
        if log.counter - have > MAX_PUSHED:
            return False
        for position in range(have + 1, log.counter + 1):
            row = record_rows.get_record(self._engine, thread.number, log.number, position)
            if row is None:
                return True  # the thread was deleted meanwhile
            try:
                await self._client.push_record(peer, thread.id, log.id, position, row)
            except PeerRefusedError as error:
                if error.status != StatusCode.NOT_FOUND:
                    raise
                await self._client.push_log(peer, thread.id, log, None)
                if position > 1:
                    return False
                await self._client.push_record(peer, thread.id, log.id, position, row)
            known.set(thread.id, {log.id: position})
        return True


def _positions(thread: ThreadInfo) -> Positions:
    return {log.id: log.counter for log in thread.logs}
