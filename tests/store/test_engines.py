"""What every engine promises: one suite for all of them."""

import asyncio

import pytest

from store.engine import Transaction
from store.errors import ConflictError, StoreError, StoreFullError
from store.faulty import Fault, FaultyEngine
from store.lmdb_engine import LmdbEngine
from store.memory import MemoryEngine


@pytest.fixture(params=["lmdb", "memory", "faulty"])
async def engine(request, tmp_path):
    opened = {
        "lmdb": lambda: LmdbEngine(tmp_path, reserved_bytes=1 << 28),
        "memory": MemoryEngine,
        "faulty": lambda: FaultyEngine(MemoryEngine()),
    }[request.param]()
    yield opened
    await opened.close()


def writing(**values):
    transaction = Transaction()
    for key, value in values.items():
        if value is None:
            transaction.delete(key.encode())
        else:
            transaction.put(key.encode(), value)
    return transaction


def requiring(transaction, **expected):
    for key, value in expected.items():
        transaction.require(key.encode(), value)
    return transaction


def everything(reader):
    return dict(reader.scan(b"", b"\xff"))


async def test_what_is_committed_is_read(engine):
    await engine.commit(writing(a=b"1", b=b""))
    assert (engine.get(b"a"), engine.get(b"b"), engine.get(b"c")) == (b"1", b"", None)
    await engine.commit(writing(a=None, c=b"3", nothing=None))
    assert everything(engine) == {b"b": b"", b"c": b"3"}


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (b"", b"\xff", "a ab abc b ba"),
        (b"a", b"b", "a ab abc"),
        (b"ab", b"ab", ""),
        (b"ab", b"ab\x00", "ab"),
        (b"aa", b"az", "ab abc"),
        (b"b\x00", b"\xff", "ba"),
        (b"c", b"d", ""),
        (b"", b"a", ""),
        (b"z", b"a", ""),
    ],
)
async def test_a_scan_has_its_bounds_in_both_directions(engine, start, stop, expected):
    await engine.commit(writing(b=b"", abc=b"", a=b"", ba=b"", ab=b""))
    keys = [key.decode() for key, _ in engine.scan(start, stop)]
    assert keys == expected.split()
    assert [key.decode() for key, _ in engine.scan(start, stop, reverse=True)] == keys[::-1]


async def test_a_scan_of_nothing_is_empty(engine):
    assert everything(engine) == {}
    assert list(engine.scan(b"", b"\xff", reverse=True)) == []


async def test_a_snapshot_stays_as_it_is(engine):
    await engine.commit(writing(a=b"1", b=b"2"))
    with engine.snapshot() as snapshot:
        rows = snapshot.scan(b"", b"\xff")
        assert next(rows) == (b"a", b"1")
        await engine.commit(writing(a=b"9", b=None, c=b"3"))
        assert list(rows) == [(b"b", b"2")]
        assert (snapshot.get(b"a"), snapshot.get(b"c")) == (b"1", None)
        assert everything(snapshot) == {b"a": b"1", b"b": b"2"}
    assert everything(engine) == {b"a": b"9", b"c": b"3"}
    snapshot.close()


async def test_a_scan_that_is_left_early_holds_nothing_up(engine):
    await engine.commit(writing(**{f"k{n:03}": b"x" for n in range(200)}))
    for _ in range(50):
        assert next(engine.scan(b"", b"\xff"))[0] == b"k000"
    await engine.commit(writing(k000=None))
    assert next(engine.scan(b"", b"\xff"))[0] == b"k001"


async def test_a_function_reads_one_state_away_from_the_loop(engine):
    await engine.commit(writing(a=b"1"))
    assert await engine.read(everything) == {b"a": b"1"}
    with pytest.raises(ZeroDivisionError):
        await engine.read(lambda _: 1 // 0)


async def test_commits_take_effect_in_the_order_of_the_calls(engine):
    order = []
    futures = [engine.commit(writing(last=str(n).encode())) for n in range(100)]
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: order.append(number))
    await asyncio.gather(*futures)
    await asyncio.sleep(0)
    assert order == list(range(100))
    assert engine.get(b"last") == b"99"


async def test_a_requirement_that_fails_fails_only_its_own(engine):
    await engine.commit(writing(a=b"1"))
    results = await asyncio.gather(
        engine.commit(requiring(writing(x=b"1"), a=b"1", b=None)),
        engine.commit(requiring(writing(x=b"2", y=b"2"), a=b"0")),
        engine.commit(requiring(writing(x=b"3", y=b"3"), a=None)),
        engine.commit(requiring(writing(z=b"4"), a=b"1")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), ConflictError, ConflictError, type(None)]
    assert everything(engine) == {b"a": b"1", b"x": b"1", b"z": b"4"}


async def test_a_requirement_sees_the_transactions_before_it(engine):
    futures = [engine.commit(requiring(writing(n=b"1"), n=None))]
    futures += [engine.commit(requiring(writing(n=str(n + 1).encode()), n=str(n).encode())) for n in range(1, 50)]
    futures.append(engine.commit(requiring(writing(n=b"wrong"), n=b"1")))
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [result for result in results[:-1] if result is not None] == []
    assert isinstance(results[-1], ConflictError)
    assert engine.get(b"n") == b"50"


async def test_whoever_goes_away_does_not_undo_a_commit(engine):
    future = engine.commit(writing(a=b"1"))
    future.cancel()
    await engine.commit(writing(b=b"2"))
    assert everything(engine) == {b"a": b"1", b"b": b"2"}


async def test_closing_writes_what_is_queued_and_refuses_what_comes_later(engine):
    futures = [engine.commit(writing(**{f"k{n}": b"x"})) for n in range(20)]
    await engine.close()
    await asyncio.gather(*futures)
    with pytest.raises(StoreError):
        await engine.commit(writing(late=b"x"))
    await engine.close()


@pytest.mark.parametrize("fault", [Fault.FULL, Fault.REFUSED, Fault.UNANSWERED])
async def test_a_fault_is_an_error_and_the_next_commit_works(fault):
    engine = FaultyEngine(MemoryEngine())
    engine.faults.append(fault)
    with pytest.raises(StoreFullError if fault is Fault.FULL else StoreError):
        await engine.commit(writing(a=b"1"))
    assert engine.get(b"a") == (b"1" if fault is Fault.UNANSWERED else None)
    await engine.commit(writing(b=b"2"))
    assert engine.get(b"b") == b"2"
