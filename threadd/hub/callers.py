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
from typing import TypeAlias

from net import tokens
from net.keys import PublicKey
from net.thread_id import ThreadID
from store.accounts import AccountRow, ApiKeyRow
from store.errors import ThreaddError
from threadd.hub.accounts import AccountKind, Accounts
from threadd.hub.api_keys import ApiKeys, KeyKind
from threadd.hub.errors import (
    AccountNotFoundError,
    ApiKeyNotFoundError,
    BadAuthorizationError,
    CredentialsRequiredError,
    MethodBlockedError,
    NotMemberError,
    TokenRequiredError,
    UserNotFoundError,
)
from threadd.hub.methods import BLOCKED, GET_TOKEN, UNCHECKED
from threadd.hub.organisations import Organisations
from threadd.hub.sessions import Sessions
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
        session: The ID of the session of the call; empty for none.
        developer: The developer whose session or account key it is; None for none.
        organisation: The organisation for which the call is made; None for none.
    """

    kind: CallerKind
    identity: PublicKey | None = None
    api_key: ApiKeyRow | None = None
    thread: ThreadID | None = None
    thread_name: str = ""
    session: str = ""
    developer: AccountRow | None = None
    organisation: AccountRow | None = None

    @property
    def account(self) -> AccountRow | None:
        """The account that the call acts as: the organisation, else the developer; None for users and ANYBODY."""
        return self.organisation or self.developer


class Callers:
    """The checks.

    Args:
        accounts: All accounts.
        api_keys: All API keys.
        sessions: All sessions.
        organisations: All organisations.
        host_key: The daemon's public key; user tokens are signed with its private one.
        clock: Nanoseconds since 1970.
        revoked: Up to which second the tokens of an identity do not count.
    """

    def __init__(
        self,
        accounts: Accounts,
        api_keys: ApiKeys,
        sessions: Sessions,
        organisations: Organisations,
        host_key: PublicKey,
        clock: Callable[[], int],
        revoked: Mapping[PublicKey, int] = tokens.NONE_REVOKED,
    ) -> None:
        self._accounts = accounts
        self._api_keys = api_keys
        self._sessions = sessions
        self._organisations = organisations
        self._host_key = host_key
        self._clock = clock
        self._revoked = revoked

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
        token = tokens.parse_authorization(_first(metadata, "authorization"))
        if session := _first(metadata, "x-textile-session"):
            caller = self._of_session(session, _first(metadata, "x-textile-org"))
        elif key := _first(metadata, "x-textile-api-key"):
            caller = self._of_key(self._check_api_key(key, metadata), method, token)
        else:
            raise CredentialsRequiredError
        name = _first(metadata, "x-textile-thread-name")
        return dataclasses.replace(caller, thread=_thread(metadata), thread_name=name)

    def check_again(self, caller: Caller, method: str, metadata: Metadata) -> None:
        """See that what a caller passed by still counts, for a call that goes on.

        The signature of a secure key counts for the time when the call began, and is not looked at again.

        Args:
            caller: As `authenticate` gave it.
            method: As for `authenticate`.
            metadata: As for `authenticate`.

        Raises:
            ThreaddError: As `authenticate`.
        """
        if caller.session:
            self._of_session(caller.session, _first(metadata, "x-textile-org"))
        elif caller.api_key is not None:
            token = tokens.parse_authorization(_first(metadata, "authorization"))
            self._of_key(self._valid_key(caller.api_key.key), method, token)

    def _of_session(self, session_id: str, organisation_name: str) -> Caller:
        session = self._sessions.use(session_id)
        developer = self._accounts.get(session.owner)
        if developer is None:
            raise UserNotFoundError
        organisation = None
        if organisation_name:
            organisation = self._organisations.find(organisation_name, developer.public_key)
            if organisation is None:
                raise NotMemberError
        identity = PublicKey.from_bytes((organisation or developer).public_key)
        return Caller(CallerKind.ACCOUNT, identity, session=session.id, developer=developer, organisation=organisation)

    def _valid_key(self, key: str) -> ApiKeyRow:
        row = self._api_keys.get(key)
        if row is None or not row.valid:
            raise ApiKeyNotFoundError
        return row

    def _check_api_key(self, key: str, metadata: Metadata) -> ApiKeyRow:
        row = self._valid_key(key)
        if row.secure:
            signature, date = _first(metadata, "x-textile-api-sig"), _first(metadata, "x-textile-api-sig-msg")
            check_signature(row.secret, signature, date, self._clock())
        return row

    def _of_key(self, row: ApiKeyRow, method: str, token: str) -> Caller:
        if row.kind == KeyKind.ACCOUNT:
            account = self._accounts.get(row.owner)
            if account is None:
                raise AccountNotFoundError
            identity = PublicKey.from_bytes(account.public_key)
            if account.kind == AccountKind.ORGANISATION:
                return Caller(CallerKind.ACCOUNT, identity, row, organisation=account)
            return Caller(CallerKind.ACCOUNT, identity, row, developer=account)
        if not token:
            if method not in GET_TOKEN:
                raise TokenRequiredError
            return Caller(CallerKind.ANYBODY, None, row)
        try:
            tokens.unverified_identity(token)
        except ThreaddError as error:
            raise BadAuthorizationError from error
        if method in GET_TOKEN:
            # Who asks for a new token may well carry one that counts no longer.
            return Caller(CallerKind.ANYBODY, None, row)
        return Caller(CallerKind.USER, tokens.verify(token, self._host_key, self._revoked), row)


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
