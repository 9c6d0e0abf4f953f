"""The daemon's own key, kept in a file of its repository in the form that the reference keeps it."""

from pathlib import Path

from net.crypto import Randomness
from net.errors import InvalidKeyError
from net.keys import PrivateKey
from store.errors import FormatError, StoreError
from store.files import write_whole

FILE_NAME = "host.key"


def load(repo: Path, randomness: Randomness) -> PrivateKey:
    """Read the key of a repository, or make it at the first start.

    Args:
        repo: The repository's folder; its lock is held.
        randomness: Gives the seed of a new key.

    Returns:
        The key; the daemon's peer ID is made of it.

    Raises:
        FormatError: The file holds no Ed25519 key.
        StoreError: It cannot be read or made.
    """
    path = repo / FILE_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = _make(path, randomness)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    try:
        return PrivateKey.from_bytes(data)
    except InvalidKeyError as error:
        raise FormatError(
            f"{path} holds no Ed25519 key of 68 bytes in libp2p's form; put the right file back, since "
            "peers and tokens know this daemon by its key"
        ) from error


def _make(path: Path, randomness: Randomness) -> bytes:
    """Make a new key, so that its file is there whole or not at all."""
    data = PrivateKey.random(randomness).bytes
    try:
        write_whole(path, data)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    return data
