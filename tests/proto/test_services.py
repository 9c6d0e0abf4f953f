"""The public services, by the names and numbers that every client has built in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from proto import bucketsd_pb2, hubd_pb2, net_pb2, threads_pb2, threadsnet_pb2, usersd_pb2

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "tests/vectors/peer_rpc.json").read_text())


def methods(module, service):
    return module.DESCRIPTOR.services_by_name[service].methods


@pytest.mark.parametrize(
    ("module", "service", "count"),
    [
        (threads_pb2, "API", 22),
        (threadsnet_pb2, "API", 12),
        (net_pb2, "Service", 5),
        (hubd_pb2, "APIService", 21),
        (usersd_pb2, "APIService", 14),
        (bucketsd_pb2, "APIService", 21),
    ],
)
def test_every_method_is_there(module, service, count):
    assert len(methods(module, service)) == count


@pytest.mark.parametrize(
    ("module", "package"),
    [
        (threads_pb2, "threads.pb"),
        (threadsnet_pb2, "threads.net.pb"),
        (net_pb2, "net.pb"),
        (hubd_pb2, "api.hubd.pb"),
        (usersd_pb2, "api.usersd.pb"),
        (bucketsd_pb2, "api.bucketsd.pb"),
    ],
)
def test_packages_have_their_public_names(module, package):
    assert module.DESCRIPTOR.package == package


def test_the_streams_are_streams():
    streams = {
        (method.name, method.client_streaming, method.server_streaming)
        for module, service in ((threads_pb2, "API"), (threadsnet_pb2, "API"), (bucketsd_pb2, "APIService"))
        for method in methods(module, service)
        if method.client_streaming or method.server_streaming
    }
    assert streams == {
        ("GetToken", True, True),
        ("ReadTransaction", True, True),
        ("WriteTransaction", True, True),
        ("Listen", False, True),
        ("Subscribe", False, True),
        ("PushPath", True, True),
        ("PushPaths", True, True),
        ("PullPath", False, True),
        ("PullIpfsPath", False, True),
        ("ArchiveWatch", False, True),
    }


@pytest.mark.parametrize(
    ("message", "field", "number"),
    [
        (threads_pb2.NewDBRequest, "key", 6),
        (threads_pb2.NewDBRequest, "logKey", 7),
        (threads_pb2.NewDBRequest, "name", 3),
        (threads_pb2.NewDBRequest, "collections", 2),
        (threads_pb2.NewDBFromAddrRequest, "name", 4),
        (threads_pb2.CollectionConfig, "writeValidator", 4),
        (net_pb2.PushRecordRequest, "counter", 3),
        (net_pb2.PushLogRequest.Body, "log", 4),
        (net_pb2.ExchangeEdgesReply.ThreadEdges, "headsEdge", 4),
        (bucketsd_pb2.Root, "path_metadata", 11),
        (hubd_pb2.BuildInfoResponse, "version", 6),
    ],
)
def test_fields_have_their_public_numbers(message, field, number):
    assert message.DESCRIPTOR.fields_by_name[field].number == number


def peer_messages():
    for number, entry in enumerate(VECTORS["messages"]):
        for key, suffix in (
            ("request", "Request"),
            ("reply", "Reply"),
            ("our_reply", "Reply"),
            ("our_request", "Request"),
        ):
            if isinstance(entry.get(key), str):
                yield pytest.param(entry["method"] + suffix, entry[key], id=f"{number}-{entry['method']}{suffix}")


@pytest.mark.parametrize(("name", "data"), list(peer_messages()))
def test_messages_of_a_real_peer_are_read_and_written_byte_for_byte(name, data):
    message = getattr(net_pb2, name).FromString(bytes.fromhex(data))
    assert message.SerializeToString().hex() == data


def test_an_empty_head_is_told_from_none():
    assert net_pb2.Log(head=b"").SerializeToString() == bytes.fromhex("2200")
    assert net_pb2.Log().SerializeToString() == b""


def test_the_generated_code_is_that_of_the_files():
    checked = subprocess.run(
        [sys.executable, ROOT / "proto/generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")
