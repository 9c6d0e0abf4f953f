"""Tokens that count no longer.

Tokens do not expire by themselves, and each is signed and complete (threads-protocol.md, "Tokens"): so what is kept is
until when those of an identity do not count. There are few of these, and all are in memory.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from net.errors import InvalidKeyError
from net.keys import PublicKey
from store import revocations as rows
from store.engine import Transaction
from store.overlay import Overlay
from store.revocations import RevocationRow
from threadd.hub.sessions import Sessions
from threadd.hub.withdrawals import Withdrawals

_SECOND = 1_000_000_000


class Revocations:
    """All revocations.

    Args:
        overlay: The store with what is on its way to it.
        sessions: The sessions, which end with the tokens of their developer.
        clock: Nanoseconds since 1970.

    Attributes:
        until: The second up to which the tokens of an identity do not count; it changes as revocations are made.
    """

    def __init__(self, overlay: Overlay, sessions: Sessions, clock: Callable[[], int]) -> None:
        self._overlay = overlay
        self._sessions = sessions
        self._clock = clock
        self._until = {PublicKey.from_bytes(identity): row.until for identity, row in rows.list_revocations(overlay)}
        self.withdrawn = Withdrawals()
        """Tells that tokens and sessions count no longer."""
        self.until: Mapping[PublicKey, int] = MappingProxyType(self._until)

    async def revoke(self, identity: PublicKey) -> int:
        """Make the tokens useless that an identity has, and end its sessions; it may ask for new ones.

        Args:
            identity: Whose.

        Returns:
            How many sessions ended.
        """
        until = self._clock() // _SECOND
        transaction = Transaction()
        rows.put_revocation(transaction, identity.bytes, RevocationRow(until))
        kept = len(transaction.puts)
        self._sessions.stage_end_of_all(transaction, identity.bytes)
        await self._overlay.submit(transaction)
        self._until[identity] = until
        self.withdrawn.tell()
        return len(transaction.puts) - kept


def parse_identity(text: str) -> PublicKey:
    """Read the text of an identity's public key.

    Raises:
        InvalidKeyError: It is none; the text says what one looks like.
    """
    try:
        return PublicKey.from_text(text)
    except InvalidKeyError as error:
        raise InvalidKeyError(
            f"'{text}' is not a public key; one begins with bba, like the issuer of a token"
        ) from error
