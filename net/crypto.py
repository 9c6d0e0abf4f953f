"""Symmetric sealing: AES-256-GCM without associated data, nonce first and tag last (threads-protocol.md)."""

from collections.abc import Callable
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from net.errors import DecryptionError, InvalidThreadKeyError

Randomness: TypeAlias = Callable[[int], bytes]
"""Gives as many unpredictable bytes as it is asked for; `os.urandom` outside of tests."""

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class Cipher:
    """One key, ready for use; keep it as long as the key is in use, since making one costs as much as sealing.

    Args:
        key: 32 bytes.

    Raises:
        InvalidThreadKeyError: The key is of another length.
    """

    __slots__ = ("_aead", "key")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise InvalidThreadKeyError
        self.key = key
        self._aead = AESGCM(key)

    def __repr__(self) -> str:
        """Shows no key."""
        return "Cipher()"

    def seal(self, plain: bytes, nonce: bytes) -> bytes:
        """Encrypt.

        Args:
            plain: What to encrypt.
            nonce: 12 bytes that this key never sees again.

        Returns:
            The nonce, the ciphertext of the same length as `plain`, and the tag of 16 bytes.
        """
        return nonce + self._aead.encrypt(nonce, plain, None)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt.

        Args:
            sealed: What `seal` gave.

        Returns:
            The plain bytes.

        Raises:
            DecryptionError: The bytes are too short, were changed, or were sealed with another key.
        """
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise DecryptionError
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except InvalidTag as error:
            raise DecryptionError from error
