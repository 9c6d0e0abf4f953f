"""Accounts: developers and organisations, each with an Ed25519 key of its own.

What an account owns belongs to its public key. The built-in account `local` owns the API keys that the command line
makes; it is there from the first start on.
"""

import enum
from collections.abc import Callable

from net.keys import PrivateKey
from store import accounts as rows
from store.accounts import AccountRow
from store.engine import Transaction
from store.overlay import Overlay
from threadd.hub.errors import AccountExistsError
from threadd.hub.names import fits

LOCAL = "local"


class AccountKind(enum.IntEnum):
    """What an account is; the numbers are those that are stored."""

    DEVELOPER = 0
    ORGANISATION = 1


class Accounts:
    """All accounts.

    Args:
        overlay: The store with what is on its way to it.
        randomness: Gives so many unpredictable bytes.
        clock: Nanoseconds since 1970.
    """

    def __init__(self, overlay: Overlay, randomness: Callable[[int], bytes], clock: Callable[[], int]) -> None:
        self._overlay = overlay
        self._randomness = randomness
        self._clock = clock
        self._local: AccountRow | None = None

    async def open(self) -> None:
        """Make the built-in account unless it is there."""
        self._local = self.find(LOCAL)
        if self._local is not None:
            return
        transaction = Transaction()
        row = self.stage_developer(transaction, LOCAL, "")
        await self._overlay.submit(transaction)
        self._local = row

    def local(self) -> AccountRow:
        """Give the built-in account.

        Raises:
            RuntimeError: `open` was not awaited.
        """
        if self._local is None:
            raise RuntimeError("the accounts are not open")
        return self._local

    def get(self, public_key: bytes) -> AccountRow | None:
        """Look up an account.

        Args:
            public_key: As libp2p protobuf bytes.

        Returns:
            The account, or None when there is none.
        """
        return rows.get_account(self._overlay, public_key)

    def find(self, name: str) -> AccountRow | None:
        """Look up an account by its name.

        Args:
            name: The name of a user or an organisation; case does not matter.

        Returns:
            The account, or None when there is none.
        """
        return rows.find_account(self._overlay, name) if fits(name) else None

    def find_developer(self, name_or_email: str) -> AccountRow | None:
        """Look up a developer.

        Args:
            name_or_email: The name or the address of mail; case does not matter.

        Returns:
            The account, or None when there is none, or only an organisation of that name.
        """
        if not fits(name_or_email):
            return None
        for row in (self.find(name_or_email), rows.find_account_by_email(self._overlay, name_or_email)):
            if row is not None and row.kind == AccountKind.DEVELOPER:
                return row
        return None

    def check_free(self, name: str, email: str) -> None:
        """Refuse a name or an address of mail that belongs to an account; case does not matter.

        Args:
            name: The name of a developer.
            email: The address; empty for none.

        Raises:
            AccountExistsError: It does.
        """
        if self.find(name) is not None or (email and rows.find_account_by_email(self._overlay, email) is not None):
            raise AccountExistsError

    def stage_developer(self, transaction: Transaction, name: str, email: str) -> AccountRow:
        """Make a developer with a new key a part of a transaction.

        Args:
            transaction: What it is a part of.
            name: A name that passed `names.check_username`.
            email: An address that passed `names.check_email`; empty for none.

        Returns:
            The account.

        Raises:
            AccountExistsError: The name or the address is taken.
        """
        self.check_free(name, email)
        key = PrivateKey.random(self._randomness)
        row = AccountRow(
            public_key=key.public.bytes,
            private_key=key.bytes,
            name=name,
            kind=AccountKind.DEVELOPER,
            created=self._clock(),
            email=email,
        )
        rows.put_account(transaction, row)
        return row
