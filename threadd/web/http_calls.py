"""Calls over plain HTTP: grpc-web and grpc-web-text, as PROTOCOL-WEB.md of the grpc project has them.

The body of the request holds frames, and its end is the end of the client's half. The reply's body holds the frames of
the replies and of the trailers; a call that fails before it began is told in the headers alone.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers

from store.errors import ThreaddError
from threadd.api.dispatcher import Call, CallHead
from threadd.web import cors, metadata
from threadd.web.calls import Calls, Fields, Receive, Replies, Requests, Scope, Send
from threadd.web.frames import TextDecoder, block_frame, encode_text, message_frame
from threadd.web.http2_frames import size_of
from threadd.web.peers import peer_of

_BINARY: Final = "application/grpc-web"
_TEXT: Final = "application/grpc-web-text"


class HttpCalls:
    """An ASGI application that answers calls over HTTP.

    Args:
        calls: The calls of the door.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        method = scope["method"]
        if method == "POST" and _media_type(headers).startswith(_BINARY):
            await self._run(scope, headers, receive, send)
        elif method == "OPTIONS" and cors.is_preflight(headers):
            await _answer_empty(send, 200, cors.preflight_fields(headers))
        elif method == "POST":
            await _answer_empty(send, 415, cors.reply_fields(headers))
        else:
            # What the reference says to those who look whether it is there.
            await _answer_empty(send, 200, cors.reply_fields(headers))

    async def _run(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        is_text = _media_type(headers).startswith(_TEXT)
        replies = _HttpReplies(peer_of(scope, self._calls.proxies), send, headers, encode_text if is_text else bytes)
        try:
            fields = metadata.from_fields(scope["headers"])
            timeout = metadata.timeout_of(fields)
        except ThreaddError as error:
            await replies.send_status(error.code, error.text)
            return
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        head = CallHead(scope["path"], fields, replies, deadline, size_of(scope["headers"]))
        body = _Body(receive, TextDecoder() if is_text else None)
        await self._calls.run(scope, head, replies, body.read)


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def _answer_empty(send: Send, status: int, fields: list[tuple[str, str]]) -> None:
    fields = [*fields, ("content-length", "0")]
    await send({"type": "http.response.start", "status": status, "headers": _encoded(fields)})
    await send({"type": "http.response.body", "body": b""})


def _encoded(fields: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


class _Body:
    """The body of a request.

    Args:
        receive: Gives it in pieces.
        text: Takes the base64 off it first, where it is base64.
    """

    def __init__(self, receive: Receive, text: TextDecoder | None) -> None:
        self._receive = receive
        self._text = text

    async def read(self, _call: Call, requests: Requests) -> None:
        """Fill the requests until the client has gone."""
        while (message := await requests.next(self._receive))["type"] == "http.request":
            try:
                data: bytes = message.get("body", b"")
                if self._text is not None:
                    data = self._text.feed(data)
                await requests.feed(data)
                if not message.get("more_body", False):
                    if self._text is not None:
                        self._text.finish()
                    await requests.finish()
            except ThreaddError as error:
                await requests.end(error)


class _HttpReplies(Replies):
    """Replies in the body of a response.

    Args:
        peer: Where the call comes from.
        send: Sends an ASGI message.
        asked: The headers of the request.
        encode: Makes what is sent of a frame.
    """

    def __init__(self, peer: str, send: Send, asked: Headers, encode: Callable[[bytes], bytes]) -> None:
        super().__init__(peer)
        self._send = send
        self._fields = [("content-type", asked["content-type"]), *cors.reply_fields(asked)]
        self._encode = encode

    async def _send_headers(self) -> None:
        await self._start(self._fields)

    async def _send_message(self, body: bytes) -> None:
        await self._piece(message_frame(body), more=True)

    async def _send_trailers(self, fields: Fields) -> None:
        await self._piece(block_frame(fields), more=False)

    async def _send_failure(self, fields: Fields) -> None:
        await self._start([*self._fields, *fields, ("content-length", "0")])
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, fields: list[tuple[str, str]]) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": _encoded(fields)})

    async def _piece(self, frame: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": self._encode(frame), "more_body": more})
