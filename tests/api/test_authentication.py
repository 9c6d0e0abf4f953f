"""The policy of the threads door by itself."""

import json
from pathlib import Path

import pytest

from net import tokens
from net.errors import BadAuthorizationError, InvalidTokenError, TokenNotFoundError
from net.keys import PrivateKey
from threadd.api.authentication import EXEMPT, ThreadsDoorPolicy
from threadd.api.dispatcher import CallHead

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "tokens.json").read_text())
HOST = PrivateKey(bytes.fromhex(VECTORS["host_seed"]))
STRANGER = PrivateKey(bytes(32))
METHOD = "/threads.pb.API/FindByID"


def admitted(*values, method=METHOD):
    return ThreadsDoorPolicy(HOST.public).admit(CallHead(method, [("authorization", value) for value in values]))


@pytest.mark.parametrize("scheme", ["bearer", "Bearer", "BEARER"])
@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: f"{case['service']}-{case['identity']}")
def test_tokens_of_a_real_daemon_name_their_identity(case, scheme):
    principal = admitted(f"{scheme} {case['token']}")
    assert principal.identity.text == VECTORS["identities"][case["identity"]]["text"]
    assert (principal.has_proved, principal.is_known, principal.caller) == (True, True, None)


@pytest.mark.parametrize("values", [(), ("",), ("bearer ",)])
def test_without_a_token_the_host_acts(values):
    principal = admitted(*values)
    assert (principal.identity, principal.has_proved, principal.is_known) == (HOST.public, False, True)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ("bearer", BadAuthorizationError, "Bad authorization string"),
        ("token", BadAuthorizationError, "Bad authorization string"),
        ("basic abc", BadAuthorizationError, "Request unauthenticated with bearer"),
        ("bearer abc", TokenNotFoundError, "thread token not found"),
        ("bearer a.b.c", InvalidTokenError, "invalid thread token"),
        ("bearer " + tokens.issue(STRANGER, STRANGER.public, 1), InvalidTokenError, "invalid thread token"),
        ("bearer é.é.é", InvalidTokenError, "invalid thread token"),
    ],
)
def test_what_is_refused(value, error, text):
    with pytest.raises(error) as caught:
        admitted(value)
    assert caught.value.text == text
    for method in EXEMPT:
        principal = admitted(value, method=method)
        assert (principal.identity, principal.is_known) == (HOST.public, False)
