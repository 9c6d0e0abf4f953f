"""Measuring what is kept under a thread's number, a few rows at a time."""

import pytest

from store import tables
from store.engine import Transaction
from store.memory import MemoryEngine
from store.sizes import Measuring


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 100])
async def test_a_thread_is_measured_whole_and_alone_however_often_the_count_stops(rows_at_once):
    engine = MemoryEngine()
    transaction, expected = Transaction(), 0
    for thread in (1, 2, 3):
        for key in (tables.document(thread, 1, "a"), tables.document(thread, 1, "b"), tables.change(thread, 1)):
            transaction.put(key, bytes(10 * thread))
            expected += len(key) + 20 if thread == 2 else 0
    await engine.commit(transaction)
    measuring = Measuring(2)
    steps = 1
    while not measuring.go_on(engine, rows_at_once):
        steps += 1
    assert measuring.size == expected
    assert steps == 1 + 3 // rows_at_once
    await engine.close()
