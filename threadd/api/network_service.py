"""`threads.net.pb.API`: threads, logs and records without a database.

Each method reads the request, calls one verb of `net.network` and writes the reply; the rules are there.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from net import cid, varints
from net.errors import InvalidThreadKeyError
from net.keys import PrivateKey, PublicKey, parse_log_key
from net.multiaddr import Multiaddr
from net.network import Network
from net.records import RecordBlocks
from net.replication import Replication
from net.thread_id import ThreadID
from net.thread_info import AppendedRecord, LogInfo, ThreadInfo
from net.thread_key import ThreadKey
from proto import threadsnet_pb2 as pb
from threadd.api.addresses import HostAddresses
from threadd.api.dispatcher import Call
from threadd.api.statuses import InvalidRequestError
from threadd.api.token_flow import TokenFlow

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["API"]


class NetworkService:
    """The servicer.

    Args:
        network: The threads of this host.
        replication: What goes on between this host and others.
        token_flow: Gives tokens.
        addresses: Where this host is reached.
    """

    def __init__(
        self, network: Network, replication: Replication, token_flow: TokenFlow, addresses: HostAddresses
    ) -> None:
        self._network = network
        self._replication = replication
        self._token_flow = token_flow
        self._addresses = addresses
        self._peer_id = token_flow.host_key.public.peer_id

    async def get_host_id(self, _call: Call, _request: pb.GetHostIDRequest) -> pb.GetHostIDReply:
        """Tell the peer ID of this daemon."""
        return pb.GetHostIDReply(peerID=self._peer_id)

    def get_token(
        self,
        _call: Call,
        requests: AsyncIterator[pb.GetTokenRequest],
    ) -> AsyncIterator[pb.GetTokenReply]:
        """Give a token to whoever proves to be an identity; see `TokenFlow.run`."""
        return self._token_flow.run(requests, pb.GetTokenReply)

    async def create_thread(self, call: Call, request: pb.CreateThreadRequest) -> pb.ThreadInfoReply:
        """Make a thread, or a log for the caller in one that is here."""
        thread = ThreadID.from_bytes(request.threadID)
        key, log_key = _keys(request.keys)
        return self._info(
            await self._network.create_thread(thread, identity=call.identity, key=key, log_key=log_key),
        )

    async def add_thread(self, call: Call, request: pb.AddThreadRequest) -> pb.ThreadInfoReply:
        """Join the thread at an address."""
        address = Multiaddr.from_bytes(request.addr)
        key, log_key = _keys(request.keys)
        return self._info(
            await self._replication.add_thread(address, identity=call.identity, key=key, log_key=log_key),
        )

    async def get_thread(self, _call: Call, request: pb.GetThreadRequest) -> pb.ThreadInfoReply:
        """Tell of a thread with its logs and keys."""
        return self._info(self._network.get_thread(ThreadID.from_bytes(request.threadID)))

    async def pull_thread(self, _call: Call, request: pb.PullThreadRequest) -> pb.PullThreadReply:
        """Ask the other hosts of a thread for what is new."""
        await self._replication.pull_thread(ThreadID.from_bytes(request.threadID))
        return pb.PullThreadReply()

    async def delete_thread(self, _call: Call, request: pb.DeleteThreadRequest) -> pb.DeleteThreadReply:
        """Delete a thread that no database lives in."""
        await self._network.delete_thread(ThreadID.from_bytes(request.threadID))
        return pb.DeleteThreadReply()

    async def add_replicator(self, _call: Call, request: pb.AddReplicatorRequest) -> pb.AddReplicatorReply:
        """Have a host keep a copy of a thread."""
        thread, address = ThreadID.from_bytes(request.threadID), Multiaddr.from_bytes(request.addr)
        return pb.AddReplicatorReply(peerID=await self._replication.add_replicator(thread, address))

    async def create_record(self, call: Call, request: pb.CreateRecordRequest) -> pb.NewRecordReply:
        """Add a record to the caller's log."""
        thread = ThreadID.from_bytes(request.threadID)
        return _new_record(await self._network.create_record(thread, request.body, call.identity))

    async def add_record(self, _call: Call, request: pb.AddRecordRequest) -> pb.AddRecordReply:
        """Add a record that was made elsewhere."""
        thread = ThreadID.from_bytes(request.threadID)
        if not request.HasField("record"):
            raise InvalidRequestError("record is required: give the record's four blocks")
        given = request.record
        blocks = RecordBlocks(given.recordNode, given.eventNode, given.headerNode, given.bodyNode)
        await self._network.add_record(thread, request.logID, blocks)
        return pb.AddRecordReply()

    async def get_record(self, _call: Call, request: pb.GetRecordRequest) -> pb.GetRecordReply:
        """Give a record by its CID."""
        thread, record = ThreadID.from_bytes(request.threadID), cid.check(request.recordID)
        return pb.GetRecordReply(record=_record(await self._replication.get_record(thread, record)))

    async def subscribe(self, call: Call, request: pb.SubscribeRequest) -> AsyncGenerator[pb.NewRecordReply, None]:
        """Tell of new records until the client goes away; the headers say that none will be missed from now on."""
        threads = [ThreadID.from_bytes(thread) for thread in request.threadIDs]
        with self._network.subscribe(threads) as subscription:
            await call.send_headers()
            async with aclosing(subscription.records()) as records:
                async for record in records:
                    yield _new_record(record)

    def _info(self, info: ThreadInfo) -> pb.ThreadInfoReply:
        return pb.ThreadInfoReply(
            threadID=info.id.bytes,
            threadKey=info.key.bytes,
            logs=map(_log, info.logs),
            addrs=self._addresses.of_thread(info.id),
        )


def _keys(keys: pb.Keys) -> tuple[ThreadKey | None, PrivateKey | PublicKey | None]:
    """The keys of a request; those that are left out are None."""
    try:
        key = ThreadKey.from_bytes(keys.threadKey) if keys.threadKey else None
    except InvalidThreadKeyError as error:
        raise InvalidRequestError(f"invalid thread-key: {error.text}") from error
    return key, parse_log_key(keys.logKey) if keys.logKey else None


def _log(log: LogInfo) -> pb.LogInfo:
    return pb.LogInfo(
        ID=log.id,
        pubKey=log.public_key.bytes,
        privKey=log.private_key.bytes if log.private_key is not None else b"",
        addrs=log.addresses,
        head=log.head or b"",
        counter=varints.encode_counter(log.counter),
    )


def _record(blocks: RecordBlocks) -> pb.Record:
    return pb.Record(
        recordNode=blocks.record,
        eventNode=blocks.event,
        headerNode=blocks.header,
        bodyNode=blocks.body,
    )


def _new_record(appended: AppendedRecord) -> pb.NewRecordReply:
    return pb.NewRecordReply(
        threadID=appended.thread.bytes,
        logID=appended.log_id,
        record=_record(appended.record.blocks),
    )
