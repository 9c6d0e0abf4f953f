"""Accounts, their API keys, and which threads belong to whom."""

from collections.abc import Iterator

import msgspec

from store import tables
from store.engine import Reader, Transaction
from store.values import RowCodec


class AccountRow(msgspec.Struct, array_like=True, frozen=True):
    """A developer or an organisation.

    Args:
        public_key: libp2p's protobuf form.
        private_key: libp2p's protobuf form.
        name: Unique; case does not count.
        kind: 0 developer, 1 organisation.
        created: In ns since 1970.
    """

    public_key: bytes
    private_key: bytes
    name: str
    kind: int = 0
    created: int = 0


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


def find_account(reader: Reader, name: str) -> AccountRow | None:
    """An account by its name, whatever the case."""
    public_key = reader.get(tables.account_name(name))
    return None if public_key is None else get_account(reader, public_key)


def put_account(transaction: Transaction, row: AccountRow) -> None:
    """Keep an account."""
    transaction.put(tables.account(row.public_key), _accounts.encode(row))
    transaction.put(tables.account_name(row.name), row.public_key)


def get_api_key(reader: Reader, key: str) -> ApiKeyRow | None:
    """An API key, valid or not."""
    return _api_keys.decode_optional(reader.get(tables.api_key(key)))


def list_api_keys(reader: Reader, owner: bytes) -> Iterator[ApiKeyRow]:
    """The API keys of an account."""
    for _, value in reader.scan(*tables.api_keys()):
        row = _api_keys.decode(value)
        if row.owner == owner:
            yield row


def put_api_key(transaction: Transaction, row: ApiKeyRow) -> None:
    """Keep an API key."""
    transaction.put(tables.api_key(row.key), _api_keys.encode(row))


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
