"""The end of an account, with all that it has (reference: hub-protocol, section 3).

The threads go first, one after the other; then everything that is kept of the account, at once. Whoever is interrupted
in between can sign in again and go on.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from net.errors import ThreadNotFoundError
from net.network import Network
from net.thread_id import ThreadID
from store import accounts as rows
from store.accounts import AccountRow
from store.engine import Transaction
from store.overlay import Overlay
from threadd.db.errors import DatabaseNotFoundError
from threadd.db.manager import Manager
from threadd.hub.accounts import LOCAL
from threadd.hub.api_keys import ApiKeys
from threadd.hub.errors import AccountNotEmptyError, BuiltInAccountError
from threadd.hub.invitations import Invitations
from threadd.hub.organisations import Organisations, Role, role_of
from threadd.hub.ownership import Ownership
from threadd.hub.sessions import Sessions
from threadd.hub.withdrawals import Withdrawals

ThreadEnding = Callable[[ThreadID], Awaitable[None]]
"""Is awaited before a database is deleted with its account, to end what else hangs on it."""


@dataclass(slots=True)
class _Lost:
    """A thread that goes with an account: who owns it by that account, and whether somebody else does, too."""

    thread: ThreadID
    is_db: bool
    owners: list[bytes] = field(default_factory=list)
    has_other_owner: bool = False


class Destruction:
    """Ends accounts.

    Args:
        overlay: The store with what is on its way to it.
        organisations: All organisations.
        api_keys: All API keys.
        sessions: All sessions.
        invitations: All invitations.
        ownership: Who owns which thread.
        databases: All databases.
        network: All threads.
    """

    def __init__(
        self,
        overlay: Overlay,
        organisations: Organisations,
        api_keys: ApiKeys,
        sessions: Sessions,
        invitations: Invitations,
        ownership: Ownership,
        databases: Manager,
        network: Network,
    ) -> None:
        self._overlay = overlay
        self._organisations = organisations
        self._api_keys = api_keys
        self._sessions = sessions
        self._invitations = invitations
        self._ownership = ownership
        self._databases = databases
        self._network = network
        self.before_database: list[ThreadEnding] = []
        """What is awaited before a database is deleted: the buckets in it, for one."""
        self.withdrawn = Withdrawals()
        """Tells that an account is gone."""

    async def destroy(self, account: AccountRow) -> None:
        """End an account.

        Its threads are deleted, those that users made with its keys among them. A thread that has another owner too
        stays with that one.

        Args:
            account: A developer or an organisation.

        Raises:
            AccountNotEmptyError: The developer owns organisations.
            BuiltInAccountError: It is the account that belongs to the daemon.
        """
        if account.name == LOCAL:
            raise BuiltInAccountError
        self._check_owns_none(account)
        while threads := self._threads_of(account.public_key):
            for lost in threads:
                if not lost.has_other_owner:
                    await self._delete_thread(lost.thread, is_db=lost.is_db)
                for owner in lost.owners:
                    await self._ownership.drop(owner, lost.thread)
        # From here to the submission nothing is awaited, so nothing is made meanwhile.
        self._check_owns_none(account)
        kept = rows.get_account(self._overlay, account.public_key)
        if kept is None:
            return  # somebody else was faster
        transaction = Transaction()
        for organisation in self._organisations.of(account.public_key):
            self._organisations.stage_leaving(transaction, organisation, account.public_key)
        self._api_keys.stage_end_of_all(transaction, account.public_key)
        self._sessions.stage_end_of_all(transaction, account.public_key)
        self._invitations.stage_end(transaction, account.public_key)
        rows.delete_account(transaction, kept)
        await self._overlay.submit(transaction)
        self.withdrawn.tell()

    def _check_owns_none(self, account: AccountRow) -> None:
        for organisation in self._organisations.of(account.public_key):
            if role_of(organisation, account.public_key) == Role.OWNER:
                raise AccountNotEmptyError

    def _threads_of(self, account: bytes) -> list[_Lost]:
        keys = {row.key for row in self._api_keys.list(account)}
        lost: dict[ThreadID, _Lost] = {}
        staying: set[ThreadID] = set()
        for owner, thread, row in self._ownership.list_all():
            if owner == account or row.api_key in keys:
                lost.setdefault(thread, _Lost(thread, is_db=row.is_db)).owners.append(owner)
            else:
                staying.add(thread)
        for thread in staying & lost.keys():
            lost[thread].has_other_owner = True
        return list(lost.values())

    async def _delete_thread(self, thread: ThreadID, *, is_db: bool) -> None:
        try:
            if is_db:
                for ending in self.before_database:
                    await ending(thread)
                await self._databases.delete_db(thread)
            else:
                await self._network.delete_thread(thread)
        except (ThreadNotFoundError, DatabaseNotFoundError):
            # Somebody else was faster.
            return
