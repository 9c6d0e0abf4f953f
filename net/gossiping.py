"""Records by pubsub, beside pushing and pulling: every thread is a topic, named by the text of its ID.

A message is the request of `PushRecord` (threads-protocol.md, "Peer protocol"). What comes so is judged by
`PeerService.take_gossip`; what is lost or too long for pubsub comes by the other ways.
"""

from contextlib import suppress
from typing import Protocol

from net import peer_codec
from net.peer_errors import HostError
from net.thread_id import ThreadID
from net.thread_info import AppendedRecord
from net.threads import Threads, record_row
from store.engine import Engine


class PubSub(Protocol):
    """Carries messages by topic; `net.host.host.Host` is one. Each raises `HostError` once it is closed."""

    def join(self, topic: str) -> None:
        """Hear of a topic."""

    def leave(self, topic: str) -> None:
        """Hear of it no longer."""

    def publish(self, topic: str, data: bytes) -> None:
        """Tell those who hear of a topic that was joined."""


class Gossiping:
    """What is told by pubsub, once `start` says through what.

    Args:
        engine: The store.
        threads: The threads.
    """

    def __init__(self, engine: Engine, threads: Threads) -> None:
        self._engine = engine
        self._threads = threads
        self._pubsub: PubSub | None = None
        self._joined: set[ThreadID] = set()

    @property
    def is_on(self) -> bool:
        """Whether records are told by pubsub."""
        return self._pubsub is not None

    def start(self, pubsub: PubSub) -> None:
        """Hear of all threads that are here.

        Args:
            pubsub: Carries messages.
        """
        self._pubsub = pubsub
        for thread in self._threads.list(self._engine):
            self.has_changed(thread)

    def has_changed(self, thread: ThreadID) -> None:
        """The thread has come here or others follow it; or it has gone."""
        if self._pubsub is None:
            return
        is_here = self._threads.number(self._engine, thread) is not None
        with suppress(HostError):  # a host that is closed tells nobody anything
            if is_here and thread not in self._joined:
                self._joined.add(thread)
                self._pubsub.join(thread.text)
            elif not is_here and thread in self._joined:
                self._joined.discard(thread)
                self._pubsub.leave(thread.text)

    def publish(self, record: AppendedRecord) -> None:
        """Tell of a record that was made here.

        Args:
            record: The record, which is on disk.
        """
        if self._pubsub is None:
            return
        self.has_changed(record.thread)
        row = record_row(record.record)
        data = peer_codec.push_record_message(record.thread, record.log_id, record.position, row).SerializeToString()
        with suppress(HostError):  # as above
            self._pubsub.publish(record.thread.text, data)
