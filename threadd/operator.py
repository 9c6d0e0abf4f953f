"""Carries out what the operator of a daemon asks from the command line, whether or not the daemon runs.

While a daemon runs, requests reach it through `threadd.control`; otherwise the command line opens the repository and
handles them itself.
"""

from typing import Protocol

import msgspec

from net import multibase
from net.peering import Peering
from net.thread_id import ThreadID
from store.accounts import ApiKeyRow
from store.errors import StatusCode, ThreaddError
from threadd.browsing import Browser
from threadd.browsing_verbs import (
    BrowseRequest,
    CheckHealth,
    ConsoleLink,
    HealthSummary,
    Link,
    LiveRequest,
    MakeToken,
    OperatorToken,
    ShowStatus,
    StatusSummary,
)
from threadd.bucket_files import BucketFiles
from threadd.bucket_verbs import BucketRequest
from threadd.db.manager import Manager
from threadd.hub.api_keys import KeyKind
from threadd.hub.confirmations import Confirmation
from threadd.hub.errors import InvitationNotFoundError, UnknownApiKeyError
from threadd.hub.hub import Hub
from threadd.takeover import Takeover
from threadd.upkeep import Upkeep
from threadd.verbs import (
    ApiKey,
    ApiKeySummary,
    Backup,
    Confirm,
    Confirmed,
    CreateKey,
    DbSummary,
    ImportDatabase,
    ImportKey,
    InvalidateKey,
    JoinDb,
    ListConfirmations,
    ListDbs,
    ListForeignDbs,
    ListKeys,
    ListPeers,
    PeerSummary,
    PendingConfirmation,
    Request,
    Result,
    RevokeTokens,
    ThreadPeer,
    ThreadStatus,
)


class NoSuchKeyError(ThreaddError):
    """No API key has that name."""

    code = StatusCode.NOT_FOUND


_requests = msgspec.json.Decoder(Request)


class NothingWaitsError(ThreaddError):
    """Nothing waits for that secret."""

    code = StatusCode.NOT_FOUND


class RequestError(ThreaddError):
    """A request is none of the verbs, or lacks an argument."""

    code = StatusCode.INVALID_ARGUMENT


class NoDaemonHereError(ThreaddError):
    """What was asked for is known to a daemon that runs only."""

    code = StatusCode.UNAVAILABLE
    default_text = "no daemon runs on this repository: start it with threadd serve"


class Live(Protocol):
    """What only a daemon that runs knows."""

    def link(self) -> str:
        """Make a link that opens the console once."""

    def token(self) -> OperatorToken:
        """Make an operator token."""

    def health(self) -> HealthSummary:
        """Tell whether work is taken."""

    def status(self) -> StatusSummary:
        """Tell how the daemon is doing."""


class Operator:
    """Carries out the verbs.

    Args:
        hub: Accounts and what belongs to them; the keys that are made belong to the built-in account.
        databases: All databases.
        takeover: Joins what other daemons hold.
        peering: What goes on with other hosts.
        upkeep: Keeps the repository safe.
        browser: Looks at what is kept.
        bucket_files: Moves buckets as files.

    Attributes:
        live: What a daemon that runs knows; None where none does.
    """

    def __init__(
        self,
        hub: Hub,
        databases: Manager,
        takeover: Takeover,
        peering: Peering,
        upkeep: Upkeep,
        browser: Browser,
        bucket_files: BucketFiles,
    ) -> None:
        self._hub = hub
        self._accounts = hub.accounts
        self._api_keys = hub.api_keys
        self._ownership = hub.ownership
        self._databases = databases
        self._takeover = takeover
        self._peering = peering
        self._upkeep = upkeep
        self._browser = browser
        self._bucket_files = bucket_files
        self.live: Live | None = None

    async def handle_json(self, request: bytes) -> bytes:
        """Carry out a request that came as JSON; see `handle`."""
        try:
            decoded = _requests.decode(request)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
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
        result: Result
        if isinstance(request, BrowseRequest | LiveRequest | BucketRequest):
            return await self._look(request)
        match request:
            case CreateKey():
                result = await self.create_key(_kind(request.type), secure=request.secure)
            case ImportKey():
                result = await self.import_key(request.key, request.secret, _kind(request.type), secure=request.secure)
            case ListKeys():
                result = self.list_keys()
            case InvalidateKey():
                result = await self.invalidate_key(request.key)
            case ListDbs():
                result = self.list_dbs()
            case ListConfirmations():
                result = self.list_confirmations()
            case Confirm():
                result = await self.confirm(request.secret)
            case Backup() | ImportDatabase() | RevokeTokens():
                result = await self._handle_upkeep(request)
            case _:
                result = await self._handle_peers(request)
        return result

    async def _look(self, request: BrowseRequest | LiveRequest | BucketRequest) -> Result:
        if isinstance(request, BucketRequest):
            return await self._bucket_files.handle(request)
        if isinstance(request, BrowseRequest):
            return await self._browser.handle(request)
        if self.live is None:
            raise NoDaemonHereError
        match request:
            case ConsoleLink():
                return Link(self.live.link())
            case MakeToken():
                return self.live.token()
            case ShowStatus():
                return self.live.status()
            case CheckHealth():
                return self.live.health()

    async def _handle_upkeep(self, request: Backup | ImportDatabase | RevokeTokens) -> Result:
        match request:
            case Backup():
                return await self._upkeep.back_up(request.folder)
            case ImportDatabase():
                return await self._upkeep.import_database(request.file)
            case RevokeTokens():
                return await self._upkeep.revoke(request.identity)

    async def _handle_peers(self, request: ListForeignDbs | JoinDb | ListPeers | ThreadStatus) -> Result:
        match request:
            case ListForeignDbs():
                return await self._takeover.list_dbs(request.address)
            case JoinDb():
                return await self._takeover.join(request.address, request.id)
            case ListPeers():
                return self.list_peers()
            case ThreadStatus():
                return self.thread_status(request.id)

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

    def list_confirmations(self) -> list[PendingConfirmation]:
        """List what waits to be confirmed; see `ListConfirmations`."""
        confirmations = self._hub.confirmations
        found = [
            PendingConfirmation(
                one.secret,
                one.purpose,
                one.name,
                one.email,
                confirmations.link("confirm", one.secret),
                one.requester.peer,
                one.requester.page,
            )
            for one in confirmations.pending()
        ]
        for row in self._hub.invitations.pending():
            organisation = self._accounts.get(row.organisation)
            name = organisation.name if organisation is not None else ""
            link = confirmations.link("consent", row.token)
            found.append(PendingConfirmation(row.token, "invitation", name, row.email, link))
        return found

    async def confirm(self, secret: str) -> Confirmed:
        """Confirm what waits for a secret; see `Confirm`."""
        confirmed = self._hub.confirmations.confirm(secret)
        if len(confirmed) == 1:
            return Confirmed(_confirmed_text(confirmed[0]))
        if confirmed:
            return Confirmed(f"confirmed {len(confirmed)} at once")
        try:
            organisation, email = await self._hub.invitations.consent(secret)
        except InvitationNotFoundError as error:
            raise NothingWaitsError("nothing waits for that; threadd confirm --list shows what does") from error
        return Confirmed(f"{email} may join {organisation}")

    def list_peers(self) -> list[PeerSummary]:
        """List the hosts that serve threads here; see `ListPeers`."""
        now, lags = self._peering.seconds(), self.peer_lags()
        return [
            PeerSummary(
                multibase.encode_base58(state.peer),
                [address.text for address in self._peering.book.addresses(state.peer)],
                state.threads,
                lags[multibase.encode_base58(state.peer)],
                None if state.last_contact is None else now - state.last_contact,
                state.failures,
                state.last_error,
            )
            for state in self._peering.sync.states()
            if state.threads
        ]

    def peer_lags(self) -> dict[str, int]:
        """How many records of here each host that serves threads here is not known to have, by its peer ID."""
        sync = self._peering.sync
        lags = {}
        for state in sync.states():
            if state.threads:
                behind = [
                    sync.lag(state.peer, database.thread_id)
                    for database in self._databases.list_dbs()
                    if state.peer in sync.hosts(database.thread_id)
                ]
                lags[multibase.encode_base58(state.peer)] = sum(lag or 0 for lag in behind)
        return lags

    def thread_status(self, thread_text: str) -> list[ThreadPeer]:
        """Tell how far each host of a thread is; see `ThreadStatus`."""
        thread = ThreadID.from_text(thread_text)
        sync, now = self._peering.sync, self._peering.seconds()
        self._databases.require_thread(thread)
        hosts = set(sync.hosts(thread))
        return [
            ThreadPeer(
                multibase.encode_base58(state.peer),
                sync.lag(state.peer, thread),
                None if state.last_contact is None else now - state.last_contact,
                state.last_error,
            )
            for state in sync.states()
            if state.peer in hosts
        ]

    def _owner(self) -> bytes:
        return self._accounts.local().public_key


def _kind(text: str) -> KeyKind:
    try:
        return KeyKind[text.upper()]
    except KeyError:
        raise RequestError(f"'{text}' is not a type of API key; use user or account") from None


def _confirmed_text(confirmed: Confirmation) -> str:
    requester = confirmed.requester
    place = f", asked for from {requester.peer}" if requester.peer else ""
    page = f" by a page of {requester.page}" if requester.page else ""
    return f"confirmed the {confirmed.purpose} of {confirmed.name}{place}{page}"


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
