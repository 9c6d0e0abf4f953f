"""Who is calling through the Hub's door: the checks that come before every method, in the order of the hosted Hub.

Reference: hub-protocol, section 2. The table of checks:

1. some methods need none, and some are blocked for all;
2. a malformed ``authorization`` header is refused;
3. a session counts before an API key; with neither there is no call;
4. a secure API key needs its signature;
5. an account key acts as its account, whatever token came along; a user group key acts as the user of the token.

The hosted Hub leaves the signature of a user token to the thread service. Here it is checked with the rest, so that no
method, now or later, believes a token that this daemon did not issue.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeAlias

from net import tokens
from net.keys import PublicKey
from net.thread_id import ThreadID
from store.accounts import ApiKeyRow
from store.errors import ThreaddError
from threadd.hub.accounts import Accounts
from threadd.hub.api_keys import ApiKeys, KeyKind
from threadd.hub.errors import (
    AccountNotFoundError,
    ApiKeyNotFoundError,
    BadAuthorizationError,
    CredentialsRequiredError,
    InvalidSessionError,
    MethodBlockedError,
    TokenRequiredError,
)
from threadd.hub.methods import BLOCKED, GET_TOKEN, UNCHECKED
from threadd.hub.signatures import check_signature

Metadata: TypeAlias = Mapping[str, Sequence[str | bytes]]


class CallerKind(enum.Enum):
    """As what somebody calls."""

    ANYBODY = "anybody"
    """A method that asks for no credentials, or a user who has no token yet."""
    ACCOUNT = "account"
    """A developer or an organisation."""
    USER = "user"
    """A user of a user group key."""


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who passed the checks.

    Args:
        kind: As what they call.
        identity: In whose name the call reads and writes, and who owns what it makes; None for ANYBODY.
        api_key: The API key of the call, or None when there is none.
        thread: The thread that the header ``x-textile-thread`` names; None without one or when it cannot be read.
        thread_name: The name for a thread that the call makes; empty for none.
    """

    kind: CallerKind
    identity: PublicKey | None = None
    api_key: ApiKeyRow | None = None
    thread: ThreadID | None = None
    thread_name: str = ""


class Callers:
    """The checks.

    Args:
        accounts: All accounts.
        api_keys: All API keys.
        host_key: The daemon's public key; user tokens are signed with its private one.
        clock: Nanoseconds since 1970.
    """

    def __init__(self, accounts: Accounts, api_keys: ApiKeys, host_key: PublicKey, clock: Callable[[], int]) -> None:
        self._accounts = accounts
        self._api_keys = api_keys
        self._host_key = host_key
        self._clock = clock

    def authenticate(self, method: str, metadata: Metadata) -> Caller:
        """Find out who is calling.

        Args:
            method: The method's full name, such as ``/threads.pb.API/NewDB``.
            metadata: The values of each header by its name in lower case; the first value counts.

        Returns:
            The caller.

        Raises:
            ThreaddError: One of `threadd.hub.errors`, or an error of `net.tokens`: the call is refused.
        """
        if method in UNCHECKED:
            return Caller(CallerKind.ANYBODY)
        if method in BLOCKED:
            raise MethodBlockedError
        thread, thread_name = _thread(metadata), _first(metadata, "x-textile-thread-name")
        token = tokens.parse_authorization(_first(metadata, "authorization"))
        if session := _first(metadata, "x-textile-session"):
            _refuse_session(session)
        if key := _first(metadata, "x-textile-api-key"):
            row = self._check_api_key(key, metadata)
            kind, identity = self._act(row, method, token)
            return Caller(kind, identity, row, thread, thread_name)
        raise CredentialsRequiredError

    def _check_api_key(self, key: str, metadata: Metadata) -> ApiKeyRow:
        row = self._api_keys.get(key)
        if row is None or not row.valid:
            raise ApiKeyNotFoundError
        if row.secure:
            signature, date = _first(metadata, "x-textile-api-sig"), _first(metadata, "x-textile-api-sig-msg")
            check_signature(row.secret, signature, date, self._clock())
        return row

    def _act(self, row: ApiKeyRow, method: str, token: str) -> tuple[CallerKind, PublicKey | None]:
        if row.kind == KeyKind.ACCOUNT:
            account = self._accounts.get(row.owner)
            if account is None:
                raise AccountNotFoundError
            return CallerKind.ACCOUNT, PublicKey.from_bytes(account.public_key)
        if not token:
            if method not in GET_TOKEN:
                raise TokenRequiredError
            return CallerKind.ANYBODY, None
        try:
            tokens.unverified_identity(token)
        except ThreaddError as error:
            raise BadAuthorizationError from error
        if method in GET_TOKEN:
            # Who asks for a new token may well carry one that counts no longer.
            return CallerKind.ANYBODY, None
        return CallerKind.USER, tokens.verify(token, self._host_key)


def _refuse_session(_session: str) -> NoReturn:
    """Refuse a session: none is given out, so none is known."""
    raise InvalidSessionError


def _first(metadata: Metadata, name: str) -> str:
    values = metadata.get(name)
    value = values[0] if values else ""
    return value if isinstance(value, str) else value.decode("ascii", "replace")


def _thread(metadata: Metadata) -> ThreadID | None:
    text = _first(metadata, "x-textile-thread")
    if not text:
        return None
    try:
        return ThreadID.from_text(text)
    except ThreaddError:
        return None
