"""Clients of daemons that exchange threads with each other, over their network and database APIs."""

import gc
import json
import os
import time
from pathlib import Path

import grpc
from google.protobuf import message_factory

from net import cbor
from net.multiaddr import Multiaddr
from proto import threads_pb2 as db_pb
from proto import threadsnet_pb2 as pb

NETWORK = pb.DESCRIPTOR.services_by_name["API"]
DATABASES = db_pb.DESCRIPTOR.services_by_name["API"]
SCHEMA = json.dumps({"type": "object", "properties": {"_id": {"type": "string"}, "n": {"type": "number"}}}).encode()


class Api:
    """The network API of a daemon."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.channel = grpc.insecure_channel(daemon.threads_api, options=[("grpc.max_receive_message_length", -1)])
        self.id = self("GetHostID").peerID

    def __call__(self, method, request=None, timeout=30, **fields):
        service = NETWORK if method in NETWORK.methods_by_name else DATABASES
        described = service.methods_by_name[method]
        answer = message_factory.GetMessageClass(described.output_type)
        request = request or message_factory.GetMessageClass(described.input_type)(**fields)
        call = self.channel.unary_unary(
            f"/{service.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return call(request, timeout=timeout, wait_for_ready=True)

    def create(self, thread, key):
        self("CreateThread", threadID=thread, keys=pb.Keys(threadKey=key))

    def join(self, other, thread, key):
        address = next(iter(other("GetThread", threadID=thread).addrs))
        return self("AddThread", addr=address, keys=pb.Keys(threadKey=key))

    def write(self, thread, number=1, size=10):
        for n in range(number):
            self("CreateRecord", threadID=thread, body=cbor.byte_string(os.urandom(size)) if size else bytes([n]))

    def collections(self, *names):
        return [db_pb.CollectionConfig(name=name, schema=SCHEMA) for name in names]

    def new_db(self, thread, key, *names):
        self("NewDB", dbID=thread, key=key, collections=self.collections(*names))

    def join_db(self, other, thread, key, *names, block=True):
        address = other("GetDBInfo", dbID=thread).addrs[0]
        self("NewDBFromAddr", addr=address, key=key, collections=self.collections(*names), block=block)

    def save(self, thread, *documents, collection="c"):
        instances = [json.dumps(document).encode() for document in documents]
        self("Save", dbID=thread, collectionName=collection, instances=instances)

    def create_instance(self, thread, document, collection="c"):
        self("Create", dbID=thread, collectionName=collection, instances=[json.dumps(document).encode()])

    def remove(self, thread, *ids, collection="c"):
        self("Delete", dbID=thread, collectionName=collection, instanceIDs=ids)

    def documents(self, thread, collection="c"):
        found = self("Find", dbID=thread, collectionName=collection, queryJSON=b"{}").instances
        documents = [json.loads(each) for each in found]
        return {
            document["_id"]: {k: v for k, v in document.items() if k not in ("_id", "_mod")} for document in documents
        }

    def heads(self, thread):
        return {log.ID: log.head for log in self("GetThread", threadID=thread).logs if log.head}

    def host_address(self):
        address = Multiaddr(next(iter(self("GetThread", threadID=self.probe()).addrs)))
        return address.until("thread").bytes

    def probe(self):
        thread = new_thread()[0]
        self.create(thread, os.urandom(64))
        return thread


def new_thread():
    return b"\1\x55" + os.urandom(32), os.urandom(64)


def resident(pid="self"):
    """The memory of a process in bytes, without the pages of files that it maps."""
    gc.collect()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024


def in_step(thread, *apis, seconds=20, logs=1):
    ends = time.monotonic() + seconds
    while True:
        heads = [api.heads(thread) for api in apis]
        if len(heads[0]) >= logs and all(each == heads[0] for each in heads):
            return
        if time.monotonic() > ends:
            said = "\n".join(api.daemon.said() for api in apis)
            raise AssertionError(f"{heads}\n{said}")
        time.sleep(0.02)
