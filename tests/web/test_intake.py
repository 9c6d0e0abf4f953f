"""What one call takes in: windows, room in the budget, and when it is given up."""

from contextlib import nullcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from store.errors import ThreaddError
from threadd.api.budgets import BudgetError, Pool, Share
from threadd.web.frames import message_frame
from threadd.web.http2_sending import STREAM_WINDOW
from threadd.web.intake import LARGE_WINDOW, STALL_SECONDS, Intake, StalledError

ME, OTHER = Share(("", b"me"), 1), Share(("", b"other"), 2)
MOST = 1_000_000


def intake_of(pool, *, is_single=True, share=ME, granted=lambda: None):
    return Intake(MOST, pool, share, is_single=is_single, now=0.0, granted=granted)


def test_a_message_takes_room_until_it_is_handed_on():
    pool = Pool(10_000)
    intake = intake_of(pool)
    assert intake.feed(message_frame(b"x" * 1000), 0.0) == [b"x" * 1000]
    assert (pool.held, intake.window(), intake.is_unfinished) == (1005 + 64, 0, True)
    intake.took(b"x" * 1000)
    assert (pool.held, intake.window(), intake.is_unfinished) == (0, 0, False)


def test_a_large_message_gets_room_and_window_for_all_of_it_and_gives_it_back():
    pool = Pool(8 * MOST)
    intake = intake_of(pool)
    frame = message_frame(b"x" * 900_000)
    assert intake.feed(frame[:100], 0.0) == []
    assert pool.held == len(frame)
    assert intake.window() == len(frame) - STREAM_WINDOW
    assert intake.window() == 0
    assert intake.feed(frame[100:], 0.0) == [b"x" * 900_000]
    assert pool.held == len(frame) + 64
    intake.took(b"x" * 900_000)
    assert (pool.held, intake.window()) == (0, 0)


def test_a_large_message_waits_for_room_and_then_goes_on():
    pool, granted = Pool(4 * MOST), []
    assert pool.take(ME, 1_500_000)
    intake = intake_of(pool, granted=lambda: granted.append(1))
    assert intake.feed(message_frame(b"x" * 900_000)[:50_000], 0.0) == []
    assert (intake.is_waiting, intake.window(), pool.held_by(ME.holder)) == (True, 0, 1_550_000)
    other = intake_of(pool, share=OTHER)
    other.feed(message_frame(b"x" * 900_000)[:50_000], 0.0)
    assert other.window() > 0
    pool.give_back(ME, 1_500_000)
    assert (granted, intake.is_waiting) == ([1], False)
    assert intake.window() == 900_005 - STREAM_WINDOW
    for each in (intake, other):
        each.close()
        each.close()
    assert pool.held == 0


def test_who_gives_up_waiting_is_not_served():
    pool = Pool(4 * MOST)
    pool.take(ME, 1_500_000)
    intake = intake_of(pool, granted=pytest.fail)
    intake.feed(message_frame(b"x" * 900_000)[:10], 0.0)
    intake.check(STALL_SECONDS)
    with pytest.raises(BudgetError, match="no room"):
        intake.check(STALL_SECONDS + 1)
    intake.close()
    pool.give_back(ME, 1_500_000)
    assert pool.held == 0


def test_small_parts_count_as_they_come_and_are_refused_once_there_is_no_room():
    pool = Pool(100_000)
    intakes = [intake_of(pool) for _ in range(10)]
    refused = 0
    for intake in intakes:
        try:
            intake.feed(message_frame(b"x" * 60_000)[:10_000], 0.0)
        except BudgetError:
            refused += 1
            intake.close()
    assert (refused, pool.held) == (5, 50_000)
    intakes[1].close()
    intakes[1] = intakes[0]
    assert pool.held == 40_000


def test_messages_that_wait_for_their_call_take_room_and_hold_up_the_client():
    pool = Pool(1_000_000)
    intake = intake_of(pool, is_single=False)
    messages = intake.feed(message_frame(b"x" * 995) * 65, 0.0)
    assert len(messages) == 65
    assert pool.held >= 65_000
    assert intake.window() == 0
    for message in messages:
        intake.took(message)
    assert (pool.held, intake.window()) == (0, 65_000)
    intake.took(b"")
    intake.close()


def test_a_stream_that_sends_much_gets_a_large_window_while_there_is_room():
    pool = Pool(64 * 2**20)
    intakes = [intake_of(pool, is_single=False) for _ in range(20)]
    windows = []
    for intake in intakes:
        message = b"x" * 40_000
        assert intake.feed(message_frame(message), 0.0) == [message]
        intake.took(message)
        windows.append(intake.window())
    large = LARGE_WINDOW - STREAM_WINDOW + 40_005
    assert windows == [large] * 8 + [40_005] * 12
    for intake in intakes:
        intake.close()
    assert pool.held == 0


@pytest.mark.parametrize("is_single", [True, False])
def test_what_makes_no_progress_is_given_up_and_what_does_goes_on(is_single):
    intake = intake_of(Pool(10**6), is_single=is_single)
    now = 0.0
    for byte in message_frame(b"slow"):
        now += STALL_SECONDS
        if intake.is_unfinished:
            intake.check(now)
        for message in intake.feed(bytes([byte]), now):
            with pytest.raises(StalledError) if is_single else nullcontext():
                intake.check(now + 1000)
            intake.took(message)
    intake.check(now + 1000)
    late = intake_of(Pool(10**6), is_single=is_single)
    if not is_single:
        late.check(1000)
        late.feed(b"\0", 0.0)
    with pytest.raises(StalledError, match="for 20 s"):
        late.check(STALL_SECONDS + 0.1)
    late.close()
    late.check(1000)


@example(sizes=[0, 65_526], cut=5_000, size=2_000_000)
@example(sizes=[65_527, 0], cut=70_000, size=2_000_000)
@given(
    sizes=st.lists(st.one_of(st.integers(0, 200_000), st.integers(65_000, 66_000)), min_size=1, max_size=6),
    cut=st.integers(5_000, 70_000),
    size=st.sampled_from([2_000_000, 64 * 2**20]),
)
def test_within_the_windows_all_messages_come_and_all_room_comes_back(sizes, cut, size):
    """A client that sends as far as it may, and a call that takes what is there: nothing gets stuck, whatever the cuts."""
    pool = Pool(size)
    intake = intake_of(pool, is_single=False)
    bodies = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    data = b"".join(map(message_frame, bodies))
    allowed, at, found, waiting = STREAM_WINDOW, 0, [], []
    while len(found) < len(bodies):
        end = min(at + cut, allowed, len(data))
        came = intake.feed(data[at:end], 0.0)
        moved, at = end - at, end
        waiting += came
        if not moved or len(waiting) > 2:
            for message in waiting:
                intake.took(message)
            found += waiting
            waiting = []
        more = intake.window()
        allowed += more
        assert moved or more or len(found) == len(bodies)
        assert pool.held >= at - sum(len(body) + 5 for body in found)
    assert found == bodies
    intake.finish()
    intake.close()
    assert pool.held == 0


def test_what_is_no_message_is_refused():
    intake = intake_of(Pool(10**6))
    with pytest.raises(ThreaddError):
        intake.feed(message_frame(b"x" * (MOST + 1))[:10], 0.0)
    intake.close()
