"""Content IDs. Blocks of a log have version 1, codec DAG-CBOR, SHA2-256: 36 bytes in all."""

from hashlib import sha256

from net import multibase, varints
from net.errors import InvalidCIDError

BLOCK_PREFIX = bytes.fromhex("01711220")
BLOCK_CID_BYTES = 36

_V0_PREFIX = bytes.fromhex("1220")
_V0_BYTES = 34
_V0_TEXT = "Qm"


def of_block(block: bytes) -> bytes:
    """Name a DAG-CBOR block.

    Args:
        block: Its bytes, canonical.

    Returns:
        36 bytes.
    """
    return BLOCK_PREFIX + sha256(block).digest()


def check(data: bytes) -> bytes:
    """Check that bytes are one whole CID, of version 0 or 1 and of any codec and hash.

    Args:
        data: Any bytes.

    Returns:
        The same bytes.

    Raises:
        InvalidCIDError: They are not.
    """
    if len(data) == BLOCK_CID_BYTES and data.startswith(BLOCK_PREFIX):
        return data
    if len(data) == _V0_BYTES and data.startswith(_V0_PREFIX):
        return data
    try:
        version, offset = varints.decode(data)
        _, offset = varints.decode(data, offset)
        _, offset = varints.decode(data, offset)
        length, offset = varints.decode(data, offset)
    except varints.VarintError as error:
        raise InvalidCIDError from error
    if version != 1 or len(data) - offset != length:
        raise InvalidCIDError
    return data


def text(data: bytes) -> str:
    """Write a CID: base58 for version 0, base32 for version 1.

    Args:
        data: The bytes of a CID.

    Returns:
        `Qm...` or `b...`.
    """
    if data.startswith(_V0_PREFIX):
        return multibase.encode_base58(data)
    return multibase.encode(data)


def from_text(written: str) -> bytes:
    """Read the text of a CID, in any base.

    Args:
        written: For instance `bafyrei...`.

    Returns:
        Its bytes.

    Raises:
        InvalidCIDError: The text is no CID.
    """
    is_old = written.startswith(_V0_TEXT)
    data = multibase.decode_base58(written) if is_old else multibase.decode(written)
    if data is None or is_old != data.startswith(_V0_PREFIX):
        raise InvalidCIDError
    return check(data)
