"""What only a disk can show."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import lmdb
import pytest

from store.engine import Transaction
from store.errors import StoreError, StoreFullError
from store.lmdb_engine import LmdbEngine

WRITER = """
import asyncio, pathlib, sys
from store.engine import Transaction
from store.lmdb_engine import LmdbEngine

async def main():
    engine = LmdbEngine(pathlib.Path(sys.argv[1]), reserved_bytes=1 << 28)
    first = int(sys.argv[2])

    async def write(lane):
        for number in range(1_000_000):
            transaction = Transaction()
            name = f"{first}.{lane}.{number}".encode()
            transaction.put(b"one." + name, name)
            transaction.put(b"two." + name, name)
            await engine.commit(transaction)
            print(name.decode(), flush=True)

    await asyncio.gather(*(write(lane) for lane in range(8)))

asyncio.run(main())
"""


def put(key, value):
    transaction = Transaction()
    transaction.put(key, value)
    return transaction


async def test_what_was_acknowledged_survives_a_kill_whole(tmp_path):
    acknowledged = set()
    for turn in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, str(turn)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )
        for _ in range(50 + 100 * turn):
            acknowledged.add(child.stdout.readline().strip())
        os.kill(child.pid, signal.SIGKILL)
        acknowledged |= {line.strip() for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")}
        child.stdout.close()
        child.wait()
    engine = LmdbEngine(tmp_path, reserved_bytes=1 << 28)
    one = {value.decode() for _, value in engine.scan(b"one.", b"one/")}
    two = {value.decode() for _, value in engine.scan(b"two.", b"two/")}
    await engine.close()
    assert one == two
    assert acknowledged <= one


async def test_a_full_map_refuses_writes_and_goes_on_reading(tmp_path):
    engine = LmdbEngine(tmp_path, reserved_bytes=1 << 20)
    written = 0
    with pytest.raises(StoreFullError):
        while True:
            await engine.commit(put(b"k%d" % (written + 1), b"x" * 10_000))
            written += 1
    assert 0 < written < 200
    assert sum(1 for _ in engine.scan(b"k", b"l")) == written
    assert engine.is_sound
    transaction = Transaction()
    transaction.delete(b"k1")
    await engine.commit(transaction)
    assert sum(1 for _ in engine.scan(b"k", b"l")) == written - 1
    await engine.close()


async def test_a_disk_that_fails_is_not_trusted_again(tmp_path, monkeypatch):
    engine = LmdbEngine(tmp_path, reserved_bytes=1 << 28)
    await engine.commit(put(b"a", b"1"))

    class Failing:
        def __getattr__(self, name):
            return getattr(environment, name)

        def begin(self, *, write=False):
            if write:
                raise lmdb.Error("mdb_txn_commit: Input/output error")
            return environment.begin()

    environment = engine._environment
    engine._environment = Failing()
    with pytest.raises(StoreError, match="restart"):
        await engine.commit(put(b"b", b"2"))
    engine._environment = environment
    assert not engine.is_sound
    with pytest.raises(StoreError, match="restart"):
        await engine.commit(put(b"c", b"3"))
    assert (engine.get(b"a"), engine.get(b"c")) == (b"1", None)
    await engine.close()


@pytest.mark.parametrize("key", [b"", b"x" * 512])
async def test_a_key_that_cannot_be_kept_fails_only_its_own_transaction(tmp_path, key):
    engine = LmdbEngine(tmp_path, reserved_bytes=1 << 28)
    results = await asyncio.gather(
        engine.commit(put(b"a", b"1")),
        engine.commit(put(key, b"2")),
        engine.commit(put(b"c", b"3")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), StoreError, type(None)]
    assert engine.is_sound
    await engine.close()


async def test_many_short_lived_threads_may_read(tmp_path):
    engine = LmdbEngine(tmp_path, reserved_bytes=1 << 28)
    await engine.commit(put(b"a", b"1"))
    seen = []
    for _ in range(10):
        threads = [threading.Thread(target=lambda: seen.append(engine.get(b"a"))) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [b"1"] * 300
    await engine.close()


async def test_readers_that_were_killed_leave_no_place_taken(tmp_path):
    reader = (
        "import pathlib, sys, os, signal\n"
        "from store.lmdb_engine import LmdbEngine\n"
        "engine = LmdbEngine(pathlib.Path(sys.argv[1]), reserved_bytes=1 << 28)\n"
        "held = [engine.snapshot() for _ in range(100)]\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    for _ in range(12):
        subprocess.run([sys.executable, "-c", reader, tmp_path], check=False, env=environment)
    engine = LmdbEngine(tmp_path, reserved_bytes=1 << 28)
    held = [engine.snapshot() for _ in range(900)]
    for snapshot in held:
        snapshot.close()
    await engine.close()


async def test_callers_share_a_sync(tmp_path):
    engine = LmdbEngine(tmp_path, reserved_bytes=1 << 28)
    await asyncio.gather(*(engine.commit(put(b"%d" % number, b"x")) for number in range(500)))
    assert engine.transactions == 500
    assert engine.batches < 100
    await engine.close()


async def test_without_the_address_space_that_is_asked_for_it_takes_less(tmp_path):
    script = (
        "import pathlib, resource, sys\n"
        "from store.lmdb_engine import LmdbEngine\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33))\n"
        "LmdbEngine(pathlib.Path(sys.argv[1]))\n"
        "print('open')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout == "open\n"
