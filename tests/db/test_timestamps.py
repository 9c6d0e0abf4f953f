"""Times and instance IDs."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from threadd.db.timestamps import InstanceIDs, Timestamps

MS = 1_000_000


@given(st.integers(1, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_instance_ids_are_lower_case_ulids(milliseconds, random):
    made = InstanceIDs(lambda: milliseconds * MS, lambda _: random).next()
    assert ULID.from_str(made).bytes == milliseconds.to_bytes(6, "big") + random
    assert str(ULID.from_str(made)).lower() == made


@given(st.lists(st.integers(1, 50), min_size=2, max_size=30))
def test_instance_ids_rise_within_a_millisecond_and_when_the_clock_goes_back(clock):
    ids = InstanceIDs((time * MS for time in itertools.cycle(clock)).__next__, bytes)
    made = [ids.next() for _ in range(len(clock))]
    assert made == sorted(set(made))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 100)), max_size=30))
def test_a_time_is_later_than_all_that_were_seen(events):
    now = 0
    timestamps = Timestamps(lambda: now)
    seen = []
    for is_own, now in events:
        if is_own:
            given_out = timestamps.next()
            assert all(given_out > time for time in seen)
            seen.append(given_out)
        else:
            timestamps.saw(now)
            seen.append(now)


def test_a_year_ahead_is_too_far():
    timestamps = Timestamps(lambda: 10**18)
    year = 365 * 24 * 3600 * 10**9
    assert not timestamps.is_too_far_ahead(10**18 + year)
    assert timestamps.is_too_far_ahead(10**18 + year + 1)
