"""Paths as clients write them (hub-protocol.md, section 5, "Calls")."""

from typing import Final

from net import cid as cids
from net.errors import InvalidCIDError
from threadd.buckets.errors import InvalidBucketCidError, InvalidPathError, SeedPathError
from threadd.buckets.model import SEED

MAX_PATH_BYTES: Final = 4096

_UP: Final = ".."
_HERE: Final = "."


def clean(path: str) -> str:
    """The path of something in a bucket, without what does not count: outer and double slashes and dots.

    Args:
        path: As a client wrote it; empty or `/` for the root.

    Returns:
        Parts joined by single slashes; empty for the root.

    Raises:
        InvalidPathError: It goes up, or is too long.
    """
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise InvalidPathError(f"a path may have {MAX_PATH_BYTES} bytes")
    parts = [part for part in path.split("/") if part not in ("", _HERE)]
    if _UP in parts:
        raise InvalidPathError(f"the path '{path}' goes up ('{_UP}'): name it from the root of the bucket")
    return "/".join(parts)


def clean_writable(path: str) -> str:
    """As `clean`, for a path that is to be changed.

    Raises:
        InvalidPathError: As `clean`.
        SeedPathError: It holds the name of the seed.
    """
    if SEED in path:
        raise SeedPathError
    return clean(path)


def parse_ipfs(path: str) -> tuple[bytes, str]:
    """Read a path of any node.

    Args:
        path: `/ipfs/<cid>[/path]`, or the same without `/ipfs/`.

    Returns:
        The CID, and the cleaned path below.

    Raises:
        InvalidBucketCidError: It names no node.
        InvalidPathError: As `clean`.
    """
    text, _, below = path.removeprefix("/").removeprefix("ipfs/").partition("/")
    try:
        return cids.from_text(text), clean(below)
    except InvalidCIDError as error:
        raise InvalidBucketCidError(f"invalid path '{path}': {error.text}") from error


def parse_cid(text: str, what: str) -> bytes:
    """Read the text of a CID, with or without `/ipfs/` in front.

    Args:
        text: The text.
        what: What the error says of it, such as `invalid remote cid`.

    Raises:
        InvalidBucketCidError: It is none.
    """
    try:
        return cids.from_text(text.removeprefix("/ipfs/"))
    except InvalidCIDError as error:
        raise InvalidBucketCidError(f"{what}: {error.text}") from error
