"""Accounts, their API keys, and which threads belong to whom."""

from collections.abc import Iterator

import msgspec

from store import tables
from store.engine import Reader, Transaction
from store.values import RowCodec


class MemberRow(msgspec.Struct, array_like=True, frozen=True):
    """A developer in an organisation.

    Args:
        public_key: The developer's, in libp2p's protobuf form.
        name: The developer's name.
        role: 0 owner, 1 member.
    """

    public_key: bytes
    name: str
    role: int


class AccountRow(msgspec.Struct, array_like=True, frozen=True):
    """A developer or an organisation.

    Args:
        public_key: libp2p's protobuf form.
        private_key: libp2p's protobuf form.
        name: Unique; case does not count. That of an organisation is its slug.
        kind: 0 developer, 1 organisation.
        created: In ns since 1970.
        email: Unique among developers, whatever the case; empty for none.
        title: The name of an organisation as it was given.
        members: The developers of an organisation, the oldest first.
    """

    public_key: bytes
    private_key: bytes
    name: str
    kind: int = 0
    created: int = 0
    email: str = ""
    title: str = ""
    members: tuple[MemberRow, ...] = ()


class ApiKeyRow(msgspec.Struct, array_like=True, frozen=True):
    """An API key.

    Args:
        key: What callers send.
        secret: What they sign with, as multibase text.
        owner: Public key of the account.
        kind: 1 account key, 2 user group key.
        secure: Whether calls must be signed.
        valid: Whether it is still taken.
        created: In ns since 1970.
    """

    key: str
    secret: str
    owner: bytes
    kind: int
    secure: bool = True
    valid: bool = True
    created: int = 0


class OwnedThreadRow(msgspec.Struct, array_like=True, frozen=True):
    """What an owner said of a thread.

    Args:
        name: Its name with this owner, or nothing.
        api_key: The API key that it was made with, or nothing.
        is_db: Whether it is a database.
        created: In ns since 1970.
    """

    name: str = ""
    api_key: str = ""
    is_db: bool = False
    created: int = 0


_accounts = RowCodec(AccountRow)
_api_keys = RowCodec(ApiKeyRow)
_owned_threads = RowCodec(OwnedThreadRow)


def get_account(reader: Reader, public_key: bytes) -> AccountRow | None:
    """An account by its public key."""
    return _accounts.decode_optional(reader.get(tables.account(public_key)))


def list_accounts(reader: Reader) -> Iterator[AccountRow]:
    """All developers and organisations, in the order of their keys."""
    for _, value in reader.scan(*tables.accounts()):
        yield _accounts.decode(value)


def find_account(reader: Reader, name: str) -> AccountRow | None:
    """An account by its name, whatever the case."""
    public_key = reader.get(tables.account_name(name))
    return None if public_key is None else get_account(reader, public_key)


def find_account_by_email(reader: Reader, email: str) -> AccountRow | None:
    """A developer by the address of its mail, whatever the case."""
    public_key = reader.get(tables.account_email(email))
    return None if public_key is None else get_account(reader, public_key)


def list_organisations(reader: Reader, member: bytes) -> Iterator[AccountRow]:
    """The organisations that a developer is a member of."""
    for key, _ in reader.scan(*tables.memberships(member)):
        row = get_account(reader, tables.organisation_of(key))
        if row is not None:
            yield row


def put_account(transaction: Transaction, row: AccountRow) -> None:
    """Keep an account; the members of an organisation find it from now on."""
    transaction.put(tables.account(row.public_key), _accounts.encode(row))
    transaction.put(tables.account_name(row.name), row.public_key)
    if row.email:
        transaction.put(tables.account_email(row.email), row.public_key)
    for member in row.members:
        transaction.put(tables.membership(member.public_key, row.public_key), b"")


def delete_membership(transaction: Transaction, member: bytes, organisation: bytes) -> None:
    """Let a developer find an organisation no more; the organisation itself has to be kept without it."""
    transaction.delete(tables.membership(member, organisation))


def delete_account(transaction: Transaction, row: AccountRow) -> None:
    """Forget an account.

    Args:
        transaction: What it is a part of.
        row: The account as it is kept.
    """
    transaction.delete(tables.account(row.public_key))
    transaction.delete(tables.account_name(row.name))
    if row.email:
        transaction.delete(tables.account_email(row.email))
    for member in row.members:
        delete_membership(transaction, member.public_key, row.public_key)


def get_api_key(reader: Reader, key: str) -> ApiKeyRow | None:
    """An API key, valid or not."""
    return _api_keys.decode_optional(reader.get(tables.api_key(key)))


def list_api_keys(reader: Reader, owner: bytes) -> Iterator[ApiKeyRow]:
    """The API keys of an account."""
    for _, value in reader.scan(*tables.api_keys()):
        row = _api_keys.decode(value)
        if row.owner == owner:
            yield row


def list_all_api_keys(reader: Reader) -> Iterator[ApiKeyRow]:
    """The API keys of all accounts."""
    for _, value in reader.scan(*tables.api_keys()):
        yield _api_keys.decode(value)


def put_api_key(transaction: Transaction, row: ApiKeyRow) -> None:
    """Keep an API key."""
    transaction.put(tables.api_key(row.key), _api_keys.encode(row))


def delete_api_key(transaction: Transaction, key: str) -> None:
    """Forget an API key."""
    transaction.delete(tables.api_key(key))


def get_owned_thread(reader: Reader, owner: bytes, thread_id: bytes) -> OwnedThreadRow | None:
    """What an owner said of a thread, or None where it is not the owner's."""
    return _owned_threads.decode_optional(reader.get(tables.owned_thread(owner, thread_id)))


def find_owned_thread(reader: Reader, owner: bytes, name: str) -> bytes | None:
    """ID of an owner's thread by its name, whatever the case."""
    return reader.get(tables.owned_name(owner, name))


def list_owned_threads(reader: Reader, owner: bytes) -> Iterator[tuple[bytes, OwnedThreadRow]]:
    """IDs of an owner's threads and what is said of them."""
    for key, value in reader.scan(*tables.owned_threads(owner)):
        yield tables.ownership_of(key)[1], _owned_threads.decode(value)


def list_all_owned_threads(reader: Reader) -> Iterator[tuple[bytes, bytes, OwnedThreadRow]]:
    """Owner, thread ID and what is said of it, for all owners."""
    for key, value in reader.scan(*tables.all_owned_threads()):
        yield *tables.ownership_of(key), _owned_threads.decode(value)


def put_owned_thread(transaction: Transaction, owner: bytes, thread_id: bytes, row: OwnedThreadRow) -> None:
    """Say that a thread is an owner's."""
    transaction.put(tables.owned_thread(owner, thread_id), _owned_threads.encode(row))
    if row.name:
        transaction.put(tables.owned_name(owner, row.name), thread_id)


def delete_owned_thread(transaction: Transaction, owner: bytes, thread_id: bytes, row: OwnedThreadRow) -> None:
    """Say that a thread is an owner's no more.

    Args:
        transaction: What it is a part of.
        owner: The owner.
        thread_id: The thread.
        row: What was said of it.
    """
    transaction.delete(tables.owned_thread(owner, thread_id))
    if row.name:
        transaction.delete(tables.owned_name(owner, row.name))
