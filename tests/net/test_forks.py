"""Logs with two histories: all who have both choose the same one, and both stay readable."""

import asyncio
import os
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from net import records
from net.crypto import Cipher
from net.errors import OutOfOrderError, RecordNotFoundError
from net.forks import MAX_BRANCH
from net.keys import PrivateKey
from net.network import Network
from net.thread_id import ThreadID
from net.thread_key import ThreadKey
from net.threads import Threads
from store import branches, tables
from store import records as record_rows
from store.blocks import SEGMENT_RECORDS
from store.memory import MemoryEngine

THREAD = ThreadID(b"\1\x55" + b"t" * 32)
KEY = ThreadKey(b"s" * 32, b"r" * 32)
LOG = PrivateKey(b"l" * 32)
ID = LOG.public.peer_id


def history(length, previous=None):
    """Records of one history, from behind one record on."""
    made = []
    for _ in range(length):
        record = records.build(
            b"\x01",
            service=Cipher(KEY.service),
            read=Cipher(KEY.read),
            log_key=LOG,
            author=LOG.public,
            previous=previous,
            randomness=os.urandom,
        )
        made.append(record)
        previous = record.cid
    return made


class Host:
    def __init__(self):
        self.engine = MemoryEngine()
        self.threads = Threads(self.engine, PrivateKey(b"h" * 32), os.urandom, lambda: 1)
        self.network = Network(self.engine, self.threads, tables.database, lambda _: None)

    async def open(self):
        await self.network.create_thread(THREAD, identity=LOG.public, key=KEY, log_key=LOG)
        return self

    async def add(self, *given):
        await self.network.add_records(THREAD, ID, [record.blocks for record in given])

    def log(self):
        (log,) = self.network.get_thread(THREAD).logs
        thread = self.threads.number(self.engine, THREAD)
        rows = list(record_rows.records_from(self.engine, thread, log.number))
        assert [position for position, _ in rows] == list(range(1, log.counter + 1))
        assert log.head == (rows[-1][1].cid if rows else None)
        return [row.cid for _, row in rows]

    async def has(self, *given):
        for record in given:
            assert await self.network.get_record(THREAD, record.cid) == record.blocks


def cids(given):
    return [record.cid for record in given]


def chosen(*histories):
    return cids(min(histories, key=lambda history: (-len(history), history[-1].cid)))


async def test_the_longer_history_is_the_log_and_the_other_stays_readable():
    host = await Host().open()
    common = history(3)
    short, long = history(2, common[-1].cid), history(3, common[-1].cid)
    await host.add(*common, *short)
    heard = []
    with host.network.subscribe([THREAD]) as subscription:
        await host.add(long[0])
        assert host.log() == cids([*common, *short])
        await host.has(long[0])
        await host.add(*long[1:])
        host.network.end_subscriptions()
        heard = [record.record.cid async for record in subscription.records()]
    assert host.log() == cids([*common, *long])
    assert heard == cids(long)
    await host.has(*common, *short, *long)
    (more,) = history(1, long[-1].cid)
    await host.add(more)
    assert host.log() == cids([*common, *long, more])
    # And back, once the other one is longer.
    rest = history(4, short[-1].cid)
    await host.add(*rest)
    assert host.log() == cids([*common, *short, *rest])
    await host.has(*common, *short, *rest, *long, more)


async def test_of_two_as_long_the_smaller_head_is_the_log_whatever_came_first():
    common = history(2)
    histories = [[*common, *history(2, common[-1].cid)] for _ in range(3)]
    for order in permutations(histories):
        host = await Host().open()
        for each in order:
            await host.add(*each)
        assert host.log() == chosen(*histories)
        await host.has(*(record for each in histories for record in each))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 400), st.integers(1, 300)), min_size=1, max_size=4))
async def test_any_histories_in_any_order_end_in_the_same_log(forks):
    histories = [history(200)]
    for which, where, length in forks:
        base = histories[which % len(histories)][:where]
        histories.append([*base, *history(length, base[-1].cid if base else None)])
    logs = set()
    for order in (histories, histories[::-1]):
        host = await Host().open()
        for each in order:
            await host.add(*each)
        logs.add(tuple(host.log()))
        await host.has(*(record for each in histories for record in each[-3:]))
        thread, (log,) = host.threads.number(host.engine, THREAD), host.network.get_thread(THREAD).logs
        for position in range(1, log.counter + 1, SEGMENT_RECORDS // 3):
            row = record_rows.get_record(host.engine, thread, log.number, position)
            assert record_rows.find_block(host.engine, row.block_cids[2], thread).position == position
    assert logs == {tuple(chosen(*histories))}


async def test_records_that_are_given_at_once_are_as_given_one_by_one():
    common = history(5)
    one, other = history(3, common[-1].cid), history(4, common[-1].cid)
    host = await Host().open()
    await host.add(*common, *one, *common, *other, *one)
    assert host.log() == cids([*common, *other])


async def test_what_is_written_here_goes_on_from_the_log_that_was_chosen():
    host = await Host().open()
    written = [(await host.network.create_record(THREAD, b"\x01", LOG.public)).record for _ in range(3)]
    other = history(3, written[0].cid)
    await host.add(*other)
    assert host.log() == cids([written[0], *other])
    again = await host.network.create_record(THREAD, b"\x01", LOG.public)
    assert again.position == 5
    assert host.log() == [*cids([written[0], *other]), again.record.cid]
    await host.has(*written)


async def test_a_history_whose_beginning_is_missing_is_refused():
    host = await Host().open()
    common = history(3)
    other = history(5, common[0].cid)
    await host.add(*common)
    with pytest.raises(OutOfOrderError):
        await host.add(*other[1:])
    assert host.log() == cids(common)
    with pytest.raises(RecordNotFoundError):
        await host.network.get_record(THREAD, other[-1].cid)
    await host.add(*other)
    assert host.log() == cids([common[0], *other])


async def test_what_lies_far_back_stays_as_it_is(monkeypatch):
    monkeypatch.setattr("net.forks.MAX_BRANCH", 20)
    assert MAX_BRANCH == 10_000
    host = await Host().open()
    common = history(30)
    await host.add(*common)
    for place in (0, 5, 8):
        with pytest.raises(OutOfOrderError):
            await host.add(*history(1, common[place].cid if place else None))
    near = history(25, common[15].cid)
    await host.add(*near)
    assert host.log() == cids([*common[:16], *near])


async def test_a_thread_that_is_deleted_takes_its_other_histories_along():
    host = await Host().open()
    common = history(3)
    await host.add(*common, *history(1, common[0].cid))
    assert len(list(branches.rows_of(host.engine))) == 1
    await host.network.delete_thread(THREAD)
    while list(branches.rows_of(host.engine)):  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0.01)
