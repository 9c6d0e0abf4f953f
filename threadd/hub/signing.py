"""Signing up and signing in (reference: hub-protocol, section 3)."""

from store.accounts import AccountRow
from store.engine import Transaction
from store.overlay import Overlay
from store.sessions import SessionRow
from threadd.hub.accounts import Accounts
from threadd.hub.confirmations import UNKNOWN_REQUESTER, Confirmations, Purpose, Requester
from threadd.hub.errors import UserNotFoundError
from threadd.hub.invitations import Invitations
from threadd.hub.names import check_email, check_username
from threadd.hub.sessions import Sessions


class Signing:
    """How developers get an account and a session.

    Args:
        overlay: The store with what is on its way to it.
        accounts: All accounts.
        sessions: All sessions.
        confirmations: Waits until the operator confirms.
        invitations: All invitations.
    """

    def __init__(
        self,
        overlay: Overlay,
        accounts: Accounts,
        sessions: Sessions,
        confirmations: Confirmations,
        invitations: Invitations,
    ) -> None:
        self._overlay = overlay
        self._accounts = accounts
        self._sessions = sessions
        self._confirmations = confirmations
        self._invitations = invitations

    async def sign_up(
        self, name: str, email: str, requester: Requester = UNKNOWN_REQUESTER
    ) -> tuple[AccountRow, SessionRow]:
        """Make an account and a session, once it is confirmed; invitations that were consented to take effect.

        Args:
            name: The name of the developer.
            email: The developer's address of mail.
            requester: Who asks for it.

        Returns:
            The account and the session.

        Raises:
            UsernameError, EmailError: As `names.check_username`, `names.check_email`.
            NotConfirmedError, TooManyWaitingError, MailError: As `Confirmations.wait`.
            AccountExistsError: The name or the address is taken.
        """
        check_username(name)
        check_email(email)
        self._accounts.check_free(name, email)
        asks = self._confirmations.asks_for
        # An address that has consented to join an organisation is a way into an account that exists.
        is_way_in = self._invitations.is_awaited(email)
        if requester.page or asks(Purpose.SIGN_UP) or (is_way_in and asks(Purpose.SIGN_IN)):
            await self._confirmations.wait(Purpose.SIGN_UP, name, email, requester)
        transaction = Transaction()
        developer = self._accounts.stage_developer(transaction, name, email)
        session = self._sessions.stage(transaction, developer.public_key)
        self._invitations.stage_welcome(transaction, developer)
        await self._overlay.submit(transaction)
        return developer, session

    async def sign_in(
        self, name_or_email: str, requester: Requester = UNKNOWN_REQUESTER
    ) -> tuple[AccountRow, SessionRow]:
        """Make a session for a developer, once it is confirmed.

        Args:
            name_or_email: The developer's name or address of mail.
            requester: Who asks for it.

        Returns:
            The account and the session.

        Raises:
            UserNotFoundError: There is no such developer, or none any more.
            NotConfirmedError, TooManyWaitingError, MailError: As `Confirmations.wait`.
        """
        developer = self._accounts.find_developer(name_or_email)
        if developer is None:
            raise UserNotFoundError
        if requester.page or self._confirmations.asks_for(Purpose.SIGN_IN):
            await self._confirmations.wait(Purpose.SIGN_IN, developer.name, developer.email, requester)
        if self._accounts.get(developer.public_key) is None:
            raise UserNotFoundError
        transaction = Transaction()
        session = self._sessions.stage(transaction, developer.public_key)
        await self._overlay.submit(transaction)
        return developer, session
