"""API keys: what an app carries to show which account it works for.

An account key acts as the account that owns it. A user group key lets every user with a token of their own in. A secure
key asks for a signature made with its secret; an insecure one does not (reference: hub-protocol, section 2).
"""

import enum
import re
from collections.abc import Callable

import msgspec

from net import multibase
from store import accounts as rows
from store.accounts import ApiKeyRow
from store.engine import Transaction
from store.overlay import Overlay
from threadd.hub.errors import DuplicateKeyError, InvalidApiKeyError, UnknownApiKeyError
from threadd.hub.withdrawals import Withdrawals

_KEY_LENGTH = 16
_SECRET_LENGTH = 24
# What travels as the value of a header, and is copied by hand.
_KEY_TEXT = re.compile(r"[\x21-\x7e]{1,128}")


class KeyKind(enum.IntEnum):
    """Whom a key lets in; the numbers are those that are stored."""

    ACCOUNT = 1
    USER = 2


def random_token(randomness: Callable[[int], bytes], length: int) -> str:
    """Make a token: the multibase base32 text of random bytes.

    Args:
        randomness: Gives so many unpredictable bytes, as `os.urandom` does.
        length: Bytes.

    Returns:
        The text, which begins with ``b``.
    """
    return multibase.encode(randomness(length))


class ApiKeys:
    """All API keys.

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
        """Tells that keys were made useless."""

    async def create(self, owner: bytes, kind: KeyKind, *, secure: bool = True) -> ApiKeyRow:
        """Make a key.

        Args:
            owner: The public key of the account that it belongs to, as libp2p protobuf bytes.
            kind: Whom it lets in.
            secure: Whether its callers must sign.

        Returns:
            The key with its secret.
        """
        return await self._put(
            ApiKeyRow(
                key=random_token(self._randomness, _KEY_LENGTH),
                secret=random_token(self._randomness, _SECRET_LENGTH),
                owner=owner,
                kind=kind,
                secure=secure,
                valid=True,
                created=self._clock(),
            )
        )

    async def import_key(self, key: str, secret: str, owner: bytes, kind: KeyKind, *, secure: bool = True) -> ApiKeyRow:
        """Take in a key that an app carries already, so that the app runs unchanged.

        Taking in the same key twice changes nothing.

        Args:
            key: The key: 1 to 128 visible ASCII characters.
            secret: Its secret: the multibase text of at least one byte.
            owner: The public key of the account that it is to belong to, as libp2p protobuf bytes.
            kind: Whom it lets in.
            secure: Whether its callers must sign.

        Returns:
            The key with its secret.

        Raises:
            InvalidApiKeyError: The key or the secret cannot be one.
            DuplicateKeyError: The key is there already with other properties, or was invalidated.
        """
        if not _KEY_TEXT.fullmatch(key):
            raise InvalidApiKeyError("an API key is 1 to 128 visible ASCII characters, such as b and 26 more")
        if not _KEY_TEXT.fullmatch(secret) or not multibase.decode(secret):
            raise InvalidApiKeyError("the secret of an API key is a multibase text, such as b and 39 more characters")
        row = ApiKeyRow(
            key=key, secret=secret, owner=owner, kind=kind, secure=secure, valid=True, created=self._clock()
        )
        known = self.get(key)
        if known is not None and _same(known, row):
            return known
        if known is not None:
            state = "with another secret, type, owner or need to sign" if known.valid else "and invalid"
            raise DuplicateKeyError(f"apikeys: key '{key}' is here already, {state}")
        return await self._put(row)

    def get(self, key: str) -> ApiKeyRow | None:
        """Look up a key, valid or not.

        Args:
            key: The key.

        Returns:
            The key with its secret, or None when there is none of that name.
        """
        return rows.get_api_key(self._overlay, key) if _KEY_TEXT.fullmatch(key) else None

    def list(self, owner: bytes) -> "list[ApiKeyRow]":
        """List the keys of an account, invalidated ones included.

        Args:
            owner: The account's public key, as libp2p protobuf bytes.

        Returns:
            The keys, the oldest first.
        """
        return sorted(rows.list_api_keys(self._overlay, owner), key=lambda row: (row.created, row.key))

    def stage_end_of_all(self, transaction: Transaction, owner: bytes) -> None:
        """Make the end of all keys of an account a part of a transaction.

        Args:
            transaction: What it is a part of.
            owner: The account's public key, as libp2p protobuf bytes.
        """
        for row in rows.list_api_keys(self._overlay, owner):
            rows.delete_api_key(transaction, row.key)

    async def invalidate(self, key: str) -> ApiKeyRow:
        """Make a key useless for good.

        Args:
            key: The key.

        Returns:
            The key as it is now.

        Raises:
            UnknownApiKeyError: There is none of that name.
        """
        row = self.get(key)
        if row is None:
            raise UnknownApiKeyError
        row = msgspec.structs.replace(row, valid=False)
        transaction = Transaction()
        rows.put_api_key(transaction, row)
        await self._overlay.submit(transaction)
        self.withdrawn.tell()
        return row

    async def _put(self, row: ApiKeyRow) -> ApiKeyRow:
        if self.get(row.key) is not None:
            raise DuplicateKeyError(f"apikeys: key '{row.key}'")
        transaction = Transaction()
        rows.put_api_key(transaction, row)
        await self._overlay.submit(transaction)
        return row


def _same(one: ApiKeyRow, other: ApiKeyRow) -> bool:
    def essence(row: ApiKeyRow) -> tuple[object, ...]:
        return row.secret, row.owner, row.kind, row.secure, row.valid

    return essence(one) == essence(other)
