"""Sessions: how long they live, and whom they let act as whom."""

from typing import Any

import pytest

from net.keys import PublicKey
from store.engine import Transaction
from store.errors import StatusCode, ThreaddError
from threadd.hub.callers import CallerKind
from threadd.hub.errors import ExpiredSessionError, InvalidSessionError
from threadd.hub.sessions import LIFE, RENEWAL

FIND = "/threads.pb.API/Find"


@pytest.fixture
async def jane(hub: Any) -> Any:
    return await hub.signing.sign_up("jane", "jane@example.org")


def refusal(hub: Any, metadata: Any) -> tuple[StatusCode, str]:
    with pytest.raises(ThreaddError) as raised:
        hub.callers.authenticate(FIND, metadata)
    return raised.value.code, raised.value.text


def test_the_life_of_a_session() -> None:
    assert LIFE == 24 * 7 * 30 * 6 * 3600 * 10**9


async def test_a_session_lives_as_long_as_it_is_used(hub: Any, jane: Any) -> None:
    _, session = jane
    assert session.expires == hub.now + LIFE
    for _ in range(3):
        hub.now += LIFE
        assert hub.sessions.use(session.id).expires == hub.now + LIFE
    hub.now += LIFE + 1
    with pytest.raises(ExpiredSessionError):
        hub.sessions.use(session.id)


async def test_a_session_that_is_used_often_is_seldom_written(hub: Any, jane: Any) -> None:
    _, session = jane
    hub.now += RENEWAL
    assert hub.sessions.use(session.id).expires == session.expires
    hub.now += 1
    assert hub.sessions.use(session.id).expires == hub.now + LIFE


async def test_a_session_ends(hub: Any, jane: Any) -> None:
    _, session = jane
    await hub.sessions.end(session.id)
    await hub.sessions.end(session.id)
    with pytest.raises(InvalidSessionError):
        hub.sessions.use(session.id)


@pytest.mark.parametrize("session_id", ["", "x", "b" * 500, "a b", "\0", "é"])
def test_what_is_no_session(hub: Any, session_id: str) -> None:
    with pytest.raises(InvalidSessionError):
        hub.sessions.use(session_id)


async def test_all_sessions_of_one_developer_end(hub: Any, jane: Any) -> None:
    account, first = jane
    _, second = await hub.signing.sign_in("jane")
    _, other = await hub.signing.sign_in("local")
    transaction = Transaction()
    hub.sessions.stage_end_of_all(transaction, account.public_key)
    await hub.overlay.submit(transaction)
    for session in (first, second):
        with pytest.raises(InvalidSessionError):
            hub.sessions.use(session.id)
    hub.sessions.use(other.id)


async def test_a_session_acts_as_its_developer(hub: Any, jane: Any) -> None:
    account, session = jane
    for token in ({}, {"authorization": ["bearer " + hub.token("alice")]}):
        caller = hub.callers.authenticate(FIND, {"x-textile-session": [session.id]} | token)
        assert (caller.kind, caller.session) == (CallerKind.ACCOUNT, session.id)
        assert caller.identity == PublicKey.from_bytes(account.public_key)
        assert (caller.developer, caller.organisation, caller.account) == (account, None, account)
        assert caller.api_key is None


async def test_a_session_acts_as_an_organisation(hub: Any, jane: Any) -> None:
    account, session = jane
    organisation = await hub.organisations.create("Acme Inc", account)
    for slug in ("Acme-Inc", "acme-inc"):
        headers = {"x-textile-session": [session.id], "x-textile-org": [slug]}
        caller = hub.callers.authenticate(FIND, headers)
        assert caller.identity == PublicKey.from_bytes(organisation.public_key)
        assert (caller.developer, caller.organisation, caller.account) == (account, organisation, organisation)
    no_member = (StatusCode.PERMISSION_DENIED, "User is not an org member")
    _, other = await hub.signing.sign_up("john", "john@example.org")
    for slug in ("Acme-Inc", "nowhere", "jane", "x" * 1000):
        assert refusal(hub, {"x-textile-session": [other.id], "x-textile-org": [slug]}) == no_member


async def test_a_session_wins_over_an_organisations_key(hub: Any, jane: Any) -> None:
    account, session = jane
    organisation = await hub.organisations.create("acme", account)
    key = await hub.api_keys.create(organisation.public_key, 1, secure=False)
    caller = hub.callers.authenticate(FIND, {"x-textile-api-key": [key.key], "x-textile-org": ["nowhere"]})
    assert (caller.developer, caller.account) == (None, organisation)
    caller = hub.callers.authenticate(FIND, {"x-textile-api-key": [key.key], "x-textile-session": [session.id]})
    assert (caller.account, caller.api_key) == (account, None)
