"""`api.hubd.pb.APIService`: accounts, sessions, API keys and organisations.

Each method reads the request, calls one verb of `threadd.hub` and writes the reply; the rules are there.
"""

from importlib.metadata import version
from typing import NoReturn

from proto import hubd_pb2 as pb
from store.accounts import AccountRow, ApiKeyRow
from threadd.api.dispatcher import Call
from threadd.api.principals import address_of
from threadd.api.statuses import InvalidRequestError
from threadd.hub.api_keys import KeyKind
from threadd.hub.callers import Caller
from threadd.hub.confirmations import Requester
from threadd.hub.errors import (
    AccountTypeError,
    BillingDisabledError,
    DeveloperRequiredError,
    KeyNotOwnedError,
    NameTakenError,
    NoSessionError,
    NotOwnerError,
    OrganisationRequiredError,
    OrganisationToShowRequiredError,
    UnknownApiKeyError,
)
from threadd.hub.hub import Hub
from threadd.hub.names import check_username
from threadd.hub.organisations import Role, role_of

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["APIService"]

_SECOND = 1_000_000_000

# How much of the origin of a page is shown to the operator, in characters.
_SHOWN_ORIGIN = 120
_ROLES = {Role.OWNER: "owner", Role.MEMBER: "member"}
_KINDS = {
    pb.KEY_TYPE_UNSPECIFIED: KeyKind.ACCOUNT,
    pb.KEY_TYPE_ACCOUNT: KeyKind.ACCOUNT,
    pb.KEY_TYPE_USER: KeyKind.USER,
}


class AccountsService:
    """The servicer.

    Args:
        hub: Knows the Hub's rules.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def build_info(self, _call: Call, _request: pb.BuildInfoRequest) -> pb.BuildInfoResponse:
        """Tell which version this is."""
        return pb.BuildInfoResponse(version=version("threadd"))

    async def signup(self, call: Call, request: pb.SignupRequest) -> pb.SignupResponse:
        """Make an account, once it is confirmed."""
        account, session = await self._hub.signing.sign_up(request.username, request.email, _requester(call))
        return pb.SignupResponse(key=account.public_key, session=session.id)

    async def signin(self, call: Call, request: pb.SigninRequest) -> pb.SigninResponse:
        """Begin a session, once it is confirmed."""
        account, session = await self._hub.signing.sign_in(request.username_or_email, _requester(call))
        return pb.SigninResponse(key=account.public_key, session=session.id)

    async def signout(self, call: Call, _request: pb.SignoutRequest) -> pb.SignoutResponse:
        """End the session of the call."""
        if not call.caller.session:
            raise NoSessionError
        await self._hub.sessions.end(call.caller.session)
        return pb.SignoutResponse()

    async def get_session_info(self, call: Call, _request: pb.GetSessionInfoRequest) -> pb.GetSessionInfoResponse:
        """Tell who calls."""
        developer = _developer(call.caller)
        return pb.GetSessionInfoResponse(key=developer.public_key, username=developer.name, email=developer.email)

    async def get_identity(self, call: Call, _request: pb.GetIdentityRequest) -> pb.GetIdentityResponse:
        """Give the private key of the account that calls."""
        return pb.GetIdentityResponse(identity=_account(call.caller).private_key)

    async def create_key(self, call: Call, request: pb.CreateKeyRequest) -> pb.CreateKeyResponse:
        """Make an API key."""
        owner = _account(call.caller).public_key
        kind = _KINDS.get(request.type)
        if kind is None:
            raise InvalidRequestError(f"invalid key type: {request.type}")
        row = await self._hub.api_keys.create(owner, kind, secure=request.secure)
        return pb.CreateKeyResponse(key_info=_key_info(row, 0))

    async def invalidate_key(self, call: Call, request: pb.InvalidateKeyRequest) -> pb.InvalidateKeyResponse:
        """End an API key."""
        owner = _account(call.caller).public_key
        row = self._hub.api_keys.get(request.key)
        if row is None:
            raise UnknownApiKeyError
        if row.owner != owner:
            raise KeyNotOwnedError
        await self._hub.api_keys.invalidate(request.key)
        return pb.InvalidateKeyResponse()

    async def list_keys(self, call: Call, _request: pb.ListKeysRequest) -> pb.ListKeysResponse:
        """List the API keys of the account, with their secrets."""
        rows = self._hub.api_keys.list(_account(call.caller).public_key)
        threads = self._hub.ownership.count_by_key()
        return pb.ListKeysResponse(list=[_key_info(row, threads.get(row.key, 0)) for row in rows])

    async def create_org(self, call: Call, request: pb.CreateOrgRequest) -> pb.CreateOrgResponse:
        """Make an organisation."""
        organisation = await self._hub.organisations.create(request.name, _developer(call.caller))
        return pb.CreateOrgResponse(org_info=self._org_info(organisation))

    async def get_org(self, call: Call, _request: pb.GetOrgRequest) -> pb.GetOrgResponse:
        """Tell of the organisation that calls."""
        _account(call.caller)
        if call.caller.organisation is None:
            raise OrganisationToShowRequiredError
        return pb.GetOrgResponse(org_info=self._org_info(call.caller.organisation))

    async def list_orgs(self, call: Call, _request: pb.ListOrgsRequest) -> pb.ListOrgsResponse:
        """List the organisations that the developer is a member of."""
        organisations = self._hub.organisations.of(_developer(call.caller).public_key)
        return pb.ListOrgsResponse(list=[self._org_info(organisation) for organisation in organisations])

    async def remove_org(self, call: Call, _request: pb.RemoveOrgRequest) -> pb.RemoveOrgResponse:
        """Delete the organisation with all that it has."""
        developer, organisation = _member(call.caller)
        if role_of(organisation, developer.public_key) != Role.OWNER:
            raise NotOwnerError
        await self._hub.destruction.destroy(organisation)
        return pb.RemoveOrgResponse()

    async def invite_to_org(self, call: Call, request: pb.InviteToOrgRequest) -> pb.InviteToOrgResponse:
        """Invite somebody to the organisation."""
        developer, organisation = _member(call.caller)
        row = await self._hub.invitations.invite(organisation, developer.public_key, request.email)
        return pb.InviteToOrgResponse(token=row.token)

    async def leave_org(self, call: Call, _request: pb.LeaveOrgRequest) -> pb.LeaveOrgResponse:
        """Leave the organisation."""
        developer, organisation = _member(call.caller)
        await self._hub.invitations.leave(organisation, developer)
        return pb.LeaveOrgResponse()

    async def setup_billing(self, _call: Call, _request: pb.SetupBillingRequest) -> NoReturn:
        """There is no billing."""
        raise BillingDisabledError

    async def get_billing_session(self, _call: Call, _request: pb.GetBillingSessionRequest) -> NoReturn:
        """There is no billing."""
        raise BillingDisabledError

    async def list_billing_users(self, _call: Call, _request: pb.ListBillingUsersRequest) -> NoReturn:
        """There is no billing."""
        raise BillingDisabledError

    async def is_username_available(
        self, _call: Call, request: pb.IsUsernameAvailableRequest
    ) -> pb.IsUsernameAvailableResponse:
        """Tell whether a new developer could have that name."""
        check_username(request.username)
        if self._hub.accounts.find(request.username) is not None:
            raise NameTakenError(f"username '{request.username}' is not available")
        return pb.IsUsernameAvailableResponse()

    async def is_org_name_available(
        self, _call: Call, request: pb.IsOrgNameAvailableRequest
    ) -> pb.IsOrgNameAvailableResponse:
        """Tell whether a new organisation could have that name, and what its slug would be."""
        slug = self._hub.organisations.check_free(request.name)
        return pb.IsOrgNameAvailableResponse(slug=slug, host=self._hub.confirmations.options.gateway)

    async def destroy_account(self, call: Call, _request: pb.DestroyAccountRequest) -> pb.DestroyAccountResponse:
        """Delete the developer with all that he has."""
        await self._hub.destruction.destroy(_developer(call.caller))
        return pb.DestroyAccountResponse()

    def _org_info(self, row: AccountRow) -> pb.OrgInfo:
        return pb.OrgInfo(
            key=row.public_key,
            name=row.title,
            slug=row.name,
            host=self._hub.confirmations.options.gateway,
            members=[
                pb.OrgInfo.Member(key=member.public_key, username=member.name, role=_ROLES[Role(member.role)])
                for member in row.members
            ],
            created_at=row.created // _SECOND,
        )


def _account(caller: Caller) -> AccountRow:
    if caller.account is None:
        raise AccountTypeError
    return caller.account


def _developer(caller: Caller) -> AccountRow:
    _account(caller)
    if caller.developer is None:
        raise DeveloperRequiredError
    return caller.developer


def _member(caller: Caller) -> tuple[AccountRow, AccountRow]:
    developer = _developer(caller)
    if caller.organisation is None:
        raise OrganisationRequiredError
    return developer, caller.organisation


def _key_info(row: ApiKeyRow, threads: int) -> pb.KeyInfo:
    kind = pb.KEY_TYPE_USER if row.kind == KeyKind.USER else pb.KEY_TYPE_ACCOUNT
    return pb.KeyInfo(key=row.key, secret=row.secret, type=kind, valid=row.valid, threads=threads, secure=row.secure)


def _requester(call: Call) -> Requester:
    # What a page says of itself over a websocket comes first, then what its browser says. No page is without an origin.
    origins = call.metadata.get("origin")
    page = (origins[-1] or "null")[:_SHOWN_ORIGIN] if origins else ""
    return Requester(call.peer, address_of(call.peer), page)
