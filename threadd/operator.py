"""Carries out what the operator of a daemon asks from the command line, whether or not the daemon runs.

While a daemon runs, requests reach it through `threadd.control`; otherwise the command line opens the repository and
handles them itself.
"""

import msgspec

from store.accounts import ApiKeyRow
from store.errors import StatusCode, ThreaddError
from threadd.db.manager import Manager
from threadd.hub.accounts import Accounts
from threadd.hub.api_keys import ApiKeys, KeyKind
from threadd.hub.errors import UnknownApiKeyError
from threadd.hub.ownership import Ownership
from threadd.verbs import (
    ApiKey,
    ApiKeySummary,
    CreateKey,
    DbSummary,
    ImportKey,
    InvalidateKey,
    ListDbs,
    ListKeys,
    Request,
    Result,
)


class NoSuchKeyError(ThreaddError):
    """No API key has that name."""

    code = StatusCode.NOT_FOUND


_requests = msgspec.json.Decoder(Request)


class RequestError(ThreaddError):
    """A request is none of the verbs, or lacks an argument."""

    code = StatusCode.INVALID_ARGUMENT


class Operator:
    """Carries out the verbs.

    Args:
        accounts: All accounts; the keys that are made belong to the built-in one.
        api_keys: All API keys.
        ownership: Who owns which thread.
        databases: All databases.
    """

    def __init__(self, accounts: Accounts, api_keys: ApiKeys, ownership: Ownership, databases: Manager) -> None:
        self._accounts = accounts
        self._api_keys = api_keys
        self._ownership = ownership
        self._databases = databases

    async def handle_json(self, request: bytes) -> bytes:
        """Carry out a request that came as JSON; see `handle`."""
        try:
            decoded = _requests.decode(request)
        except msgspec.DecodeError as error:
            raise RequestError(f"the daemon does not know this request ({error}); is it of another version?") from error
        return msgspec.json.encode(await self.handle(decoded))

    async def handle(self, request: Request) -> Result:
        """Carry out a request.

        Args:
            request: The verb with its arguments.

        Returns:
            What the request's class says.

        Raises:
            ThreaddError: It was refused.
        """
        match request:
            case CreateKey():
                return await self.create_key(_kind(request.type), secure=request.secure)
            case ImportKey():
                return await self.import_key(request.key, request.secret, _kind(request.type), secure=request.secure)
            case ListKeys():
                return self.list_keys()
            case InvalidateKey():
                return await self.invalidate_key(request.key)
            case ListDbs():
                return self.list_dbs()

    async def create_key(self, kind: KeyKind, *, secure: bool) -> ApiKey:
        """Make an API key for the built-in account; see `CreateKey`."""
        return _with_secret(await self._api_keys.create(self._owner(), kind, secure=secure))

    async def import_key(self, key: str, secret: str, kind: KeyKind, *, secure: bool) -> ApiKey:
        """Take in an API key for the built-in account; see `ImportKey`."""
        return _with_secret(await self._api_keys.import_key(key, secret, self._owner(), kind, secure=secure))

    def list_keys(self) -> list[ApiKeySummary]:
        """List the API keys of the built-in account; see `ListKeys`."""
        threads = self._ownership.count_by_key()
        return [_summary(row, threads.get(row.key, 0)) for row in self._api_keys.list(self._owner())]

    async def invalidate_key(self, key: str) -> ApiKeySummary:
        """Make an API key useless; see `InvalidateKey`."""
        try:
            row = await self._api_keys.invalidate(key)
        except UnknownApiKeyError as error:
            raise NoSuchKeyError(f"there is no API key '{key}'; threadd keys ls shows those that there are") from error
        return _summary(row, self._ownership.count_by_key().get(key, 0))

    def list_dbs(self) -> list[DbSummary]:
        """List all databases; see `ListDbs`."""
        return [
            DbSummary(database.thread_id.text, database.name, len(database.list_collections()))
            for database in self._databases.list_dbs()
        ]

    def _owner(self) -> bytes:
        return self._accounts.local().public_key


def _kind(text: str) -> KeyKind:
    try:
        return KeyKind[text.upper()]
    except KeyError:
        raise RequestError(f"'{text}' is no type of API key; use user or account") from None


def _with_secret(row: ApiKeyRow) -> ApiKey:
    return ApiKey(key=row.key, secret=row.secret, type=KeyKind(row.kind).name.lower(), secure=row.secure)


def _summary(row: ApiKeyRow, threads: int) -> ApiKeySummary:
    return ApiKeySummary(
        key=row.key,
        type=KeyKind(row.kind).name.lower(),
        secure=row.secure,
        valid=row.valid,
        created=row.created,
        threads=threads,
    )
