"""Who waits to be confirmed, and until when."""

import asyncio
from typing import Any

import pytest

from store import accounts
from store.engine import Transaction
from threadd.config import CONFIRM_WORDS
from threadd.hub import confirmations
from threadd.hub.confirmations import UNASKED, ConfirmationOptions, Purpose, Requester
from threadd.hub.errors import AccountExistsError, NotConfirmedError, TooManyWaitingError, UserNotFoundError


async def begin(hub: Any, name: str, address: bytes = b"", page: str = "") -> "asyncio.Task[None]":
    before = len(hub.confirmations.pending())
    requester = Requester(address=address, page=page)
    waits = hub.confirmations.wait(Purpose.SIGN_UP, name, f"{name}@example.org", requester)
    task = asyncio.ensure_future(waits)
    await asyncio.sleep(0)
    assert len(hub.confirmations.pending()) == before + 1
    return task


def test_how_long_somebody_has() -> None:
    assert confirmations.WAIT_SECONDS == 30 * 60


async def test_each_is_confirmed_by_its_own_secret(hub: Any) -> None:
    hub.confirming(ConfirmationOptions())
    first, second = [await begin(hub, name) for name in ("jane", "john")]
    one, other = hub.confirmations.pending()
    assert (one.name, other.name, one.secret == other.secret) == ("jane", "john", False)
    assert len(one.secret) == 72
    for wrong in ("", "b", one.secret[:-1], one.secret.upper(), "é", "\ud800"):
        assert hub.confirmations.confirm(wrong) == []
    assert hub.confirmations.confirm(other.secret) == [other]
    await second
    assert not first.done()
    assert hub.confirmations.pending() == [one]
    assert hub.confirmations.confirm(one.secret) == [one]
    await first
    assert hub.confirmations.pending() == []


async def test_nobody_confirms(hub: Any) -> None:
    hub.confirming(ConfirmationOptions(wait_seconds=0.01))
    with pytest.raises(NotConfirmedError):
        await hub.signing.sign_up("jane", "jane@example.org")
    assert hub.accounts.find("jane") is None
    assert hub.confirmations.pending() == []


async def confirm_all(hub: Any, *waiting: "asyncio.Task[None]") -> None:
    for one in hub.confirmations.pending():
        hub.confirmations.confirm(one.secret)
    await asyncio.gather(*waiting)


async def test_one_address_does_not_take_the_places_of_others(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmations, "MAX_WAITING_PER_ADDRESS", 3)
    hub.confirming(ConfirmationOptions())
    theirs = [await begin(hub, f"theirs{number}", b"a") for number in range(3)]
    for purpose in (Purpose.SIGN_UP, Purpose.SIGN_IN):
        with pytest.raises(TooManyWaitingError):
            await hub.confirmations.wait(purpose, "more", "", Requester(address=b"a"))
    with pytest.raises(TooManyWaitingError):
        await hub.signing.sign_in("local", Requester(address=b"a"))
    others = [await begin(hub, f"other{number}", bytes([number])) for number in range(5)]
    await confirm_all(hub, *theirs, *others)
    await confirm_all(hub, await begin(hub, "again", b"a"))


async def test_where_all_places_are_taken_the_largest_share_gives_one_up(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmations, "MAX_WAITING", 4)
    hub.confirming(ConfirmationOptions())
    large = [await begin(hub, f"large{number}", b"a") for number in range(3)]
    small = await begin(hub, "small", b"b")
    new = asyncio.ensure_future(hub.confirmations.wait(Purpose.SIGN_UP, "new", "", Requester(address=b"c")))
    with pytest.raises(TooManyWaitingError):
        await large[0]
    assert [one.name for one in hub.confirmations.pending()] == ["large1", "large2", "small", "new"]
    # As large a share as the largest would become gets no more.
    for address in (b"a", b"b", b"c"):
        with pytest.raises(TooManyWaitingError):
            await hub.confirmations.wait(Purpose.SIGN_UP, "more", "", Requester(address=address))
    await confirm_all(hub, small, new, *large[1:])


async def test_pages_of_a_browser_do_not_take_the_places_of_programs_beside_it(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmations, "MAX_WAITING_PER_ADDRESS", 3)
    hub.confirming(ConfirmationOptions())
    pages = [await begin(hub, f"page{number}", b"a", f"https://{number}.example") for number in range(3)]
    with pytest.raises(TooManyWaitingError):
        await hub.signing.sign_in("local", Requester(address=b"a", page="https://more.example"))
    await confirm_all(hub, *pages, *[await begin(hub, f"program{number}", b"a") for number in range(3)])


async def test_many_addresses_with_a_place_each_keep_no_newcomer_out(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmations, "MAX_WAITING", 4)
    hub.confirming(ConfirmationOptions())
    many = [await begin(hub, f"many{number}", bytes([number])) for number in range(4)]
    new = asyncio.ensure_future(hub.confirmations.wait(Purpose.SIGN_IN, "new", "", Requester(address=b"new")))
    # The one that waits longest makes room, and a second place is nobody's by that.
    with pytest.raises(TooManyWaitingError):
        await many[0]
    assert [one.name for one in hub.confirmations.pending()] == ["many1", "many2", "many3", "new"]
    with pytest.raises(TooManyWaitingError):
        await hub.confirmations.wait(Purpose.SIGN_UP, "more", "", Requester(address=bytes([3])))
    await confirm_all(hub, new, *many[1:])


def test_every_word_of_the_setting_says_what_it_covers() -> None:
    assert list(UNASKED) == list(CONFIRM_WORDS)
    assert UNASKED["ask"] == frozenset()
    assert Purpose.SIGN_IN not in UNASKED["auto"]
    assert UNASKED["auto-signin"] == frozenset(Purpose)


async def test_what_is_refused_anyway_is_not_waited_for(hub: Any) -> None:
    hub.confirming()
    await hub.signing.sign_up("jane", "jane@example.org")
    hub.confirming(ConfirmationOptions())
    for name, email in (("Jane", "other@example.org"), ("other", "JANE@example.org"), ("local", "a@example.org")):
        with pytest.raises(AccountExistsError):
            await hub.signing.sign_up(name, email)


async def test_a_sign_up_that_is_a_way_into_an_organisation_is_asked_for(hub: Any) -> None:
    auto = ConfirmationOptions(UNASKED["auto"])
    hub.confirming(auto)
    jane, _ = await hub.signing.sign_up("jane", "jane@example.org")
    acme = await hub.organisations.create("acme", jane)
    await hub.invitations.invite(acme, jane.public_key, "john@example.org")
    signing = asyncio.ensure_future(hub.signing.sign_up("john", "John@Example.org"))
    await asyncio.sleep(0)
    (one,) = hub.confirmations.pending()
    assert (one.purpose, one.name) == (Purpose.SIGN_UP, "john")
    assert hub.confirmations.confirm(one.secret) == [one]
    john, _ = await signing
    assert [row.name for row in hub.organisations.of(john.public_key)] == ["acme"]
    hub.confirming(ConfirmationOptions(UNASKED["auto-signin"]))
    await hub.invitations.invite(acme, jane.public_key, "jill@example.org")
    await hub.signing.sign_up("jill", "jill@example.org")


async def test_links(hub: Any) -> None:
    assert hub.confirmations.link("confirm", "bx") == ""
    hub.confirming(ConfirmationOptions(gateway="https://hub.example.org"))
    assert hub.confirmations.link("consent", "bx") == "https://hub.example.org/consent/bx"


async def test_an_account_that_went_while_its_sign_in_waited(hub: Any) -> None:
    jane, _ = await hub.signing.sign_up("jane", "jane@example.org")
    hub.confirming(ConfirmationOptions())
    signing = asyncio.ensure_future(hub.signing.sign_in("jane"))
    await asyncio.sleep(0)
    (waiting,) = hub.confirmations.pending()
    transaction = Transaction()
    accounts.delete_account(transaction, jane)
    await hub.overlay.submit(transaction)
    hub.confirmations.confirm(waiting.secret)
    with pytest.raises(UserNotFoundError):
        await signing
