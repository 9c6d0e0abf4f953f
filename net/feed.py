"""Following the records of threads: every one in commit order, or a clear end.

Whoever commits records tells the feed of them, once each is on disk: `threads.feed.tell(record)`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from net.errors import SubscriberTooSlowError
from net.thread_id import ThreadID

if TYPE_CHECKING:
    from net.thread_info import AppendedRecord

MAX_QUEUED = 8_192
"""How many records wait for a subscriber before it is too slow."""

MAX_QUEUED_BYTES = 64 * 2**20
"""How many bytes of records may wait for it; a single record may be larger."""


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscriber; it counts from the moment it is made.

    Args:
        threads: What it wants to hear of; none for all.
    """

    threads: frozenset[ThreadID]
    _queue: "deque[AppendedRecord]" = field(default_factory=deque)
    _bytes: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: bool = False
    _error: Exception | None = None

    def offer(self, record: "AppendedRecord") -> None:
        """Take a record, unless it is not wanted or the subscription has ended."""
        if self._ended or (self.threads and record.thread not in self.threads):
            return
        if len(self._queue) >= MAX_QUEUED or self._bytes >= MAX_QUEUED_BYTES:
            self.end(SubscriberTooSlowError())
        else:
            self._queue.append(record)
            self._bytes += _size(record)
            self._news.set()

    def end(self, error: Exception | None = None) -> None:
        """End it, with an error or well, once what waits is delivered."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._news.set()

    async def records(self) -> "AsyncGenerator[AppendedRecord, None]":
        """The records as they come, until the feed is closed.

        Raises:
            SubscriberTooSlowError: Too much waits; all before it was delivered.
        """
        while True:
            while self._queue:
                record = self._queue.popleft()
                self._bytes -= _size(record)
                yield record
            if self._error is not None:
                raise self._error
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()


@dataclass(slots=True)
class RecordFeed:
    """Brings records to those who follow them; used on the event loop's thread."""

    _all: set[Subscription] = field(default_factory=set)
    _closed: bool = False

    def tell(self, record: "AppendedRecord") -> None:
        """Tell of a record that is on disk. It neither waits nor fails.

        Args:
            record: The record. Those of a thread are told in the order of their commits.
        """
        for subscription in self._all:
            subscription.offer(record)

    @contextmanager
    def subscribe(self, threads: Iterable[ThreadID]) -> Iterator[Subscription]:
        """Hear of every record, from the first moment of the body on.

        Args:
            threads: What to hear of, whether it is here yet or not; none for all threads.
        """
        subscription = Subscription(frozenset(threads))
        if self._closed:
            subscription.end()
        self._all.add(subscription)
        try:
            yield subscription
        finally:
            self._all.discard(subscription)

    def close(self) -> None:
        """End all subscriptions well, and those that are still to come."""
        self._closed = True
        for subscription in self._all:
            subscription.end()


def _size(record: "AppendedRecord") -> int:
    blocks = record.record.blocks
    return len(blocks.record) + len(blocks.event) + len(blocks.header) + len(blocks.body)
