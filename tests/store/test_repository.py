"""The folder of one daemon."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from store import tables
from store.engine import Transaction
from store.errors import FormatError, RepositoryLockedError, StoreError
from store.repository import FORMAT, open_repository

HOLDER = """
import asyncio, pathlib, sys
from store.repository import open_repository

async def main():
    repository = open_repository(pathlib.Path(sys.argv[1]), reserved_bytes=1 << 28)
    print("open", flush=True)
    sys.stdin.read()
    await repository.close()

asyncio.run(main())
"""


def open_(folder):
    return open_repository(folder, reserved_bytes=1 << 28)


@pytest.fixture
def holder(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "repo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert child.stdout.readline() == b"open\n"
    yield child
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()


async def test_only_its_owner_can_read_it(tmp_path):
    repository = open_(tmp_path / "new" / "repo")
    folder = tmp_path / "new" / "repo"
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    await repository.close()


async def test_a_folder_that_others_can_read_is_closed_to_them(tmp_path):
    tmp_path.chmod(0o755)
    repository = open_(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    await repository.close()


async def test_a_second_process_is_refused_with_the_folder_and_the_process(tmp_path, holder):
    with pytest.raises(RepositoryLockedError) as refused:
        open_(tmp_path / "repo")
    assert str(tmp_path / "repo") in refused.value.text
    assert str(holder.pid) in refused.value.text


async def test_a_process_that_was_killed_holds_nothing(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    await open_(tmp_path / "repo").close()


async def test_it_is_opened_again_after_it_was_closed(tmp_path):
    for number in range(3):
        repository = open_(tmp_path)
        transaction = Transaction()
        transaction.put(b"\x01%d" % number, b"x")
        await repository.engine.commit(transaction)
        assert sum(1 for _ in repository.engine.scan(b"\x01", b"\x02")) == number + 1
        await repository.close()


@pytest.mark.parametrize("kept", [str(FORMAT + 1).encode(), b"99", b"nonsense", b""])
async def test_what_a_newer_version_wrote_is_refused_and_left_alone(tmp_path, kept):
    repository = open_(tmp_path)
    transaction = Transaction()
    transaction.put(tables.FORMAT, kept)
    await repository.engine.commit(transaction)
    await repository.close()
    for _ in range(2):
        with pytest.raises(FormatError, match="format"):
            open_(tmp_path)


async def test_data_without_a_format_is_refused(tmp_path):
    repository = open_(tmp_path)
    transaction = Transaction()
    transaction.delete(tables.FORMAT)
    transaction.put(b"\x01x", b"y")
    await repository.engine.commit(transaction)
    await repository.close()
    with pytest.raises(FormatError, match="not a repository"):
        open_(tmp_path)


async def test_a_place_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file"):
        open_(tmp_path / "file")


async def test_files_that_are_no_store_are_refused(tmp_path):
    await open_(tmp_path).close()
    (tmp_path / "store" / "data.mdb").write_bytes(b"not a store" * 1000)
    with pytest.raises(StoreError, match="cannot open the store"):
        open_(tmp_path)
