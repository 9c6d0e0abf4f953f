"""API keys and the account that owns them."""

import re
from typing import Any

import pytest

from net.keys import PrivateKey
from threadd.hub.accounts import Accounts
from threadd.hub.api_keys import KeyKind
from threadd.hub.errors import DuplicateKeyError, InvalidApiKeyError, UnknownApiKeyError


async def test_the_built_in_account_is_made_once(hub: Any) -> None:
    row = hub.accounts.local()
    assert row.name == "local"
    assert PrivateKey.from_bytes(row.private_key).public.bytes == row.public_key
    assert hub.accounts.get(row.public_key) == row
    assert hub.accounts.find("LOCAL") == row
    assert hub.accounts.find("other") is None
    assert hub.accounts.get(b"other") is None
    again = Accounts(hub.overlay, hub.randomness, hub.clock)
    await again.open()
    assert again.local() == row


@pytest.mark.parametrize("kind", list(KeyKind))
@pytest.mark.parametrize("secure", [True, False])
async def test_a_key_is_made(hub: Any, kind: KeyKind, secure: bool) -> None:  # noqa: FBT001
    row = await hub.api_keys.create(hub.owner, kind, secure=secure)
    assert re.fullmatch(r"b[a-z2-7]{26}", row.key)
    assert re.fullmatch(r"b[a-z2-7]{39}", row.secret)
    assert (row.owner, row.kind, row.secure, row.valid, row.created) == (hub.owner, kind, secure, True, hub.now)
    assert hub.api_keys.get(row.key) == row


async def test_keys_are_listed_by_owner_in_order(hub: Any) -> None:
    made = []
    for _ in range(3):
        made.append(await hub.api_keys.create(hub.owner, KeyKind.USER))
        hub.now += 1
    await hub.api_keys.create(hub.user("other").public.bytes, KeyKind.USER)
    assert hub.api_keys.list(hub.owner) == made


async def test_a_key_is_invalidated(hub: Any) -> None:
    row = await hub.api_keys.create(hub.owner, KeyKind.USER)
    for _ in range(2):
        assert not (await hub.api_keys.invalidate(row.key)).valid
    found = hub.api_keys.get(row.key)
    assert not found.valid
    assert [key.valid for key in hub.api_keys.list(hub.owner)] == [False]
    with pytest.raises(UnknownApiKeyError, match="mongo: no documents in result"):
        await hub.api_keys.invalidate("bunknown")


KEY, SECRET = "bxcdmqgfvoeys4akwb6lzkdfmra", "bpb4hq6dypb4hq6dypb4hq6dypb4hq6dypb4hq6a"


async def test_a_key_is_imported(hub: Any) -> None:
    row = await hub.api_keys.import_key(KEY, SECRET, hub.owner, KeyKind.USER)
    assert (row.key, row.secret, row.kind, row.secure, row.valid) == (KEY, SECRET, KeyKind.USER, True, True)
    hub.now += 1
    assert await hub.api_keys.import_key(KEY, SECRET, hub.owner, KeyKind.USER) == row
    for other in (
        (KEY, "b" + "a" * 39, hub.owner, KeyKind.USER),
        (KEY, SECRET, hub.owner, KeyKind.ACCOUNT),
        (KEY, SECRET, b"other", KeyKind.USER),
    ):
        with pytest.raises(DuplicateKeyError, match="E11000 duplicate key error"):
            await hub.api_keys.import_key(*other)
    await hub.api_keys.invalidate(KEY)
    with pytest.raises(DuplicateKeyError):
        await hub.api_keys.import_key(KEY, SECRET, hub.owner, KeyKind.USER)


@pytest.mark.parametrize("key", ["", "a b", "é", "a\n", "x" * 129])
async def test_what_is_no_key(hub: Any, key: str) -> None:
    with pytest.raises(InvalidApiKeyError, match="1 to 128 visible ASCII"):
        await hub.api_keys.import_key(key, SECRET, hub.owner, KeyKind.USER)


@pytest.mark.parametrize("secret", ["", "b", "?", "b!", "b aa", "secret", "x" * 129])
async def test_what_is_no_secret(hub: Any, secret: str) -> None:
    with pytest.raises(InvalidApiKeyError, match="multibase"):
        await hub.api_keys.import_key(KEY, secret, hub.owner, KeyKind.USER)
