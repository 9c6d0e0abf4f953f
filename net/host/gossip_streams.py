"""GossipSub on connections: `net.host.gossip` with streams, and its heartbeat."""

import logging
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import trio

from net.host import delimited, gossip
from net.host.delimited import MessageTooLongError, NoLengthError
from net.host.gossip import BadGossipError, Gossip, GossipRouter
from net.host.library import IOException, Stream
from net.keys import PrivateKey
from net.peer_errors import PeerUnreachableError
from store import background

Take = Callable[[bytes, str, bytes], Awaitable[bool]]
"""Takes what a peer brings: its ID, the topic and the message; tells whether that is good, so that others get it."""

MAX_STREAMS = 4
"""How many streams of gossip a peer may have open; it needs one."""

_TELL_SECONDS = 60.0

log = logging.getLogger(__name__)


class GossipStreams:
    """What is said by pubsub to and by all peers. `run` has to run.

    Args:
        key: The host's key.
        take: Takes what peers bring.

    Attributes:
        refused: How many messages of peers were refused, by reason.
    """

    def __init__(self, key: PrivateKey, take: Take) -> None:
        chance = random.Random()  # noqa: S311 - it picks peers
        self.router = GossipRouter(key, time.time_ns(), trio.current_time, self._wake, chance)
        self.refused: Counter[str] = Counter()
        self._take = take
        self._news: dict[bytes, trio.Event] = {}
        self._turns: dict[bytes, tuple[trio.Lock, int]] = {}
        self._open: Counter[bytes] = Counter()
        self._told = -_TELL_SECONDS

    async def run(self) -> None:
        """Let the heart beat."""
        while True:
            await trio.sleep(gossip.HEARTBEAT_SECONDS)
            self.router.beat()

    async def speak(self, peer: bytes, open_stream: Callable[[], Awaitable[Stream]]) -> None:
        """Tell a peer what there is to tell for as long as its connection stands; one connection of several does.

        Args:
            peer: The peer's ID.
            open_stream: Opens a stream of gossip to it.
        """
        async with self._turn(peer):
            try:
                stream = await open_stream()
            except PeerUnreachableError:
                return  # it does not gossip
            self._news[peer] = trio.Event()
            self.router.connect(peer)
            try:
                while True:
                    news = self._news[peer]
                    while data := self.router.data_to_send(peer):
                        await stream.write(data)
                    await news.wait()
                    self._news[peer] = trio.Event()
            except IOException as error:
                log.debug("a stream of gossip ends: %r", error)
            finally:
                self.router.disconnect(peer)
                del self._news[peer]
                with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
                    await stream.reset()

    async def hear(self, peer: bytes, stream: Stream) -> None:
        """Take what a peer says on a stream of its until it ends.

        Args:
            peer: The peer's ID.
            stream: The stream.

        Raises:
            IOException: The stream broke, or a message is too long.
            BadGossipError, NoLengthError: A message makes no sense.
        """
        if self._open[peer] >= MAX_STREAMS:
            raise BadGossipError("too many streams of gossip")
        self._open[peer] += 1
        try:
            async with aclosing(delimited.messages(stream, gossip.MAX_MESSAGE_BYTES)) as messages:
                async for message in messages:
                    for said in self.router.receive(peer, message):
                        if await self._is_good(peer, said):
                            self.router.pass_on(said, peer)
                        else:
                            self.router.forget(said)
                            self._refuse("unwanted")
        except (BadGossipError, NoLengthError):
            self._refuse("garbage")
            raise
        except MessageTooLongError:
            self._refuse("oversized")
            raise
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]

    async def _is_good(self, peer: bytes, said: Gossip) -> bool:
        try:
            return await self._take(peer, said.topic, said.data)
        except Exception as error:  # noqa: BLE001  what a bug makes of one message does not end the connection
            background.record_failure("gossip", error)
            return False

    def _refuse(self, reason: str) -> None:
        """Count it, and log it now and then: whoever sends nonsense does so often."""
        self.refused[reason] += 1
        now = trio.current_time()
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            log.warning("gossip of peers is refused; so far: %s", dict(self.refused))

    def _wake(self, peer: bytes) -> None:
        if peer in self._news:
            self._news[peer].set()

    @asynccontextmanager
    async def _turn(self, peer: bytes) -> AsyncGenerator[None, None]:
        lock, waiting = self._turns.get(peer, (trio.Lock(), 0))
        self._turns[peer] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns[peer]
            self._turns[peer] = lock, waiting - 1
            if waiting == 1:
                del self._turns[peer]
