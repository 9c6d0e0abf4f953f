"""Reading what is enqueued and not yet on disk."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.engine import Transaction
from store.errors import ConflictError, StoreError
from store.faulty import Fault, FaultyEngine
from store.memory import MemoryEngine
from store.overlay import Overlay, Staged

keys = st.sampled_from([b"a", b"ab", b"b", b"c", b"d\xff"])
steps = st.lists(st.dictionaries(keys, st.none() | st.binary(max_size=2), max_size=4), max_size=8)


def transaction_of(puts):
    transaction = Transaction()
    for key, value in puts.items():
        if value is None:
            transaction.delete(key)
        else:
            transaction.put(key, value)
    return transaction


@given(steps, st.integers(0, 8), keys, keys)
async def test_it_reads_as_if_everything_were_on_disk(changes, settled, start, stop):
    engine, model = MemoryEngine(), {}
    overlay = Overlay(engine)
    for number, puts in enumerate(changes):
        future = overlay.submit(transaction_of(puts))
        model = {key: value for key, value in (model | puts).items() if value is not None}
        if number < settled:
            await future
        expected = sorted((key, value) for key, value in model.items() if start <= key < stop)
        assert list(overlay.scan(start, stop)) == expected
        assert list(overlay.scan(start, stop, reverse=True)) == expected[::-1]
        assert all(overlay.get(key) == model.get(key) for key in (b"a", b"ab", b"b", b"c", b"d\xff"))


@given(steps, st.integers(0, 8), keys, keys)
async def test_what_is_being_built_reads_as_if_it_were_on_disk(changes, below, start, stop):
    engine, model, growing = MemoryEngine(), {}, Transaction()
    staged = Staged(engine, growing)
    for number, puts in enumerate(changes):
        if number < below:
            await engine.commit(transaction_of(puts))
        else:
            growing.puts.update(puts)
        model = {key: value for key, value in (model | puts).items() if value is not None}
        expected = sorted((key, value) for key, value in model.items() if start <= key < stop)
        assert list(staged.scan(start, stop)) == expected
        assert list(staged.scan(start, stop, reverse=True)) == expected[::-1]
        assert all(staged.get(key) == model.get(key) for key in (b"a", b"ab", b"b", b"c", b"d\xff"))


async def test_it_is_empty_once_everything_is_on_disk():
    overlay = Overlay(MemoryEngine())
    futures = [overlay.submit(transaction_of({b"n": str(n).encode()})) for n in range(5)]
    assert not overlay.is_idle
    await asyncio.gather(*futures)
    await asyncio.sleep(0)
    assert overlay.is_idle


async def test_what_stood_on_a_failed_commit_fails_and_nothing_of_it_is_seen():
    engine = FaultyEngine(MemoryEngine())
    overlay = Overlay(engine)
    await overlay.submit(transaction_of({b"n": b"0"}))
    engine.faults.append(Fault.REFUSED)
    futures = []
    for number in range(3):
        transaction = transaction_of({b"n": str(number + 1).encode()})
        transaction.require(b"n", overlay.get(b"n"))
        futures.append(overlay.submit(transaction))
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [StoreError, ConflictError, ConflictError]
    assert overlay.get(b"n") == b"0"
    await overlay.submit(transaction_of({b"n": b"9"}))
    assert overlay.get(b"n") == b"9"


async def test_a_caller_that_goes_away_changes_nothing():
    overlay = Overlay(MemoryEngine())
    overlay.submit(transaction_of({b"a": b"1"})).cancel()
    await overlay.submit(transaction_of({b"b": b"2"}))
    assert (overlay.get(b"a"), overlay.get(b"b")) == (b"1", b"2")


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_pending_delete_hides_what_is_on_disk(reverse):
    overlay = Overlay(MemoryEngine())
    await overlay.submit(transaction_of({b"a": b"1", b"b": b"2", b"c": b"3"}))
    overlay.submit(transaction_of({b"b": None}))
    assert {key for key, _ in overlay.scan(b"", b"\xff", reverse=reverse)} == {b"a", b"c"}
