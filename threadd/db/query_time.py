"""How long one query may take, wherever it is asked: alone, in a transaction, page by page, by the operator."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from threadd.db.errors import QueryTimeError

QUERY_SECONDS = 120.0
"""How long a query may take where nothing else is set."""


@asynccontextmanager
async def limited(seconds: float) -> AsyncGenerator[None, None]:
    """Run the body, which is one query, for a limited time.

    The body is cancelled where it yields to the event loop or waits for a read filter, whose worker is killed.

    Args:
        seconds: How long it may take.

    Raises:
        QueryTimeError: The body took longer.
    """
    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            yield
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise QueryTimeError(
            f"the query took longer than {seconds:g} s: ask for less, or index what it asks for"
        ) from error
