"""What a client shows at a door: the token of its identity, and at the Hub's door an API key with its signature."""

import datetime as dt
import hashlib
import hmac
import os
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from net import multibase
from net.keys import PrivateKey
from threadd.client.errors import BadKeyError

Metadata: TypeAlias = list[tuple[str, str]]

SIGNATURE_SECONDS: Final = 3_600
"""How long a signature counts; a new one is made when half of it has passed."""


class Identity:
    """Who reads and writes: an Ed25519 key.

    Args:
        key: The private key.
    """

    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    @classmethod
    def random(cls) -> "Identity":
        """Make a new one."""
        return cls(PrivateKey.random(os.urandom))

    @classmethod
    def from_text(cls, text: str) -> "Identity":
        """Read what `to_text` wrote.

        Raises:
            InvalidKeyError: The text is no private key.
        """
        return cls(PrivateKey.from_text(text))

    def to_text(self) -> str:
        """Write the private key, to be kept in a safe place: it is the secret itself."""
        return self._key.text

    @property
    def public(self) -> str:
        """The text of the public key, which names the identity."""
        return self._key.public.text

    def sign(self, challenge: bytes) -> bytes:
        """Sign a challenge of the daemon."""
        return self._key.sign(challenge)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key of the Hub's door, as ``threadd keys create`` prints it.

    Args:
        key: The key.
        secret: Its secret, a multibase text; empty for a key whose callers need not sign.
    """

    key: str
    secret: str = field(default="", repr=False)

    def signed(self, until: dt.datetime) -> Metadata:
        """Give what a call carries.

        Args:
            until: How long the signature counts (UTC).

        Raises:
            BadKeyError: The secret is no multibase text.
        """
        metadata = [("x-textile-api-key", self.key)]
        if self.secret:
            secret = multibase.decode(self.secret)
            if not secret:
                raise BadKeyError("the secret of the API key is not multibase text: copy it as threadd keys printed it")
            date = until.strftime("%Y-%m-%dT%H:%M:%SZ")
            signature = hmac.digest(secret, date.encode(), hashlib.sha256)
            metadata += [("x-textile-api-sig", multibase.encode(signature)), ("x-textile-api-sig-msg", date)]
        return metadata


class Credentials:
    """What each call carries.

    Args:
        api_key: For the Hub's door; None for a threads door.
        token: The token of an identity; empty for none.
    """

    def __init__(self, api_key: ApiKey | None = None, token: str = "") -> None:
        self.token = token
        self._api_key = api_key
        self._signed: Metadata = []
        self._renew = dt.datetime.min.replace(tzinfo=dt.UTC)

    def metadata(self) -> Metadata:
        """Give the metadata of a call that is made now."""
        now = dt.datetime.now(dt.UTC)
        if self._api_key is not None and now >= self._renew:
            self._signed = self._api_key.signed(now + dt.timedelta(seconds=SIGNATURE_SECONDS))
            self._renew = now + dt.timedelta(seconds=SIGNATURE_SECONDS / 2)
        token = [("authorization", f"bearer {self.token}")] if self.token else []
        return [*self._signed, *token]
