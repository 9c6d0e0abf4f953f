"""What all callers of a daemon may make it keep at once: headers of open calls, and bodies of unfinished requests.

A limit on each header, message and stream bounds no sum of them; here are the sums. They do no input or output and know
no clock. What was taken of a pool for a call is given back when the call has ended.

Callers who are not known yet have pools of their own, so that they leave those of the others alone.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

from store.errors import StatusCode, ThreaddError
from threadd.api.principals import Holder, Principal

HEADER_BYTES: Final = 16 * 2**20
"""The headers of all open calls together, each counted as RFC 7541 (4.1) does. In memory they take up to eight times as
much, if they are many and short."""

HEADER_BYTES_PER_STREAM: Final = 4096
"""How many more bytes of headers there may be for each stream that one holder may have."""

BODY_BYTES: Final = 64 * 2**20
"""The bodies of all requests that have come in part, or wait for the call that takes them."""

MESSAGES: Final = 4
"""How many of the largest messages the bodies must have room for: one holder alone then has room for one, and a second
holder for another."""

STRANGERS: Final = 4
"""Which part of that callers may take together beside it who are not known yet: they ask for tokens and sign up."""

_MOST_WAITING: Final = 256


class BudgetError(ThreaddError):
    """What a caller sends is more than there is room for now."""

    code: ClassVar[StatusCode] = StatusCode.RESOURCE_EXHAUSTED


@dataclass(frozen=True, slots=True)
class Share:
    """Who takes of a pool, and over which connection.

    Args:
        holder: Whose share it comes out of.
        connection: The connection. It may carry the calls of many holders, and is bounded as well.
    """

    holder: Holder
    connection: Hashable


@dataclass(slots=True, eq=False)
class Waiter:
    """Something that waits until a pool has room for it.

    Args:
        share: Who waits.
        size: How much it takes, in bytes.
        spare: See `Pool.take`.
        granted: Called once that much was taken.
    """

    share: Share
    size: int
    spare: int
    granted: Callable[[], None]


@dataclass(slots=True)
class Pool:
    """Room that holders share, so that one of them never takes all.

    Each may have as much as it leaves to the others: one alone half, two a third each. This is the dynamic threshold by
    which switches share a buffer (Choudhury and Hahne, 1998): nothing is set aside, and there is room for one more. All
    holders of one connection have half together.

    Args:
        size: How much there is, in bytes.
        held: How much of it is taken.
    """

    size: int
    held: int = 0
    _by_holder: dict[Holder, int] = field(default_factory=dict)
    _by_connection: dict[Hashable, int] = field(default_factory=dict)
    _waiting: dict[Holder, deque[Waiter]] = field(default_factory=dict)
    _waiters: int = 0

    def held_by(self, holder: Holder) -> int:
        """How much a holder has."""
        return self._by_holder.get(holder, 0)

    def is_waiting(self, holder: Holder) -> bool:
        """Whether something of a holder waits."""
        return holder in self._waiting

    def take(self, share: Share, size: int, spare: int = 0) -> bool:
        """Take some.

        Args:
            share: Who takes it.
            size: How much, in bytes.
            spare: How much of the share is to be left for other things.

        Returns:
            Whether there was room for it.
        """
        if not size:
            return True
        mine = self._by_holder.get(share.holder, 0) + size
        carried = self._by_connection.get(share.connection, 0) + size
        if mine + spare > self.size - self.held - size or 2 * carried > self.size:
            return False
        self._by_holder[share.holder] = mine
        self._by_connection[share.connection] = carried
        self.held += size
        return True

    def give_back(self, share: Share, size: int) -> None:
        """Give some back that was taken."""
        if not size:
            return
        self.held -= size
        _subtract(self._by_holder, share.holder, size)
        _subtract(self._by_connection, share.connection, size)
        if self._waiting:
            self._serve()

    def wait(self, share: Share, size: int, granted: Callable[[], None], spare: int = 0) -> Waiter:
        """Take some as soon as there is room, which there is not now; a holder's waiters are served in their order.

        Args:
            share: Who takes it.
            size: How much.
            granted: Called when it was taken.
            spare: See `take`.

        Returns:
            What `leave` takes.

        Raises:
            BudgetError: There will never be room for it, or too many wait.
        """
        if self._waiters >= _MOST_WAITING or 2 * size + spare > self.size:
            raise BudgetError("too many large requests are on their way: send them one after the other")
        waiter = Waiter(share, size, spare, granted)
        self._waiting.setdefault(share.holder, deque()).append(waiter)
        self._waiters += 1
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Wait no more; what was granted already stays taken."""
        queue = self._waiting.get(waiter.share.holder)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            self._left(waiter.share.holder, queue)
            self._serve()  # those behind it may fit where it did not

    def _left(self, holder: Holder, queue: deque[Waiter]) -> None:
        self._waiters -= 1
        if not queue:
            del self._waiting[holder]

    def _serve(self) -> None:
        granted = []
        for holder, queue in list(self._waiting.items()):
            while queue and self.take(queue[0].share, queue[0].size, queue[0].spare):
                granted.append(queue.popleft())
                self._left(holder, queue)
        for waiter in granted:
            waiter.granted()


def _subtract(counts: dict[Any, int], key: Hashable, size: int) -> None:
    """Count some less, and forget what is at nothing."""
    left = counts[key] - size
    if left:
        counts[key] = left
    else:
        del counts[key]


@dataclass(frozen=True, slots=True)
class Pools:
    """What some of the callers of a daemon share.

    Args:
        headers: The headers of open calls.
        bodies: The bodies of requests that have come in part, or wait for the call that takes them.
    """

    headers: Pool
    bodies: Pool


@dataclass(frozen=True, slots=True)
class Budgets:
    """The pools of a daemon; all its endpoints share them.

    Args:
        known: For callers that are known, see `Principal.is_known`.
        strangers: For all others.
    """

    known: Pools
    strangers: Pools

    @classmethod
    def of(cls, max_message_bytes: int, streams: int) -> Self:
        """Make them.

        Args:
            max_message_bytes: The limit of one request message.
            streams: How many streams one holder may have open.
        """
        headers = max(HEADER_BYTES, HEADER_BYTES_PER_STREAM * streams)
        bodies = max(BODY_BYTES, MESSAGES * max_message_bytes)
        return cls(
            Pools(Pool(headers), Pool(bodies)),
            Pools(Pool(headers // STRANGERS), Pool(bodies // STRANGERS)),
        )

    def pools_of(self, principal: Principal) -> Pools:
        """Those that the calls of a principal draw on."""
        return self.known if principal.is_known else self.strangers
