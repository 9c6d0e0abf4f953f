"""What a page in a browser may not do at a door on loopback: sign in as whoever owns the machine's keys."""

import asyncio
import struct

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from proto import hubd_pb2

SIGN_IN = "api.hubd.pb.APIService/Signin"


async def sign_in(daemon, origin):
    """The session that a sign-in as `local` over a websocket gives at once; None if it waits to be confirmed."""
    body = hubd_pb2.SigninRequest(username_or_email="local").SerializeToString()
    url = f"ws://{daemon.hub_web}/{SIGN_IN}"
    async with connect(url, subprotocols=["grpc-websockets"], origin=origin) as socket:
        await socket.send(b"content-type: application/grpc-web+proto\r\n")
        await socket.send(b"\0" + struct.pack(">BI", 0, len(body)) + body)
        await socket.send(b"\1")
        pieces = []
        try:
            async with asyncio.timeout(3):
                while True:
                    pieces.append(await socket.recv())
        except TimeoutError:
            assert pieces == []
            return None
        except ConnectionClosed:
            reply = next(piece for piece in pieces if piece[0] == 0)
            return hubd_pb2.SigninResponse.FromString(reply[5:]).session


async def test_a_page_cannot_confirm_its_own_sign_in(start_daemon):
    daemon = start_daemon()
    origins = ["https://any.example", "http://127.0.0.1:8080", "null"]
    assert await asyncio.gather(*(sign_in(daemon, origin) for origin in origins)) == [None, None, None]
    assert await sign_in(daemon, None)
