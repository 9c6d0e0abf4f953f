"""What this host asks of others: the five methods of `net.pb.Service`, each with a deadline."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from net import peer_codec
from net.address_book import AddressBook
from net.multiaddr import Multiaddr
from net.peer_codec import LogHead, LogRecords
from net.peer_service import PULL_LIMIT
from net.remote_logs import Edges
from net.thread_id import ThreadID
from net.thread_info import LogInfo, ThreadInfo
from proto import net_pb2 as pb
from store.records import RecordRow

CALL_SECONDS = 10.0
"""How long a host may take to answer."""

PULL_SECONDS = 60.0
"""How long it may take for records: one of go-threads gathers up to 10,000 of them, four blocks each."""


@dataclass(frozen=True, slots=True)
class Place:
    """A record of a log.

    Args:
        record: Its CID, None for what is before the first.
        position: Its position in its history, from 1.
    """

    record: bytes | None
    position: int


class Transport(Protocol):
    """Brings a call to a host; `net.host.host.Host` is one."""

    async def request(
        self, peer: bytes, addresses: Sequence[Multiaddr], method: str, body: bytes, seconds: float
    ) -> bytes:
        """Call a method of a peer.

        Args:
            peer: Its peer ID.
            addresses: Where it may be.
            method: The method.
            body: The request.
            seconds: How long it may take.

        Returns:
            The reply.

        Raises:
            PeerUnreachableError, PeerTooSlowError, PeerRefusedError: There is none.
        """

    async def fetch(
        self, peer: bytes, addresses: Sequence[Multiaddr], cids: Sequence[bytes], seconds: float
    ) -> dict[bytes, bytes]:
        """Ask a peer for blocks.

        Args:
            peer: Its peer ID.
            addresses: Where it may be.
            cids: The CIDs of the blocks.
            seconds: How long it may take.

        Returns:
            The blocks that it has, by CID; each is what its CID says.

        Raises:
            PeerUnreachableError, PeerTooSlowError: It does not answer.
        """


class PeerClient:
    """The asking side.

    All methods raise `PeerUnreachableError`, `PeerTooSlowError` and `PeerRefusedError`, and `InvalidReplyError` where
    what comes back makes no sense.

    Args:
        transport: Brings calls to hosts.
        book: Tells where they are.
    """

    def __init__(self, transport: Transport, book: AddressBook) -> None:
        self._transport = transport
        self._book = book

    async def get_logs(self, peer: bytes, thread: ThreadID, service_key: bytes) -> list[LogHead]:
        """Ask for the logs of a thread.

        Args:
            peer: The host.
            thread: The thread.
            service_key: Its service key.
        """
        body = pb.GetLogsRequest.Body(threadID=thread.bytes, serviceKey=service_key)
        reply = await self._call(peer, "GetLogs", pb.GetLogsRequest(body=body).SerializeToString())
        return peer_codec.logs_of_reply(reply)

    async def push_log(self, peer: bytes, thread: ThreadID, log: LogInfo, service_key: bytes | None) -> None:
        """Tell of a log.

        Args:
            peer: The host.
            thread: The thread.
            log: The log.
            service_key: Makes the host replicate the thread; None for one that does already.
        """
        body = pb.PushLogRequest.Body(threadID=thread.bytes, log=peer_codec.log_message(log))
        if service_key is not None:
            body.serviceKey = service_key
        await self._call(peer, "PushLog", pb.PushLogRequest(body=body).SerializeToString())

    async def get_records(
        self,
        peer: bytes,
        thread: ThreadInfo,
        offsets: Mapping[bytes, Place] = MappingProxyType({}),
        limit: int = PULL_LIMIT,
    ) -> list[LogRecords]:
        """Ask for what follows the heads of a thread's logs, and for logs that are not here.

        Args:
            peer: The host.
            thread: The thread as it is here.
            offsets: Other records than the heads to go on from, by log ID.
            limit: How many records of each log are wanted.
        """
        places = {log.id: offsets.get(log.id, Place(log.head, log.counter)) for log in thread.logs}
        body = pb.GetRecordsRequest.Body(
            threadID=thread.id.bytes,
            serviceKey=thread.key.service,
            logs=[
                pb.GetRecordsRequest.Body.LogEntry(
                    logID=log_id, offset=place.record or b"", limit=limit, counter=place.position
                )
                for log_id, place in places.items()
            ],
        )
        request = pb.GetRecordsRequest(body=body).SerializeToString()
        return peer_codec.records_of_reply(await self._call(peer, "GetRecords", request, PULL_SECONDS))

    async def push_record(self, peer: bytes, thread: ThreadID, log_id: bytes, position: int, record: RecordRow) -> None:
        """Hand over a record whose predecessor the host has.

        Args:
            peer: The host.
            thread: The thread.
            log_id: The log.
            position: The record's place in it.
            record: The record.
        """
        request = peer_codec.push_record_message(thread, log_id, position, record)
        await self._call(peer, "PushRecord", request.SerializeToString())

    async def exchange_edges(self, peer: bytes, edges: Iterable[tuple[ThreadID, Edges]]) -> dict[ThreadID, Edges]:
        """Compare what both sides have of some threads.

        Args:
            peer: The host.
            edges: The threads with their edges here.

        Returns:
            The edges there, as far as the host answers.
        """
        edges = list(edges)
        request = peer_codec.edges_message(edges).SerializeToString()
        reply = await self._call(peer, "ExchangeEdges", request)
        return peer_codec.edges_of_reply(reply, [thread for thread, _ in edges])

    async def fetch(self, peer: bytes, cids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Ask for blocks.

        Args:
            peer: The host.
            cids: Their CIDs.

        Returns:
            Those that it has, by CID.
        """
        return await self._transport.fetch(peer, self._book.addresses(peer), cids, CALL_SECONDS)

    async def _call(self, peer: bytes, method: str, body: bytes, seconds: float = CALL_SECONDS) -> bytes:
        addresses = self._book.addresses(peer)
        return await self._transport.request(peer, addresses, peer_codec.SERVICE + method, body, seconds)
