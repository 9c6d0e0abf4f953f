"""The sealed form of private files and directories: AES-256-CTR and HMAC-SHA-512 (hub-protocol.md, section 5).

4 bytes of version (0), 16 of IV, the ciphertext, 64 of MAC over IV and ciphertext. A key is 64 bytes: 32 for AES, 32
for the MAC. No plaintext is let out before the MAC of the whole was found good.
"""

import hmac
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from net.crypto import Randomness
from threadd.buckets.errors import SealError

KEY_BYTES: Final = 64
OVERHEAD_BYTES: Final = 84

_VERSION: Final = bytes(4)
_IV_BYTES: Final = 16
_MAC_BYTES: Final = 64
_HEAD_BYTES: Final = len(_VERSION) + _IV_BYTES
_AES_KEY_BYTES: Final = 32
_CIPHER_BLOCK_BYTES: Final = 16
_DIGEST: Final = "sha512"


class Sealer:
    """Seals bytes as they come.

    Args:
        key: 64 bytes.
        randomness: Gives the 16 bytes of the IV.
    """

    def __init__(self, key: bytes, randomness: Randomness) -> None:
        iv = randomness(_IV_BYTES)
        self._cipher = Cipher(AES(key[:_AES_KEY_BYTES]), CTR(iv)).encryptor()
        self._mac = hmac.new(key[_AES_KEY_BYTES:], iv, _DIGEST)
        self.head = _VERSION + iv
        """What the sealed form begins with."""

    def add(self, plain: bytes) -> bytes:
        """Seal bytes; the result is as long."""
        sealed = self._cipher.update(plain)
        self._mac.update(sealed)
        return sealed

    def finish(self) -> bytes:
        """What the sealed form ends with."""
        return self._mac.digest()


def seal(plain: bytes, key: bytes, randomness: Randomness) -> bytes:
    """Seal a whole message; see `Sealer`."""
    sealer = Sealer(key, randomness)
    return sealer.head + sealer.add(plain) + sealer.finish()


def unseal(sealed: bytes, key: bytes) -> bytes:
    """Open a whole message.

    Raises:
        SealError: It is damaged, or the key is another one.
    """
    check((sealed,), len(sealed), key)
    body = sealed[_HEAD_BYTES:-_MAC_BYTES]
    return Cipher(AES(key[:_AES_KEY_BYTES]), CTR(sealed[len(_VERSION) : _HEAD_BYTES])).decryptor().update(body)


def plain_size(sealed_size: int) -> int:
    """How many bytes were sealed.

    Raises:
        SealError: Nothing sealed is that short.
    """
    if sealed_size < OVERHEAD_BYTES:
        raise SealError
    return sealed_size - OVERHEAD_BYTES


def check(pieces: Iterable[bytes], size: int, key: bytes) -> None:
    """Check the MAC of a whole sealed message.

    Args:
        pieces: The message.
        size: Its length in bytes.
        key: 64 bytes.

    Raises:
        SealError: It is damaged, or the key is another one.
    """
    checker = Checker(size, key)
    for piece in pieces:
        checker.add(piece)
    checker.finish()


class Checker:
    """Checks the MAC of a sealed message as it comes; see `check`.

    Args:
        size: The length of the message in bytes.
        key: 64 bytes.
    """

    def __init__(self, size: int, key: bytes) -> None:
        if plain_size(size) < 0 or len(key) != KEY_BYTES:
            raise SealError
        self._mac = hmac.new(key[_AES_KEY_BYTES:], digestmod=_DIGEST)
        self._end = size - _MAC_BYTES
        self._position = 0
        self._head = b""
        self._tail = b""

    def add(self, piece: bytes) -> None:
        """Take bytes."""
        first = max(0, len(_VERSION) - self._position)
        last = max(first, min(len(piece), self._end - self._position))
        self._head += piece[:first]
        self._mac.update(piece[first:last])
        self._tail += piece[last:]
        self._position += len(piece)

    def finish(self) -> None:
        """See `check`."""
        if self._head != _VERSION or not hmac.compare_digest(self._tail, self._mac.digest()):
            raise SealError


def open_range(
    read: Callable[[int, int], Iterator[bytes]], size: int, key: bytes, start: int, stop: int
) -> Iterator[bytes]:
    """Decrypt a range of a sealed message whose MAC was checked.

    Args:
        read: Gives the pieces of the message between two positions.
        size: The length of the message in bytes.
        key: 64 bytes.
        start: The first byte of plaintext.
        stop: The first byte of plaintext behind.

    Yields:
        The plaintext.
    """
    stop = min(stop, plain_size(size))
    if start >= stop:
        return
    iv = b"".join(read(len(_VERSION), _HEAD_BYTES))
    block, skipped = divmod(start, _CIPHER_BLOCK_BYTES)
    counter = (int.from_bytes(iv, "big") + block) % (1 << (8 * _IV_BYTES))
    cipher = Cipher(AES(key[:_AES_KEY_BYTES]), CTR(counter.to_bytes(_IV_BYTES, "big"))).decryptor()
    for piece in read(_HEAD_BYTES + start - skipped, _HEAD_BYTES + stop):
        plain = cipher.update(piece)[skipped:]
        skipped = max(0, skipped - len(piece))
        if plain:
            yield plain
