"""Who is calling: every row of the Hub's table of checks (reference: hub-protocol, section 2)."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from net.keys import PrivateKey
from store.accounts import ApiKeyRow
from store.errors import StatusCode, ThreaddError
from threadd.hub.api_keys import KeyKind
from threadd.hub.callers import CallerKind
from threadd.hub.methods import BLOCKED, GET_TOKEN, UNCHECKED

ORDINARY = "/threads.pb.API/Find"
TOKENS = sorted(GET_TOKEN)
EARLIER = "2023-11-14T21:13:20Z"

REQUIRED = (StatusCode.UNAUTHENTICATED, "Session or API key required")
NO_KEY = (StatusCode.NOT_FOUND, "API key not found or is invalid")
NO_SIGNATURE = (StatusCode.UNAUTHENTICATED, "API key signature required")
BAD_SIGNATURE = (StatusCode.UNAUTHENTICATED, "Bad API key signature")
NO_TOKEN = (StatusCode.UNAUTHENTICATED, "Token required")
BAD_TOKEN = (StatusCode.PERMISSION_DENIED, "Bad authorization")
FOREIGN_TOKEN = (StatusCode.UNKNOWN, "invalid thread token")
BAD_SESSION = (StatusCode.UNAUTHENTICATED, "Invalid session")
NOT_ACCESSIBLE = (StatusCode.PERMISSION_DENIED, "Method is not accessible")
BAD_STRING = (StatusCode.UNAUTHENTICATED, "Bad authorization string")
NO_BEARER = (StatusCode.UNAUTHENTICATED, "Request unauthenticated with bearer")


@pytest.fixture
async def keys(hub: Any) -> dict[str, ApiKeyRow]:
    found = {}
    for kind in KeyKind:
        for secure in (True, False):
            name = f"{kind.name.lower()} {'secure' if secure else 'insecure'}"
            found[name] = await hub.api_keys.create(hub.owner, kind, secure=secure)
    return found


def refusal(hub: Any, method: str, metadata: Any) -> tuple[StatusCode, str]:
    with pytest.raises(ThreaddError) as raised:
        hub.callers.authenticate(method, metadata)
    return raised.value.code, raised.value.text


@pytest.mark.parametrize("method", sorted(UNCHECKED))
@pytest.mark.parametrize(
    "metadata",
    [{}, {"authorization": ["nonsense"]}, {"x-textile-api-key": ["unknown"]}, {"x-textile-session": ["unknown"]}],
)
def test_methods_without_checks(hub: Any, method: str, metadata: Any) -> None:
    caller = hub.callers.authenticate(method, metadata)
    assert caller.kind is CallerKind.ANYBODY
    assert caller.identity is None


def test_which_methods_are_without_checks() -> None:
    assert (
        frozenset(
            {
                "/api.hubd.pb.APIService/Signup",
                "/api.hubd.pb.APIService/Signin",
                "/api.hubd.pb.APIService/IsUsernameAvailable",
                "/grpc.health.v1.Health/Check",
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            }
        )
        == UNCHECKED
    )
    assert frozenset({"/threads.pb.API/ListDBs", "/threads.net.pb.API/Subscribe"}) == BLOCKED


@pytest.mark.parametrize("method", sorted(BLOCKED))
def test_blocked_methods(hub: Any, keys: dict[str, ApiKeyRow], method: str) -> None:
    for metadata in ({}, {"authorization": ["nonsense"]}, hub.headers(keys["user secure"], "alice")):
        assert refusal(hub, method, metadata) == NOT_ACCESSIBLE


@pytest.mark.parametrize("method", [ORDINARY, *TOKENS, "/api.bucketsd.pb.APIService/PushPath", "/x.Y/Z"])
@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"x-textile-api-key": [""]},
        {"x-textile-session": [""], "x-textile-org": ["acme"]},
        {"x-textile-api-sig": ["bsig"], "x-textile-api-sig-msg": ["2030-01-01T00:00:00Z"]},
        {"x-textile-thread": ["bafk"], "x-textile-thread-name": ["notes"]},
        {"x-textile-user": ["alice"]},
    ],
)
def test_no_credentials(hub: Any, method: str, metadata: Any) -> None:
    assert refusal(hub, method, metadata) == REQUIRED


def test_a_token_alone_is_not_enough(hub: Any) -> None:
    assert refusal(hub, ORDINARY, hub.headers(user="alice")) == REQUIRED


@pytest.mark.parametrize(
    ("value", "expected"),
    [("nonsense", BAD_STRING), ("Basic abc", NO_BEARER), ("token x.y.z", NO_BEARER)],
)
@pytest.mark.parametrize("method", [ORDINARY, *TOKENS])
@pytest.mark.parametrize("name", [None, "account secure", "user secure", "user insecure"])
def test_a_malformed_authorization_comes_first(
    hub: Any, keys: dict[str, ApiKeyRow], method: str, name: str | None, *, value: str, expected: tuple[StatusCode, str]
) -> None:
    metadata = hub.headers(keys[name] if name else None, authorization=value)
    assert refusal(hub, method, metadata) == expected
    assert refusal(hub, method, metadata | {"x-textile-session": ["s"]}) == expected


@pytest.mark.parametrize("method", [ORDINARY, *TOKENS])
def test_a_session_wins_over_a_key(hub: Any, keys: dict[str, ApiKeyRow], method: str) -> None:
    metadata = hub.headers(keys["user secure"], "alice", x_textile_session="bunknown", x_textile_org="acme")
    assert refusal(hub, method, metadata) == BAD_SESSION


@pytest.mark.parametrize("method", [ORDINARY, *TOKENS])
def test_an_unknown_key(hub: Any, method: str) -> None:
    assert refusal(hub, method, hub.headers(user="alice", x_textile_api_key="bunknown")) == NO_KEY


@pytest.mark.parametrize("name", ["account secure", "account insecure", "user secure", "user insecure"])
async def test_an_invalidated_key(hub: Any, keys: dict[str, ApiKeyRow], name: str) -> None:
    await hub.api_keys.invalidate(keys[name].key)
    for method in (ORDINARY, *TOKENS):
        assert refusal(hub, method, hub.headers(keys[name], "alice")) == NO_KEY


@pytest.mark.parametrize("name", ["account secure", "user secure"])
@pytest.mark.parametrize("method", [ORDINARY, *TOKENS])
def test_signatures(hub: Any, keys: dict[str, ApiKeyRow], name: str, method: str) -> None:
    good = hub.headers(keys[name], "alice")
    hub.callers.authenticate(method, good)
    for absent in ("x-textile-api-sig", "x-textile-api-sig-msg"):
        assert refusal(hub, method, {k: v for k, v in good.items() if k != absent}) == NO_SIGNATURE
        assert refusal(hub, method, good | {absent: [""]}) == NO_SIGNATURE
    assert refusal(hub, method, good | {"x-textile-api-sig": ["?"]}) == NO_SIGNATURE
    assert refusal(hub, method, hub.headers(keys[name], "alice", date=EARLIER)) == BAD_SIGNATURE
    assert refusal(hub, method, good | {"x-textile-api-sig-msg": ["2024-01-01T00:00:00Z"]}) == BAD_SIGNATURE
    other = hub.headers(keys["account secure" if name == "user secure" else "user secure"], "alice")
    assert refusal(hub, method, good | {"x-textile-api-sig": other["x-textile-api-sig"]}) == BAD_SIGNATURE
    # A bad signature is told before a token that is missing or bad.
    del good["authorization"]
    assert refusal(hub, method, good | {"x-textile-api-sig": other["x-textile-api-sig"]}) == BAD_SIGNATURE


def test_a_signature_expires(hub: Any, keys: dict[str, ApiKeyRow]) -> None:
    metadata = hub.headers(keys["user secure"], "alice")
    hub.now += 3600 * 10**9
    hub.callers.authenticate(ORDINARY, metadata)
    hub.now += 1
    assert refusal(hub, ORDINARY, metadata) == BAD_SIGNATURE


@pytest.mark.parametrize("name", ["account insecure", "user insecure"])
def test_an_insecure_key_ignores_signatures(hub: Any, keys: dict[str, ApiKeyRow], name: str) -> None:
    for signature in ({}, {"x-textile-api-sig": ["?"]}, {"x-textile-api-sig": ["baa"], "x-textile-api-sig-msg": ["x"]}):
        hub.callers.authenticate(ORDINARY, hub.headers(keys[name], "alice") | signature)


@pytest.mark.parametrize("name", ["account secure", "account insecure"])
@pytest.mark.parametrize("method", [ORDINARY, *TOKENS])
@pytest.mark.parametrize("authorization", [None, "bearer x", "bearer", "alice", "bearer a.b.c", "foreign"])
def test_an_account_key_acts_as_its_account(
    hub: Any, keys: dict[str, ApiKeyRow], name: str, method: str, authorization: str | None
) -> None:
    metadata = hub.headers(keys[name])
    if authorization == "alice":
        metadata = hub.headers(keys[name], "alice")
    elif authorization == "foreign":
        metadata["authorization"] = ["bearer " + hub.token("alice", PrivateKey(b"x" * 32))]
    elif authorization == "bearer":
        metadata["authorization"] = ["bearer "]
    elif authorization:
        metadata["authorization"] = [authorization]
    caller = hub.callers.authenticate(method, metadata)
    assert caller.kind is CallerKind.ACCOUNT
    assert caller.identity is not None
    assert caller.identity.bytes == hub.owner
    assert caller.api_key == keys[name]


async def test_an_account_key_of_an_account_that_is_gone(hub: Any) -> None:
    key = await hub.api_keys.create(hub.user("nobody").public.bytes, KeyKind.ACCOUNT)
    assert refusal(hub, ORDINARY, hub.headers(key)) == (StatusCode.NOT_FOUND, "Account not found")


@pytest.mark.parametrize("name", ["user secure", "user insecure"])
def test_a_user_key_acts_as_the_user(hub: Any, keys: dict[str, ApiKeyRow], name: str) -> None:
    for word in ("bearer", "Bearer", "BEARER"):
        metadata = hub.headers(keys[name]) | {"authorization": [f"{word} {hub.token('alice')}"]}
        caller = hub.callers.authenticate(ORDINARY, metadata)
        assert caller.kind is CallerKind.USER
        assert caller.identity == hub.user("alice").public
        assert caller.api_key == keys[name]


@pytest.mark.parametrize("name", ["user secure", "user insecure"])
@pytest.mark.parametrize("authorization", [None, "", "bearer "])
def test_a_user_key_needs_a_token(hub: Any, keys: dict[str, ApiKeyRow], name: str, authorization: str | None) -> None:
    metadata = hub.headers(keys[name])
    if authorization is not None:
        metadata["authorization"] = [authorization]
    assert refusal(hub, ORDINARY, metadata) == NO_TOKEN
    for method in TOKENS:
        caller = hub.callers.authenticate(method, metadata)
        assert caller.kind is CallerKind.ANYBODY
        assert caller.identity is None


@pytest.mark.parametrize("token", ["x", "a.b", "a.b.c", "a.b.c.d", "..", "é.é.é", "eyJ9.eyJ9.x"])
@pytest.mark.parametrize("method", [ORDINARY, *TOKENS])
def test_a_token_that_cannot_be_read(hub: Any, keys: dict[str, ApiKeyRow], method: str, token: str) -> None:
    metadata = hub.headers(keys["user secure"]) | {"authorization": [f"bearer {token}"]}
    assert refusal(hub, method, metadata) == BAD_TOKEN


def test_a_token_that_this_daemon_did_not_issue(hub: Any, keys: dict[str, ApiKeyRow]) -> None:
    foreign = hub.token("alice", PrivateKey(b"x" * 32))
    head, body, _ = hub.token("alice").split(".")
    _, _, signature = hub.token("bob").split(".")
    for token in (foreign, f"{head}.{body}.{signature}", f"{head}.{body}.", hub.token("alice")[:-4]):
        metadata = hub.headers(keys["user secure"]) | {"authorization": [f"bearer {token}"]}
        assert refusal(hub, ORDINARY, metadata) == FOREIGN_TOKEN
        for method in TOKENS:
            assert hub.callers.authenticate(method, metadata).identity is None


def test_the_headers_about_threads(hub: Any, keys: dict[str, ApiKeyRow]) -> None:
    thread = hub.thread("t")
    good = hub.headers(keys["user secure"], "alice", x_textile_thread=thread.text, x_textile_thread_name="Notes")
    caller = hub.callers.authenticate(ORDINARY, good)
    assert (caller.thread, caller.thread_name) == (thread, "Notes")
    for text in ("", "b", "nonsense", thread.text[:-30] + "!", "é"):
        caller = hub.callers.authenticate(ORDINARY, good | {"x-textile-thread": [text]})
        assert caller.thread is None


def test_the_first_of_several_values_counts(hub: Any, keys: dict[str, ApiKeyRow]) -> None:
    metadata = hub.headers(keys["user secure"], "alice")
    assert hub.callers.authenticate(ORDINARY, {name: [*values, "x"] for name, values in metadata.items()})
    assert refusal(hub, ORDINARY, {name: ["x y", *values] for name, values in metadata.items()}) == NO_BEARER


@given(
    metadata=st.dictionaries(
        st.sampled_from(
            [
                "authorization",
                "x-textile-session",
                "x-textile-org",
                "x-textile-api-key",
                "x-textile-api-sig",
                "x-textile-api-sig-msg",
                "x-textile-thread",
                "x-textile-thread-name",
            ]
        ),
        st.lists(st.text() | st.binary(), max_size=2),
    ),
    method=st.sampled_from([ORDINARY, *TOKENS, "/threads.pb.API/NewDB"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nobody_gets_in_with_random_headers(hub: Any, metadata: Any, method: str) -> None:
    with pytest.raises(ThreaddError):
        hub.callers.authenticate(method, metadata)
