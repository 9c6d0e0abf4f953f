"""Invitations to organisations: sent to an address of mail, consented to by whoever has it.

Who has no account yet becomes a member when signing up (reference: hub-protocol, section 3).
"""

import re
from collections.abc import Callable, Collection

import msgspec

from store import invitations as rows
from store.accounts import AccountRow
from store.engine import Transaction
from store.invitations import InvitationRow
from store.overlay import Overlay
from threadd.hub.accounts import Accounts
from threadd.hub.api_keys import random_token
from threadd.hub.confirmations import Confirmations, Purpose
from threadd.hub.errors import InvitationExpiredError, InvitationNotFoundError
from threadd.hub.names import check_email, is_same_email
from threadd.hub.organisations import Organisations
from threadd.hub.sessions import TOKEN_BYTES
from threadd.hub.withdrawals import Withdrawals

LIFE = 24 * 7 * 30 * 3_600 * 1_000_000_000
"""How long an invitation lives, in ns: 24 hours times 7 times 30."""
_TOKEN = re.compile(r"[\x21-\x7e]{1,128}")


class Invitations:
    """All invitations.

    Args:
        overlay: The store with what is on its way to it.
        accounts: All accounts.
        organisations: All organisations.
        confirmations: Tells whoever is invited, and says whether consent has to be asked for.
        randomness: Gives so many unpredictable bytes.
        clock: Nanoseconds since 1970.
    """

    def __init__(
        self,
        overlay: Overlay,
        accounts: Accounts,
        organisations: Organisations,
        confirmations: Confirmations,
        randomness: Callable[[int], bytes],
        clock: Callable[[], int],
    ) -> None:
        self._overlay = overlay
        self._accounts = accounts
        self._organisations = organisations
        self._confirmations = confirmations
        self._randomness = randomness
        self._clock = clock
        self.withdrawn = Withdrawals()
        """Tells that a developer left an organisation."""

    async def invite(self, organisation: AccountRow, sender: bytes, email: str) -> InvitationRow:
        """Invite somebody; where nothing is asked for, consent is taken for given.

        Args:
            organisation: To where.
            sender: The public key of the developer who invites, as libp2p protobuf bytes.
            email: Whom.

        Returns:
            The invitation.

        Raises:
            EmailError: That is no address of mail.
            MailError: The link could not be sent; there is no invitation then.
        """
        check_email(email)
        token = random_token(self._randomness, TOKEN_BYTES)
        row = InvitationRow(token, organisation.public_key, sender, email, self._clock() + LIFE)
        asks = self._confirmations.asks_for(Purpose.INVITATION)
        if asks:
            link = self._confirmations.link("consent", token)
            await self._confirmations.tell(f"join the organisation {organisation.name}", link, token, email)
        transaction = Transaction()
        rows.put_invitation(transaction, row)
        committed = self._overlay.submit(transaction)
        if not asks:
            await self.consent(token)
        await committed
        return row

    def pending(self) -> list[InvitationRow]:
        """List what waits for consent, the one that ends first at the front."""
        now = self._clock()
        waiting = (row for row in rows.list_invitations(self._overlay) if not row.accepted and row.expires >= now)
        return sorted(waiting, key=lambda row: (row.expires, row.token))

    async def consent(self, token: str) -> tuple[str, str]:
        """Consent to an invitation. Consenting again changes nothing.

        Args:
            token: As it was sent.

        Returns:
            The name of the organisation and the address that was invited.

        Raises:
            InvitationNotFoundError: There is no such invitation, or no such organisation any more.
            InvitationExpiredError: It came too late.
        """
        row = rows.get_invitation(self._overlay, token) if _TOKEN.fullmatch(token) else None
        if row is None:
            raise InvitationNotFoundError
        organisation = self._accounts.get(row.organisation)
        if organisation is None:
            raise InvitationNotFoundError
        if row.accepted:
            return organisation.name, row.email
        transaction = Transaction()
        if self._clock() > row.expires:
            rows.delete_invitation(transaction, token)
            await self._overlay.submit(transaction)
            raise InvitationExpiredError
        developer = self._accounts.find_developer(row.email)
        if developer is not None and is_same_email(developer.email, row.email):
            self._organisations.stage_joining(transaction, organisation, developer)
        rows.put_invitation(transaction, msgspec.structs.replace(row, accepted=True))
        await self._overlay.submit(transaction)
        return organisation.name, row.email

    def is_awaited(self, email: str) -> bool:
        """Whether an organisation takes a developer of this address as a member as soon as there is one."""
        return any(row.accepted for row in self._of_email(email))

    def stage_welcome(self, transaction: Transaction, developer: AccountRow) -> None:
        """Make it a part of a transaction that a new developer joins what he consented to before.

        Args:
            transaction: What it is a part of.
            developer: The new account.
        """
        joined: dict[bytes, AccountRow] = {}
        for row in self._of_email(developer.email):
            organisation = joined.get(row.organisation) or self._accounts.get(row.organisation)
            if row.accepted and organisation is not None:
                joined[row.organisation] = self._organisations.stage_joining(transaction, organisation, developer)
                rows.delete_invitation(transaction, row.token)
            elif organisation is None or self._clock() > row.expires:
                rows.delete_invitation(transaction, row.token)

    async def leave(self, organisation: AccountRow, developer: AccountRow) -> None:
        """Let a developer leave an organisation; what he sent or got for it is forgotten.

        Args:
            organisation: The organisation.
            developer: Who leaves.

        Raises:
            LastOwnerError: Nobody would own it any more.
        """
        transaction = Transaction()
        self._organisations.stage_leaving(transaction, organisation, developer.public_key)
        for row in rows.list_invitations(self._overlay):
            theirs = row.sender == developer.public_key or is_same_email(row.email, developer.email)
            if row.organisation == organisation.public_key and theirs:
                rows.delete_invitation(transaction, row.token)
        await self._overlay.submit(transaction)
        self.withdrawn.tell()

    def stage_end(self, transaction: Transaction, account: bytes) -> None:
        """Forget, as a part of a transaction, the invitations by or to an account.

        Args:
            transaction: What it is a part of.
            account: Its public key, as libp2p protobuf bytes.
        """
        for row in rows.list_invitations(self._overlay):
            if account in {row.sender, row.organisation}:
                rows.delete_invitation(transaction, row.token)

    def _of_email(self, email: str) -> Collection[InvitationRow]:
        return [row for row in rows.list_invitations(self._overlay) if is_same_email(row.email, email)]
