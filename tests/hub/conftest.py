"""A hub on a store in memory, with time and randomness in the test's hands."""

import hashlib
import hmac
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import pytest

from net import multibase, tokens
from net.keys import PrivateKey
from net.thread_id import ThreadID, Variant
from store.accounts import ApiKeyRow
from store.engine import Engine
from store.memory import MemoryEngine
from store.overlay import Overlay
from threadd.hub.accounts import Accounts
from threadd.hub.api_keys import ApiKeys
from threadd.hub.callers import Callers
from threadd.hub.confirmations import ConfirmationOptions, Confirmations, Purpose
from threadd.hub.gate import Gate
from threadd.hub.invitations import Invitations
from threadd.hub.organisations import Organisations
from threadd.hub.ownership import Ownership
from threadd.hub.sessions import Sessions
from threadd.hub.signing import Signing

NOW = 1_700_000_000 * 10**9  # 2023-11-14T22:13:20Z
AT_ONCE = ConfirmationOptions(frozenset(Purpose))
LATER = "2023-11-14T23:13:20Z"
EARLIER = "2023-11-14T21:13:20Z"


def _numbered_bytes() -> Callable[[int], bytes]:
    numbers: Iterator[int] = itertools.count()
    return lambda count: hashlib.shake_256(str(next(numbers)).encode()).digest(count)


@dataclass
class Hub:
    """The rooms, and what a client would do."""

    engine: Engine
    now: int = NOW
    randomness: Callable[[int], bytes] = field(default_factory=_numbered_bytes)

    def __post_init__(self) -> None:
        self.host = PrivateKey(b"h" * 32)
        self.overlay = Overlay(self.engine)
        self.accounts = Accounts(self.overlay, self.randomness, self.clock)
        self.api_keys = ApiKeys(self.overlay, self.randomness, self.clock)
        self.ownership = Ownership(self.overlay, self.clock, quota=3)
        self.sessions = Sessions(self.overlay, self.randomness, self.clock)
        self.organisations = Organisations(self.overlay, self.accounts, self.randomness, self.clock)
        self.confirming()
        self.callers = Callers(
            self.accounts, self.api_keys, self.sessions, self.organisations, self.host.public, self.clock
        )
        self.gate = Gate(self.callers, self.ownership)

    def confirming(self, options: ConfirmationOptions = AT_ONCE) -> None:
        """Confirm in another way from now on."""
        parts = (self.overlay, self.accounts)
        self.confirmations = Confirmations(options, self.randomness, self.clock)
        self.invitations = Invitations(*parts, self.organisations, self.confirmations, self.randomness, self.clock)
        self.signing = Signing(*parts, self.sessions, self.confirmations, self.invitations)

    def clock(self) -> int:
        return self.now

    @property
    def owner(self) -> bytes:
        return self.accounts.local().public_key

    def user(self, name: str) -> PrivateKey:
        return PrivateKey(hashlib.sha256(name.encode()).digest())

    def token(self, name: str, host: PrivateKey | None = None) -> str:
        return tokens.issue(host or self.host, self.user(name).public, 1_700_000_000)

    def thread(self, name: str = "") -> ThreadID:
        return ThreadID.random(Variant.RAW, lambda count: hashlib.sha256(name.encode()).digest()[:count])

    def headers(
        self, key: ApiKeyRow | None = None, user: str = "", *, date: str = LATER, **more: str
    ) -> dict[str, list[str]]:
        """The metadata of a well-behaved client; `more` are headers with underscores for hyphens."""
        found = {}
        if key is not None:
            found["x-textile-api-key"] = [key.key]
            if key.secure:
                secret = multibase.decode(key.secret) or b""
                found["x-textile-api-sig"] = [multibase.encode(hmac.digest(secret, date.encode(), "sha256"))]
                found["x-textile-api-sig-msg"] = [date]
        if user:
            found["authorization"] = [f"bearer {self.token(user)}"]
        return found | {name.replace("_", "-"): [value] for name, value in more.items()}


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    engine = MemoryEngine()
    hub = Hub(engine)
    await hub.accounts.open()
    yield hub
    await engine.close()
