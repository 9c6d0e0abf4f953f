"""Bitswap on a connection: peers are given the blocks that they ask for, and asked for those that are wanted here."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import trio

from net import bitswap
from net.bitswap import Heard, Want
from net.host import delimited
from net.host.library import IOException, Stream
from net.peer_errors import PeerTooSlowError, PeerUnreachableError

Blocks = Callable[[list[bytes]], Awaitable[dict[bytes, bytes]]]
"""Gives the blocks of some CIDs that are here."""

Open = Callable[[], Awaitable[Stream]]
"""Opens a stream to the peer."""

MAX_ANSWERS = 8
"""How many messages of a peer are answered at a time; the others wait."""

log = logging.getLogger(__name__)


class _Line:
    """One stream to a peer that messages go out on, opened when there is one and again where the peer has ended it.

    To open a stream takes longer than to send a message, and older records are asked for one after the other.

    Args:
        open_stream: Opens it.
    """

    def __init__(self, open_stream: Open) -> None:
        self._open = open_stream
        self._stream: Stream | None = None
        self._turn = trio.Lock()

    async def say(self, message: bytes) -> None:
        """Send a message.

        Raises:
            PeerUnreachableError: The connection has ended.
        """
        async with self._turn:
            # A stream on which a message was cut off by a cancellation is not used again.
            stream, self._stream = self._stream, None
            if stream is None or not await self._written(stream, message):
                stream = await self._open()
                if not await self._written(stream, message):
                    raise PeerUnreachableError("the connection to the peer has ended")
            self._stream = stream

    @staticmethod
    async def _written(stream: Stream, message: bytes) -> bool:
        try:
            await stream.write(message)
        except IOException:
            return False
        return True


class Bitswap:
    """Blocks to and from one peer.

    Args:
        open_stream: Opens a stream of bitswap to it.
        blocks: Gives what is here.
    """

    def __init__(self, open_stream: Open, blocks: Blocks) -> None:
        self._asks = _Line(open_stream)
        self._answers = _Line(open_stream)
        self._blocks = blocks
        self._missing: set[bytes] = set()
        self._found: dict[bytes, bytes] = {}
        self._fetching = trio.Lock()
        self._news = trio.Condition()
        self._answering = trio.Semaphore(MAX_ANSWERS)

    async def hear(self, stream: Stream) -> None:
        """Take the messages of a stream of the peer's until it ends.

        Raises:
            IOException: The stream broke, or a message is too long.
            ValueError: A message makes no sense.
        """
        async with aclosing(delimited.messages(stream, bitswap.MAX_MESSAGE_BYTES)) as messages:
            async for message in messages:
                heard = bitswap.read(message)
                await self._take(heard)
                if heard.wants:
                    async with self._answering:
                        await self._answer(heard.wants)

    async def fetch(self, cids: Sequence[bytes], seconds: float) -> dict[bytes, bytes]:
        """Ask the peer for blocks.

        Args:
            cids: Which, at most `bitswap.MAX_WANTED`.
            seconds: How long it may take.

        Returns:
            Those that it has, by CID.

        Raises:
            PeerUnreachableError: The connection has ended.
            PeerTooSlowError: It neither gave all of them nor said that it lacks the rest.
        """
        with trio.move_on_after(seconds):
            async with self._fetching:
                return await self._fetch(cids)
        raise PeerTooSlowError("the peer does not give the blocks that it is asked for")

    async def _fetch(self, cids: Sequence[bytes]) -> dict[bytes, bytes]:
        self._missing, self._found = set(cids), {}
        await self._asks.say(bitswap.ask(cids))
        async with self._news:
            while self._missing:
                await self._news.wait()
        return self._found

    async def _take(self, heard: Heard) -> None:
        async with self._news:
            for cid in self._missing & heard.blocks.keys():
                self._found[cid] = heard.blocks[cid]
            self._missing -= heard.blocks.keys() | heard.absent
            self._news.notify_all()

    async def _answer(self, wants: Sequence[Want]) -> None:
        found = await self._blocks([want.cid for want in wants])
        for message in bitswap.answer(wants, found):
            await self._answers.say(message)
