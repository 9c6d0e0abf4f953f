"""GetToken and GetHostID with real gRPC clients."""

import asyncio
import json
from pathlib import Path

import grpc
import pytest

from net import tokens
from net.keys import PrivateKey
from net.multiaddr import Multiaddr
from net.network import Network
from net.peering import Line, Peering
from net.threads import Threads
from proto import threadsnet_pb2 as pb
from store import tables
from store.memory import MemoryEngine
from threadd.api.addresses import HostAddresses
from threadd.api.dispatcher import Dispatcher
from threadd.api.network_service import DESCRIPTOR, NetworkService
from threadd.api.token_flow import TokenFlow

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "tokens.json").read_text())
HOST = PrivateKey(bytes.fromhex(VECTORS["host_seed"]))
ALICE = PrivateKey(bytes.fromhex(VECTORS["identities"]["alice"]["seed"]))
CASE = VECTORS["cases"][1]
ISSUED_AT = json.loads(CASE["claims_json"])["iat"]


@pytest.fixture
async def channel(policy, open_door):
    flow = TokenFlow(HOST, lambda _size: bytes.fromhex(CASE["challenge"]), lambda: ISSUED_AT * 10**9 + 5, limit=0.5)
    engine = MemoryEngine()
    threads = Threads(engine, HOST, flow.randomness, flow.clock)
    network = Network(engine, threads, tables.database, lambda _: None)
    addresses = HostAddresses(Multiaddr.from_text("/ip4/127.0.0.1/tcp/4006"), HOST.public.peer_id)
    dispatcher = Dispatcher(policy)
    replication = Peering(engine, threads, network, Line(), flow.clock).replication
    dispatcher.register(DESCRIPTOR, NetworkService(network, replication, flow, addresses))
    async with open_door(dispatcher) as opened:
        yield opened


@pytest.fixture
def converse(channel):
    stub = channel.stream_stream(
        "/threads.net.pb.API/GetToken",
        request_serializer=pb.GetTokenRequest.SerializeToString,
        response_deserializer=pb.GetTokenReply.FromString,
    )

    async def talk(*requests, half_close=True):
        """The replies to messages that are sent one after the other, each after a reply; or the status."""
        call = stub(timeout=10)
        replies = []
        try:
            for request in requests:
                await call.write(pb.GetTokenRequest(**request))
                replies.append(await call.read())
            if half_close:
                await call.done_writing()
            while (reply := await call.read()) is not grpc.aio.EOF:
                replies.append(reply)
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details()
        except asyncio.InvalidStateError:
            pass
        if await call.code() is not grpc.StatusCode.OK:
            return await call.code(), await call.details()
        return replies

    return talk


async def test_a_client_gets_the_token_that_a_real_daemon_gave(converse):
    challenge, token = await converse(
        {"key": ALICE.public.text},
        {"signature": bytes.fromhex(CASE["challenge_signature"])},
    )
    assert challenge.challenge == bytes.fromhex(CASE["challenge"])
    assert token.token == CASE["token"]
    assert tokens.verify(token.token, HOST.public) == ALICE.public


@pytest.mark.parametrize(
    ("requests", "code", "text"),
    [
        ([], grpc.StatusCode.INVALID_ARGUMENT, "Key is required"),
        ([{}], grpc.StatusCode.INVALID_ARGUMENT, "Key is required"),
        ([{"signature": b"x"}], grpc.StatusCode.INVALID_ARGUMENT, "Key is required"),
        ([{"key": ""}], grpc.StatusCode.INVALID_ARGUMENT, "invalid key"),
        ([{"key": "bnonsense"}], grpc.StatusCode.INVALID_ARGUMENT, "invalid key"),
        ([{"key": ALICE.public.text}], grpc.StatusCode.INVALID_ARGUMENT, "Signature is required"),
        ([{"key": ALICE.public.text}] * 2, grpc.StatusCode.INVALID_ARGUMENT, "Signature is required"),
        ([{"key": ALICE.public.text}, {"signature": b""}], grpc.StatusCode.UNKNOWN, "bad signature"),
        ([{"key": ALICE.public.text}, {"signature": bytes(64)}], grpc.StatusCode.UNKNOWN, "bad signature"),
        (
            [{"key": ALICE.public.text}, {"signature": HOST.sign(bytes.fromhex(CASE["challenge"]))}],
            grpc.StatusCode.UNKNOWN,
            "bad signature",
        ),
    ],
)
async def test_what_is_refused(converse, requests, code, text):
    seen, details = await converse(*requests)
    assert seen is code
    assert text in details


@pytest.mark.parametrize("requests", [[], [{"key": ALICE.public.text}]])
async def test_a_silent_client_is_let_go(converse, requests):
    seen, details = await converse(*requests, half_close=False)
    assert (seen, details) == (grpc.StatusCode.DEADLINE_EXCEEDED, "Challenge deadline exceeded")


async def test_the_host_tells_its_peer_id(channel):
    stub = channel.unary_unary(
        "/threads.net.pb.API/GetHostID",
        request_serializer=pb.GetHostIDRequest.SerializeToString,
        response_deserializer=pb.GetHostIDReply.FromString,
    )
    assert (await stub(pb.GetHostIDRequest(), timeout=10)).peerID == HOST.public.peer_id
    assert HOST.public.peer_id_text == VECTORS["host_peer_id"]
