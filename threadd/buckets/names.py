"""The names of buckets: what IPNS calls them (hub-protocol.md, section 5, "Bucket key and IPNS")."""

from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from net import multibase, varints

_EXPONENT: Final = 65_537
_BITS: Final = 2048
_RSA_TYPE: Final = b"\x08\x00"
_NAME_PREFIX: Final = bytes.fromhex("01721220")


def new_name() -> tuple[str, bytes]:
    """Make a key, and the name that it gives; takes about a tenth of a second.

    Returns:
        The name, a CID of version 1 and codec libp2p-key over the digest of the public key, and the private key in DER.
    """
    key = rsa.generate_private_key(_EXPONENT, _BITS)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    message = _RSA_TYPE + b"\x12" + varints.encode(len(public)) + public
    name = multibase.encode(_NAME_PREFIX + sha256(message).digest())
    return name, key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
