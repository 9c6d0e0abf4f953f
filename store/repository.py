"""A repository: the folder of one daemon, with its lock, its format and its engine."""

import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from store import migrations, tables
from store.engine import Engine, Transaction
from store.errors import FormatError, RepositoryLockedError, StoreError
from store.files import sync
from store.lmdb_engine import RESERVED_BYTES, LmdbEngine

FORMAT = 2
"""The format that this version writes. An older one is migrated at opening; a newer one is refused."""

_LOCK = "lock"
_STORE = "store"
_BLOCKS = "blocks"


@dataclass(slots=True)
class Repository:
    """An open repository.

    Args:
        folder: Where it is.
        engine: What is kept in it.
        blocks: The blocks of files, so that a large upload never holds up the rest.
    """

    folder: Path
    engine: Engine
    blocks: Engine
    _lock: int

    async def close(self) -> None:
        """Close the engines, then let another daemon in."""
        try:
            try:
                await self.blocks.close()
            finally:
                await self.engine.close()
        finally:
            os.close(self._lock)


def open_repository(
    folder: Path,
    *,
    reserved_bytes: int = RESERVED_BYTES,
    wrap: Callable[[Engine], Engine] = lambda engine: engine,
    wrap_blocks: Callable[[Engine], Engine] = lambda engine: engine,
) -> Repository:
    """Open a repository, or make one where there is none. Call it on the event loop's thread.

    Args:
        folder: Its folder; it is made readable for its owner only.
        reserved_bytes: Address space for the store, in bytes.
        wrap: Puts something around the engine, for tests.
        wrap_blocks: As `wrap`, for the engine of the blocks.

    Raises:
        RepositoryLockedError: Another process has it open.
        FormatError: A newer version has written it.
        StoreError: It cannot be read or made.
    """
    try:
        store, blocks = folder / _STORE, folder / _BLOCKS
        for made in (folder, store, blocks):
            _make_folder(made)
        lock = _lock(folder)
    except OSError as error:
        raise StoreError(f"cannot use the repository {folder}: {error.strerror}") from error
    try:
        engine = _open_engine(folder, store, reserved_bytes)
        try:
            kept = LmdbEngine(blocks, reserved_bytes=reserved_bytes)
        except BaseException:
            engine.close_now()
            raise
    except BaseException:
        os.close(lock)
        raise
    return Repository(folder, wrap(engine), wrap_blocks(kept), lock)


def _open_engine(folder: Path, store: Path, reserved_bytes: int) -> LmdbEngine:
    engine = LmdbEngine(store, reserved_bytes=reserved_bytes)
    try:
        _check_format(engine, folder)
    except BaseException:
        engine.close_now()
        raise
    return engine


def _make_folder(folder: Path) -> None:
    """Make a folder that is still there after a loss of power."""
    if folder.is_dir():
        folder.chmod(0o700)
        return
    folder.mkdir(mode=0o700, parents=True)
    sync(folder.parent)


def _lock(folder: Path) -> int:
    """Take the lock, which the system lets go when the process ends, however that is.

    The file holds the number of the process, for whoever finds it locked.
    """
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise RepositoryLockedError(
            f"the repository {folder} is in use by process {owner or '(unknown)'}: stop it, or name another --repo",
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _check_format(engine: LmdbEngine, folder: Path) -> None:
    kept = engine.get(tables.FORMAT)
    if kept is None:
        if any(True for _ in engine.scan(b"", b"\xff")):
            raise FormatError(f"{folder} holds data without a format: it is not a repository of threadd")
        transaction = Transaction()
        transaction.put(tables.FORMAT, str(FORMAT).encode())
        engine.write_now(transaction)
    else:
        check_readable(kept, folder)
        migrations.migrate(engine, int(kept), FORMAT)


def check_readable(kept: bytes, folder: Path) -> None:
    """Refuse what a later version wrote.

    Args:
        kept: The value of `tables.FORMAT`.
        folder: The repository's folder.

    Raises:
        FormatError: It is of a newer format than this version reads, or of none.
    """
    if not kept.isdigit() or int(kept) > FORMAT:
        raise FormatError(
            f"the repository {folder} has format {kept.decode(errors='replace')}, and this version reads formats up to "
            f"{FORMAT}: use the version that wrote it, or a later one",
        )
