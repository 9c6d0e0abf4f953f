"""Small integers for threads, logs, collections and indexes, so that keys stay short. None is ever given twice."""

import struct

from store import tables
from store.engine import Reader, Transaction

_BLOCK = 1000
_COUNT = struct.Struct(">Q")


def given(reader: Reader) -> int:
    """The first number that was certainly never given."""
    kept = reader.get(tables.NUMBERS)
    return int(_COUNT.unpack(kept)[0]) if kept else 1


class Numbers:
    """Gives out numbers from 1 on.

    What is on disk is the end of a block of numbers that is in use; the rest of a block that a stop leaves is lost.

    Args:
        reader: The store at its opening.
    """

    def __init__(self, reader: Reader) -> None:
        self._next = self._reserved = given(reader)

    def next(self, transaction: Transaction) -> int:
        """A number that was never given before.

        Args:
            transaction: What will use it. It writes the end of the block even if an earlier one did: that one may fail.
        """
        number = self._next
        self._next += 1
        if number >= self._reserved:
            self._reserved = number + _BLOCK
        transaction.put(tables.NUMBERS, _COUNT.pack(self._reserved))
        return number
