"""What an application on a thread owes the network, so that this room never knows what a database is."""

from dataclasses import dataclass
from typing import Protocol

from net.errors import ThreadInUseError
from net.keys import PublicKey
from net.thread_id import ThreadID
from store.engine import Reader, Transaction


@dataclass(frozen=True, slots=True)
class ThreadRecord:
    """A record of a thread with its opened body.

    Args:
        thread: The thread.
        log_id: The peer ID of its log.
        log_number: The number of the log in this store.
        position: Its place in the log by our own count, from 1.
        cid: Its CID.
        author: Whoever wrote it.
        body: DAG-CBOR.
    """

    thread: ThreadID
    log_id: bytes
    log_number: int
    position: int
    cid: bytes
    author: PublicKey
    body: bytes


class ThreadApp(Protocol):
    """An application that owns what the records of one thread mean."""

    async def validate(self, body: bytes, author: PublicKey) -> None:
        """Say whether a body from elsewhere is acceptable in the state before its record.

        Args:
            body: The opened body.
            author: Whoever wrote it.

        Raises:
            ThreaddError: It is not, and why. The record is kept and served on all the same; it is not applied.
        """

    def apply(self, reader: Reader, transaction: Transaction, record: ThreadRecord) -> None:
        """Put what a record changes into the transaction that keeps the record.

        Args:
            reader: The state that the transaction builds on.
            transaction: Where the changes go.
            record: A record that `validate` accepted.

        Raises:
            ThreaddError: It cannot be applied, and why; nothing was put into the transaction.
        """


class ThreadApps:
    """Which application owns which thread, for as long as the daemon runs."""

    def __init__(self) -> None:
        self._apps: dict[ThreadID, ThreadApp] = {}

    def register(self, thread: ThreadID, app: ThreadApp) -> None:
        """Give a thread to an application.

        Args:
            thread: The thread.
            app: Its application.

        Raises:
            ThreadInUseError: Another one owns it.
        """
        if self._apps.setdefault(thread, app) is not app:
            raise ThreadInUseError

    def unregister(self, thread: ThreadID) -> None:
        """Take a thread from its application; one that has none stays so.

        Args:
            thread: The thread.
        """
        self._apps.pop(thread, None)

    def get(self, thread: ThreadID) -> ThreadApp | None:
        """Give a thread's application.

        Args:
            thread: The thread.
        """
        return self._apps.get(thread)

    def require_free(self, thread: ThreadID, verb: str) -> None:
        """Refuse what only a thread's application may do.

        Args:
            thread: The thread.
            verb: What was to be done, for instance `delete thread`.

        Raises:
            ThreadInUseError: An application owns it.
        """
        if thread in self._apps:
            raise ThreadInUseError(f"cannot {verb}: {ThreadInUseError.default_text}")
