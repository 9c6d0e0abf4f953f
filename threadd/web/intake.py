"""What one call takes in: its messages, and how much room in the budget of bodies they may have meanwhile.

A client may send a little on any stream. A message that is longer is announced by its length, and gets room for all of
it before more of it may come: so each that was begun can be finished, and large ones wait for each other instead of
having a part each. This does no input or output itself; the caller passes the time and sends the window updates.
"""

from collections.abc import Callable
from typing import ClassVar, Final, Self

from store.errors import StatusCode, ThreaddError
from threadd.api.budgets import BudgetError, Pool, Share, Waiter
from threadd.web.frames import PREFIX_BYTES, FrameDecoder
from threadd.web.http2_sending import STREAM_WINDOW

LARGE_WINDOW: Final = 1 << 20
"""How many bytes may be on their way on a stream that sends much, while there is room for that: a distant client sends
one window a round trip."""

_LARGE_SHARE: Final = 8
"""Which part of the budget one holder's large windows may take at most, so that large messages have room."""

_SPARE: Final = 16
"""Which part of the budget a large message leaves of its holder's share: what may come before it waits for room."""

_OBJECT_BYTES: Final = 64
"""What a message takes beside its bytes while it waits for its call."""

STALL_SECONDS: Final = 20.0
"""How long a message that was begun may make no progress, and how long it may wait for room."""


class StalledError(ThreaddError):
    """A client stopped within a message."""

    code: ClassVar[StatusCode] = StatusCode.DEADLINE_EXCEEDED

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The error after so long without progress."""
        return cls(f"nothing of the request has come for {seconds:g} s")


class Intake:
    """The messages of one call.

    Args:
        max_message_bytes: The limit of one message.
        pool: The budget.
        share: Who takes it.
        is_single: Whether the call has one message; it is awaited from the beginning.
        now: The time, in seconds of any clock.
        granted: Called when a message that waited has got room, so that `window` gives more.
    """

    __slots__ = (
        "_allowed", "_awaits", "_charged", "_claim", "_closed", "_decoder", "_granted", "_is_single",
        "_large", "_pool", "_progress", "_queued", "_received", "_share", "_taken", "_waiter",
    )  # fmt: skip

    def __init__(
        self,
        max_message_bytes: int,
        pool: Pool,
        share: Share,
        *,
        is_single: bool,
        now: float,
        granted: Callable[[], None],
    ) -> None:
        self._decoder = FrameDecoder(max_message_bytes)
        self._pool = pool
        self._share = share
        self._is_single = is_single
        self._awaits = is_single
        self._granted = granted
        self._received = 0
        self._taken = 0
        self._queued = 0
        self._allowed = STREAM_WINDOW
        self._large = 0
        self._claim = 0
        self._charged = 0
        self._waiter: Waiter | None = None
        self._progress = now
        self._closed = False

    @property
    def is_unfinished(self) -> bool:
        """Whether a message is awaited or has come in part; or the only one is whole, and was not handed on."""
        return self._awaits or self._decoder.pending > 0 or (self._is_single and self._queued > 0)

    @property
    def is_waiting(self) -> bool:
        """Whether the message that has come in part waits for room."""
        return self._waiter is not None

    def feed(self, data: bytes, now: float) -> list[bytes]:
        """Take bytes in.

        Args:
            data: What came next.
            now: The time.

        Returns:
            The messages that are complete by now. They are of the budget until `took` is called.

        Raises:
            BudgetError: There is no room for them.
            ThreaddError: See `FrameDecoder.feed`.
        """
        messages = self._decoder.feed(data)
        self._received += len(data)
        self._progress = now
        if messages:
            self._awaits = False
            self._claim = 0
            self._queued += len(messages)
            self._forget_waiter()
        room = STREAM_WINDOW + self._large
        if not (self._claim or self._waiter) and self._decoder.announced > room:
            self._ask_for(self._decoder.announced)
        elif not (self._large or self._is_single) and self._received > STREAM_WINDOW // 2:
            self._enlarge()
        self._settle()
        return messages

    def took(self, message: bytes) -> None:
        """Say that a message was handed on: it is the call's own now."""
        if not self._closed:
            self._taken += PREFIX_BYTES + len(message)
            self._queued -= 1
            self._settle()

    def window(self) -> int:
        """How many bytes more the client may send from now on; they count as allowed."""
        room = STREAM_WINDOW + self._large
        target = self._taken + room
        if self._claim:
            target = max(target, self._received - self._decoder.pending + self._decoder.announced)
        more = target - self._allowed
        # Few updates are enough for a client that can go on meanwhile.
        is_urgent = self._claim or self._received >= self._allowed
        has_all = self._is_single and not self._awaits
        if more < (1 if is_urgent else room // 2) or has_all or self._closed:
            return 0
        self._allowed = target
        return more

    def finish(self) -> None:
        """Say that no more bytes come.

        Raises:
            FramingError: They end within a message.
        """
        self._awaits = False
        self._decoder.finish()

    def check(self, now: float) -> None:
        """See that a message which was begun goes on.

        Raises:
            StalledError: It does not.
            BudgetError: It has waited for room for too long.
        """
        if not self.is_unfinished or now - self._progress <= STALL_SECONDS:
            return
        if self.is_waiting:
            raise BudgetError("other requests leave no room for one of this size now: send it again later")
        raise StalledError.after(STALL_SECONDS)

    def resume(self, now: float) -> None:
        """Say that the client may go on since a message got room."""
        self._progress = now

    def close(self) -> None:
        """Give everything back; nothing may be fed afterwards."""
        self._closed = True
        self._awaits = False
        self._granted = _nothing
        self._forget_waiter()
        self._decoder.clear()
        if self._charged:
            self._pool.give_back(self._share, self._charged)
            self._charged = 0

    def _ask_for(self, size: int) -> None:
        """Get room for a whole message, now or later."""
        spare = self._pool.size // _SPARE
        if not self._pool.is_waiting(self._share.holder) and self._pool.take(self._share, size, spare):
            self._charged += size
            self._claim = size
        else:
            self._waiter = self._pool.wait(self._share, size, self._got, spare)

    def _got(self) -> None:
        if self._waiter is not None:
            self._charged += self._waiter.size
            self._claim = self._waiter.size
            self._waiter = None
            self._granted()

    def _forget_waiter(self) -> None:
        if self._waiter is not None:
            self._pool.leave(self._waiter)
            self._waiter = None

    def _enlarge(self) -> None:
        more = LARGE_WINDOW - STREAM_WINDOW
        has_room = self._pool.held_by(self._share.holder) + more <= self._pool.size // _LARGE_SHARE
        if has_room and self._pool.take(self._share, more):
            self._charged += more
            self._large = more

    def _settle(self) -> None:
        """Have as much of the budget as is kept, and as may come."""
        kept = self._received - self._taken + _OBJECT_BYTES * self._queued
        more = max(kept, self._large + self._claim) - self._charged
        if more > 0:
            if not self._pool.take(self._share, more):
                raise BudgetError("unfinished requests take too much room already: finish some of them first")
            self._charged += more
        elif more < 0:
            self._charged += more
            self._pool.give_back(self._share, -more)


def _nothing() -> None:
    """What is called for a call that has ended, in the place of what would keep it."""
