"""Ed25519 keys of identities, logs and hosts, in libp2p's forms (threads-protocol.md, "Identifiers and keys").

A key travels as a protobuf message of two fields (type 1, data); its text is that in base32. A private key's data is
the seed and the public key. A peer ID is the "identity" multihash of the public message.
"""

import builtins
from dataclasses import dataclass

from nacl import bindings
from nacl.exceptions import BadSignatureError, CryptoError

from net import multibase
from net.crypto import Randomness
from net.errors import DecryptionError, InvalidKeyError, InvalidLogKeyError

PUBLIC_PREFIX = bytes.fromhex("08011220")
PRIVATE_PREFIX = bytes.fromhex("08011240")
_OLD_PRIVATE_PREFIX = bytes.fromhex("08011260")
_PEER_ID_PREFIX = bytes.fromhex("0024")

SEED_BYTES = 32
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
_BOX_NONCE_BYTES = 24
_BOX_KEY_BYTES = 32
_BOX_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key.

    Args:
        raw: The 32 bytes of Ed25519. Use `from_raw` where they come from outside.
    """

    raw: builtins.bytes

    @classmethod
    def from_raw(cls, raw: builtins.bytes) -> "PublicKey":
        """Take the bare key.

        Args:
            raw: 32 bytes.

        Raises:
            InvalidKeyError: Another length.
        """
        if len(raw) != PUBLIC_BYTES:
            raise InvalidKeyError
        return cls(raw)

    @classmethod
    def from_bytes(cls, data: builtins.bytes) -> "PublicKey":
        """Read libp2p's protobuf form.

        Args:
            data: 36 bytes.

        Raises:
            InvalidKeyError: Anything else, keys of other types among it.
        """
        if len(data) != len(PUBLIC_PREFIX) + PUBLIC_BYTES or not data.startswith(PUBLIC_PREFIX):
            raise InvalidKeyError
        return cls(data[len(PUBLIC_PREFIX) :])

    @classmethod
    def from_text(cls, text: str) -> "PublicKey":
        """Read the text form, in any base of multibase.

        Args:
            text: For instance `bbaareif...`.

        Raises:
            InvalidKeyError: The text is no public key.
        """
        data = multibase.decode(text)
        if data is None:
            raise InvalidKeyError
        return cls.from_bytes(data)

    @classmethod
    def from_peer_id(cls, peer_id: builtins.bytes) -> "PublicKey":
        """Read the key that a peer ID is made of.

        Args:
            peer_id: 38 bytes.

        Raises:
            InvalidKeyError: The ID is a digest, or that of a key of another type.
        """
        if not peer_id.startswith(_PEER_ID_PREFIX):
            raise InvalidKeyError
        return cls.from_bytes(peer_id[len(_PEER_ID_PREFIX) :])

    @property
    def bytes(self) -> builtins.bytes:
        """Libp2p's protobuf form, 36 bytes."""
        return PUBLIC_PREFIX + self.raw

    @property
    def text(self) -> str:
        """The text form in base32, which also names an identity in tokens."""
        return multibase.encode(self.bytes)

    @property
    def peer_id(self) -> builtins.bytes:
        """The peer ID, 38 bytes: a log's ID, a host's ID."""
        return _PEER_ID_PREFIX + self.bytes

    @property
    def peer_id_text(self) -> str:
        """The peer ID in base58, `12D3KooW...`."""
        return multibase.encode_base58(self.peer_id)

    def verify(self, message: builtins.bytes, signature: builtins.bytes) -> bool:
        """Tell whether this key made a signature.

        Args:
            message: What was signed.
            signature: 64 bytes; any other length is no signature.
        """
        if len(signature) != SIGNATURE_BYTES:
            return False
        try:
            bindings.crypto_sign_open(signature + message, self.raw)
        except BadSignatureError:
            return False
        return True

    def encrypt(self, message: builtins.bytes, randomness: Randomness) -> builtins.bytes:
        """Seal a message for the owner of this key: a NaCl box from a key that is used once.

        Args:
            message: Any bytes.
            randomness: Gives 24 bytes (nonce), then 32 (the secret that is used once).

        Returns:
            24 bytes of nonce, 32 of the public key that was used once, and the box (16 more than the message).

        Raises:
            InvalidKeyError: This key is no point that could be encrypted to.
        """
        nonce = randomness(_BOX_NONCE_BYTES)
        secret = randomness(_BOX_KEY_BYTES)
        try:
            recipient = bindings.crypto_sign_ed25519_pk_to_curve25519(self.raw)
            box = bindings.crypto_box(message, nonce, recipient, secret)
        except (CryptoError, RuntimeError) as error:
            raise InvalidKeyError from error
        return nonce + bindings.crypto_scalarmult_base(secret) + box


class PrivateKey:
    """A private key with its public one. Never shown by `repr`.

    Args:
        seed: 32 bytes.

    Raises:
        InvalidKeyError: Another length.
    """

    __slots__ = ("_secret", "public")

    def __init__(self, seed: builtins.bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise InvalidKeyError
        raw, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self.public = PublicKey(raw)

    def __repr__(self) -> str:
        return f"PrivateKey(public={self.public.text})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and self._secret == other._secret

    def __hash__(self) -> int:
        return hash(self.public)

    @classmethod
    def random(cls, randomness: Randomness) -> "PrivateKey":
        """Make a new key.

        Args:
            randomness: Gives the seed.
        """
        return cls(randomness(SEED_BYTES))

    @classmethod
    def from_bytes(cls, data: builtins.bytes) -> "PrivateKey":
        """Read libp2p's protobuf form; the old one that repeats the public key is read too.

        Args:
            data: 68 bytes, or 100 in the old form.

        Raises:
            InvalidKeyError: Anything else, keys of other types and halves that do not belong together among it.
        """
        if data.startswith(_OLD_PRIVATE_PREFIX) and data[-2 * PUBLIC_BYTES : -PUBLIC_BYTES] == data[-PUBLIC_BYTES:]:
            data = PRIVATE_PREFIX + data[len(_OLD_PRIVATE_PREFIX) : -PUBLIC_BYTES]
        start = len(PRIVATE_PREFIX)
        if len(data) != start + SEED_BYTES + PUBLIC_BYTES or not data.startswith(PRIVATE_PREFIX):
            raise InvalidKeyError
        key = cls(data[start : start + SEED_BYTES])
        if key.public.raw != data[start + SEED_BYTES :]:
            raise InvalidKeyError
        return key

    @classmethod
    def from_text(cls, text: str) -> "PrivateKey":
        """Read the text form, in any base of multibase.

        Args:
            text: The protobuf form in some base.

        Raises:
            InvalidKeyError: The text is no private key.
        """
        data = multibase.decode(text)
        if data is None:
            raise InvalidKeyError
        return cls.from_bytes(data)

    @property
    def bytes(self) -> builtins.bytes:
        """Libp2p's protobuf form, 68 bytes; also what a host's key file holds."""
        return PRIVATE_PREFIX + self._secret

    @property
    def text(self) -> str:
        """The text form in base32. It is the secret itself."""
        return multibase.encode(self.bytes)

    @property
    def seed(self) -> builtins.bytes:
        """The 32 bytes that the key was made from."""
        return self._secret[:SEED_BYTES]

    def sign(self, message: builtins.bytes) -> builtins.bytes:
        """Sign.

        Args:
            message: Any bytes.

        Returns:
            64 bytes, always the same for one message.
        """
        return bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def decrypt(self, sealed: builtins.bytes) -> builtins.bytes:
        """Open what `PublicKey.encrypt` sealed for this key.

        Args:
            sealed: Nonce, public key that was used once, box.

        Returns:
            The message.

        Raises:
            DecryptionError: The bytes are too short, were changed, or are for another key.
        """
        start = _BOX_NONCE_BYTES + _BOX_KEY_BYTES
        if len(sealed) < start + _BOX_TAG_BYTES:
            raise DecryptionError
        nonce, sender = sealed[:_BOX_NONCE_BYTES], sealed[_BOX_NONCE_BYTES:start]
        secret = bindings.crypto_sign_ed25519_sk_to_curve25519(self._secret)
        try:
            return bindings.crypto_box_open(sealed[start:], nonce, sender, secret)
        except (CryptoError, RuntimeError) as error:
            raise DecryptionError from error


def parse_log_key(data: bytes) -> PrivateKey | PublicKey:
    """Read the log key of a request, which may be private or public.

    Args:
        data: Libp2p's protobuf form of either.

    Raises:
        InvalidLogKeyError: It is neither.
    """
    try:
        if data.startswith(PUBLIC_PREFIX):
            return PublicKey.from_bytes(data)
        return PrivateKey.from_bytes(data)
    except InvalidKeyError as error:
        raise InvalidLogKeyError from error
