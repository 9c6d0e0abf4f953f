"""Whose turn it is: the time of the event loop, shared among connections that have much to do.

What a client sends at once may be more work than others can wait for, and many connections may each have a little of
it. A connection does the first part at once and leaves the rest to `Turns`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

TURN_SECONDS: Final = 0.002
"""How long the work that waits may hold the loop in one turn of it, up to the length of one part more."""

RECEIVE_BYTES: Final = 64 * 1024
"""How much of what a client sent is taken out of its socket at once."""


class Turns:
    """The work that waits for its turn, of all connections of a loop.

    Args:
        clock: Seconds of any clock that counts on while the loop is held.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[], bool]] = deque()
        self._is_due = False

    def add(self, part: Callable[[], bool]) -> None:
        """Have work done in parts, in turn with the others, from the next turn of the loop on.

        Args:
            part: Does a part of about a millisecond at most; returns whether there is more to do.
        """
        self._waiting.append(part)
        self._have_a_turn()

    def _have_a_turn(self) -> None:
        if self._waiting and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._is_due = False
        end = self._clock() + TURN_SECONDS
        try:
            while self._waiting:
                part = self._waiting.popleft()
                if part():
                    self._waiting.append(part)
                if self._clock() >= end:
                    break
        finally:
            self._have_a_turn()


class TurnsProtocol(asyncio.BufferedProtocol):
    """The protocol of a connection that takes turns.

    What it receives comes through a buffer that all connections share: one that waits for its turn keeps what was in
    there, and no more.
    """

    # A view, since asyncio's TLS fills slices of it: those of a bytearray would be copies.
    _BUFFER: Final = memoryview(bytearray(RECEIVE_BYTES))

    def get_buffer(self, _sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`; it is filled and emptied without a turn of the loop in between."""
        return self._BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self.data_received(bytes(self._BUFFER[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        raise NotImplementedError
