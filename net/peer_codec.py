"""The messages between hosts: protobuf to values and back, with a limit on everything that a peer controls.

Fields and their presence: threads-protocol.md, "Peer protocol". A message that lacks what it must have is refused:
a go-threads daemon never sends one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from net import cid
from net.crypto import KEY_BYTES
from net.errors import InvalidKeyError, InvalidThreadIDError, NetError
from net.keys import PublicKey
from net.peer_errors import InvalidPeerRequestError, InvalidReplyError
from net.records import RecordBlocks
from net.remote_logs import MAX_LOGS, Edges, RemoteLog, host_addresses
from net.thread_id import ThreadID
from net.thread_info import LogInfo
from proto import net_pb2 as pb
from store.errors import StatusCode
from store.records import RecordRow

SERVICE = "/net.pb.Service/"

MAX_THREADS = 1000
"""How many threads an exchange of edges may name; go-threads sends at most 10."""

_MAX_ID_BYTES = 128

M = TypeVar("M", bound=Message)


class InvalidServiceKeyError(NetError):
    """A service key of another length, which go-threads answers with this code."""

    code = StatusCode.INTERNAL
    default_text = "invalid key"


@dataclass(frozen=True, slots=True)
class Offset:
    """How much of a log the other side has.

    Args:
        log_id: The log.
        head: The CID of the last record that it has, None for none.
        counter: The position that it thinks this record has; a hint.
        limit: How many records it takes.
    """

    log_id: bytes
    head: bytes | None
    counter: int
    limit: int


@dataclass(frozen=True, slots=True)
class LogHead:
    """A log with its head as another host tells of them.

    Args:
        log: The log.
        head: Its head's CID, None for none.
        counter: How many records it is said to have; a hint.
    """

    log: RemoteLog
    head: bytes | None
    counter: int


@dataclass(frozen=True, slots=True)
class LogRecords:
    """Records of a log, in its order.

    Args:
        log_id: The log.
        records: The records.
        log: The log itself where the other side tells of it.
    """

    log_id: bytes
    records: tuple[RecordBlocks, ...]
    log: LogHead | None


def parse(kind: type[M], data: bytes) -> M:
    """Read a request.

    Args:
        kind: Its type.
        data: Its bytes.

    Raises:
        InvalidPeerRequestError: They are none, or the request has no body.
    """
    message = _parse(kind, data)
    if message is None:
        raise InvalidPeerRequestError(f"invalid request: no {kind.DESCRIPTOR.name}")
    if not message.HasField("body"):
        raise InvalidPeerRequestError("invalid request: it has no body")
    return message


def parse_reply(kind: type[M], data: bytes) -> M:
    """Read a reply.

    Args:
        kind: Its type.
        data: Its bytes.

    Raises:
        InvalidReplyError: They are none.
    """
    message = _parse(kind, data)
    if message is None:
        raise InvalidReplyError
    return message


def thread_of(data: bytes) -> ThreadID:
    """Read the thread that a request names.

    Args:
        data: The bytes of its ID.

    Raises:
        InvalidPeerRequestError: It names none.
    """
    try:
        return ThreadID.from_bytes(data)
    except InvalidThreadIDError as error:
        raise InvalidPeerRequestError("invalid request: it names no thread") from error


def service_key_of(body: pb.GetLogsRequest.Body | pb.GetRecordsRequest.Body | pb.PushLogRequest.Body) -> bytes | None:
    """Read the service key of a request, None where there is none.

    Args:
        body: The request's body.

    Raises:
        InvalidServiceKeyError: It has another length.
    """
    if not body.HasField("serviceKey"):
        return None
    if len(body.serviceKey) != KEY_BYTES:
        raise InvalidServiceKeyError
    return body.serviceKey


def log_id_of(data: bytes) -> bytes:
    """Read the log that a request names.

    Args:
        data: Its ID.

    Raises:
        InvalidPeerRequestError: It names none.
    """
    if not 0 < len(data) <= _MAX_ID_BYTES:
        raise InvalidPeerRequestError("invalid request: it names no log")
    return data


def offsets_of(body: pb.GetRecordsRequest.Body) -> list[Offset]:
    """Read how much of the logs the caller has.

    Args:
        body: The request's body.

    Raises:
        InvalidPeerRequestError: Something is missing or there is too much.
    """
    if len(body.logs) > MAX_LOGS:
        raise InvalidPeerRequestError("invalid request: it names too many logs")
    return [
        Offset(log_id_of(entry.logID), _head(entry.offset), entry.counter, max(entry.limit, 0)) for entry in body.logs
    ]


def log_of(log: pb.Log) -> LogHead:
    """Read a log that another host tells of.

    Args:
        log: The message.

    Raises:
        InvalidPeerRequestError: Its ID, its key or its head is missing or wrong.
    """
    if not (log.HasField("ID") and log.HasField("pubKey") and log.HasField("head")):
        raise InvalidPeerRequestError("invalid request: a log lacks its ID, its key or its head")
    try:
        key = PublicKey.from_bytes(log.pubKey)
    except InvalidKeyError as error:
        raise InvalidPeerRequestError(f"invalid log: {error.text}") from error
    if key.peer_id != log.ID:
        raise InvalidPeerRequestError("invalid log: its ID is not that of its key")
    return LogHead(RemoteLog(key, host_addresses(log.addrs)), _head(log.head), max(log.counter, 0))


def blocks_of(record: pb.Log.Record) -> RecordBlocks:
    """Read a record; nothing of it is checked yet.

    Args:
        record: The message.
    """
    return RecordBlocks(record.recordNode, record.eventNode, record.headerNode, record.bodyNode)


def log_message(log: LogInfo, head: bytes | None = None, counter: int | None = None) -> pb.Log:
    """Write a log.

    Args:
        log: The log.
        head: The head to give instead of its own.
        counter: The position of that head.
    """
    return pb.Log(
        ID=log.id,
        pubKey=log.public_key.bytes,
        addrs=log.addresses,
        head=(log.head or b"") if head is None else head,
        counter=log.counter if counter is None else counter,
    )


def record_message(row: RecordRow) -> pb.Log.Record:
    """Write a record that is kept.

    Args:
        row: The record.
    """
    return pb.Log.Record(recordNode=row.record, eventNode=row.event, headerNode=row.header, bodyNode=row.body)


def logs_of_reply(data: bytes) -> list[LogHead]:
    """Read a reply to `GetLogs`.

    Args:
        data: Its bytes.

    Raises:
        InvalidReplyError: It makes no sense.
    """
    reply = parse_reply(pb.GetLogsReply, data)
    if len(reply.logs) > MAX_LOGS:
        raise InvalidReplyError("the peer tells of too many logs")
    try:
        return [log_of(log) for log in reply.logs]
    except InvalidPeerRequestError as error:
        raise InvalidReplyError(error.text) from error


def records_of_reply(data: bytes) -> list[LogRecords]:
    """Read a reply to `GetRecords`.

    Args:
        data: Its bytes.

    Raises:
        InvalidReplyError: It makes no sense.
    """
    reply = parse_reply(pb.GetRecordsReply, data)
    if len(reply.logs) > MAX_LOGS:
        raise InvalidReplyError("the peer tells of too many logs")
    try:
        return [
            LogRecords(
                log_id_of(entry.logID),
                tuple(map(blocks_of, entry.records)),
                log_of(entry.log) if entry.HasField("log") else None,
            )
            for entry in reply.logs
        ]
    except InvalidPeerRequestError as error:
        raise InvalidReplyError(error.text) from error


def push_record_message(thread: ThreadID, log_id: bytes, position: int, record: RecordRow) -> pb.PushRecordRequest:
    """Write what hands over a record.

    Args:
        thread: The thread.
        log_id: The log.
        position: The record's place in it.
        record: The record.
    """
    body = pb.PushRecordRequest.Body(threadID=thread.bytes, logID=log_id, record=record_message(record))
    return pb.PushRecordRequest(body=body, counter=position)


def edges_message(edges: Iterable[tuple[ThreadID, Edges]]) -> pb.ExchangeEdgesRequest:
    """Write an exchange of edges.

    Args:
        edges: The threads with their edges here.
    """
    body = pb.ExchangeEdgesRequest.Body(
        threads=[
            pb.ExchangeEdgesRequest.Body.ThreadEntry(
                threadID=thread.bytes, addressEdge=each.addresses, headsEdge=each.heads
            )
            for thread, each in edges
        ]
    )
    return pb.ExchangeEdgesRequest(body=body)


def edges_of_request(request: pb.ExchangeEdgesRequest) -> list[tuple[ThreadID, Edges]]:
    """Read an exchange of edges.

    Args:
        request: The message.

    Raises:
        InvalidPeerRequestError: It names too many threads, or something that is none.
    """
    if len(request.body.threads) > MAX_THREADS:
        raise InvalidPeerRequestError("invalid request: it names too many threads")
    return [(thread_of(each.threadID), Edges(each.addressEdge, each.headsEdge)) for each in request.body.threads]


def edges_reply(edges: Iterable[tuple[ThreadID, Edges]]) -> pb.ExchangeEdgesReply:
    """Answer an exchange of edges.

    Args:
        edges: The threads with their edges here.
    """
    return pb.ExchangeEdgesReply(
        edges=[
            pb.ExchangeEdgesReply.ThreadEdges(
                threadID=thread.bytes,
                exists=bool(each.addresses and each.heads),
                addressEdge=each.addresses,
                headsEdge=each.heads,
            )
            for thread, each in edges
        ]
    )


def edges_of_reply(data: bytes, asked: Sequence[ThreadID]) -> dict[ThreadID, Edges]:
    """Read the answer to an exchange of edges.

    Args:
        data: Its bytes.
        asked: The threads that were named; others are dropped.

    Raises:
        InvalidReplyError: It makes no sense.
    """
    wanted = {thread.bytes: thread for thread in asked}
    reply = parse_reply(pb.ExchangeEdgesReply, data)
    return {
        wanted[each.threadID]: Edges(each.addressEdge, each.headsEdge)
        for each in reply.edges
        if each.threadID in wanted
    }


def _parse(kind: type[M], data: bytes) -> M | None:
    try:
        return kind.FromString(data)
    except DecodeError:
        return None


def _head(data: bytes) -> bytes | None:
    if not data:
        return None
    if len(data) != cid.BLOCK_CID_BYTES or not data.startswith(cid.BLOCK_PREFIX):
        raise InvalidPeerRequestError("invalid request: a head or an offset is no CID of a record")
    return data
