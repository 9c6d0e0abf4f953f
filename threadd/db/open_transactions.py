"""The transactions of one database that clients hold open."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from threadd.db.errors import TransactionTooOldError


class OpenTransactions:
    """Each ends after a while, and with its collection.

    Args:
        seconds: How long one may last.
        check: Raises where the collection of that name is not there, or about to go.
    """

    def __init__(self, seconds: float, check: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._check = check
        self._scopes: dict[asyncio.Timeout, str] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._scopes)

    @asynccontextmanager
    async def holding(self, collection: str) -> AsyncGenerator[None, None]:
        """Run the body for a limited time, and only for as long as there is the collection.

        Args:
            collection: Its name.

        Raises:
            CollectionNotFoundError, DatabaseNotFoundError: It is gone.
            TransactionTooOldError: The body took too long.
        """
        self._check(collection)
        scope = asyncio.timeout(self._seconds)
        self._scopes[scope] = collection
        try:
            async with scope:
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            self._check(collection)
            raise TransactionTooOldError(self._seconds) from error
        finally:
            del self._scopes[scope]

    def end(self, collection: str | None = None) -> None:
        """End those of a collection now, or all."""
        for scope, name in self._scopes.items():
            if collection in {None, name} and not scope.expired():
                scope.reschedule(asyncio.get_running_loop().time())
