"""Organisations: accounts that several developers share (reference: hub-protocol, section 3)."""

import enum
from collections.abc import Callable

import msgspec

from net.keys import PrivateKey
from store import accounts as rows
from store.accounts import AccountRow, MemberRow
from store.engine import Transaction
from store.overlay import Overlay
from threadd.hub.accounts import AccountKind, Accounts
from threadd.hub.errors import DuplicateKeyError, LastOwnerError, NameTakenError
from threadd.hub.names import slug


class Role(enum.IntEnum):
    """What a member may do; the numbers are those that are stored."""

    OWNER = 0
    MEMBER = 1


class Organisations:
    """All organisations.

    Args:
        overlay: The store with what is on its way to it.
        accounts: All accounts.
        randomness: Gives so many unpredictable bytes.
        clock: Nanoseconds since 1970.
    """

    def __init__(
        self, overlay: Overlay, accounts: Accounts, randomness: Callable[[int], bytes], clock: Callable[[], int]
    ) -> None:
        self._overlay = overlay
        self._accounts = accounts
        self._randomness = randomness
        self._clock = clock

    def check_free(self, title: str) -> str:
        """Make the slug of a title, if no account has it yet.

        Args:
            title: As it was given.

        Returns:
            The slug.

        Raises:
            OrganisationNameError: Nothing is left of it.
            NameTakenError: An account has that name.
        """
        name = slug(title)
        if self._accounts.find(name) is not None:
            raise NameTakenError(f"the name '{title}' is already taken")
        return name

    async def create(self, title: str, developer: AccountRow) -> AccountRow:
        """Make an organisation.

        Args:
            title: As it was given; its slug is the name.
            developer: Its first owner.

        Returns:
            The organisation.

        Raises:
            OrganisationNameError: Nothing is left of the title in a slug.
            DuplicateKeyError: An account has that name.
        """
        name = slug(title)
        if self._accounts.find(name) is not None:
            raise DuplicateKeyError(f"accounts: username '{name}'")
        key = PrivateKey.random(self._randomness)
        row = AccountRow(
            public_key=key.public.bytes,
            private_key=key.bytes,
            name=name,
            kind=AccountKind.ORGANISATION,
            created=self._clock(),
            title=title,
            members=(MemberRow(developer.public_key, developer.name, Role.OWNER),),
        )
        transaction = Transaction()
        rows.put_account(transaction, row)
        await self._overlay.submit(transaction)
        return row

    def of(self, developer: bytes) -> list[AccountRow]:
        """List the organisations that a developer is a member of, the oldest first.

        Args:
            developer: A public key, as libp2p protobuf bytes.
        """
        return sorted(rows.list_organisations(self._overlay, developer), key=lambda row: (row.created, row.name))

    def find(self, name: str, member: bytes) -> AccountRow | None:
        """Look up an organisation for one of its members.

        Args:
            name: Its slug; case does not matter.
            member: A developer's public key, as libp2p protobuf bytes.

        Returns:
            The organisation, or None when there is none or the developer is no member.
        """
        row = self._accounts.find(name)
        if row is None or row.kind != AccountKind.ORGANISATION or role_of(row, member) is None:
            return None
        return row

    def stage_joining(self, transaction: Transaction, organisation: AccountRow, developer: AccountRow) -> AccountRow:
        """Make it a part of a transaction that a developer joins as a plain member; who is one already stays as he is.

        Args:
            transaction: What it is a part of.
            organisation: The organisation as it is, with what else the transaction makes of it.
            developer: Who joins.

        Returns:
            The organisation as it will be.
        """
        if role_of(organisation, developer.public_key) is not None:
            return organisation
        member = MemberRow(developer.public_key, developer.name, Role.MEMBER)
        organisation = msgspec.structs.replace(organisation, members=(*organisation.members, member))
        rows.put_account(transaction, organisation)
        return organisation

    def stage_leaving(self, transaction: Transaction, organisation: AccountRow, developer: bytes) -> None:
        """Make it a part of a transaction that a developer leaves.

        Args:
            transaction: What it is a part of.
            organisation: The organisation as it is.
            developer: The public key of who leaves, as libp2p protobuf bytes.

        Raises:
            LastOwnerError: Nobody would own it any more.
        """
        members = tuple(member for member in organisation.members if member.public_key != developer)
        if all(member.role != Role.OWNER for member in members):
            raise LastOwnerError
        rows.delete_membership(transaction, developer, organisation.public_key)
        rows.put_account(transaction, msgspec.structs.replace(organisation, members=members))


def role_of(organisation: AccountRow, developer: bytes) -> Role | None:
    """Tell what a developer is in an organisation.

    Args:
        organisation: The organisation.
        developer: A public key, as libp2p protobuf bytes.

    Returns:
        The role, or None for no member.
    """
    for member in organisation.members:
        if member.public_key == developer:
            return Role(member.role)
    return None
