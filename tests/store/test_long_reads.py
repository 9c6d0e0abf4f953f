"""Long reads: in slices that take turns, each of the state as it is then, away from the event loop."""

import asyncio
import threading

import pytest

from store import long_reads
from store.engine import Transaction
from store.lmdb_engine import LmdbEngine
from store.long_reads import LongReads, finish


@pytest.fixture
async def engine(tmp_path, monkeypatch):
    monkeypatch.setattr(long_reads, "SLICE_SECONDS", 0.0)  # each step is a slice
    made = LmdbEngine(tmp_path)
    yield made
    await made.close()


async def test_reads_take_turns(engine):
    reads, taken = LongReads(engine), []

    def steps(name, count):
        for _ in range(count):
            taken.append(name)
            yield
        return name

    both = await asyncio.gather(reads.run(lambda _: steps("long", 20)), reads.run(lambda _: steps("short", 3)))
    assert both == ["long", "short"]
    assert taken[:6] == ["long", "short"] * 3


async def test_each_slice_reads_the_latest_state(engine):
    transaction = Transaction()
    transaction.put(b"key", b"value")
    began, wait = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def steps(state):
        seen = [state.get(b"key")]
        loop.call_soon_threadsafe(began.set)
        wait.wait(10)
        seen.append(state.get(b"key"))
        yield
        return [*seen, state.get(b"key"), list(state.scan(b"k", b"l"))]

    read = asyncio.ensure_future(LongReads(engine).run(steps))
    await began.wait()
    await engine.commit(transaction)
    wait.set()
    assert await read == [None, None, b"value", [(b"key", b"value")]]


async def test_all_is_done_away_from_the_event_loop(engine):
    threads = set()

    def begin(_state):
        threads.add(threading.current_thread())
        return steps()

    def steps():
        yield
        threads.add(threading.current_thread())

    await LongReads(engine).run(begin)
    assert threads
    assert threading.current_thread() not in threads


async def test_a_failure_is_the_callers_and_holds_up_nobody(engine):
    reads = LongReads(engine)

    def fails():
        yield
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await reads.run(lambda _: fails())
    assert await reads.run(lambda _: one_step()) == 1


async def test_a_read_that_is_cancelled_goes_no_further(engine):
    reads, taken = LongReads(engine), []

    def endless():
        while True:
            taken.append(None)
            yield

    read = asyncio.ensure_future(reads.run(lambda _: endless()))
    while not taken:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    read.cancel()
    await asyncio.wait({read})
    assert await reads.run(lambda _: one_step()) == 1
    count = len(taken)
    await engine.read(lambda _: None)
    assert len(taken) == count


def one_step():
    yield
    return 1


def test_all_steps_at_once():
    assert finish(one_step()) == 1
