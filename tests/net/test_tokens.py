import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net import tokens
from net.errors import BadAuthorizationError, BadChallengeError, InvalidTokenError, NetError, TokenNotFoundError
from net.keys import PrivateKey, PublicKey
from store.errors import StatusCode

VECTORS = Path(__file__).parent.parent / "vectors"
TOKENS = json.loads((VECTORS / "tokens.json").read_text())
OFFLINE = json.loads((VECTORS / "go_offline.json").read_text())["token"]
HOST = PrivateKey.from_bytes(bytes.fromhex(TOKENS["host_key_file"]))
CASES = [pytest.param(case, id=f"{case['service']}-{case['identity']}") for case in TOKENS["cases"]]


def part(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def signed_token(header, claims, key=HOST):
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(key.sign(text.encode()))}"


@pytest.mark.parametrize("case", CASES)
def test_tokens_of_the_vectors(case):
    identity = PublicKey.from_text(TOKENS["identities"][case["identity"]]["text"])
    claims = json.loads(case["claims_json"])
    assert tokens.issue(HOST, identity, claims["iat"]) == case["token"]
    assert tokens.verify(case["token"], HOST.public) == identity
    assert tokens.unverified_identity(case["token"]) == identity
    header, body, signature = case["token"].split(".")
    assert base64.urlsafe_b64decode(header + "==").decode() == case["header_json"]
    assert base64.urlsafe_b64decode(body + "==").decode() == case["claims_json"]
    assert base64.urlsafe_b64decode(signature + "==").hex() == case["jwt_signature"]


@pytest.mark.parametrize("case", CASES)
def test_challenges_of_the_vectors(case):
    key = PrivateKey.from_bytes(bytes.fromhex(TOKENS["identities"][case["identity"]]["priv_pb"]))
    challenge = bytes.fromhex(case["challenge"])
    signature = bytes.fromhex(case["challenge_signature"])
    assert len(challenge) == tokens.CHALLENGE_BYTES
    assert key.sign(challenge) == signature
    tokens.check_challenge(key.public, challenge, signature)
    with pytest.raises(BadChallengeError):
        tokens.check_challenge(HOST.public, challenge, signature)
    with pytest.raises(BadChallengeError):
        tokens.check_challenge(key.public, challenge[:-1] + b"\x00", signature)
    with pytest.raises(BadChallengeError):
        tokens.check_challenge(key.public, challenge, b"")


def test_the_token_that_go_made_offline():
    issuer = PrivateKey.from_bytes(bytes.fromhex(OFFLINE["issuer_priv_pb"]))
    identity = tokens.verify(OFFLINE["token"], issuer.public)
    claims = json.loads(base64.urlsafe_b64decode(OFFLINE["token"].split(".")[1] + "=="))
    assert claims["sub"] == identity.text
    assert claims["iss"] == issuer.public.text
    assert tokens.issue(issuer, identity, claims["iat"]) == OFFLINE["token"]


def test_a_foreign_token():
    with pytest.raises(InvalidTokenError) as caught:
        tokens.verify(OFFLINE["token"], HOST.public)
    assert caught.value.text == "invalid thread token"
    assert caught.value.code == StatusCode.UNKNOWN


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c.d", "....", "Bearer"])
def test_tokens_without_three_parts(token):
    for read in (lambda: tokens.verify(token, HOST.public), lambda: tokens.unverified_identity(token)):
        with pytest.raises(TokenNotFoundError) as caught:
            read()
        assert caught.value.text == "thread token not found"


HEADER = b'{"alg":"Ed25519","typ":"JWT"}'


@pytest.mark.parametrize(
    "token",
    [
        "..",
        "a.b.c",
        "\ud800.b.c",
        "é.b.c",
        signed_token(b'{"alg":"none"}', b"{}"),
        signed_token(b'{"alg":"EdDSA","typ":"JWT"}', json.dumps({"sub": HOST.public.text}).encode()),
        signed_token(HEADER, b"{}"),
        signed_token(HEADER, b'{"sub":7}'),
        signed_token(HEADER, b'{"sub":"x"}'),
        signed_token(HEADER, b"[]"),
        signed_token(HEADER, b"\xff"),
        signed_token(b"7", b"{}"),
        TOKENS["cases"][0]["token"][:-2],
        TOKENS["cases"][0]["token"] + "x" * 5000,
        part(HEADER) + "." + part(json.dumps({"sub": HOST.public.text}).encode()) + ".",
    ],
    ids=range(15),
)
def test_malformed_tokens(token):
    with pytest.raises(InvalidTokenError) as caught:
        tokens.verify(token, HOST.public)
    assert caught.value.text == "invalid thread token"


@given(st.integers(0), st.characters(exclude_categories=["Cs"]))
def test_a_changed_character(place, character):
    token = TOKENS["cases"][0]["token"]
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    try:
        identity = tokens.verify(changed, HOST.public)
    except NetError:
        return
    # The last character carries bits that no byte needs.
    assert changed == token or place == len(token) - 1
    assert identity.text == TOKENS["identities"]["alice"]["text"]


@given(st.text(max_size=60))
def test_garbage(text):
    with pytest.raises((TokenNotFoundError, InvalidTokenError)):
        tokens.verify(text, HOST.public)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**40))
def test_tokens_round_trip(seed, issued_at):
    identity = PrivateKey(seed).public
    token = tokens.issue(HOST, identity, issued_at)
    assert tokens.verify(token, HOST.public) == identity
    assert tokens.parse_authorization(f"bearer {token}") == token


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (None, ""),
        ("", ""),
        ("bearer x", "x"),
        ("Bearer x", "x"),
        ("BEARER x.y z", "x.y z"),
        ("bearer ", ""),
        ("bearer  x", " x"),
    ],
)
def test_authorization(value, token):
    assert tokens.parse_authorization(value) == token


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "Bad authorization string"),
        ("bearer", "Bad authorization string"),
        ("basic x", "Request unauthenticated with bearer"),
        (" bearer x", "Request unauthenticated with bearer"),
    ],
)
def test_authorization_that_is_refused(value, text):
    with pytest.raises(BadAuthorizationError) as caught:
        tokens.parse_authorization(value)
    assert caught.value.text == text
    assert caught.value.code == StatusCode.UNAUTHENTICATED
