"""What the captured messages between peers hold; the messages themselves belong to the peer service."""

import json
from pathlib import Path

import pytest

from net.crypto import Cipher
from net.edges import NO_EDGE, address_edge, heads_edge
from net.keys import PublicKey
from net.multiaddr import Multiaddr, peer_address
from net.records import RecordBlocks, open_record
from net.thread_id import ThreadID

VECTORS = Path(__file__).parent.parent / "vectors"
THREAD = json.loads((VECTORS / "thread.json").read_text())
DB = json.loads((VECTORS / "records_db.json").read_text())
RPC = json.loads((VECTORS / "peer_rpc.json").read_text())
EDGES = json.loads((VECTORS / "edges.json").read_text())

MESSAGES = RPC["messages"]
SERVICE, READ = Cipher(bytes.fromhex(DB["service_key"])), Cipher(bytes.fromhex(DB["read_key"]))
LOGS = {bytes.fromhex(log["id"]): log for log in THREAD["logs"]}
RECORDS = {bytes.fromhex(record["record_cid"]): record for log in DB["logs"] for record in log["records"]}


def varint(message, offset):
    value = shift = 0
    while True:
        byte = message[offset]
        value |= (byte & 0x7F) << shift
        shift, offset = shift + 7, offset + 1
        if byte < 0x80:
            return value, offset


def fields(message):
    """Split a protobuf message into {field number: values}."""
    found, offset = {}, 0
    while offset < len(message):
        tag, offset = varint(message, offset)
        value, offset = varint(message, offset)
        if tag & 7 == 2:
            value, offset = message[offset : offset + value], offset + value
        else:
            assert tag & 7 == 0
        found.setdefault(tag >> 3, []).append(value)
    return found


def messages(method):
    found = [message for message in MESSAGES if message["method"] == method]
    assert found
    return found


def check_log(log, *, has_head=True):
    """Check a `Log` message: ID, public key, addresses, head."""
    log_id, public_key = log[1][0], PublicKey.from_bytes(log[2][0])
    assert public_key.peer_id == log_id
    for address in log[3]:
        peer_id = Multiaddr.from_bytes(address).peer_id()
        assert peer_id is not None
        assert peer_address(peer_id).bytes == address
    assert (len(log[4][0]) == 36) == has_head
    return log_id


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["method"])
def test_the_thread_that_a_request_names(message):
    body = fields(bytes.fromhex(message["request"]))[2][0]
    content = fields(body)
    named = [fields(item)[1][0] for item in content[1]] if message["method"] == "ExchangeEdges" else content[1]
    thread = ThreadID.from_bytes(bytes.fromhex(THREAD["thread_id"]))
    assert ThreadID.from_bytes(named[0]) == thread
    if message["method"] in ("GetLogs", "GetRecords"):
        assert content[2] == [SERVICE.key]


def test_pushed_logs():
    pushed = [
        check_log(fields(fields(fields(bytes.fromhex(message["request"]))[2][0])[4][0]))
        for message in messages("PushLog")
    ]
    assert set(pushed) == set(LOGS)


def test_logs_that_go_answered():
    (message,) = messages("GetLogs")
    logs = [fields(log) for log in fields(bytes.fromhex(message["reply"]))[1]]
    assert {check_log(log) for log in logs} == set(LOGS)
    for log in logs:
        expected = LOGS[log[1][0]]
        assert [address.hex() for address in log[3]] == [address["bytes"] for address in expected["addrs"]]
        assert log[4][0].hex() == expected["head"]
        assert log[5] == [expected["counter"]]
    (edges,) = messages("ExchangeEdges")
    known, unknown = (fields(edge) for edge in fields(bytes.fromhex(edges["reply"]))[1])
    assert known[2] == [1]
    assert known[3] == [address_edge((log[1][0], address) for log in logs for address in log[3])]
    assert known[4] == [heads_edge((log[1][0], log[4][0]) for log in logs)]
    assert unknown.get(3, [NO_EDGE]) == unknown.get(4, [NO_EDGE]) == [NO_EDGE]


def test_a_log_without_records():
    case = next(case for case in EDGES["cases"] if "getlogs_reply" in case)
    log = fields(fields(bytes.fromhex(case["getlogs_reply"]))[1][0])
    log_id = check_log(log, has_head=False)
    assert log[4][0].hex() == case["log_head_bytes"] == ""
    assert address_edge([(log_id, log[3][0])]) == case["address_edge"]


def records_on_the_wire():
    for message in messages("PushRecord"):
        body = fields(fields(bytes.fromhex(message["request"]))[2][0])
        yield body[2][0], fields(body[3][0])
    for message in messages("GetRecords"):
        for log in map(fields, fields(bytes.fromhex(message["reply"]))[1]):
            for record in log[2]:
                yield log[1][0], fields(record)


def test_records_on_the_wire_are_opened():
    seen = []
    for log_id, record in records_on_the_wire():
        blocks = RecordBlocks(*(record[number][0] for number in (1, 2, 3, 4)))
        opened = open_record(blocks, service=SERVICE, read=READ, log_key=PublicKey.from_peer_id(log_id))
        case = RECORDS[opened.record.cid]
        assert opened.record.blocks == blocks
        assert blocks.record.hex() == case["recordNode"]
        assert blocks.body.hex() == case["bodyNode"]
        assert opened.body is not None
        assert opened.body.hex() == case["body_plain"]
        seen.append(opened.record.cid)
    assert len(seen) == 8
    assert set(seen) == set(RECORDS)
