"""Nobody signs in to an account that exists because of where the call comes from or what it says of itself."""

import asyncio
import json
import struct

import grpc
import pytest
from daemons import DaemonError
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from proto import hubd_pb2

SIGN_IN = "/api.hubd.pb.APIService/Signin"
SIGN_UP = "/api.hubd.pb.APIService/Signup"
SAID = [
    [],
    [("origin", "https://any.example")],
    [("origin", "null")],
    [("origin", "")],
    [("x-forwarded-for", "127.0.0.1")],
    [("x-forwarded-for", "203.0.113.7")],
    [("x-real-ip", "127.0.0.1"), ("forwarded", "for=127.0.0.1")],
    [("sec-fetch-site", "same-origin")],
    [("authorization", "bearer x")],
    [("x-textile-session", "")],
    [("user-agent", "grpc-go/1.38.0")],
]


def waiting(daemon):
    return json.loads(daemon.run("confirm", "--list", "--json"))


async def until_wait(daemon, count):
    """What waits, once it is so many."""
    async with asyncio.timeout(60):
        # Each look is a program that starts, which is pause enough.
        while len(found := await asyncio.to_thread(waiting, daemon)) < count:
            pass
    assert len(found) == count
    return found


async def over_a_websocket(daemon, origin, **headers):
    """The session that a sign-in as `local` over a websocket gives."""
    body = hubd_pb2.SigninRequest(username_or_email="local").SerializeToString()
    given = {"origin": origin, "additional_headers": {name.replace("_", "-"): value for name, value in headers.items()}}
    async with connect(f"ws://{daemon.hub_web}{SIGN_IN}", subprotocols=["grpc-websockets"], **given) as socket:
        await socket.send(b"content-type: application/grpc-web+proto\r\n")
        await socket.send(b"\0" + struct.pack(">BI", 0, len(body)) + body)
        await socket.send(b"\1")
        pieces = []
        try:
            while True:
                pieces.append(await socket.recv())
        except ConnectionClosed:
            reply = next(piece for piece in pieces if piece[0] == 0)
            return hubd_pb2.SigninResponse.FromString(reply[5:]).session


async def over_grpc(channel, said):
    """The session that a sign-in as `local` over gRPC gives."""
    request = hubd_pb2.SigninRequest(username_or_email="local").SerializeToString()
    return hubd_pb2.SigninResponse.FromString(await channel.unary_unary(SIGN_IN)(request, metadata=said)).session


@pytest.mark.parametrize("flags", [(), ("--confirm", "auto")])
async def test_a_sign_in_to_the_owner_of_the_keys_waits_for_the_operator(start_daemon, flags):
    daemon = start_daemon(*flags)
    async with grpc.aio.insecure_channel(daemon.hub_api) as channel:
        signing = {asyncio.ensure_future(over_grpc(channel, said)) for said in SAID}
        for origin in (None, "null", "http://127.0.0.1:8080"):
            signing.add(asyncio.ensure_future(over_a_websocket(daemon, origin)))
        found = await until_wait(daemon, len(signing))
        assert {(one["purpose"], one["name"]) for one in found} == {("sign-in", "local")}
        assert all(one["peer"].startswith("ipv4:127.0.0.1:") for one in found)
        pages = ["https://any.example", "null", "null", "null", "http://127.0.0.1:8080"]
        assert sorted(one["page"] for one in found if one["page"]) == sorted(pages)
        assert not any(one.done() for one in signing)
        await asyncio.to_thread(daemon.run, "confirm", found[0]["secret"])
        done, rest = await asyncio.wait(signing, return_when=asyncio.FIRST_COMPLETED)
        assert [bool(one.result()) for one in done] == [True]
        for one in rest:
            one.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
    daemon.stop()


async def test_what_a_page_asks_for_is_confirmed_by_its_secret_only(start_daemon):
    daemon = start_daemon()
    page = "https://any.example"
    signing = asyncio.ensure_future(over_a_websocket(daemon, page))
    (found,) = await until_wait(daemon, 1)
    assert found["page"] == page
    with pytest.raises(DaemonError, match=rf"the sign-in of local, asked for by a page of {page}"):
        await asyncio.to_thread(daemon.run, "confirm")
    assert not signing.done()
    said = await asyncio.to_thread(daemon.run, "confirm", found["secret"])
    assert said.strip() == f"confirmed the sign-in of local, asked for from {found['peer']} by a page of {page}"
    assert await signing
    assert page in daemon.said()
    daemon.stop()


async def test_what_auto_covers(start_daemon):
    daemon = start_daemon("--confirm", "auto")
    assert "sign-ups and invitations are confirmed without asking" in daemon.said()
    assert "can sign in to every account" not in daemon.said()
    request = hubd_pb2.SignupRequest(username="jane", email="jane@example.org").SerializeToString()
    async with grpc.aio.insecure_channel(daemon.hub_api) as channel:
        sign_up = channel.unary_unary(SIGN_UP)
        assert hubd_pb2.SignupResponse.FromString(await sign_up(request, timeout=60)).session
        with pytest.raises(grpc.aio.AioRpcError, match="Account exists"):
            await sign_up(request, timeout=60)
        # Any page may reach the Hub's endpoint for browsers.
        other = hubd_pb2.SignupRequest(username="john", email="john@example.org").SerializeToString()
        call = sign_up(other, metadata=[("origin", "https://any.example")])
        (found,) = await until_wait(daemon, 1)
        assert (found["purpose"], found["name"]) == ("sign-up", "john")
        assert not call.done()
        call.cancel()
    daemon.stop()


async def test_what_auto_signin_covers(start_daemon):
    daemon = start_daemon("--confirm", "auto-signin")
    assert "anybody who reaches the Hub can sign in to every account" in daemon.said()
    request = hubd_pb2.SigninRequest(username_or_email="local").SerializeToString()
    async with grpc.aio.insecure_channel(daemon.hub_api) as channel:
        sign_in = channel.unary_unary(SIGN_IN)
        assert hubd_pb2.SigninResponse.FromString(await sign_in(request, timeout=60)).session
        call = sign_in(request, metadata=[("origin", "https://any.example")])
        await until_wait(daemon, 1)
        assert not call.done()
        call.cancel()
    daemon.stop()


async def test_what_a_trusted_proxy_says_of_its_client_is_shown_and_grants_nothing(start_daemon):
    daemon = start_daemon("--trusted-proxy", "127.0.0.1")
    forwarded = ["203.0.113.7", "127.0.0.1, 203.0.113.8", "127.0.0.1"]
    signing = [asyncio.ensure_future(over_a_websocket(daemon, None, x_forwarded_for=said)) for said in forwarded]
    found = await until_wait(daemon, len(signing))
    assert {one["peer"] for one in found} == {"ipv4:203.0.113.7:0", "ipv4:203.0.113.8:0", "ipv4:127.0.0.1:0"}
    assert not any(one.done() for one in signing)
    for one in signing:
        one.cancel()
    await asyncio.gather(*signing, return_exceptions=True)
    daemon.stop()
