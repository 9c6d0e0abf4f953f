"""The Hub put together: everything that is kept of accounts, joined."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from net.crypto import Randomness
from net.keys import PublicKey
from net.network import Network
from store.overlay import Overlay
from threadd.db.manager import Manager
from threadd.hub.accounts import Accounts
from threadd.hub.api_keys import ApiKeys
from threadd.hub.callers import Callers
from threadd.hub.confirmations import ConfirmationOptions, Confirmations
from threadd.hub.destruction import Destruction
from threadd.hub.gate import Gate
from threadd.hub.invitations import Invitations
from threadd.hub.mailboxes import Mailboxes
from threadd.hub.organisations import Organisations
from threadd.hub.ownership import Ownership
from threadd.hub.revocations import Revocations
from threadd.hub.sessions import Sessions
from threadd.hub.signing import Signing


@dataclass(frozen=True, slots=True)
class Hub:
    """The Hub's parts.

    Args:
        accounts: Developers and organisations.
        organisations: What is special about the latter.
        api_keys: API keys.
        sessions: Sessions.
        confirmations: What waits to be confirmed.
        invitations: Invitations.
        signing: Sign-up and sign-in.
        ownership: Who owns which thread.
        mailboxes: Mail between callers.
        destruction: The end of accounts.
        revocations: Tokens that count no longer.
        gate: The checks of the Hub's door.
    """

    accounts: Accounts
    organisations: Organisations
    api_keys: ApiKeys
    sessions: Sessions
    confirmations: Confirmations
    invitations: Invitations
    signing: Signing
    ownership: Ownership
    mailboxes: Mailboxes
    destruction: Destruction
    revocations: Revocations
    gate: Gate

    @classmethod
    def build(
        cls,
        overlay: Overlay,
        databases: Manager,
        network: Network,
        host_key: PublicKey,
        *,
        threads_per_owner: int,
        confirmation: ConfirmationOptions,
        randomness: Randomness,
        clock: Callable[[], int],
    ) -> Self:
        """Join the parts; the accounts are still to be opened.

        Args:
            overlay: The store with what is on its way to it.
            databases: All databases.
            network: All threads.
            host_key: The daemon's public key.
            threads_per_owner: How many threads an owner may have; 0 for any number.
            confirmation: How sign-ups, sign-ins and invitations are confirmed.
            randomness: Gives so many unpredictable bytes.
            clock: Nanoseconds since 1970.
        """
        accounts = Accounts(overlay, randomness, clock)
        organisations = Organisations(overlay, accounts, randomness, clock)
        api_keys = ApiKeys(overlay, randomness, clock)
        sessions = Sessions(overlay, randomness, clock)
        confirmations = Confirmations(confirmation, randomness, clock)
        invitations = Invitations(overlay, accounts, organisations, confirmations, randomness, clock)
        ownership = Ownership(overlay, clock, threads_per_owner)
        revocations = Revocations(overlay, sessions, clock)
        callers = Callers(accounts, api_keys, sessions, organisations, host_key, clock, revocations.until)
        return cls(
            accounts=accounts,
            organisations=organisations,
            api_keys=api_keys,
            sessions=sessions,
            confirmations=confirmations,
            invitations=invitations,
            signing=Signing(overlay, accounts, sessions, confirmations, invitations),
            ownership=ownership,
            mailboxes=Mailboxes(databases, ownership, randomness, clock),
            destruction=Destruction(
                overlay, organisations, api_keys, sessions, invitations, ownership, databases, network
            ),
            revocations=revocations,
            gate=Gate(callers, ownership),
        )

    def hear_of_withdrawals(self, hearer: Callable[[], None]) -> None:
        """Have somebody called whenever something counts no longer that callers are admitted by.

        Args:
            hearer: Is called once it is on disk: a token, a session, a key, a membership or an account has ended.
        """
        for part in (self.sessions, self.api_keys, self.invitations, self.destruction, self.revocations):
            part.withdrawn.hear(hearer)
