"""Thread tokens: what a daemon gives an identity that has proved itself, and takes back with each request.

A JWT whose algorithm is called `Ed25519`, with the claims `iat` (seconds), `iss` (public key text of the daemon) and
`sub` (that of the identity), in this order, signed with the daemon's host key. It does not expire (threads-protocol.md,
"Tokens").
"""

import binascii
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

from net.errors import BadAuthorizationError, BadChallengeError, InvalidKeyError, InvalidTokenError, TokenNotFoundError
from net.keys import PrivateKey, PublicKey

CHALLENGE_BYTES = 32
CHALLENGE_SECONDS = 60.0
"""How long an identity may take to sign its challenge."""

_SCHEME = "bearer"
_ALGORITHM = "Ed25519"
_HEADER = urlsafe_b64encode(b'{"alg":"Ed25519","typ":"JWT"}').rstrip(b"=")
_PARTS = 3
_MAX_CHARACTERS = 4096
_REMEMBERED = 4096


class _Header(msgspec.Struct):
    alg: str


class _Claims(msgspec.Struct):
    iat: int
    iss: str
    sub: str


class _Subject(msgspec.Struct):
    sub: str
    iat: float = 0.0


NONE_REVOKED: Final[Mapping[PublicKey, int]] = MappingProxyType({})


def issue(host: PrivateKey, identity: PublicKey, issued_at: int) -> str:
    """Write a token.

    Args:
        host: The daemon's key.
        identity: Whom it names.
        issued_at: Seconds since 1970.

    Returns:
        The token.
    """
    claims = msgspec.json.encode(_Claims(iat=issued_at, iss=host.public.text, sub=identity.text))
    signed = _HEADER + b"." + urlsafe_b64encode(claims).rstrip(b"=")
    return (signed + b"." + urlsafe_b64encode(host.sign(signed)).rstrip(b"=")).decode()


def verify(token: str, host: PublicKey, revoked: Mapping[PublicKey, int] = NONE_REVOKED) -> PublicKey:
    """Read a token that this daemon issued. What was found good is remembered, since each request brings it again.

    Args:
        token: As a client sent it.
        host: The daemon's key.
        revoked: Up to which second since 1970 the tokens of an identity do not count.

    Returns:
        The identity that it names.

    Raises:
        TokenNotFoundError: It has not the three parts of a JWT.
        InvalidTokenError: It is malformed, of another algorithm, not signed by this daemon, or revoked.
    """
    if len(token) > _MAX_CHARACTERS:
        raise InvalidTokenError
    identity, issued_at = _verify(token, host)
    if issued_at <= revoked.get(identity, -1):
        raise InvalidTokenError
    return identity


@lru_cache(maxsize=_REMEMBERED)
def _verify(token: str, host: PublicKey) -> tuple[PublicKey, float]:
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise TokenNotFoundError
    try:
        header = msgspec.json.decode(_decode(parts[0]), type=_Header)
        claims = msgspec.json.decode(_decode(parts[1]), type=_Subject)
        signature = _decode(parts[2])
        signed = f"{parts[0]}.{parts[1]}".encode()
        if header.alg != _ALGORITHM or not host.verify(signed, signature):
            raise InvalidTokenError
        return PublicKey.from_text(claims.sub), claims.iat
    except (binascii.Error, ValueError, msgspec.MsgspecError, InvalidKeyError) as error:
        raise InvalidTokenError from error


def unverified_identity(token: str) -> PublicKey:
    """Read whom a token names without asking who signed it.

    Args:
        token: As a client sent it.

    Returns:
        The identity.

    Raises:
        TokenNotFoundError: It has not the three parts of a JWT.
        InvalidTokenError: It is malformed.
    """
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise TokenNotFoundError
    try:
        return PublicKey.from_text(msgspec.json.decode(_decode(parts[1]), type=_Subject).sub)
    except (binascii.Error, ValueError, msgspec.MsgspecError, InvalidKeyError) as error:
        raise InvalidTokenError from error


def parse_authorization(value: str | None) -> str:
    """Take the token out of a request's `authorization`.

    Args:
        value: The value of the metadata; None or empty where there is none.

    Returns:
        The token, `""` where the request carries none.

    Raises:
        BadAuthorizationError: The value is not `bearer`, in any case, one space, and a token.
    """
    if not value:
        return ""
    scheme, space, token = value.partition(" ")
    if not space:
        raise BadAuthorizationError
    if scheme.lower() != _SCHEME:
        raise BadAuthorizationError("Request unauthenticated with bearer")
    return token


def check_challenge(identity: PublicKey, challenge: bytes, signature: bytes) -> None:
    """Check that whoever asks for a token has the private key.

    Args:
        identity: The key that was named.
        challenge: The 32 random bytes that were sent.
        signature: What came back.

    Raises:
        BadChallengeError: The signature is not by that key over that challenge.
    """
    if not identity.verify(challenge, signature):
        raise BadChallengeError


def _decode(part: str) -> bytes:
    return b64decode(part.encode("ascii") + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
