"""Bringing an older repository to the format of this version, step by step, when it is opened.

Each step goes from one format to the next. It is a function of the store that gives transactions; a stop in between
leaves the old format in place, so a step has to be one that can be done again from its start. For each format that was
ever released the tests keep a repository (tests/maintenance/formats).
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from store import stale_indexes, tables
from store.engine import Reader, Transaction
from store.errors import FormatError
from store.lmdb_engine import LmdbEngine

log = logging.getLogger(__name__)

Step = Callable[[Reader], Iterator[Transaction]]

STEPS: Final[Mapping[int, Step]] = MappingProxyType({1: stale_indexes.mark_all})
"""The step that leads on from each older format."""


def migrate(engine: LmdbEngine, kept: int, wanted: int, steps: Mapping[int, Step] = STEPS) -> None:
    """Bring a store to a format.

    Args:
        engine: The store, which nobody uses yet.
        kept: Its format.
        wanted: The format that it shall have, not below.
        steps: See `STEPS`.

    Raises:
        FormatError: No step leads on from a format.
        StoreError: The disk does not take it.
    """
    for number in range(kept, wanted):
        step = steps.get(number)
        if step is None:
            raise FormatError(f"the repository has format {number}, which this version no longer reads")
        for transaction in step(engine):
            engine.write_now(transaction)
        done = Transaction()
        done.put(tables.FORMAT, str(number + 1).encode())
        engine.write_now(done)
        log.info("brought the repository from format %d to %d; earlier versions refuse it now", number, number + 1)
