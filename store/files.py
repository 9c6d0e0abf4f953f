"""Files and folders beside the store that are to be there after a loss of power."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have what a file or a folder holds on disk.

    Raises:
        OSError: It cannot be opened, or the disk failed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, and never for others to read.

    Args:
        path: The file; what is there is replaced.
        data: What it is to hold.

    Raises:
        OSError: It cannot be written.
    """
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)
    sync(path.parent)
