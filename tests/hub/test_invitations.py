"""Invitations where consent is asked for: when they count, for whom, and until when."""

from typing import Any

import pytest

from store.accounts import AccountRow
from threadd.hub.confirmations import ConfirmationOptions
from threadd.hub.errors import InvitationExpiredError, InvitationNotFoundError, LastOwnerError
from threadd.hub.invitations import LIFE
from threadd.hub.organisations import Role, role_of


@pytest.fixture
async def jane(hub: Any) -> AccountRow:
    account, _ = await hub.signing.sign_up("jane", "jane@example.org")
    hub.confirming(ConfirmationOptions())
    return account


@pytest.fixture
async def acme(hub: Any, jane: AccountRow) -> AccountRow:
    return await hub.organisations.create("acme", jane)


async def sign_up(hub: Any, name: str) -> AccountRow:
    hub.confirming()
    account, _ = await hub.signing.sign_up(name, f"{name}@example.org")
    hub.confirming(ConfirmationOptions())
    return account


def members(hub: Any, organisation: AccountRow) -> dict[str, int]:
    row = hub.accounts.get(organisation.public_key)
    return {member.name: member.role for member in row.members}


def test_the_life_of_an_invitation() -> None:
    assert LIFE == 24 * 7 * 30 * 3600 * 10**9


async def test_consent_of_a_developer(hub: Any, jane: AccountRow, acme: AccountRow) -> None:
    john = await sign_up(hub, "john")
    row = await hub.invitations.invite(acme, jane.public_key, "John@example.org")
    assert members(hub, acme) == {"jane": Role.OWNER}
    assert hub.organisations.of(john.public_key) == []
    for _ in range(2):
        assert await hub.invitations.consent(row.token) == ("acme", "John@example.org")
        assert members(hub, acme) == {"jane": Role.OWNER, "john": Role.MEMBER}
    assert [one.name for one in hub.organisations.of(john.public_key)] == ["acme"]
    assert hub.invitations.pending() == []


async def test_consent_before_the_sign_up(hub: Any, jane: AccountRow, acme: AccountRow) -> None:
    accepted = [await hub.invitations.invite(acme, jane.public_key, "john@example.org") for _ in range(2)]
    other = await hub.organisations.create("other", jane)
    await hub.invitations.invite(other, jane.public_key, "john@example.org")
    for row in accepted:
        await hub.invitations.consent(row.token)
    assert members(hub, acme) == {"jane": Role.OWNER}
    john = await sign_up(hub, "john")
    assert members(hub, acme) == {"jane": Role.OWNER, "john": Role.MEMBER}
    assert members(hub, other) == {"jane": Role.OWNER}
    assert role_of(hub.accounts.get(acme.public_key), john.public_key) == Role.MEMBER
    assert [row.organisation for row in hub.invitations.pending()] == [other.public_key]


@pytest.mark.parametrize(
    ("invited", "other"),
    [
        ("jo@strasse.example", "jo@straße.example"),
        ("jo@straße.example", "jo@strasse.example"),
        ("kim@example.org", "\N{KELVIN SIGN}im@example.org"),
        ("kim@bank.example", "kim@ban\N{KELVIN SIGN}.example"),
        ("so@example.org", "\N{LATIN SMALL LETTER LONG S}o@example.org"),
    ],
)
async def test_an_address_that_looks_the_same_is_another(
    hub: Any, jane: AccountRow, acme: AccountRow, invited: str, other: str
) -> None:
    row = await hub.invitations.invite(acme, jane.public_key, invited)
    await hub.invitations.consent(row.token)
    hub.confirming()
    stranger, _ = await hub.signing.sign_up("stranger", other)
    again = await hub.invitations.invite(acme, jane.public_key, invited)
    await hub.invitations.consent(again.token)
    assert members(hub, acme) == {"jane": Role.OWNER}
    assert hub.organisations.of(stranger.public_key) == []


async def test_the_case_of_an_address_does_not_count(hub: Any, jane: AccountRow, acme: AccountRow) -> None:
    row = await hub.invitations.invite(acme, jane.public_key, "Jörg@Example.ORG")
    await hub.invitations.consent(row.token)
    hub.confirming()
    await hub.signing.sign_up("joerg", "jörg@example.org")
    assert members(hub, acme) == {"jane": Role.OWNER, "joerg": Role.MEMBER}


async def test_an_invitation_ends(hub: Any, jane: AccountRow, acme: AccountRow) -> None:
    row = await hub.invitations.invite(acme, jane.public_key, "john@example.org")
    hub.now += LIFE
    assert [one.token for one in hub.invitations.pending()] == [row.token]
    hub.now += 1
    assert hub.invitations.pending() == []
    with pytest.raises(InvitationExpiredError):
        await hub.invitations.consent(row.token)
    with pytest.raises(InvitationNotFoundError):
        await hub.invitations.consent(row.token)


@pytest.mark.parametrize("token", ["", "bunknown", "x" * 1000, "a b", "\0", "é"])
async def test_what_is_no_invitation(hub: Any, jane: AccountRow, token: str) -> None:
    with pytest.raises(InvitationNotFoundError):
        await hub.invitations.consent(token)


async def test_leaving(hub: Any, jane: AccountRow, acme: AccountRow) -> None:
    john = await sign_up(hub, "john")
    row = await hub.invitations.invite(acme, jane.public_key, "john@example.org")
    await hub.invitations.consent(row.token)
    acme = hub.accounts.get(acme.public_key)
    sent = await hub.invitations.invite(acme, john.public_key, "jill@example.org")
    with pytest.raises(LastOwnerError):
        await hub.invitations.leave(acme, jane)
    await hub.invitations.leave(acme, john)
    assert members(hub, acme) == {"jane": Role.OWNER}
    assert hub.organisations.of(john.public_key) == []
    for token in (sent.token, row.token):
        with pytest.raises(InvitationNotFoundError):
            await hub.invitations.consent(token)
