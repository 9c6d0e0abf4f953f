"""What the engine makes of calls that the system refuses: a descriptor of a real store leads to where they fail.

Each device fails by itself, without privileges: writes to `/dev/full` are ENOSPC; `/dev/null` takes what is written and
has no sync, so that the sync is what fails, after writes that seemed to work; a descriptor that only reads refuses the
writes, as a file system does that was made read-only under a file that is open.
"""

import fcntl
import os
from contextlib import contextmanager

import pytest

from store.engine import Transaction
from store.errors import StatusCode, StoreError, StoreFullError
from store.lmdb_engine import LmdbEngine

FULL, NO_SYNC, READ_ONLY = "/dev/full", "/dev/null", None


def put(name):
    transaction = Transaction()
    transaction.put(name, name * 100)
    return transaction


def descriptors(path):
    """Those of this process that are open on a file."""
    wanted, found = path.stat(), []
    for descriptor in range(1024):
        try:
            seen = os.fstat(descriptor)
        except OSError:
            continue
        if os.path.samestat(wanted, seen):
            found.append(descriptor)
    return found


@contextmanager
def failing(folder, device, *, is_of_meta_page=False):
    """Have the writes of pages, or those of the page that makes a commit count, go to a device."""
    path = folder / "data.mdb"
    writable = [one for one in descriptors(path) if fcntl.fcntl(one, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY]
    (chosen,) = [one for one in writable if bool(fcntl.fcntl(one, fcntl.F_GETFL) & os.O_DSYNC) == is_of_meta_page]
    kept = os.dup(chosen)
    other = os.open(device or path, os.O_RDWR if device else os.O_RDONLY)
    os.dup2(other, chosen)
    os.close(other)
    try:
        yield
    finally:
        os.dup2(kept, chosen)
        os.close(kept)


@pytest.fixture
def engine(tmp_path):
    return LmdbEngine(tmp_path, reserved_bytes=1 << 28)


async def names(folder):
    """What is there after a restart."""
    engine = LmdbEngine(folder, reserved_bytes=1 << 28)
    found = {key for key, _ in engine.scan(b"\x00", b"\xff")}
    await engine.commit(put(b"later"))
    await engine.close()
    return found


async def test_no_space_is_no_failure(engine, tmp_path):
    await engine.commit(put(b"before"))
    with failing(tmp_path, FULL):
        for name in (b"one", b"two"):
            with pytest.raises(StoreFullError):
                await engine.commit(put(name))
        assert engine.get(b"before")
    assert engine.is_sound
    await engine.commit(put(b"after"))
    await engine.close()
    assert await names(tmp_path) == {b"before", b"after"}


@pytest.mark.parametrize("device", [NO_SYNC, READ_ONLY])
async def test_a_sync_or_a_write_that_failed_is_never_taken_for_a_good_one(engine, tmp_path, device):
    await engine.commit(put(b"before"))
    with failing(tmp_path, device):
        with pytest.raises(StoreError, match="the disk failed") as refused:
            await engine.commit(put(b"lost"))
        assert refused.value.code is StatusCode.UNAVAILABLE
        assert not engine.is_sound
        assert engine.get(b"before")
        assert engine.get(b"lost") is None
    # The disk works again, which nobody can know.
    with pytest.raises(StoreError, match="restart the daemon"):
        await engine.commit(put(b"late"))
    assert [key for key, _ in engine.scan(b"\x00", b"\xff")] == [b"before"]
    await engine.close()
    assert await names(tmp_path) == {b"before"}


@pytest.mark.parametrize("device", [FULL, READ_ONLY])
async def test_where_the_page_that_counts_cannot_be_written_all_is_refused_in_words(engine, tmp_path, device):
    """LMDB gives up on its files then, reads included; as on file systems that need space to overwrite."""
    await engine.commit(put(b"before"))
    with failing(tmp_path, device, is_of_meta_page=True):
        with pytest.raises(StoreError, match="the disk failed") as refused:
            await engine.commit(put(b"lost"))
        assert not isinstance(refused.value, StoreFullError)
    assert not engine.is_sound
    for read in (lambda: engine.get(b"before"), engine.snapshot, lambda: list(engine.scan(b"\x00", b"\xff"))):
        with pytest.raises(StoreError, match="restart the daemon") as refused:
            read()
        assert refused.value.code is StatusCode.UNAVAILABLE
    with pytest.raises(StoreError, match="restart the daemon"):
        await engine.commit(put(b"late"))
    await engine.close()
    assert b"before" in await names(tmp_path)
