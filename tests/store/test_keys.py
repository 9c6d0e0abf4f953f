"""Keys: their order, their length, and that each range holds just its own."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import keys, tables
from store.documents import MAX_INSTANCE_ID_BYTES
from store.engine import Transaction
from store.memory import MemoryEngine
from store.numbers import Numbers

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "\0", "\0\1", "\0\xff", "a\0"]
)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts


def rank(value):
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return 1, value
    return (3, value.encode()) if isinstance(value, str) else (2, float(value))


@given(scalars, scalars)
def test_values_sort_as_documented(one, other):
    assert (keys.scalar(one) < keys.scalar(other)) == (rank(one) < rank(other))
    assert (keys.scalar(one) == keys.scalar(other)) == (rank(one) == rank(other))


def test_both_zeros_are_one():
    assert keys.scalar(-0.0) == keys.scalar(0.0) == keys.scalar(0)


@given(st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=5))
def test_a_part_of_any_bytes_is_read_again_and_keeps_its_order(one, other, rest):
    assert keys.unterminated(b"xy" + keys.terminated(one) + rest, 2) == (one, 2 + len(keys.terminated(one)))
    assert (keys.terminated(one) + b"\xff" < keys.terminated(other)) == (one < other)


@given(st.binary(max_size=100))
def test_a_shortened_part_is_short_and_keeps_its_beginning(part):
    short = keys.shortened(part, 64)
    assert len(short) <= 64
    assert short == part if len(part) <= 64 else short[:48] == part[:48]


@given(st.binary(min_size=1, max_size=4).filter(lambda prefix: prefix.strip(b"\xff")), st.binary(max_size=4))
def test_behind_a_prefix_comes_nothing_that_begins_with_it(prefix, rest):
    assert prefix <= prefix + rest < keys.after_prefix(prefix)


LONG_ID = "é" * (MAX_INSTANCE_ID_BYTES // 2)


def test_every_key_fits():
    big = 2**32 - 1
    longest = [
        tables.thread(b"x" * 257),
        tables.log(big, b"x" * 64),
        tables.identity_log(big, b"x" * 64),
        tables.collection(big, "n" * 200),
        tables.document(big, big, LONG_ID),
        tables.document(big, big, "\0" * MAX_INSTANCE_ID_BYTES),
        tables.index_entry(big, big, big, b"v" * 1000, LONG_ID),
        tables.patch(big, big, LONG_ID, (2**63, big, 2**63, big)),
        tables.owned_thread(b"x" * 36, b"x" * 257),
        tables.owned_name(b"x" * 36, "n" * 255),
    ]
    assert max(map(len, longest)) <= keys.MAX_KEY_BYTES


@given(texts, texts)
def test_the_patches_of_an_instance_are_not_those_of_another(one, other):
    start, stop = tables.patches_of(1, 2, one)
    order = (2**63 - 1, 7, 8, 9)
    key = tables.patch(1, 2, other, order)
    assert (start <= key < stop) == (one == other)
    assert tables.patch_order_of(key) == order


@given(st.integers(0, 300), st.integers(0, 300), texts)
def test_documents_of_other_collections_lie_outside(thread, collection, instance_id):
    start, stop = tables.documents(7, 9)
    key = tables.document(thread, collection, instance_id)
    assert (start <= key < stop) == ((thread, collection) == (7, 9))
    assert tables.instance_id_of(key) == instance_id


def test_the_ranges_of_a_thread_hold_all_of_it_and_nothing_of_its_neighbours():
    for number, (start, stop) in itertools.product((6, 7, 8), tables.whole_thread(7)):
        for key in (
            tables.head(number, 0),
            tables.head(number, 5),
            tables.record(number, 1, 1),
            tables.change(number, 1),
        ):
            inside = start <= key < stop
            assert not inside or number == 7
    assert any(start <= tables.head(7, 5) < stop for start, stop in tables.whole_thread(7))
    start, stop = tables.heads(7)
    assert start <= tables.head(7, 1) < stop
    assert not start <= tables.progress(7) < stop
    assert not start <= tables.progress(8) < stop


async def test_a_number_is_never_given_twice():
    engine, given_out = MemoryEngine(), set()
    for _ in range(5):
        numbers = Numbers(engine)
        for turn in range(700):
            transaction = Transaction()
            number = numbers.next(transaction)
            assert number not in given_out
            given_out.add(number)
            if turn % 3:
                await engine.commit(transaction)


@pytest.mark.parametrize("prefix", [b"", b"\xff", b"\xff\xff"])
def test_nothing_is_behind_everything(prefix):
    with pytest.raises(ValueError, match="no key behind"):
        keys.after_prefix(prefix)
