"""The room that callers share: nobody takes all, nothing is lost, and who waits is served."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threadd.api.budgets import BudgetError, Budgets, Pool

A, B, C = ("", b"a"), ("", b"b"), ("key", b"a")


def test_one_holder_has_half_and_leaves_as_much_to_another():
    pool = Pool(1200)
    assert pool.take(A, 600)
    assert not pool.take(A, 1)
    assert pool.take(B, 300)
    assert not pool.take(B, 1)
    assert pool.take(C, 150)
    assert (pool.held, pool.held_by(A), pool.held_by(C)) == (1050, 600, 150)
    pool.give_back(A, 600)
    assert pool.take(B, 75)
    assert (pool.held, pool.held_by(A)) == (525, 0)


def test_what_waits_is_served_in_the_order_of_its_holder():
    pool, served = Pool(1000), []
    assert pool.take(A, 500)
    waiters = [pool.wait(A, size, lambda size=size: served.append(size)) for size in (400, 10, 20)]
    other = pool.wait(B, 300, lambda: served.append(300))
    pool.give_back(A, 200)
    # The first of A finds no room; those behind it do not pass it, but others do.
    assert served == [300]
    pool.leave(other)
    pool.give_back(B, 300)
    pool.give_back(A, 300)
    assert served == [300, 400, 10, 20]
    for waiter in waiters:
        pool.leave(waiter)
    assert pool.held == 430
    assert not pool.is_waiting(A)


def test_who_leaves_is_not_served_and_holds_up_nobody():
    pool, served = Pool(1000), []
    assert pool.take(A, 500)
    first = pool.wait(A, 400, lambda: served.append("first"))
    pool.wait(A, 10, lambda: served.append("second"))
    pool.leave(first)
    pool.leave(first)
    assert served == []
    pool.give_back(A, 100)
    assert served == ["second"]
    first = pool.wait(A, 400, lambda: served.append("first"))
    pool.wait(A, 10, lambda: served.append("third"))
    pool.leave(first)
    assert served == ["second", "third"]


def test_what_never_fits_and_too_many_waiters_are_refused():
    pool = Pool(1000)
    with pytest.raises(BudgetError):
        pool.wait(A, 501, lambda: None)
    pool.take(A, 500)
    for _ in range(256):
        pool.wait(A, 1, lambda: None)
    with pytest.raises(BudgetError):
        pool.wait(B, 1, lambda: None)


def test_the_pools_have_room_for_the_largest_message_of_several():
    budgets = Budgets.of(max_message_bytes=100 * 2**20, streams=100_000)
    assert all(budgets.bodies.take(holder, 100 * 2**20) for holder in (A, B))
    assert budgets.headers.size == 400_000 * 1024
    assert Budgets.of(1, 1).bodies.size == 64 * 2**20


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(-3, 8), st.integers(1, 400))))
def test_the_sum_is_kept_and_never_passed(steps):
    """Takes, waits and returns in any order: what is held is what was taken, and no holder has more than is left."""
    pool = Pool(1000)
    taken, waiting = [], []
    for holder, act, size in steps:
        if act <= 0 and taken:
            pool.give_back(*taken.pop(act % len(taken)))
        elif act < 3 and waiting:
            waiter = waiting.pop(act % len(waiting))
            pool.leave(waiter)
        elif act < 5:
            if not pool.is_waiting(holder) and pool.take(holder, size):
                taken.append((holder, size))
                continue
            entry = []
            waiter = pool.wait(holder, size, lambda entry=entry: (taken.append(entry[0]), waiting.remove(entry[1])))
            entry += [(holder, size), waiter]
            waiting.append(waiter)
        elif pool.take(holder, size):
            taken.append((holder, size))
        assert pool.held == sum(size for _, size in taken) <= pool.size
        for each in (A, B, C):
            assert pool.held_by(each) == sum(size for holder, size in taken if holder == each) <= pool.size // 2
    while taken:
        pool.give_back(*taken.pop())
    assert (pool.held, waiting) == (0, [])
