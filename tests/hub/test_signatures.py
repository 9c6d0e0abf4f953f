"""The signature beside a secure API key."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import multibase

from threadd.hub import signatures
from threadd.hub.errors import BadSignatureError, SignatureRequiredError

NOW = 1_700_000_000_500_000_000  # 2023-11-14T22:13:20.5Z
KEY = bytes(range(24))
SECRET = "b" + base64.b32encode(KEY).decode().rstrip("=").lower()


def signed(date: str, key: bytes = KEY) -> str:
    return multibase.encode(hmac.digest(key, date.encode(), hashlib.sha256), "base32")


@pytest.mark.parametrize(
    "date",
    [
        "2023-11-14T22:13:21Z",
        "2023-11-14T22:13:20.5Z",
        "2023-11-14T22:13:20.501Z",
        "2023-11-14T23:13:21+01:00",
        "2023-11-14T20:43:21-01:30",
        "2023-11-14T22:13:20.500000001Z",
        "2023-11-14T22:13:21.123456789123456789Z",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_any_date_ahead_is_taken(date: str) -> None:
    signatures.check_signature(SECRET, signed(date), date, NOW)


@pytest.mark.parametrize(
    "date",
    [
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20.499999999Z",
        "2023-11-14T22:13:21+01:00",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_a_date_that_has_passed_is_refused(date: str) -> None:
    with pytest.raises(BadSignatureError, match="Bad API key signature"):
        signatures.check_signature(SECRET, signed(date), date, NOW)


@pytest.mark.parametrize(
    "date",
    [
        "tomorrow",
        "2030-01-01",
        "2030-01-01T00:00:00",
        "2030-01-01 00:00:00Z",
        "2030-01-01t00:00:00z",
        "2030-13-01T00:00:00Z",
        "2030-02-30T00:00:00Z",
        "2030-01-01T24:00:01Z",
        "2030-01-01T00:00:60Z",
        "2030-01-01T00:00:00+99:00",
        "2030-01-01T00:00:00.Z",
        "٢٠٣٠-01-01T00:00:00Z",
        "20300-01-01T00:00:00Z",
        " 2030-01-01T00:00:00Z",
        "2030-01-01T00:00:00Z\n",
        "1893456000",
    ],
)
def test_what_is_no_rfc_3339_date_is_refused(date: str) -> None:
    with pytest.raises(BadSignatureError):
        signatures.check_signature(SECRET, signed(date), date, NOW)


DATE = "2030-01-01T00:00:00Z"


@pytest.mark.parametrize("encoding", ["base32", "base32upper", "base58btc", "base64", "base64url", "base16"])
def test_any_multibase_is_taken(encoding: str) -> None:
    raw = hmac.digest(KEY, DATE.encode(), hashlib.sha256)
    signatures.check_signature(multibase.encode(KEY, encoding), multibase.encode(raw, encoding), DATE, NOW)


@pytest.mark.parametrize(
    ("signature", "date"),
    [("", DATE), (signed(DATE), ""), ("", ""), ("?", DATE), ("b!", DATE), ("b1", DATE), ("é", DATE), ("bé", DATE)],
)
def test_a_signature_that_cannot_be_read_counts_as_none(signature: str, date: str) -> None:
    with pytest.raises(SignatureRequiredError, match="API key signature required"):
        signatures.check_signature(SECRET, signature, date, NOW)


@pytest.mark.parametrize(
    "signature",
    [
        signed(DATE, b"another"),
        signed("2031-01-01T00:00:00Z"),
        "b",
        multibase.encode(hmac.digest(KEY, DATE.encode(), hashlib.sha256)[:16], "base32"),
        multibase.encode(hmac.digest(KEY, DATE.encode(), hashlib.sha256) + b"x", "base32"),
    ],
)
def test_a_wrong_signature_is_refused(signature: str) -> None:
    with pytest.raises(BadSignatureError):
        signatures.check_signature(SECRET, signature, DATE, NOW)


def test_a_secret_that_is_none_opens_nothing() -> None:
    for secret in ("", "b", "?", "b!"):
        with pytest.raises(BadSignatureError):
            signatures.check_signature(secret, signed(DATE, b""), DATE, NOW)


@given(st.text(), st.text(), st.text())
def test_any_texts_get_an_answer(secret: str, signature: str, date: str) -> None:
    with pytest.raises((SignatureRequiredError, BadSignatureError)):
        signatures.check_signature(secret, signature, date, NOW)
