"""`api.hubd.pb.APIService` end to end: every method, and what it refuses with which code and text."""

import asyncio
import time
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc import StatusCode

from net.keys import PrivateKey, PublicKey
from net.thread_id import ThreadID
from proto import bucketsd_pb2
from threadd.api import accounts_service, buckets_service, network_service, threads_service, users_service
from threadd.api.dispatcher import snake_case
from threadd.hub.api_keys import KeyKind
from threadd.hub.confirmations import ConfirmationOptions
from threadd.verbs import Confirm, ListConfirmations

ALICE = PrivateKey(b"a" * 32)
THREAD = bytes([1, 0x55]) + b"t" * 32
PLAIN = bytes([1, 0x55]) + b"p" * 32
USERS_THREAD = bytes([1, 0x55]) + b"u" * 32
USERNAME_RULE = (
    "username may only contain alphanumeric characters or single hyphens, and cannot begin or end with a hyphen"
)


def test_every_method_is_there():
    for service, servicer in (
        (accounts_service.DESCRIPTOR, accounts_service.AccountsService),
        (users_service.DESCRIPTOR, users_service.UsersService),
    ):
        for method in service.methods:
            assert callable(getattr(servicer, snake_case(method.name), None)), method.full_name


async def test_from_sign_up_to_destruction(accounts_door, sign_up):
    await accounts_door("IsUsernameAvailable", username="jane")
    jane = await sign_up("jane")
    assert len(jane.session) == 72
    assert jane.session.startswith("b")
    for taken in ("jane", "JANE"):
        refused = await accounts_door.refused("IsUsernameAvailable", username=taken)
        assert refused == (StatusCode.FAILED_PRECONDITION, f"username '{taken}' is not available")

    info = await jane.accounts("GetSessionInfo")
    assert (info.key, info.username, info.email) == (jane.key, "jane", "jane@example.org")
    identity = await jane.accounts("GetIdentity")
    assert PrivateKey.from_bytes(identity.identity).public == PublicKey.from_bytes(jane.key)

    await jane.accounts("Signout")
    assert await jane.accounts.refused("GetSessionInfo") == (StatusCode.UNAUTHENTICATED, "Invalid session")
    for name in ("jane", "Jane", "jane@example.org", "Jane@Example.org"):
        again = await accounts_door("Signin", username_or_email=name)
        assert again.key == jane.key
    session = accounts_door.using([("x-textile-session", again.session)])
    await session("DestroyAccount")
    assert await session.refused("GetSessionInfo") == (StatusCode.UNAUTHENTICATED, "Invalid session")
    assert await accounts_door.refused("Signin", username_or_email="jane") == (StatusCode.NOT_FOUND, "User not found")
    await accounts_door("IsUsernameAvailable", username="jane")
    assert (await sign_up("jane")).key != jane.key


@pytest.mark.parametrize("name", ["", "-", "a-", "-a", "a--b", "a-b-c", "a_b", "a b", "a.b", "jäne", "jane\n", "a@b"])
async def test_names_that_nobody_can_have(accounts_door, name):
    rule = (StatusCode.FAILED_PRECONDITION, USERNAME_RULE)
    assert await accounts_door.refused("Signup", username=name, email="jane@example.org") == rule
    assert await accounts_door.refused("IsUsernameAvailable", username=name) == rule


@pytest.mark.parametrize("email", ["", "jane", "@", "jane@", "@example.org", "a@b@c", "a@b, c@d", "a@b\r\nBcc: c@d"])
async def test_addresses_that_are_none(accounts_door, sign_up, email):
    expected = (StatusCode.FAILED_PRECONDITION, "Email address in not valid")
    assert await accounts_door.refused("Signup", username="jane", email=email) == expected
    john = await sign_up("john")
    await john.accounts("CreateOrg", name="acme")
    assert await john.of("acme").refused("InviteToOrg", email=email) == expected


async def test_a_name_or_an_address_is_given_once(accounts_door, sign_up):
    jane = await sign_up("jane")
    await jane.accounts("CreateOrg", name="acme")
    exists = (StatusCode.FAILED_PRECONDITION, "Account exists")
    for name, email in [
        ("jane", "other@example.org"),
        ("JANE", "other@example.org"),
        ("other", "jane@example.org"),
        ("other", "JANE@example.org"),
        ("acme", "other@example.org"),
        ("local", "other@example.org"),
    ]:
        assert await accounts_door.refused("Signup", username=name, email=email) == exists
    many = [accounts_door("Signup", username="same", email=f"{number}@example.org") for number in range(8)]
    results = await asyncio.gather(*many, return_exceptions=True)
    assert sum(not isinstance(result, grpc.aio.AioRpcError) for result in results) == 1


async def test_who_may_not_sign_in(accounts_door, sign_up):
    jane = await sign_up("jane")
    await jane.accounts("CreateOrg", name="acme")
    for name in ("", "nobody", "nobody@example.org", "acme", "x" * 10_000, "\0", "j%ne"):
        refused = await accounts_door.refused("Signin", username_or_email=name)
        assert refused == (StatusCode.NOT_FOUND, "User not found")


async def test_keys(house, sign_up):
    jane, john = await sign_up("jane"), await sign_up("john")
    assert not (await jane.accounts("ListKeys")).list
    made = [
        (await jane.accounts("CreateKey", type=kind, secure=secure)).key_info
        for kind, secure in [(0, False), (1, True), (2, True), (2, False)]
    ]
    assert [(info.type, info.secure, info.valid, info.threads) for info in made] == [
        (1, False, True, 0),
        (1, True, True, 0),
        (2, True, True, 0),
        (2, False, True, 0),
    ]
    assert {(len(info.key), len(info.secret)) for info in made} == {(27, 40)}
    assert list((await jane.accounts("ListKeys")).list) == made
    assert await jane.accounts.refused("CreateKey", type=3) == (StatusCode.INVALID_ARGUMENT, "invalid key type: 3")

    row = house.rooms.api_keys.get(made[2].key)
    alice = jane.accounts.using(house.hub_metadata(row, house.token(ALICE))).of(threads_service.DESCRIPTOR)
    await alice("NewDB", dbID=THREAD)
    assert [info.threads for info in (await jane.accounts("ListKeys")).list] == [0, 0, 1, 0]

    refused = await john.accounts.refused("InvalidateKey", key=made[0].key)
    assert refused == (StatusCode.PERMISSION_DENIED, "User does not own key")
    for unknown in ("", "bunknown", "x" * 1000):
        refused = await jane.accounts.refused("InvalidateKey", key=unknown)
        assert refused == (StatusCode.UNKNOWN, "mongo: no documents in result")
    await jane.accounts("InvalidateKey", key=made[0].key)
    assert [info.valid for info in (await jane.accounts("ListKeys")).list] == [False, True, True, True]
    assert not (await john.accounts("ListKeys")).list


async def test_organisations(accounts_door, sign_up):
    jane = await sign_up("jane")
    assert not (await jane.accounts("ListOrgs")).list
    free = await jane.accounts("IsOrgNameAvailable", name="My awesome org!")
    assert free.slug == "My-awesome-org"
    info = (await jane.accounts("CreateOrg", name="My awesome org!")).org_info
    assert (info.name, info.slug) == ("My awesome org!", "My-awesome-org")
    assert [(member.key, member.username, member.role) for member in info.members] == [(jane.key, "jane", "owner")]
    assert 0 <= int(time.time()) - info.created_at <= 60

    refused = await jane.accounts.refused("IsOrgNameAvailable", name="My awesome org!")
    assert refused == (StatusCode.FAILED_PRECONDITION, "the name 'My awesome org!' is already taken")
    for taken in ("my awesome org", "jane", "local"):
        code, text = await jane.accounts.refused("CreateOrg", name=taken)
        assert code is StatusCode.UNKNOWN
        assert text.startswith("E11000 duplicate key error")
    for empty in ("", "!!!", "-_-"):
        code, text = await jane.accounts.refused("CreateOrg", name=empty)
        assert (code, text) == (StatusCode.UNKNOWN, f"name '{empty}' is not available")

    for slug in ("My-awesome-org", "my-awesome-org"):
        assert (await jane.of(slug)("GetOrg")).org_info == info
    assert list((await jane.accounts("ListOrgs")).list) == [info]
    organisation = jane.of("My-awesome-org")
    assert (await organisation("GetIdentity")).identity != (await jane.accounts("GetIdentity")).identity
    assert (await organisation("GetSessionInfo")).username == "jane"
    refused = await organisation.refused("LeaveOrg")
    assert refused == (StatusCode.UNKNOWN, "an org must have at least one owner")
    refused = await jane.accounts.refused("DestroyAccount")
    assert refused == (StatusCode.FAILED_PRECONDITION, "Account not empty (delete orgs first)")
    await organisation("RemoveOrg")
    assert await organisation.refused("GetOrg") == (StatusCode.PERMISSION_DENIED, "User is not an org member")
    await jane.accounts("DestroyAccount")


async def test_what_asks_for_an_organisation_or_a_developer(house, accounts_door, sign_up):
    jane = await sign_up("jane")
    required = "organization account required"
    assert await jane.accounts.refused("GetOrg") == (StatusCode.FAILED_PRECONDITION, required)
    for rpc in ("RemoveOrg", "InviteToOrg", "LeaveOrg"):
        assert await jane.accounts.refused(rpc) == (StatusCode.INVALID_ARGUMENT, required)

    await jane.accounts("CreateOrg", name="acme")
    info = (await jane.of("acme")("CreateKey", type=1)).key_info
    key = accounts_door.using([("x-textile-api-key", info.key)])
    assert (await key("GetOrg")).org_info.slug == "acme"
    assert [one.key for one in (await key("ListKeys")).list] == [info.key]
    developer = (StatusCode.INVALID_ARGUMENT, "developer account required")
    for rpc in (
        *("GetSessionInfo", "CreateOrg", "ListOrgs", "RemoveOrg"),
        *("InviteToOrg", "LeaveOrg", "DestroyAccount"),
    ):
        assert await key.refused(rpc) == developer, rpc
    assert await key.refused("Signout") == (StatusCode.NOT_FOUND, "session not found")

    own = (await jane.accounts("CreateKey", type=1)).key_info
    assert (await accounts_door.using([("x-textile-api-key", own.key)])("GetSessionInfo")).username == "jane"

    group = (await jane.accounts("CreateKey", type=2)).key_info
    row = house.rooms.api_keys.get(group.key)
    alice = accounts_door.using(house.hub_metadata(row, house.token(ALICE)))
    open_to_users = {"BuildInfo", "IsOrgNameAvailable", "Signout", "Signup", "Signin", "IsUsernameAvailable"}
    billing = {"SetupBilling", "GetBillingSession", "ListBillingUsers"}
    for method in accounts_service.DESCRIPTOR.methods:
        if method.name not in open_to_users | billing:
            refused = await alice.refused(method.name)
            assert refused == (StatusCode.INVALID_ARGUMENT, "account type not supported"), method.name
    for rpc in billing:
        for caller in (alice, jane.accounts, key):
            assert await caller.refused(rpc) == (StatusCode.UNKNOWN, "billing is not enabled")
    assert (await alice("BuildInfo")).version
    assert await accounts_door.refused("BuildInfo") == (StatusCode.UNAUTHENTICATED, "Session or API key required")


async def test_an_invitation_is_consented_to_at_once_where_nothing_is_asked(sign_up):
    jane, john = await sign_up("jane"), await sign_up("john")
    await jane.accounts("CreateOrg", name="acme")
    assert len((await jane.of("acme")("InviteToOrg", email="john@example.org")).token) == 72
    await jane.of("acme")("InviteToOrg", email="john@example.org")
    await jane.of("acme")("InviteToOrg", email="Jill@example.org")
    jill = await sign_up("jill")
    members = (await jill.of("acme")("GetOrg")).org_info.members
    assert [(member.username, member.role) for member in members] == [
        ("jane", "owner"),
        ("john", "member"),
        ("jill", "member"),
    ]
    refused = await john.of("acme").refused("RemoveOrg")
    assert refused == (StatusCode.PERMISSION_DENIED, "User must be an org owner")
    await john.of("acme")("LeaveOrg")
    assert await john.of("acme").refused("LeaveOrg") == (StatusCode.PERMISSION_DENIED, "User is not an org member")
    await jill.accounts("DestroyAccount")
    assert [member.username for member in (await jane.of("acme")("GetOrg")).org_info.members] == ["jane"]
    again = await sign_up("jill")
    assert not (await again.accounts("ListOrgs")).list


async def test_an_organisation_owns_what_is_made_for_it(house, sign_up):
    jane, john = await sign_up("jane"), await sign_up("john")
    await jane.accounts("CreateOrg", name="acme")
    await jane.of("acme")("InviteToOrg", email="john@example.org")
    threads = jane.of("acme").of(threads_service.DESCRIPTOR)
    named = threads.using([*threads.metadata, ("x-textile-thread-name", "shared")])
    await named("NewDB", dbID=THREAD)
    await john.accounts.of(threads_service.DESCRIPTOR)("NewDB", dbID=USERS_THREAD)

    listed = await john.of("acme").of(users_service.DESCRIPTOR)("ListThreads")
    assert [(one.id, one.name, one.is_db) for one in listed.list] == [(THREAD, "shared", True)]
    own = await john.accounts.of(users_service.DESCRIPTOR)("ListThreads")
    assert [one.id for one in own.list] == [USERS_THREAD]
    await john.of("acme").of(threads_service.DESCRIPTOR)("GetDBInfo", dbID=THREAD)
    refused = await john.accounts.of(threads_service.DESCRIPTOR).refused("GetDBInfo", dbID=THREAD)
    assert refused == (StatusCode.PERMISSION_DENIED, "User does not own thread")
    await jane.of("acme")("RemoveOrg")
    assert [db.thread_id.bytes for db in house.rooms.databases.list_dbs()] == [USERS_THREAD]


async def test_the_end_of_an_account_ends_what_it_has(house, accounts_door, sign_up):
    jane, john = await sign_up("jane"), await sign_up("john")
    ended = []

    async def before_database(thread):
        ended.append(thread.bytes)

    house.rooms.hub.destruction.before_database.append(before_database)
    info = (await jane.accounts("CreateKey", type=2, secure=False)).key_info
    row = house.rooms.api_keys.get(info.key)
    alice = accounts_door.using(house.hub_metadata(row, house.token(ALICE)))
    await alice.of(threads_service.DESCRIPTOR)("NewDB", dbID=USERS_THREAD)
    await jane.accounts.of(threads_service.DESCRIPTOR)("NewDB", dbID=THREAD)
    await jane.accounts.of(network_service.DESCRIPTOR)("CreateThread", threadID=PLAIN)
    johns = bytes([1, 0x55]) + b"j" * 32
    await john.accounts.of(threads_service.DESCRIPTOR)("NewDB", dbID=johns)
    # A second session ends as well.
    second = await accounts_door("Signin", username_or_email="jane")
    before = house.rows()
    await jane.accounts("DestroyAccount")

    assert sorted(ended) == sorted([USERS_THREAD, THREAD])
    assert [db.thread_id.bytes for db in house.rooms.databases.list_dbs()] == [johns]
    session = accounts_door.using([("x-textile-session", second.session)])
    assert await session.refused("ListKeys") == (StatusCode.UNAUTHENTICATED, "Invalid session")
    refused = await alice.of(users_service.DESCRIPTOR).refused("ListThreads")
    assert refused == (StatusCode.NOT_FOUND, "API key not found or is invalid")
    assert len((await john.accounts.of(users_service.DESCRIPTOR)("ListThreads")).list) == 1
    assert any(jane.key in key + value for key, value in before)
    await asyncio.sleep(0.3)  # what is deleted in the background
    left = [key for key, value in house.rows() if jane.key in key + value or jane.session.encode() in key + value]
    assert left == []


async def test_the_end_of_an_account_ends_its_buckets(house, channels, sign_up):
    jane = await sign_up("jane")
    await jane.accounts.of(threads_service.DESCRIPTOR)("NewDB", dbID=THREAD)
    thread = [("x-textile-thread", ThreadID(THREAD).text)]
    folders = jane.accounts.using([*jane.accounts.metadata, *thread]).of(buckets_service.DESCRIPTOR)
    made = await folders("Create", name="site")
    pull = channels["hub"].unary_stream(f"/{buckets_service.DESCRIPTOR.full_name}/PullIpfsPath")
    request = bucketsd_pb2.PullIpfsPathRequest(path=made.seed_cid).SerializeToString()
    other = (await sign_up("john")).accounts.metadata
    assert made.seed in await pull(request, metadata=other, timeout=10).read()
    await jane.accounts("DestroyAccount")
    assert house.rooms.databases.list_dbs() == []
    await house.rooms.buckets.sweeping.sweep()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await pull(request, metadata=other, timeout=10).read()
    assert caught.value.code() is StatusCode.NOT_FOUND
    assert not any(made.root.key.encode() in key + value for key, value in house.rows())


async def test_a_thread_with_another_owner_outlives_an_account(house, sign_up):
    jane, john = await sign_up("jane"), await sign_up("john")
    await jane.accounts.of(threads_service.DESCRIPTOR)("NewDB", dbID=THREAD)
    async with house.rooms.hub.ownership.making(john.key, ThreadID(THREAD), name="", api_key="", is_db=True):
        pass
    await jane.accounts("DestroyAccount")
    await john.accounts.of(threads_service.DESCRIPTOR)("GetDBInfo", dbID=THREAD)


async def test_the_built_in_account(house, accounts_door):
    key = await house.rooms.api_keys.create(house.rooms.accounts.local().public_key, KeyKind.USER)
    session = (await accounts_door("Signin", username_or_email="local")).session
    local = accounts_door.using([("x-textile-session", session)])
    assert [info.key for info in (await local("ListKeys")).list] == [key.key]
    code, text = await local.refused("DestroyAccount")
    assert (code, text.startswith("the built-in account")) == (StatusCode.FAILED_PRECONDITION, True)


@pytest.fixture
def asking(open_house, tmp_path):
    """A house where somebody has to confirm, with stubs of its accounts."""

    @asynccontextmanager
    async def opened(stubs, **options):
        confirmation = ConfirmationOptions(gateway="http://127.0.0.1:8006", **options)
        async with (
            open_house(tmp_path / "asking", confirmation=confirmation) as house,
            grpc.aio.insecure_channel(f"127.0.0.1:{house.ports['hub']}") as channel,
        ):
            yield house, type(stubs)(channel, stubs.service)

    return opened


async def waiting(house, count=1):
    """Waits until so many things wait to be confirmed."""
    for _ in range(1000):
        found = await house.rooms.operator.handle(ListConfirmations())
        if len(found) == count:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(found)


async def test_somebody_confirms(asking, accounts_door):
    async with asking(accounts_door) as (house, accounts):
        signing = asyncio.ensure_future(accounts("Signup", username="jane", email="jane@example.org"))
        (one,) = await waiting(house)
        assert (one.purpose, one.name, one.email) == ("sign-up", "jane", "jane@example.org")
        assert one.link == f"http://127.0.0.1:8006/confirm/{one.secret}"
        assert house.rooms.accounts.find("jane") is None
        assert not signing.done()
        assert house.rooms.hub.confirmations.confirm("bnothing") == []
        done = await house.rooms.operator.handle(Confirm(one.secret))
        assert done.text == f"confirmed the sign-up of jane, asked for from {one.peer}"
        session = (await signing).session
        assert await house.rooms.operator.handle(ListConfirmations()) == []
        assert house.rooms.hub.confirmations.confirm(one.secret) == []

        jane = accounts.using([("x-textile-session", session)])
        await jane("CreateOrg", name="acme")
        acme = jane.using([*jane.metadata, ("x-textile-org", "acme")])
        token = (await acme("InviteToOrg", email="john@example.org")).token
        (one,) = await waiting(house)
        assert (one.secret, one.purpose, one.name, one.email) == (token, "invitation", "acme", "john@example.org")
        assert one.link == f"http://127.0.0.1:8006/consent/{token}"
        signing = asyncio.ensure_future(accounts("Signup", username="john", email="john@example.org"))
        both = await waiting(house, 2)
        assert (await house.rooms.hub.invitations.consent(token)) == ("acme", "john@example.org")
        await house.rooms.operator.handle(Confirm(both[0].secret))
        john = accounts.using([("x-textile-session", (await signing).session)])
        assert [org.slug for org in (await john("ListOrgs")).list] == ["acme"]


async def test_nobody_confirms(asking, accounts_door):
    async with asking(accounts_door, wait_seconds=0.05) as (house, accounts):
        expected = (StatusCode.UNAUTHENTICATED, "Could not verify email address")
        assert await accounts.refused("Signup", username="jane", email="jane@example.org") == expected
        assert await accounts.refused("Signin", username_or_email="local") == expected
        assert await house.rooms.operator.handle(ListConfirmations()) == []
        # What is refused anyway is not waited for.
        assert await accounts.refused("Signin", username_or_email="jane") == (StatusCode.NOT_FOUND, "User not found")


async def test_a_caller_who_gives_up_waits_no_more(asking, accounts_door):
    async with asking(accounts_door) as (house, accounts):
        signing = asyncio.ensure_future(accounts("Signup", username="jane", email="jane@example.org"))
        await waiting(house)
        signing.cancel()
        await waiting(house, 0)


async def test_a_secret_that_all_share(asking, accounts_door):
    async with asking(accounts_door, secret="hubsession") as (house, accounts):
        signing = [
            asyncio.ensure_future(accounts("Signup", username=f"jane{n}", email=f"jane{n}@example.org"))
            for n in range(3)
        ]
        await waiting(house, 3)
        assert len(house.rooms.hub.confirmations.confirm("hubsession")) == 3
        assert len({reply.session for reply in await asyncio.gather(*signing)}) == 3


async def test_a_page_in_a_browser_signs_nobody_in_unasked(house, accounts_door):
    # What a page says of itself over a websocket comes first, then what its browser says.
    page = accounts_door.using([("origin", "http://localhost"), ("origin", "http://example.org")])
    signing = asyncio.ensure_future(page("Signin", username_or_email="local"))
    (one,) = await waiting(house)
    assert (one.purpose, one.page) == ("sign-in", "http://example.org")
    await house.rooms.operator.handle(Confirm(one.secret))
    assert (await signing).session
