"""Copies of repositories: one is made while the daemon runs, and put back into an empty folder.

A copy holds what a repository holds: the store and the blocks of files, both without their free space, the host key and
the certificates. It is there whole or not at all, and only its owner can read it.
"""

import asyncio
import shutil
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from store import repository, tables
from store.engine import Reader
from store.errors import FormatError, StatusCode, StoreError, StoreFullError
from store.files import sync
from store.lmdb_engine import LmdbEngine, reading
from store.repository import Repository

_LABEL: Final = "backup.json"
_DATA: Final = "data.mdb"
_STORES: Final = ("store", "blocks")
_EXTRAS: Final = ("host.key", "tls")
_NO_SPACE: Final = 28


class CopyError(StoreError):
    """A copy cannot be made there, or cannot be put back there."""

    code: ClassVar[StatusCode] = StatusCode.FAILED_PRECONDITION


class Label(msgspec.Struct, frozen=True):
    """What a copy says of itself.

    Args:
        format: The format of its repository.
        created: Nanoseconds since 1970.
        version: The version of threadd that made it.
    """

    format: int
    created: int
    version: str


async def back_up(source: Repository, folder: Path, *, created: int, version: str) -> int:
    """Copy an open repository; writes go on meanwhile, and the copy is of the state at the call.

    Args:
        source: The repository.
        folder: Where to; it is made, and what is there must be empty.
        created: Nanoseconds since 1970.
        version: The version of threadd.

    Returns:
        How many bytes the copy has.

    Raises:
        CopyError: The folder holds something or cannot be made.
        StoreError: The disk does not take it.
    """
    engines = (source.engine, source.blocks)
    with ExitStack() as stack:
        # The store first: what a bucket names was among the blocks before it was named.
        snapshots = [stack.enter_context(engine.snapshot()) for engine in engines if isinstance(engine, LmdbEngine)]
        if len(snapshots) != len(engines):
            raise CopyError("only a repository on a disk can be copied")

        def write(fresh: Path) -> None:
            for name, snapshot in zip(_STORES, snapshots, strict=True):
                (fresh / name).mkdir(mode=0o700)
                snapshot.copy(fresh / name)
                (fresh / name / "lock.mdb").unlink(missing_ok=True)
            _copy_extras(source.folder, fresh)
            (fresh / _LABEL).write_bytes(msgspec.json.encode(Label(repository.FORMAT, created, version)))

        return await asyncio.to_thread(_make, folder, write)


def restore(copy: Path, folder: Path) -> Label:
    """Make a repository of a copy.

    Args:
        copy: The copy's folder.
        folder: Where the repository is to be; what is there must be empty.

    Returns:
        What the copy says of itself.

    Raises:
        CopyError: The folder holds something, or there is no copy.
        FormatError: A newer version has made the copy.
        StoreError: The disk does not take it.
    """
    try:
        label = msgspec.json.decode((copy / _LABEL).read_bytes(), type=Label)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CopyError(f"{copy} holds no backup of threadd: {error}") from error
    if label.format > repository.FORMAT:
        raise FormatError(f"{copy} was made by a later version, {label.version}: restore it with that one")
    for name in _STORES:
        if not (copy / name / _DATA).is_file():
            raise CopyError(f"the backup in {copy} is not whole: {name}/{_DATA} is missing")

    def write(fresh: Path) -> None:
        for name in _STORES:
            (fresh / name).mkdir(mode=0o700)
            shutil.copyfile(copy / name / _DATA, fresh / name / _DATA)
        _copy_extras(copy, fresh)

    _make(folder, write)
    return label


@contextmanager
def open_to_read(folder: Path) -> Generator[tuple[Reader, Reader], None, None]:
    """One state of a repository or a copy, whether or not a daemon has it open.

    Args:
        folder: Its folder.

    Yields:
        The store and the blocks of files.

    Raises:
        FormatError: A newer version has written it, or it is no repository.
        StoreError: It cannot be read.
    """
    if not (folder / _STORES[0] / _DATA).is_file():
        raise FormatError(f"there is no repository at {folder}")
    with ExitStack() as stack:
        store, blocks = (stack.enter_context(reading(folder / name)) for name in _STORES)
        repository.check_readable(store.get(tables.FORMAT) or b"(none)", folder)
        yield store, blocks


def _make(folder: Path, write: Callable[[Path], None]) -> int:
    """Fill a folder by way of another one beside it, so that it is there whole or not at all; returns its bytes."""
    fresh = folder.with_name(f"{folder.name}.unfinished")
    try:
        if folder.exists() and any(folder.iterdir()):
            raise CopyError(f"{folder} is not empty: name a folder that is, or a new one")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700, parents=True)
        try:
            write(fresh)
            count = _settle(fresh)
            fresh.rename(folder)
            sync(folder.parent)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    except OSError as error:
        if error.errno == _NO_SPACE:
            raise StoreFullError(f"no space is left for {folder}") from error
        raise CopyError(f"cannot write {folder}: {error.strerror}") from error
    return count


def _settle(fresh: Path) -> int:
    """Make files readable for their owner only, and have the disk keep them; returns how many bytes they have."""
    count = 0
    for path in sorted(fresh.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        count += 0 if path.is_dir() else path.stat().st_size
        sync(path)
    sync(fresh)
    return count


def _copy_extras(source: Path, fresh: Path) -> None:
    for name in _EXTRAS:
        path = source / name
        if path.is_dir():
            shutil.copytree(path, fresh / name)
        elif path.is_file():
            shutil.copyfile(path, fresh / name)
