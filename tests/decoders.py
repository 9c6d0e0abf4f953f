"""Every function that takes bytes from outside, with what it may raise and inputs that it takes.

`seeds` are where the fuzzing starts from; what is in tests/fuzz/corpus comes on top.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from google.protobuf.message import DecodeError

from net import bitswap, cbor, cid, multibase, patches, peer_codec, records, stream_grpc, tokens, varints
from net.crypto import Cipher
from net.keys import PrivateKey, PublicKey, parse_log_key
from net.multiaddr import Multiaddr
from net.thread_id import ThreadID
from net.thread_key import ThreadKey
from proto import net_pb2, threads_pb2
from store.errors import ThreaddError
from threadd.buckets import car, dag, model, paths, sealing, unixfs
from threadd.db import documents, queries, reads, schemas
from threadd.hub import signatures
from threadd.maintenance import lines
from threadd.web import frames, metadata, ranges

HOST = PrivateKey(b"h" * 32)
SERVICE, READ = Cipher(b"s" * 32), Cipher(b"r" * 32)
BODY = patches.encode_body([patches.Patch("a", "note", patches.PatchType.CREATE, b'{"_id":"a","n":1}', 17)])
RECORD = records.build(
    BODY,
    service=SERVICE,
    read=READ,
    log_key=HOST,
    author=HOST.public,
    previous=None,
    randomness=lambda size: b"\x05" * size,
)
THREAD = ThreadID(b"\x01\x55" + b"t" * 32)
TOKEN = tokens.issue(HOST, HOST.public, 1)


@dataclass(frozen=True)
class Decoder:
    """One of them.

    Args:
        name: Its name.
        run: Feeds it.
        seeds: What it takes.
        raises: What it may raise.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    raises: tuple[type[Exception], ...] = field(default=(ThreaddError,))


def text(function):
    """Feeds what takes a text."""
    return lambda data: function(data.decode("utf-8", "replace"))


def http_header(function):
    return lambda data: function(data.decode("latin-1"))


def sealed_record(data):
    """Opens a record whose plain text is the input, past the cipher."""
    block = cbor.byte_string(SERVICE.seal(data, b"n" * 12))
    envelope = records.open_envelope(block, SERVICE)
    records.verify_envelope(envelope, HOST.public)


def sealed_header(data):
    blocks = RECORD.blocks
    header = cbor.byte_string(READ.seal(data, b"n" * 12))
    records.open_body(records.RecordBlocks(blocks.record, blocks.event, header, blocks.body), READ)


def whole_record(data):
    """Opens a record whose four blocks are cut from the input."""
    parts = [data[at::4] if len(data) % 2 else data[len(data) * at // 4 : len(data) * (at + 1) // 4] for at in range(4)]
    records.open_record(records.RecordBlocks(*parts), service=SERVICE, read=READ, log_key=HOST.public)


def server(data):
    connection = stream_grpc.GrpcServer()
    for at in range(0, len(data), 50):
        connection.receive(data[at : at + 50])


def grpc_web(data):
    decoder = frames.FrameDecoder(1 << 20)
    for at in range(0, len(data), 7):
        decoder.feed(data[at : at + 7])


def grpc_web_text(data):
    decoder = frames.TextDecoder()
    for at in range(0, len(data), 7):
        decoder.feed(data[at : at + 7])


def read_car(data):
    source = io.BytesIO(data)
    car.read_root(source)
    for _ in car.read_blocks(source):
        pass


def file_of(data):
    """Reads a file whose root node is the input."""
    root = dag.node_cid(data)
    unixfs.file_size(lambda wanted: data if wanted == root else None, root)
    for _ in unixfs.read_file(lambda wanted: data if wanted == root else None, root):
        pass


def merge(data):
    half = len(data) // 2
    documents.to_bytes(documents.apply_merge_patch(documents.parse(data[:half]), documents.parse(data[half:])))


def query(data):
    parsed = queries.parse_query(data)
    assert parsed is not None


def schema(data):
    schemas.Schema(data).check({"_id": "a", "n": 1})


def reply(kind):
    return lambda data: peer_codec.parse(kind, data)


def _json(value):
    return json.dumps(value).encode()


_LINK = dag.Link(b"a", cid.of_block(b"a"), 5)
_NODE = dag.encode_parts([dag.encode_link(_LINK)], unixfs.encode_file(None, (5,)))
_LEAF = dag.encode_parts([], unixfs.encode_file(b"content"))
_QUERY = {
    "ands": [{"fieldPath": "a.b", "operation": 2, "value": {"float": 1.5}}],
    "ors": [{"ands": [{"fieldPath": "c", "operation": 0, "value": {"string": "x"}}]}],
    "sort": {"fieldPath": "a", "desc": True},
    "limit": 3,
    "skip": 1,
}
_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "definitions": {"x": {"type": "string", "pattern": "^a+$"}},
    "type": "object",
    "properties": {"_id": {"$ref": "#/definitions/x"}, "n": {"type": "number", "minimum": 0}},
    "required": ["_id"],
}
_ADDRESS = Multiaddr.from_text(f"/ip4/1.2.3.4/tcp/4006/p2p/{HOST.public.peer_id_text}/thread/{THREAD.text}")
_FILE = {"_id": "k", "name": "n", "path": "/ipfs/x", "version": 1, "metadata": {}}
_CREATE = threads_pb2.CreateRequest(dbID=THREAD.bytes, collectionName="note", instances=[b"{}"])
_LOG = net_pb2.Log(ID=HOST.public.peer_id, pubKey=HOST.public.bytes, addrs=[_ADDRESS.bytes], head=RECORD.cid)
_LOGS = net_pb2.GetLogsReply(logs=[_LOG])
_LINE = lines.encode(lines.RecordLine(b"l", 1, b"r", b"e", b"h", b"b"))

DECODERS = (
    Decoder("cbor", cbor.decode, (BODY, cbor.link(RECORD.cid), b"\xa1\x61a\xf9\x3c\x00")),
    Decoder("cbor-canonical", cbor.canonicalise, (BODY, RECORD.blocks.event)),
    Decoder("cbor-bytes", cbor.read_byte_string, (RECORD.blocks.header,)),
    Decoder("patches", patches.decode_body, (BODY,)),
    Decoder("record", sealed_record, (SERVICE.open(cbor.read_byte_string(RECORD.blocks.record)),)),
    Decoder("record-header", sealed_header, (READ.open(cbor.read_byte_string(RECORD.blocks.header)),)),
    Decoder("record-blocks", whole_record, (b"".join((RECORD.blocks.record, RECORD.blocks.event)),)),
    Decoder("event", records.event_links, (RECORD.blocks.event,)),
    Decoder("cid", cid.check, (RECORD.cid, b"\x12\x20" + b"d" * 32)),
    Decoder(
        "cid-text",
        text(cid.from_text),
        (cid.text(RECORD.cid).encode(), b"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"),
    ),
    Decoder("multibase", text(multibase.decode), (multibase.encode(b"hello").encode(), b"z2Drj", b"uaGVsbG8")),
    Decoder("multiaddr", Multiaddr.from_bytes, (_ADDRESS.bytes,)),
    Decoder(
        "multiaddr-text",
        text(Multiaddr.from_text),
        (_ADDRESS.text.encode(), b"/dns4/a/tcp/1/ws", b"/ip6/::1/udp/5/quic"),
    ),
    Decoder("public-key", PublicKey.from_bytes, (HOST.public.bytes,)),
    Decoder("public-key-text", text(PublicKey.from_text), (HOST.public.text.encode(),)),
    Decoder("peer-id", PublicKey.from_peer_id, (HOST.public.peer_id,)),
    Decoder("private-key", PrivateKey.from_bytes, (HOST.bytes,)),
    Decoder("private-key-text", text(PrivateKey.from_text), (HOST.text.encode(),)),
    Decoder("log-key", parse_log_key, (HOST.bytes, HOST.public.bytes)),
    Decoder("thread-id", ThreadID.from_bytes, (THREAD.bytes,)),
    Decoder("thread-id-text", text(ThreadID.from_text), (THREAD.text.encode(),)),
    Decoder("thread-key", ThreadKey.from_bytes, (b"s" * 32 + b"r" * 32, b"s" * 32)),
    Decoder("thread-key-text", text(ThreadKey.from_text), (multibase.encode(b"s" * 64).encode(),)),
    Decoder("token", http_header(lambda value: tokens.verify(value, HOST.public)), (TOKEN.encode(),)),
    Decoder("token-unverified", http_header(tokens.unverified_identity), (TOKEN.encode(),)),
    Decoder("authorization", http_header(tokens.parse_authorization), (b"bearer " + TOKEN.encode(),)),
    Decoder("varint", varints.decode, (b"\xac\x02", b"\xff" * 9), (varints.VarintError,)),
    Decoder("query", query, (_json(_QUERY),)),
    Decoder("cursor", reads._after, (msgspec.msgpack.encode([4, "x", "a"]), msgspec.msgpack.encode([3, 1.5, "b"]))),
    Decoder("schema", schema, (_json(_SCHEMA),)),
    Decoder("instance", documents.parse_instance, (b'{"_id":"a","n":[1,-0.5e3,null,{"x":"\\ud83d\\ude00"}]}',)),
    Decoder("merge-patch", merge, (b'{"a":{"b":1,"c":[1]}}{"a":{"b":null,"d":2}}',)),
    Decoder("unixfs", unixfs.decode_entry, (unixfs.encode_file(b"x"), unixfs.encode_file(None, (5, 5)))),
    Decoder("dag-pb", dag.decode, (_NODE,)),
    Decoder("file", file_of, (_NODE, _LEAF)),
    Decoder("car", read_car, (car.header(RECORD.cid) + car.part(RECORD.cid, RECORD.blocks.record),)),
    Decoder(
        "sealed-file",
        lambda data: sealing.unseal(data, b"k" * 64),
        (sealing.seal(b"plain", b"k" * 64, lambda n: b"r" * n),),
    ),
    Decoder("bucket", model.parse_bucket, (_json(_FILE),)),
    Decoder("path", text(paths.clean_writable), (b"a/b/../c", b"/x//y.txt")),
    Decoder("ipfs-path", text(paths.parse_ipfs), (b"/ipfs/" + cid.text(RECORD.cid).encode() + b"/a",)),
    Decoder("grpc-web", grpc_web, (frames.message_frame(b"hello") * 2,)),
    Decoder("grpc-web-text", grpc_web_text, (frames.encode_text(frames.message_frame(b"hello")),)),
    Decoder(
        "websocket-metadata", metadata.from_lines, (b"content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n",)
    ),
    Decoder(
        "range",
        http_header(lambda value: ranges.parse_range(value, 100)),
        (b"bytes=0-5", b"bytes=-5"),
        (ranges.UnsatisfiableRangeError,),
    ),
    Decoder("date", http_header(signatures.parse_rfc3339), (b"2999-01-01T00:00:00.123456789+01:00",)),
    Decoder(
        "api-signature",
        http_header(
            lambda value: signatures.check_signature(multibase.encode(b"s" * 32), value, "2999-01-01T00:00:00Z", 1)
        ),
        (multibase.encode(b"s" * 32).encode(),),
    ),
    Decoder("request", threads_pb2.CreateRequest.FromString, (_CREATE.SerializeToString(),), (DecodeError,)),
    Decoder("peer-logs", peer_codec.logs_of_reply, (_LOGS.SerializeToString(),)),
    Decoder(
        "peer-records",
        peer_codec.records_of_reply,
        (
            net_pb2.GetRecordsReply(
                logs=[net_pb2.GetRecordsReply.LogEntry(logID=HOST.public.peer_id, log=_LOG)]
            ).SerializeToString(),
        ),
    ),
    Decoder("peer-edges", lambda data: peer_codec.edges_of_reply(data, [THREAD]), (b"\x0a\x02\x08\x01",)),
    Decoder(
        "peer-stream",
        server,
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",),
        (stream_grpc.BrokenStreamError,),
    ),
    Decoder(
        "bitswap",
        bitswap.read,
        (b"".join(bitswap.ask([RECORD.cid]) for _ in range(2)),),
        (bitswap.InvalidMessageError,),
    ),
    Decoder("import-line", lines.decode, (_LINE,), (msgspec.MsgspecError, UnicodeDecodeError)),
)
