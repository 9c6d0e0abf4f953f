"""What this host answers to others: the five methods of `net.pb.Service` (threads-protocol.md, "Peer protocol")."""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from net import cid, forks, peer_codec, remote_logs
from net.arrivals import place_of
from net.commits import commit
from net.errors import LogNotFoundError, NetError, OutOfOrderError, ThreadNotFoundError
from net.network import Network
from net.peer_codec import Offset
from net.peer_errors import UnknownMethodError
from net.remote_logs import RemoteLog, hosts_of
from net.thread_id import ThreadID
from net.thread_info import LogInfo, ThreadInfo
from net.thread_key import ThreadKey
from net.threads import Threads
from proto import net_pb2 as pb
from store import records as record_rows
from store import threads as rows
from store.engine import Engine, Reader, Transaction
from store.errors import StatusCode, ThreaddError
from store.records import RecordRow

CHUNK_BYTES = 3_500_000
"""How many bytes of records a reply holds: clients of go-threads take no message over 4 MiB."""

PULL_LIMIT = 10_000
"""How many records a reply holds."""

_RECORD_OVERHEAD = 32
_MAX_PROVEN = 10_000

log = logging.getLogger(__name__)


class BadServiceKeyError(NetError):
    """A service key is missing or another one."""

    code = StatusCode.UNAUTHENTICATED
    default_text = "invalid service-key"


class PeerEvents(Protocol):
    """Is told what the calls of peers mean for the exchange with them; it neither waits nor fails."""

    def has_news(self, peer: bytes, thread: ThreadID) -> None:
        """A peer has records of a thread that are not here."""

    def has_logs(self, peer: bytes, thread: ThreadID) -> None:
        """A peer knows other addresses of a thread."""

    def has_record(self, peer: bytes, thread: ThreadID, log_id: bytes, record: bytes) -> None:
        """A peer has a record, named by its CID."""

    def was_served(self, peer: bytes, thread: ThreadID, *, is_all: bool) -> None:
        """A peer was given records of a thread: all that it lacked, or as many as a reply holds."""

    def has_changed(self, thread: ThreadID) -> None:
        """The thread has come here, or its logs or their hosts have changed."""

    def is_followed(self, thread: ThreadID) -> None:
        """A peer has shown that it knows the service key of a thread that is here."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    log: LogInfo
    first: int
    rows: list[RecordRow]

    @property
    def last(self) -> int:
        """The position of the last record."""
        return self.first + len(self.rows) - 1

    @property
    def is_all(self) -> bool:
        """Whether nothing of the log follows."""
        return self.last == self.log.counter


class PeerService:
    """The answering side.

    Args:
        engine: The store.
        threads: The threads.
        network: Takes records.
        events: Is told what calls mean.
        keep_hosts: Is told the peer IDs of hosts that serve a thread here.
        clock: Nanoseconds since 1970.
    """

    def __init__(
        self,
        engine: Engine,
        threads: Threads,
        network: Network,
        events: PeerEvents,
        keep_hosts: Callable[[list[bytes]], None],
        clock: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._threads = threads
        self._network = network
        self._events = events
        self._keep_hosts = keep_hosts
        self._clock = clock
        self._proven: OrderedDict[tuple[bytes, ThreadID], None] = OrderedDict()
        methods = (self.get_logs, self.push_log, self.get_records, self.push_record, self.exchange_edges)
        names = ("GetLogs", "PushLog", "GetRecords", "PushRecord", "ExchangeEdges")
        self._methods: dict[str, Callable[[bytes, bytes], Awaitable[bytes]]] = {
            peer_codec.SERVICE + name: method for name, method in zip(names, methods, strict=True)
        }

    async def handle(self, peer: bytes, method: str, body: bytes) -> bytes:
        """Answer a call.

        Args:
            peer: The caller's peer ID.
            method: For instance `/net.pb.Service/GetLogs`.
            body: The request.

        Returns:
            The reply.

        Raises:
            UnknownMethodError: There is no such method.
            ThreaddError: As the methods.
        """
        answer = self._methods.get(method)
        if answer is None:
            raise UnknownMethodError(f"unknown method {method[:100]}")
        return await answer(peer, body)

    async def get_logs(self, peer: bytes, data: bytes) -> bytes:
        """Give the logs of a thread to whoever has its service key."""
        body = peer_codec.parse(pb.GetLogsRequest, data).body
        thread = self._open(peer, body)
        return pb.GetLogsReply(logs=map(peer_codec.log_message, thread.logs)).SerializeToString()

    async def push_log(self, peer: bytes, data: bytes) -> bytes:
        """Take a log into a thread; with a service key, replicate a thread that is not here yet.

        Whoever is not trusted adds no hosts: they would be called, with the service key.
        """
        body = peer_codec.parse(pb.PushLogRequest, data).body
        thread, key = peer_codec.thread_of(body.threadID), peer_codec.service_key_of(body)
        pushed = peer_codec.log_of(body.log)

        def add(reader: Reader, transaction: Transaction) -> bool:
            if self._threads.number(reader, thread) is not None:
                if key is not None and not remote_logs.is_service_key(reader, thread, key):
                    raise BadServiceKeyError
                return False
            if key is None:
                raise ThreadNotFoundError
            remote_logs.add_thread(self._threads, reader, transaction, thread, ThreadKey(key), self._clock())
            return True

        def join(reader: Reader, transaction: Transaction) -> bool:
            return remote_logs.join_logs(self._threads, reader, transaction, thread, [told])

        added = await commit(self._engine, add)
        if key is not None:
            self._prove(peer, thread)
        trusted = self._trusts(peer, thread)
        told = pushed.log if trusted else RemoteLog(pushed.log.public_key, ())
        if await commit(self._engine, join) or added:
            self._changed(thread)
        if trusted:
            self._events.has_news(peer, thread)
        return pb.PushLogReply().SerializeToString()

    async def get_records(self, peer: bytes, data: bytes) -> bytes:
        """Give what follows the offsets of a thread's logs: from the oldest on, as much as any client takes."""
        body = peer_codec.parse(pb.GetRecordsRequest, data).body
        thread = self._open(peer, body)
        offsets = {offset.log_id: offset for offset in peer_codec.offsets_of(body)}

        def find(reader: Reader) -> tuple[list[_Chunk], bool]:
            wanted = list(_wanted(reader, thread, offsets))
            found = list(_chunks(reader, thread, wanted))
            return found, len(found) == len(wanted) and all(chunk.is_all for chunk in found)

        chunks, is_all = await self._engine.read(find)
        reply = pb.GetRecordsReply()
        for chunk in chunks:
            reply.logs.append(
                pb.GetRecordsReply.LogEntry(
                    logID=chunk.log.id,
                    records=map(peer_codec.record_message, chunk.rows),
                    log=peer_codec.log_message(chunk.log, chunk.rows[-1].cid, chunk.last),
                )
            )
        if chunks:
            self._events.was_served(peer, thread.id, is_all=is_all)
        return reply.SerializeToString()

    async def push_record(self, peer: bytes, data: bytes) -> bytes:
        """Take a record to the end of its log; what comes before it is asked for where it is not here."""
        body = peer_codec.parse(pb.PushRecordRequest, data).body
        thread, log_id = peer_codec.thread_of(body.threadID), peer_codec.log_id_of(body.logID)
        blocks = peer_codec.blocks_of(body.record)
        try:
            await self._network.add_records(thread, log_id, [blocks])
        except ThreadNotFoundError as error:
            raise LogNotFoundError from error
        except OutOfOrderError:
            if self._trusts(peer, thread):
                self._events.has_news(peer, thread)
        else:
            if self._trusts(peer, thread):
                self._events.has_record(peer, thread, log_id, cid.of_block(blocks.record))
        return pb.PushRecordReply().SerializeToString()

    async def take_gossip(self, peer: bytes, topic: str, data: bytes) -> bool:
        """Take a record that a peer brings by pubsub.

        Args:
            peer: Who brings it, which need not be who made it.
            topic: The text of the ID of its thread.
            data: The request of `PushRecord`.

        Returns:
            Whether it is a record of a log of that thread, so that others may get it.
        """
        try:
            body = peer_codec.parse(pb.PushRecordRequest, data).body
            thread = peer_codec.thread_of(body.threadID)
            if thread.text != topic:
                return False
            await self.push_record(peer, data)
        except LogNotFoundError:
            if self._threads.number(self._engine, thread) is None:
                self._events.has_changed(thread)  # it was deleted, and nothing more of it is to be heard
            elif self._trusts(peer, thread):
                self._events.has_news(peer, thread)  # the record was faster than the log that it is in
            return False
        except ThreaddError as error:
            log.debug("a record that came by pubsub is refused: %s", error.text)
            return False
        return True

    async def exchange_edges(self, peer: bytes, data: bytes) -> bytes:
        """Compare what both sides have of some threads, and ask the other for what differs."""
        theirs = peer_codec.edges_of_request(peer_codec.parse(pb.ExchangeEdgesRequest, data))
        ours = [(thread, remote_logs.edges_of(self._engine, thread)) for thread, _ in theirs]
        for (thread, remote), (_, local) in zip(theirs, ours, strict=True):
            if not self._trusts(peer, thread):
                continue
            if remote.addresses and remote.addresses != local.addresses:
                self._events.has_logs(peer, thread)
            if remote.heads and remote.heads != local.heads:
                self._events.has_news(peer, thread)
        return peer_codec.edges_reply(ours).SerializeToString()

    def _open(self, peer: bytes, body: pb.GetLogsRequest.Body | pb.GetRecordsRequest.Body) -> ThreadInfo:
        """Give the thread that a request names to whoever has its service key."""
        thread, key = peer_codec.thread_of(body.threadID), peer_codec.service_key_of(body)
        if key is None:
            raise BadServiceKeyError("a service-key is required to get logs")
        if not remote_logs.is_service_key(self._engine, thread, key):
            raise BadServiceKeyError
        self._prove(peer, thread)
        return self._threads.get(self._engine, thread)

    def _prove(self, peer: bytes, thread: ThreadID) -> None:
        """Remember that a peer knows the service key of a thread."""
        self._events.is_followed(thread)
        self._proven[peer, thread] = None
        self._proven.move_to_end((peer, thread))
        if len(self._proven) > _MAX_PROVEN:
            self._proven.popitem(last=False)

    def _trusts(self, peer: bytes, thread: ThreadID) -> bool:
        """Tell whether a peer may be called for a thread, which shows it the service key.

        It serves the thread, as those say that are trusted, or it has shown that it knows the key.
        """
        if (peer, thread) in self._proven:
            return True
        row = rows.get_thread(self._engine, thread.bytes)
        return row is not None and peer in hosts_of(rows.logs_of(self._engine, row.number))

    def _changed(self, thread: ThreadID) -> None:
        self._keep_hosts(hosts_of(self._threads.get(self._engine, thread).logs))
        self._events.has_changed(thread)


def _wanted(reader: Reader, thread: ThreadInfo, offsets: dict[bytes, Offset]) -> Iterator[tuple[LogInfo, int, int]]:
    """The logs that have news, with the position of the first and how many are wanted."""
    for log in thread.logs:
        offset = offsets.get(log.id)
        first = 1 if offset is None else _first_behind(reader, thread.number, log, offset)
        limit = PULL_LIMIT if offset is None else offset.limit
        if limit and first <= log.counter:
            yield log, first, limit


def _chunks(reader: Reader, thread: ThreadInfo, wanted: list[tuple[LogInfo, int, int]]) -> Iterator[_Chunk]:
    """Share a reply among the logs that have news."""
    share, left, places = CHUNK_BYTES // max(1, len(wanted)), CHUNK_BYTES, PULL_LIMIT
    for log, first, limit in wanted:
        found: list[RecordRow] = []
        size = 0
        for _, row in record_rows.records_from(reader, thread.number, log.number, first):
            more = len(row.record) + len(row.event) + len(row.header) + len(row.body) + _RECORD_OVERHEAD
            full = size + more > min(share, left) and (found or left < CHUNK_BYTES)  # a long record goes alone
            if full or len(found) >= min(limit, places):
                break
            found.append(row)
            size += more
        if found:
            left -= size
            places -= len(found)
            yield _Chunk(log, first, found)


def _first_behind(reader: Reader, thread_number: int, log: LogInfo, offset: Offset) -> int:
    """The position behind what the other side has; behind the head where what it has is not known here."""
    if offset.head is None:
        return 1
    if offset.head == log.head:
        return log.counter + 1
    if 0 < offset.counter < log.counter:
        row = record_rows.get_record(reader, thread_number, log.number, offset.counter)
        if row is not None and row.cid == offset.head:
            return offset.counter + 1
    position, is_beside = place_of(reader, thread_number, log.number, offset.head)
    if not is_beside:
        return position + 1 if position else log.counter + 1
    # The other side has another history of the log: it is given this one from where they part.
    parted = forks.parting(reader, thread_number, offset.head)
    return log.counter + 1 if parted is None else parted[0] + 1
