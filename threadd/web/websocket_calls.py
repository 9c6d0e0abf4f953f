"""Calls over websockets, one for each, in the dialect of the JS clients of the Hub (facts, section 1).

The client's first message holds metadata; each later one a zero byte and frames, or a one byte alone, which ends its
half. Headers, replies and trailers go back as frames, a websocket message each.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from store.errors import ThreaddError
from threadd.api.dispatcher import Call, CallHead
from threadd.web import metadata
from threadd.web.call_sockets import CallSocket, socket_of
from threadd.web.calls import Calls, Fields, Message, Receive, Replies, Requests, Scope, Send
from threadd.web.frames import FramingError, block_frame, message_frame
from threadd.web.http2_frames import FIELD_OVERHEAD
from threadd.web.peers import peer_of

SUBPROTOCOL: Final = "grpc-websockets"

_CONTENT_TYPE: Final = ("content-type", "application/grpc-web+proto")
_DATA: Final = 0
_HALF_CLOSE: Final = b"\x01"
_NORMAL: Final = 1000

# How long a client may take to send the metadata of its call, in seconds.
_PATIENCE = 30.0


class WebsocketCalls:
    """An ASGI application that answers calls over websockets.

    Args:
        calls: The calls of the door.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, and close."""

        async def send_if_open(message: Message) -> None:
            try:
                await send(message)
            except RuntimeError as error:
                # What uvicorn raises once it has closed the connection over a mistake of the client.
                raise ConnectionAbortedError from error

        await receive()
        try:
            await self._accept(scope, send_if_open)
            first = await self._first(scope, receive)
            if first is not None:
                await self._run(scope, first, receive, send_if_open)
            await send_if_open({"type": "websocket.close", "code": _NORMAL, "reason": "request body closed"})
        except OSError:
            # The client has gone; nobody is left to be told.
            return

    async def _accept(self, scope: Scope, send: Send) -> None:
        offered = SUBPROTOCOL in scope["subprotocols"]
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if offered else None})

    async def _first(self, scope: Scope, receive: Receive) -> Message | None:
        """The message with the metadata; None if there is no call."""
        if scope["path"] not in self._calls.dispatcher.methods:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                first = await receive()
        except TimeoutError:
            return None
        return first if first["type"] == "websocket.receive" else None

    async def _run(self, scope: Scope, first: Message, receive: Receive, send: Send) -> None:
        replies = _WebsocketReplies(peer_of(scope, self._calls.proxies), send)
        method = scope["path"]
        try:
            fields = metadata.from_lines(_binary(first)) + _origin(scope)
            timeout = metadata.timeout_of(fields)
        except ThreaddError as error:
            await replies.send_status(error.code, error.text)
            return
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        head = CallHead(method, fields, replies, deadline, len(_binary(first)) + FIELD_OVERHEAD * len(fields))
        await self._calls.run(scope, head, replies, _Body(receive, socket_of(scope)).read)


@dataclass(frozen=True, slots=True)
class _Body:
    """The messages of a call behind the first one.

    Args:
        receive: Gives them.
        socket: Where they come from.
    """

    receive: Receive
    socket: CallSocket

    async def read(self, call: Call, requests: Requests) -> None:
        """Fill the requests until the client has gone."""
        self.socket.admitted(call.pools.bodies, call.share)
        while (message := await requests.next(self.receive, self._progress))["type"] == "websocket.receive":
            await _take(message, requests)

    def _progress(self) -> float:
        return self.socket.progress


async def _take(message: Message, requests: Requests) -> None:
    try:
        data = _binary(message)
        if data == _HALF_CLOSE:
            await requests.finish()
        elif data and data[0] == _DATA:
            await requests.feed(data[1:])
        else:
            raise FramingError("a message begins with the byte 0x00, or is the byte 0x01 alone")
    except ThreaddError as error:
        await requests.end(error)


def _origin(scope: Scope) -> metadata.Metadata:
    """Where the page comes from that calls, as the browser says it at the handshake: no page can leave it out."""
    return metadata.from_fields((name, value) for name, value in scope["headers"] if name.lower() == b"origin")


def _binary(message: Message) -> bytes:
    data = message.get("bytes")
    if data is None:
        raise FramingError("a text message is not part of a call: send binary messages")
    return bytes(data)


class _WebsocketReplies(Replies):
    """Replies over a websocket.

    Args:
        peer: Where the call comes from.
        send: Sends an ASGI message.
    """

    def __init__(self, peer: str, send: Send) -> None:
        super().__init__(peer)
        self._send = send

    async def _send_headers(self) -> None:
        await self._frame(block_frame([_CONTENT_TYPE]))

    async def _send_message(self, body: bytes) -> None:
        await self._frame(message_frame(body))

    async def _send_trailers(self, fields: Fields) -> None:
        await self._frame(block_frame(fields))

    async def _send_failure(self, fields: Fields) -> None:
        await self._frame(block_frame([_CONTENT_TYPE, *fields]))

    async def _frame(self, frame: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": frame})
