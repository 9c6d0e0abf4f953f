"""Changes that are built on the latest commit and built again where something else came between."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from store.engine import Engine, Reader, Transaction
from store.errors import ConflictError

_ATTEMPTS = 20

T = TypeVar("T")


async def commit(engine: Engine, build: Callable[[Reader, Transaction], T]) -> T:
    """Build a change and wait until it is on disk.

    Args:
        engine: The store.
        build: Stages the change, with requirements for what it is built on. It is called again after a conflict.

    Returns:
        What `build` returned.

    Raises:
        ConflictError: There was a conflict over and over.
        StoreError: The disk did not take it.
    """
    for attempt in range(_ATTEMPTS):
        transaction = Transaction()
        result = build(engine, transaction)
        if not transaction.puts:
            return result
        try:
            await asyncio.shield(engine.commit(transaction))
        except ConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(0)
        else:
            return result
    raise ConflictError
