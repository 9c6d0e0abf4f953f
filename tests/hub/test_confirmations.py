"""Who waits to be confirmed, and until when."""

import asyncio
from typing import Any

import pytest

from store import accounts
from store.engine import Transaction
from threadd.hub import confirmations
from threadd.hub.confirmations import ConfirmationOptions
from threadd.hub.errors import NotConfirmedError, TooManyWaitingError, UserNotFoundError


async def begin(hub: Any, name: str) -> "asyncio.Task[None]":
    before = len(hub.confirmations.pending())
    task = asyncio.ensure_future(hub.confirmations.wait("sign-up", name, f"{name}@example.org"))
    await asyncio.sleep(0)
    assert len(hub.confirmations.pending()) == before + 1
    return task


def test_how_long_somebody_has() -> None:
    assert confirmations.WAIT_SECONDS == 30 * 60


async def test_each_is_confirmed_by_its_own_secret(hub: Any) -> None:
    hub.confirming(ConfirmationOptions(ask=True))
    first, second = [await begin(hub, name) for name in ("jane", "john")]
    one, other = hub.confirmations.pending()
    assert (one.name, other.name, one.secret == other.secret) == ("jane", "john", False)
    assert len(one.secret) == 72
    for wrong in ("", "b", one.secret[:-1], one.secret.upper(), "é", "\ud800"):
        assert hub.confirmations.confirm(wrong) == 0
    assert hub.confirmations.confirm(other.secret) == 1
    await second
    assert not first.done()
    assert hub.confirmations.pending() == [one]
    assert hub.confirmations.confirm(one.secret) == 1
    await first
    assert hub.confirmations.pending() == []


async def test_nobody_confirms(hub: Any) -> None:
    hub.confirming(ConfirmationOptions(ask=True, wait_seconds=0.01))
    with pytest.raises(NotConfirmedError):
        await hub.signing.sign_up("jane", "jane@example.org")
    assert hub.accounts.find("jane") is None
    assert hub.confirmations.pending() == []


async def test_only_so_many_wait(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmations, "MAX_WAITING", 2)
    hub.confirming(ConfirmationOptions(ask=True))
    waiting = [await begin(hub, name) for name in ("jane", "john")]
    with pytest.raises(TooManyWaitingError):
        await hub.signing.sign_in("local")
    for one in hub.confirmations.pending():
        hub.confirmations.confirm(one.secret)
    await asyncio.gather(*waiting)


async def test_links(hub: Any) -> None:
    assert hub.confirmations.link("confirm", "bx") == ""
    hub.confirming(ConfirmationOptions(gateway="https://hub.example.org"))
    assert hub.confirmations.link("consent", "bx") == "https://hub.example.org/consent/bx"


async def test_an_account_that_went_while_its_sign_in_waited(hub: Any) -> None:
    jane, _ = await hub.signing.sign_up("jane", "jane@example.org")
    hub.confirming(ConfirmationOptions(ask=True))
    signing = asyncio.ensure_future(hub.signing.sign_in("jane"))
    await asyncio.sleep(0)
    (waiting,) = hub.confirmations.pending()
    transaction = Transaction()
    accounts.delete_account(transaction, jane)
    await hub.overlay.submit(transaction)
    hub.confirmations.confirm(waiting.secret)
    with pytest.raises(UserNotFoundError):
        await signing
