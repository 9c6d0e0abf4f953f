"""The way through the Hub's door: who is calling, and whether the threads of a call are theirs.

Unary calls keep the table of owners true: an ownership is recorded before the call that makes a thread and dropped if
that call fails, and dropped after one that deletes its thread (reference: hub-protocol, section 2, threads and owners).
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from net.keys import PublicKey
from net.thread_id import ThreadID
from threadd.hub.api_keys import KeyKind
from threadd.hub.callers import Caller, Callers, Metadata
from threadd.hub.errors import ThreadNotOwnedError, WrongApiKeyError
from threadd.hub.methods import CREATING, CROSS_USER, DELETING
from threadd.hub.ownership import Ownership
from threadd.hub.tasks import to_the_end

_T = TypeVar("_T")

DeletionCheck = Callable[[ThreadID], None]
"""Raises an error that is to be told instead of deleting a thread."""


class Gate:
    """The checks of every call.

    Args:
        callers: Who is calling.
        ownership: Who owns which thread.
    """

    def __init__(self, callers: Callers, ownership: Ownership) -> None:
        self._callers = callers
        self._ownership = ownership
        self.before_deleting: list[DeletionCheck] = []
        """What is asked before a caller's thread is deleted: whether there are buckets in it, for one."""

    def authenticate(self, method: str, metadata: Metadata) -> Caller:
        """Find out who is calling; for calls of every kind. See `threadd.hub.callers.Callers.authenticate`."""
        return self._callers.authenticate(method, metadata)

    def check_again(self, caller: Caller, method: str, metadata: Metadata) -> None:
        """See that a caller still passes. See `threadd.hub.callers.Callers.check_again`."""
        self._callers.check_again(caller, method, metadata)

    async def run(
        self,
        caller: Caller,
        method: str,
        thread: ThreadID | None,
        call: Callable[[], Coroutine[Any, Any, _T]],
    ) -> _T:
        """Run a unary call if the caller may make it, and keep the table of owners.

        A call that makes or deletes a thread runs to its end even when it is cancelled, so that the table is right.

        Args:
            caller: Who is calling.
            method: The method's full name.
            thread: The thread that the request names, or whose address it holds; None when it names none.
            call: Carries out the method.

        Returns:
            What the call returns.

        Raises:
            ThreaddError: The call is refused, or it failed.
        """
        if caller.identity is None:
            return await call()
        identity = caller.identity
        if thread is not None and method in CREATING:
            is_db = CREATING[method]
            return await to_the_end(self._create(identity, caller, thread, call, is_db=is_db))
        self._check_threads(identity, caller, method, thread)
        if thread is not None and method in DELETING:
            return await to_the_end(self._delete(identity, thread, call))
        return await call()

    def _check_threads(self, identity: PublicKey, caller: Caller, method: str, thread: ThreadID | None) -> None:
        """Refuse what is somebody else's, or was made with another user group key.

        Methods across users take the ID in their request as it is, for owners as well; only the thread that the header
        names is looked at, as at the hosted Hub.
        """
        for named in (caller.thread, None if method in CROSS_USER else thread):
            if named is None:
                continue
            row = self._ownership.get(identity.bytes, named)
            if row is None:
                if method not in CROSS_USER:
                    raise ThreadNotOwnedError
                continue
            key = caller.api_key
            if key is not None and key.kind == KeyKind.USER and key.key != row.api_key:
                raise WrongApiKeyError

    async def _create(
        self,
        identity: PublicKey,
        caller: Caller,
        thread: ThreadID,
        call: Callable[[], Awaitable[_T]],
        *,
        is_db: bool,
    ) -> _T:
        api_key = caller.api_key.key if caller.api_key is not None else ""
        making = self._ownership.making(identity.bytes, thread, name=caller.thread_name, api_key=api_key, is_db=is_db)
        async with making:
            return await call()

    async def _delete(self, identity: PublicKey, thread: ThreadID, call: Callable[[], Awaitable[_T]]) -> _T:
        for check in self.before_deleting:
            check(thread)
        result = await call()
        await self._ownership.drop(identity.bytes, thread)
        return result
