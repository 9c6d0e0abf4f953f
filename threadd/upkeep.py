"""What keeps a repository safe while a daemon runs: copies of it, databases that come in, tokens that are revoked."""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from net.thread_id import ThreadID
from net.threads import Threads
from store import copies
from store.errors import StatusCode, ThreaddError
from store.repository import Repository
from threadd.db.schema_checks import SchemaChecks
from threadd.db.sweeper import Sweeper
from threadd.hub.revocations import Revocations, parse_identity
from threadd.maintenance.importing import import_database
from threadd.verbs import BackedUp, ImportedDb, Revoked


class ImportReadError(ThreaddError):
    """The file that is to be imported cannot be read."""

    code: ClassVar[StatusCode] = StatusCode.NOT_FOUND


class Upkeep:
    """Carries it out.

    Args:
        repository: The repository.
        threads: The threads; what comes in takes its numbers from there.
        sweeper: Deletes what does not come in whole.
        schemas: Compiles the schemas of collections that come in.
        revocations: The tokens that count no longer.
        imported: Is awaited with the thread of each database that came in.
    """

    def __init__(
        self,
        repository: Repository,
        threads: Threads,
        sweeper: Sweeper,
        schemas: SchemaChecks,
        revocations: Revocations,
        imported: Callable[[ThreadID], Awaitable[None]],
    ) -> None:
        self._repository = repository
        self._threads = threads
        self._sweeper = sweeper
        self._schemas = schemas
        self._revocations = revocations
        self._imported = imported

    async def back_up(self, folder: str) -> BackedUp:
        """Copy the repository; see `Backup`."""
        path = Path(folder)
        size = await copies.back_up(self._repository, path, created=time.time_ns(), version=version("threadd"))
        return BackedUp(folder, size)

    async def import_database(self, file: str) -> ImportedDb:
        """Bring in a database; see `ImportDatabase`."""
        done = await import_database(
            self._repository.engine, self._threads.numbers, self._sweeper, self._schemas, _lines_of(Path(file))
        )
        await self._imported(done.thread)
        return ImportedDb(done.thread.text, done.name, done.records, done.instances)

    async def revoke(self, identity: str) -> Revoked:
        """Revoke tokens and sessions; see `RevokeTokens`."""
        key = parse_identity(identity)
        return Revoked(key.text, await self._revocations.revoke(key))


def _lines_of(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from _lines(file)
    except OSError as error:
        raise ImportReadError(f"cannot read {path}: {error.strerror}") from error


def _lines(file: Iterable[bytes]) -> Iterator[bytes]:
    return (line for line in file if line.strip())
