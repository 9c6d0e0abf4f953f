"""The way out of another daemon: what it holds is listed through its client API, then joined as a peer does.

The other daemon is asked at its threads door (`HOST:6006`), which gives the keys of its databases; their records come
from its host, and those that it no longer hands out to peers come through its network API.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message

from net import records
from net.crypto import Cipher
from net.errors import NetError, RecordNotFoundError
from net.keys import PublicKey
from net.multiaddr import Multiaddr
from net.network import Network
from net.peering import Line
from net.records import RecordBlocks
from net.replication import Replication
from net.thread_id import ThreadID
from net.thread_key import ThreadKey
from proto import threads_pb2, threadsnet_pb2
from store.errors import StatusCode, ThreaddError
from threadd.buckets.roots import CompleteRoots
from threadd.db.collections import CollectionConfig, Index
from threadd.db.joining import Joining
from threadd.db.manager import Manager
from threadd.verbs import ForeignDb, TakenDb

_CALL_SECONDS = 30.0
_PAUSE_SECONDS = 0.2
_STALLED_SECONDS = 30.0
_MAX_MESSAGE_BYTES = 256 * 2**20
_RECORDS_AT_ONCE = 256


class NoHostError(ThreaddError):
    """Whoever is asked to join talks to no other host."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = (
        "joining needs a running daemon that talks to others: start threadd serve, with its host-addr not off"
    )


class ForeignError(ThreaddError):
    """The other daemon does not answer as it should."""

    code = StatusCode.UNAVAILABLE


class Takeover:
    """Joins what another daemon holds.

    Args:
        line: The way to other hosts.
        manager: All databases here.
        network: All threads here.
        replication: What goes on between this host and others.
        identity: Whoever joins.
        roots: Tells which content of buckets is here.
    """

    def __init__(
        self,
        line: Line,
        manager: Manager,
        network: Network,
        replication: Replication,
        identity: PublicKey,
        roots: CompleteRoots,
    ) -> None:
        self._line = line
        self._manager = manager
        self._network = network
        self._replication = replication
        self._joining = Joining(manager, replication)
        self._identity = identity
        self._roots = roots

    async def list_dbs(self, address: str) -> list[ForeignDb]:
        """List the databases of another daemon.

        Args:
            address: HOST:PORT of its threads door, without TLS.

        Raises:
            NoHostError: This daemon talks to no other host.
            ForeignError: The other one does not answer.
        """
        self._require_line()
        async with _opened(address) as other:
            found = await other.databases("ListDBs", threads_pb2.ListDBsRequest(), threads_pb2.ListDBsReply)
            return [
                ForeignDb(ThreadID.from_bytes(db.dbID).text, db.info.name, self._is_here(db.dbID)) for db in found.dbs
            ]

    async def join(self, address: str, thread_text: str) -> TakenDb:
        """Join one database of another daemon with its collections, and wait until both have the same heads.

        Args:
            address: HOST:PORT of its threads door, without TLS.
            thread_text: The database's ID.

        Returns:
            What came.

        Raises:
            NoHostError: This daemon talks to no other host.
            ForeignError: The other one does not answer, or no longer gives records.
            ThreaddError: As `Joining.join`.
        """
        self._require_line()
        thread = ThreadID.from_text(thread_text)
        async with _opened(address) as other:
            info = await other.databases(
                "GetDBInfo", threads_pb2.GetDBInfoRequest(dbID=thread.bytes), threads_pb2.GetDBInfoReply
            )
            listed = await other.databases(
                "ListCollections",
                threads_pb2.ListCollectionsRequest(dbID=thread.bytes),
                threads_pb2.ListCollectionsReply,
            )
            configs = [_config(collection) for collection in listed.collections]
            key = ThreadKey.from_bytes(info.key)
            was_here = self._is_here(thread.bytes)
            if was_here:
                await self._complete(thread, configs)
            else:
                await self._join(address, [Multiaddr.from_bytes(each) for each in info.addrs], key, info.name, configs)
            await self._wait(other, thread, key)
        logs = self._network.get_thread(thread).logs
        lacking = tuple(bucket.id for bucket in await self._roots.incomplete(thread))
        records = sum(log.counter for log in logs)
        return TakenDb(thread.text, info.name, len(configs), len(logs), records, was_here, lacking)

    async def _join(
        self, address: str, where: list[Multiaddr], key: ThreadKey, name: str, configs: list[CollectionConfig]
    ) -> None:
        if not where:
            raise ForeignError("the other daemon does not say where its host listens")
        # It may know only addresses of its own network; it is reached at this one, so its host is likely to be, too.
        host = address.rpartition(":")[0].strip("[]")
        port = where[0].value("tcp")
        if port is not None:
            kind = "ip6" if ":" in host else "ip4" if host.replace(".", "").isdigit() else "dns"
            guess = Multiaddr.from_text(f"/{kind}/{host}/tcp/{port}")
            where = [*where[1:], where[0], guess.encapsulate(_behind_tcp(where[0]))]
        for each in where:
            self._replication.learn(each)
        await self._joining.join(where[-1], key=key, name=name, collections=configs, identity=self._identity)

    async def _complete(self, thread: ThreadID, configs: list[CollectionConfig]) -> None:
        database = self._manager.get(thread)
        known = {collection.name for collection in database.list_collections()}
        for config in configs:
            if config.name not in known:
                await database.new_collection(config)

    async def _wait(self, other: "_Other", thread: ThreadID, key: ThreadKey) -> None:
        """Wait until the records that the other daemon has are here; nothing new for long is an error."""
        loop = asyncio.get_running_loop()
        seen, since = -1, loop.time()
        while True:
            theirs = await self._missing(other, thread)
            if not theirs:
                return
            count = sum(log.counter for log in self._network.get_thread(thread).logs)
            if count > seen:
                seen, since = count, loop.time()
            elif loop.time() - since > _STALLED_SECONDS:
                raise ForeignError(f"{len(theirs)} logs are not complete: the other daemon gives no more records")
            try:
                await self._replication.pull_thread(thread)
            except NetError:
                await asyncio.sleep(_PAUSE_SECONDS)
            for log_id, head in (await self._missing(other, thread)).items():
                await self._fetch(other, thread, key, log_id, head)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _missing(self, other: "_Other", thread: ThreadID) -> dict[bytes, bytes]:
        """Give the heads there, by log ID, that are not here."""
        info = await other.network(
            "GetThread", threadsnet_pb2.GetThreadRequest(threadID=thread.bytes), threadsnet_pb2.ThreadInfoReply
        )
        found = {}
        for log in info.logs:
            if log.head and not await self._has(thread, log.head):
                found[log.ID] = log.head
        return found

    async def _fetch(self, other: "_Other", thread: ThreadID, key: ThreadKey, log_id: bytes, head: bytes) -> None:
        """Fetch a log, from its head back to what is here, through the network API."""
        cipher = Cipher(key.service)
        here = {log.id: log.head for log in self._network.get_thread(thread).logs}
        if log_id not in here:
            return
        wanted: list[bytes] = []
        cid: bytes | None = head
        while cid is not None and cid != here[log_id]:
            wanted.append(cid)
            blocks = await other.record(thread, cid)
            cid = records.open_envelope(blocks.record, cipher).previous
        wanted.reverse()
        for first in range(0, len(wanted), _RECORDS_AT_ONCE):
            some = [await other.record(thread, each) for each in wanted[first : first + _RECORDS_AT_ONCE]]
            await self._network.add_records(thread, log_id, some)

    async def _has(self, thread: ThreadID, record: bytes) -> bool:
        try:
            await self._network.get_record(thread, record)
        except RecordNotFoundError:
            return False
        return True

    def _is_here(self, thread: bytes) -> bool:
        return self._manager.app_of(ThreadID.from_bytes(thread)) is not None

    def _require_line(self) -> None:
        if self._line.transport is None:
            raise NoHostError


class _Other:
    """The client API of another daemon."""

    def __init__(self, channel: grpc.aio.Channel, address: str) -> None:
        self._channel = channel
        self._address = address

    async def databases(self, method: str, request: Message, reply: type[Any]) -> Any:
        return await self._call(f"/threads.pb.API/{method}", request, reply)

    async def network(self, method: str, request: Message, reply: type[Any]) -> Any:
        return await self._call(f"/threads.net.pb.API/{method}", request, reply)

    async def record(self, thread: ThreadID, cid: bytes) -> RecordBlocks:
        request = threadsnet_pb2.GetRecordRequest(threadID=thread.bytes, recordID=cid)
        record = (await self.network("GetRecord", request, threadsnet_pb2.GetRecordReply)).record
        return RecordBlocks(record.recordNode, record.eventNode, record.headerNode, record.bodyNode)

    async def _call(self, path: str, request: Message, reply: type[Any]) -> Any:
        call: grpc.aio.UnaryUnaryMultiCallable[Message, Any] = self._channel.unary_unary(
            path, request_serializer=lambda message: message.SerializeToString(), response_deserializer=reply.FromString
        )
        try:
            return await call(request, timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            reason = error.details() or error.code().name
            raise ForeignError(f"{self._address} did not carry out {path}: {reason}") from error


@asynccontextmanager
async def _opened(address: str) -> AsyncGenerator[_Other, None]:
    options = [("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield _Other(channel, address)


def _behind_tcp(address: Multiaddr) -> Multiaddr:
    """What follows the place in an address of a thread: the host and the thread."""
    before = address.until("p2p")
    return Multiaddr(address.bytes[len(before.bytes) if before is not None else 0 :])


def _config(collection: threads_pb2.GetCollectionInfoReply) -> CollectionConfig:
    return CollectionConfig(
        name=collection.name,
        schema=collection.schema,
        indexes=tuple(Index(index.path, index.unique) for index in collection.indexes),
        write_validator=collection.writeValidator,
        read_filter=collection.readFilter,
    )
