"""The room that callers share: nobody takes all, nothing is lost, and who waits is served."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threadd.api.budgets import BudgetError, Budgets, Pool, Share
from threadd.api.principals import Principal

A, B, C = Share(("", b"a"), 1), Share(("", b"b"), 2), Share(("key", b"a"), 3)


def test_one_holder_has_half_and_leaves_as_much_to_another():
    pool = Pool(1200)
    assert pool.take(A, 600)
    assert not pool.take(A, 1)
    assert pool.take(B, 300)
    assert not pool.take(B, 1)
    assert pool.take(C, 150)
    assert (pool.held, pool.held_by(A.holder), pool.held_by(C.holder)) == (1050, 600, 150)
    pool.give_back(A, 600)
    assert pool.take(B, 75)
    assert (pool.held, pool.held_by(A.holder)) == (525, 0)


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
    assert not pool.is_waiting(A.holder)


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
    known = Budgets.of(max_message_bytes=100 * 2**20, streams=100_000).known
    assert all(known.bodies.take(share, 100 * 2**20) for share in (A, B))
    assert known.headers.size == 400_000 * 1024
    assert Budgets.of(1, 1).known.bodies.size == 64 * 2**20


def test_all_holders_of_a_connection_have_half_together():
    pool = Pool(1200)
    shares = [Share(("key", bytes([number])), 1) for number in range(30)]
    taken = [share for share in shares if pool.take(share, 40)]
    assert pool.held == 600
    assert pool.take(Share(("key", b"elsewhere"), 2), 300)
    for share in taken:
        pool.give_back(share, 40)
    assert pool.take(Share(("key", b"last"), 1), 400)


def test_what_waits_for_its_connection_is_served_once_that_has_room():
    pool, served = Pool(1000), []
    assert pool.take(Share(("", b"a"), 1), 300)
    pool.wait(Share(("", b"b"), 1), 250, lambda: served.append("same connection"))
    pool.wait(Share(("", b"c"), 2), 250, lambda: served.append("other connection"))
    pool.give_back(Share(("", b"a"), 1), 100)
    assert sorted(served) == ["other connection", "same connection"]


def test_strangers_leave_the_room_of_known_callers_alone():
    budgets = Budgets.of(max_message_bytes=2**20, streams=64)
    strangers = budgets.pools_of(Principal())
    assert strangers is not budgets.pools_of(Principal(is_known=True))
    for pool, whole in ((strangers.headers, budgets.known.headers), (strangers.bodies, budgets.known.bodies)):
        while any(pool.take(Share(("", bytes([number])), number), pool.size // 40) for number in range(40)):
            pass
        assert pool.held <= whole.size // 4
        assert whole.held == 0


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
            if not pool.is_waiting(holder.holder) and pool.take(holder, size):
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
            assert pool.held_by(each.holder) == sum(size for holder, size in taken if holder == each) <= pool.size // 2
    while taken:
        pool.give_back(*taken.pop())
    assert (pool.held, waiting) == (0, [])
