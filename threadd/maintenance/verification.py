"""The check of a whole repository, and the repair of what can be rebuilt from the rest."""

import struct
from collections.abc import Iterator
from pathlib import Path

from store import threads as thread_rows
from store.copies import open_to_read
from store.engine import Engine, Reader, Transaction
from store.errors import FormatError
from store.repository import open_repository
from threadd.maintenance.database_checks import check_database
from threadd.maintenance.findings import REPORTED, Fault, Finding, Report, Tally
from threadd.maintenance.house_checks import check_file_blocks, check_left_over, check_numbers, check_owners
from threadd.maintenance.log_checks import check_thread, open_thread

_PASSES = 4
_PUTS_PER_COMMIT = 1_000


def check(reader: Reader, blocks: Reader, tally: Tally) -> Iterator[Finding]:
    """Check everything.

    Args:
        reader: A state of the store.
        blocks: A state of the blocks of files, not older than that of the store.
        tally: Counts what is looked at.

    Yields:
        What does not agree.
    """
    try:
        for row in thread_rows.list_threads(reader):
            thread = open_thread(reader, row)
            if isinstance(thread, Finding):
                yield thread
            else:
                yield from check_thread(reader, thread, tally)
                yield from check_database(reader, thread, tally)
        yield from check_owners(reader, tally)
        yield from check_numbers(reader)
        yield from check_left_over(reader)
        yield from check_file_blocks(reader, blocks, tally)
    except (FormatError, ValueError, struct.error) as error:
        yield Finding("row", "store", f"a key or a value cannot be read: {error}; the rest was not looked at")


def count_records(folder: Path) -> int:
    """How many records `verify` will look at.

    Raises:
        StoreError: The repository cannot be read at all.
    """
    with open_to_read(folder) as (reader, _):
        return sum(
            thread_rows.get_head(reader, thread.number, log.number).counter
            for thread in thread_rows.list_threads(reader)
            for log in thread_rows.logs_of(reader, thread.number)
        )


def verify(folder: Path, tally: Tally | None = None) -> Report:
    """Check a repository or a backup; a daemon may have it open and go on writing.

    Args:
        folder: Its folder.
        tally: Counts what is looked at, for whoever watches meanwhile.

    Raises:
        StoreError: It cannot be read at all.
    """
    with open_to_read(folder) as (reader, blocks):
        return report(reader, blocks, tally=tally)


def report(reader: Reader, blocks: Reader, repaired: int = 0, tally: Tally | None = None) -> Report:
    """Check everything and say what was found; see `check`."""
    tally = tally or Tally()
    faults: list[Fault] = []
    count = 0
    for finding in check(reader, blocks, tally):
        count += 1
        if len(faults) < REPORTED:
            faults.append(Fault(finding.kind, finding.where, finding.text, bool(finding.puts)))
    return Report(dict(tally.counts), faults, count, repaired)


async def repair(folder: Path) -> Report:
    """Rebuild what can be rebuilt: instances and indexes, names of blocks, marks of what is to be deleted.

    Args:
        folder: The folder of a repository that nothing has open.

    Returns:
        What is wrong after it.

    Raises:
        RepositoryLockedError: A daemon has it open.
        StoreError: It cannot be read, or the disk does not take the repairs.
    """
    opened = open_repository(folder)
    try:
        repaired = 0
        # What one pass makes right, as an instance, the next one can build upon, as its entries in indexes.
        for _ in range(_PASSES):
            done = await _repair_once(opened.engine, opened.blocks)
            repaired += done
            if not done:
                break
        with opened.engine.snapshot() as reader, opened.blocks.snapshot() as blocks:
            return report(reader, blocks, repaired)
    finally:
        await opened.close()


async def _repair_once(engine: Engine, block_engine: Engine) -> int:
    done = 0
    transaction = Transaction()
    with engine.snapshot() as reader, block_engine.snapshot() as blocks:
        for finding in check(reader, blocks, Tally()):
            if finding.puts:
                done += 1
                transaction.puts.update(finding.puts)
            if len(transaction.puts) >= _PUTS_PER_COMMIT:
                await engine.commit(transaction)
                transaction = Transaction()
        await engine.commit(transaction)
    return done
