"""uvicorn's websocket, which counts what it keeps of messages before they are whole or taken.

A message comes as fragments of any length; uvicorn hands over whole messages only. Until a call is admitted, its
connection keeps little; then what it keeps comes out of the budget of bodies.
"""

import time
from typing import Any, Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

from threadd.api.budgets import Pool, Share
from threadd.web.calls import Message, Scope
from threadd.web.metadata import MAX_METADATA_BYTES

_FIRST_BYTES: Final = 2 * MAX_METADATA_BYTES
"""How much of the first message is kept, which holds metadata; one that is too long, but not by much, is told so."""

FRAGMENT_BYTES: Final = 64
"""What a fragment of a message takes beside its bytes."""

_NOBODY: Final = Share(("", b""), None)
_NAME: Final = "threadd.socket"


class CallSocket(WebSocketsSansIOProtocol):
    """One websocket; see the module."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._pool: Pool | None = None
        self._share = _NOBODY
        self._is_first = True
        self._queued = 0
        self._charged = 0
        self._kept = 0
        self.progress = time.monotonic()
        """When anything of a message came last, in seconds of the monotonic clock."""

    def handle_connect(self, event: Any) -> None:
        """Begin; the application finds this in its scope."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            extensions = cast("dict[str, Any]", self.scope["extensions"])
            extensions[_NAME] = self

    def admitted(self, pool: Pool, share: Share) -> None:
        """Say that the call was admitted.

        Args:
            pool: The budget of bodies.
            share: Who takes of it.
        """
        self._pool, self._share = pool, share
        self._settle()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        if self._pool is not None and self._charged:
            self._pool.give_back(self._share, self._charged)
        self._pool, self._charged = None, 0

    def send_receive_event_to_app(self) -> None:
        """Queue a message that is whole."""
        self._is_first = False
        self._queued += sum(map(len, self.frames))
        super().send_receive_event_to_app()

    async def receive(self) -> Any:
        """Hand over what comes next."""
        message = cast("Message", await super().receive())
        text = message.get("text")
        data = message.get("bytes") if text is None else text.encode()
        if data:
            self._queued -= len(data)
            self._settle()
        return message

    def _settle(self) -> None:
        """Have as much of the budget as is kept, or hang up where there is no room for that."""
        unread = len(self.conn.reader.buffer) + (self.conn.current_size or 0) + FRAGMENT_BYTES * len(self.frames)
        if unread > self._kept:
            self.progress = time.monotonic()
        self._kept = unread
        if self._is_first and self.handshake_complete and unread > _FIRST_BYTES:
            self._refuse(CloseCode.MESSAGE_TOO_BIG, "the first message of a call holds its metadata")
        if self._pool is None:
            return
        more = unread + self._queued - self._charged
        if more > 0 and not self._pool.take(self._share, more):
            self._refuse(CloseCode.TRY_AGAIN_LATER, "unfinished requests take too much room already")
            return
        if more < 0:
            self._pool.give_back(self._share, -more)
        self._charged += more

    def _refuse(self, code: CloseCode, reason: str) -> None:
        if not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()


def socket_of(scope: Scope) -> CallSocket:
    """The websocket that a scope came with."""
    found: CallSocket = scope["extensions"][_NAME]
    return found
