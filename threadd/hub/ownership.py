"""Who owns which thread, under which name, and with which API key it was made.

An owner is a public key: an account's, or that of a user of a user group key (reference: hub-protocol, section 2,
threads and owners).
"""

import contextlib
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable

from net.thread_id import ThreadID
from store import accounts as rows
from store import failpoints
from store.accounts import OwnedThreadRow
from store.engine import Transaction
from store.failpoints import Failpoint
from store.overlay import Overlay
from threadd.hub.errors import DuplicateKeyError, ThreadNameError, ThreadOwnedError, ThreadQuotaError

DEFAULT_QUOTA = 100

# What a key of the store holds beside an owner.
_MAX_NAME = 255
_NAME = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*", re.ASCII)


class Ownership:
    """The table of owners and threads.

    Args:
        overlay: The store with what is on its way to it.
        clock: Nanoseconds since 1970.
        quota: How many threads an owner may have; 0 for any number.
    """

    def __init__(self, overlay: Overlay, clock: Callable[[], int], quota: int = DEFAULT_QUOTA) -> None:
        self._overlay = overlay
        self._clock = clock
        self._quota = quota
        self._in_making: set[tuple[bytes, ThreadID]] = set()

    @contextlib.asynccontextmanager
    async def making(
        self, owner: bytes, thread: ThreadID, *, name: str, api_key: str, is_db: bool
    ) -> AsyncGenerator[None, None]:
        """Make somebody the owner of a thread that is made meanwhile.

        The name and the place are taken on entry and given back when the body fails; the ownership counts from the end
        of the body on. Otherwise whoever asks for a thread that exists already would own it until the refusal.

        Args:
            owner: A public key, as libp2p protobuf bytes.
            thread: The thread.
            name: Its name with this owner; empty for none. Case does not tell names apart.
            api_key: The API key that it is made with; empty for none.
            is_db: Whether the thread is a database.

        Raises:
            ThreadNameError: The name breaks the rule for names.
            ThreadQuotaError: The owner has as many threads as it may have.
            DuplicateKeyError: The owner has that thread already, or another one of that name.
        """
        self._check(owner, thread, name)
        row = OwnedThreadRow(name=name, api_key=api_key, is_db=is_db, created=self._clock())
        transaction = Transaction()
        rows.put_owned_thread(transaction, owner, thread.bytes, row)
        recorded = self._overlay.submit(transaction)
        self._in_making.add((owner, thread))
        try:
            await recorded
            try:
                failpoints.hit(Failpoint.OWNED)
                yield
            except BaseException:
                await self.drop(owner, thread)
                raise
        finally:
            self._in_making.discard((owner, thread))

    def _check(self, owner: bytes, thread: ThreadID, name: str) -> None:
        """Refuse what cannot be recorded."""
        if name and not _NAME.fullmatch(name):
            raise ThreadNameError
        if len(name) > _MAX_NAME:
            raise ThreadNameError(f"name may have at most {_MAX_NAME} characters")
        if rows.get_owned_thread(self._overlay, owner, thread.bytes) is not None:
            raise ThreadOwnedError(thread.text)
        if name and rows.find_owned_thread(self._overlay, owner, name) is not None:
            raise DuplicateKeyError(f"threads: name '{name}' of this owner")
        # What is there already is no matter of the quota.
        if self._quota and sum(1 for _ in rows.list_owned_threads(self._overlay, owner)) >= self._quota:
            raise ThreadQuotaError

    async def drop(self, owner: bytes, thread: ThreadID) -> None:
        """End an ownership; of a thread that the owner has not, nothing happens.

        Args:
            owner: A public key, as libp2p protobuf bytes.
            thread: The thread.
        """
        row = rows.get_owned_thread(self._overlay, owner, thread.bytes)
        if row is None:
            return
        transaction = Transaction()
        rows.delete_owned_thread(transaction, owner, thread.bytes, row)
        await self._overlay.submit(transaction)

    def get(self, owner: bytes, thread: ThreadID) -> OwnedThreadRow | None:
        """Look up a thread of an owner.

        Args:
            owner: A public key, as libp2p protobuf bytes.
            thread: The thread.

        Returns:
            What is recorded, or None when the thread is not this owner's, or not yet.
        """
        if (owner, thread) in self._in_making:
            return None
        return rows.get_owned_thread(self._overlay, owner, thread.bytes)

    def find(self, owner: bytes, name: str) -> tuple[ThreadID, OwnedThreadRow] | None:
        """Look up a thread of an owner by its name.

        Args:
            owner: A public key, as libp2p protobuf bytes.
            name: The name; case does not matter.

        Returns:
            The thread and what is recorded, or None when the owner has none of that name, or not yet.
        """
        if not name or not name.isascii() or len(name) > _MAX_NAME:
            return None
        thread_bytes = rows.find_owned_thread(self._overlay, owner, name)
        if thread_bytes is None:
            return None
        thread = ThreadID(thread_bytes)
        row = self.get(owner, thread)
        return None if row is None else (thread, row)

    def of(self, owner: bytes) -> list[tuple[ThreadID, OwnedThreadRow]]:
        """List the threads of an owner, the oldest first.

        Args:
            owner: A public key, as libp2p protobuf bytes.

        Returns:
            Each thread with what is recorded.
        """
        found = ((ThreadID(thread), row) for thread, row in rows.list_owned_threads(self._overlay, owner))
        there = [(thread, row) for thread, row in found if (owner, thread) not in self._in_making]
        return sorted(there, key=lambda item: (item[1].created, item[0].bytes))

    def list_all(self) -> list[tuple[bytes, ThreadID, OwnedThreadRow]]:
        """List the threads of all owners, those in the making left out.

        Returns:
            The owner's public key, the thread, and what is recorded.
        """
        return [
            (owner, thread, row)
            for owner, thread_bytes, row in rows.list_all_owned_threads(self._overlay)
            if (owner, thread := ThreadID(thread_bytes)) not in self._in_making
        ]

    def count_by_key(self) -> Counter[str]:
        """Count the threads that were made with each API key."""
        return Counter(row.api_key for _, _, row in rows.list_all_owned_threads(self._overlay))

    async def sweep(self, is_kept: Callable[[ThreadID], bool]) -> int:
        """Drop the ownership of threads that are not there; call it before any call is taken.

        An ownership is recorded before its thread is made, and dropped after its thread has ended. A daemon that dies
        in between leaves one that would hold its name and its place in the quota for good.

        Args:
            is_kept: Whether a thread is there.

        Returns:
            How many were dropped.
        """
        lost = [
            (owner, thread)
            for owner, thread_bytes, _ in rows.list_all_owned_threads(self._overlay)
            if not is_kept(thread := ThreadID(thread_bytes))
        ]
        for owner, thread in lost:
            await self.drop(owner, thread)
        return len(lost)
