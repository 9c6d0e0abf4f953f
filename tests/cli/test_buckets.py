"""Buckets at the command line: listed, written to CAR files, and made of such, with and without a daemon."""

import json
import os

import grpc
import pytest
from daemons import DaemonError

from net.thread_id import ThreadID
from proto import bucketsd_pb2 as pb
from proto import threads_pb2
from threadd.buckets import car, dag
from threadd.buckets.car import CarError

pytestmark = pytest.mark.timeout(180)

THREAD = ThreadID(bytes([1, 0x55]) + b"f" * 32)
METADATA = [("x-textile-thread", THREAD.text)]


def call(channel, rpc, request, reply):
    stub = channel.unary_unary(f"/{rpc}", response_deserializer=reply.FromString)
    return stub(request.SerializeToString(), metadata=METADATA, timeout=30)


def push(channel, key, files):
    requests = [pb.PushPathsRequest(header=pb.PushPathsRequest.Header(key=key))]
    for path, data in files.items():
        requests.append(pb.PushPathsRequest(chunk=pb.PushPathsRequest.Chunk(path=path, data=data)))
        requests.append(pb.PushPathsRequest(chunk=pb.PushPathsRequest.Chunk(path=path)))
    stub = channel.stream_stream(
        "/api.bucketsd.pb.APIService/PushPaths",
        request_serializer=pb.PushPathsRequest.SerializeToString,
        response_deserializer=pb.PushPathsResponse.FromString,
    )
    return list(stub(iter(requests), metadata=METADATA, timeout=60))[-1].root.path


def pull(channel, key, path):
    stub = channel.unary_stream(
        "/api.bucketsd.pb.APIService/PullPath", response_deserializer=pb.PullPathResponse.FromString
    )
    request = pb.PullPathRequest(key=key, path=path).SerializeToString()
    return b"".join(reply.chunk for reply in stub(request, metadata=METADATA, timeout=30))


def test_a_bucket_moves_as_a_file(start_daemon, tmp_path):
    daemon = start_daemon()
    files = {"a.txt": b"hello", "d/big": os.urandom(700_000)}
    with grpc.insecure_channel(daemon.threads_api) as channel:
        call(channel, "threads.pb.API/NewDB", threads_pb2.NewDBRequest(dbID=THREAD.bytes), threads_pb2.NewDBReply)
        made = call(channel, "api.bucketsd.pb.APIService/Create", pb.CreateRequest(name="site"), pb.CreateResponse)
        key = made.root.key
        path = push(channel, key, files)
        (listed,) = json.loads(daemon.run("buckets", "ls", "--json"))
        assert (listed["key"], listed["name"], listed["thread"], listed["path"]) == (key, "site", THREAD.text, path)
        assert listed["size"] > 700_000
        file = tmp_path / "site.car"
        assert path in daemon.run("buckets", "export", key, str(file))
        with pytest.raises(DaemonError, match="cannot write"):
            daemon.run("buckets", "export", key, str(file))
        copies = [
            json.loads(daemon.run("buckets", "import", str(file), "--thread", THREAD.text, "--json", *flags))["key"]
            for flags in ((), ("--private",))
        ]
        owned = daemon.run("buckets", "push", copies[1], str(file), "again")
        assert f"pushed {file.stat().st_size} bytes" in owned
        for copy in copies:
            for name, data in files.items():
                if copy is copies[0]:
                    assert pull(channel, copy, name) == data
    daemon.stop()
    assert len(json.loads(daemon.run("buckets", "ls", "--json"))) == 3
    assert "private" in daemon.run("buckets", "ls")
    with pytest.raises(DaemonError, match="the bucket is private"):
        daemon.run("buckets", "export", copies[1], str(tmp_path / "other.car"))
    broken = tmp_path / "broken.car"
    broken.write_bytes(file.read_bytes()[:-1])
    for wrong, why in ((broken, "middle of a part"), (__file__, "CAR file")):
        with pytest.raises(DaemonError, match=why):
            daemon.run("buckets", "import", str(wrong), "--thread", THREAD.text)
    with pytest.raises(DaemonError, match="there is no bucket"):
        daemon.run("buckets", "export", "nobody", str(tmp_path / "other.car"))


@pytest.mark.parametrize("private", [False, True])
def test_files_go_into_a_bucket_and_come_out_of_it(start_daemon, tmp_path, private):
    daemon = start_daemon()
    with grpc.insecure_channel(daemon.threads_api) as channel:
        call(channel, "threads.pb.API/NewDB", threads_pb2.NewDBRequest(dbID=THREAD.bytes), threads_pb2.NewDBReply)
        request = pb.CreateRequest(name="site", private=private)
        key = call(channel, "api.bucketsd.pb.APIService/Create", request, pb.CreateResponse).root.key
        file, back = tmp_path / "big", tmp_path / "back"
        file.write_bytes(os.urandom(700_000))
        assert "pushed 700000 bytes to big" in daemon.run("buckets", "push", key, str(file))
        done = json.loads(daemon.run("buckets", "push", key, str(file), "/deep/er", "--json"))
        assert (done["key"], done["path"], done["size"]) == (key, "deep/er", 700_000)
        assert pull(channel, key, "deep/er") == file.read_bytes()
    daemon.stop()
    assert json.loads(daemon.run("buckets", "pull", key, "deep/er", str(back), "--json")) == done
    assert back.read_bytes() == file.read_bytes()
    for arguments, why in (
        (("pull", key, "big", str(back)), "cannot write"),
        (("pull", key, "deep", str(tmp_path / "x")), "directory"),
        (("pull", "nobody", "big", str(tmp_path / "x")), "there is no bucket"),
        (("push", key, str(file), "../out"), "path"),
        (("push", key, str(tmp_path / "absent")), "does not exist"),
    ):
        with pytest.raises(DaemonError, match=why):
            daemon.run("buckets", *arguments)
    assert not (tmp_path / "x").exists()


def test_damaged_parts_are_refused(tmp_path):
    block = dag.raw_block(b"block")
    file = tmp_path / "x.car"
    for data, wanted in (
        (car.part(block.cid, b"other"), "damaged"),
        (b"\xff\xff\xff\xff\xff\xff", "too long"),
        (b"\xff\xff\xff\x7f", "too long"),
        (b"\x05abc", "middle"),
        (b"\x04abcd", "understood"),
    ):
        file.write_bytes(car.header(block.cid) + data)
        with file.open("rb") as source:
            assert car.read_root(source) == block.cid
            with pytest.raises(CarError, match=wanted):
                list(car.read_blocks(source))


def test_a_join_says_which_buckets_came_without_their_content(start_daemon, tmp_path):
    there, here = start_daemon(), start_daemon()
    with grpc.insecure_channel(there.threads_api) as channel:
        call(channel, "threads.pb.API/NewDB", threads_pb2.NewDBRequest(dbID=THREAD.bytes), threads_pb2.NewDBReply)
        made = call(channel, "api.bucketsd.pb.APIService/Create", pb.CreateRequest(name="site"), pb.CreateResponse)
        key = made.root.key
        path = push(channel, key, {"a.txt": b"hello"})
    (taken,) = json.loads(here.run("join", "--from", there.threads_api, "--json"))
    assert taken["buckets_without_content"] == [key]
    assert "was here; buckets without content: 1" in here.run("join", "--from", there.threads_api)
    file = tmp_path / "site.car"
    there.run("buckets", "export", key, str(file))
    here.run("buckets", "import", str(file), "--thread", THREAD.text)
    (taken,) = json.loads(here.run("join", "--from", there.threads_api, "--json"))
    assert taken["buckets_without_content"] == []
    (listed,) = (each for each in json.loads(here.run("buckets", "ls", "--json")) if each["key"] == key)
    assert listed["path"] == path
    with grpc.insecure_channel(here.threads_api) as channel:
        assert pull(channel, key, "a.txt") == b"hello"
