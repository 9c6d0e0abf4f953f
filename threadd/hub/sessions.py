"""Sessions: what the `hub` command line carries once a developer has signed in.

A session lives as long as it is used (reference: hub-protocol, section 3).
"""

import re
from collections.abc import Callable

import msgspec

from store import sessions as rows
from store.engine import Transaction
from store.overlay import Overlay
from store.sessions import SessionRow
from threadd.hub.api_keys import random_token
from threadd.hub.errors import ExpiredSessionError, InvalidSessionError
from threadd.hub.withdrawals import Withdrawals

_SECOND = 1_000_000_000
LIFE = 24 * 7 * 30 * 6 * 3_600 * _SECOND
"""How long a session lives after its last use, in ns: 24 hours times 7 times 30 times 6."""
RENEWAL = 60 * _SECOND
"""A session that was renewed less than this ago, in ns, is not written again."""

TOKEN_BYTES = 44
_ID = re.compile(r"[\x21-\x7e]{1,128}")


class Sessions:
    """All sessions.

    Args:
        overlay: The store with what is on its way to it.
        randomness: Gives so many unpredictable bytes.
        clock: Nanoseconds since 1970.
    """

    def __init__(self, overlay: Overlay, randomness: Callable[[int], bytes], clock: Callable[[], int]) -> None:
        self._overlay = overlay
        self._randomness = randomness
        self._clock = clock
        self.withdrawn = Withdrawals()
        """Tells that sessions ended."""

    def stage(self, transaction: Transaction, owner: bytes) -> SessionRow:
        """Make a session a part of a transaction.

        Args:
            transaction: What it is a part of.
            owner: The developer's public key, as libp2p protobuf bytes.

        Returns:
            The session.
        """
        row = SessionRow(random_token(self._randomness, TOKEN_BYTES), owner, self._clock() + LIFE)
        rows.put_session(transaction, row)
        return row

    def use(self, session_id: str) -> SessionRow:
        """Look up a session that a call came with, and renew it. The disk is not waited for.

        Args:
            session_id: As it was sent.

        Returns:
            The session.

        Raises:
            InvalidSessionError: There is none.
            ExpiredSessionError: It was not used for too long.
        """
        row = rows.get_session(self._overlay, session_id) if _ID.fullmatch(session_id) else None
        if row is None:
            raise InvalidSessionError
        now = self._clock()
        if now > row.expires:
            raise ExpiredSessionError
        if now + LIFE - row.expires > RENEWAL:
            row = msgspec.structs.replace(row, expires=now + LIFE)
            transaction = Transaction()
            rows.put_session(transaction, row)
            self._overlay.submit(transaction)
        return row

    async def end(self, session_id: str) -> None:
        """End a session; one that is not there is no error.

        Args:
            session_id: The session.
        """
        transaction = Transaction()
        rows.delete_session(transaction, session_id)
        await self._overlay.submit(transaction)
        self.withdrawn.tell()

    def stage_end_of_all(self, transaction: Transaction, owner: bytes) -> None:
        """Make the end of all sessions of a developer a part of a transaction.

        Args:
            transaction: What it is a part of.
            owner: The developer's public key, as libp2p protobuf bytes.
        """
        for row in rows.list_sessions(self._overlay, owner):
            rows.delete_session(transaction, row.id)
