import asyncio
from types import SimpleNamespace

import pytest

from net import feed
from net.errors import SubscriberTooSlowError
from net.feed import RecordFeed
from net.records import RecordBlocks
from net.thread_id import ThreadID
from store.errors import StatusCode

ONE, TWO, THREE = (ThreadID(b"\x01\x55" + letter) for letter in (b"1", b"2", b"3"))


def made(thread, size=4):
    blocks = RecordBlocks(bytes(size), b"", b"", b"")
    return SimpleNamespace(thread=thread, record=SimpleNamespace(blocks=blocks))


async def all_of(subscription):
    return [record async for record in subscription.records()]


async def test_everyone_hears_what_they_asked_for_in_order():
    records = RecordFeed()
    told = [made(thread) for thread in (ONE, TWO, ONE, THREE, TWO)]
    with records.subscribe([]) as everything, records.subscribe([ONE, THREE]) as some, records.subscribe([TWO]) as two:
        for record in told:
            records.tell(record)
        records.close()
        assert await all_of(everything) == told
        assert await all_of(some) == [told[0], told[2], told[3]]
        assert await all_of(two) == [told[1], told[4]]
    assert not records._all


async def test_a_subscriber_hears_from_the_first_moment_on_and_no_longer():
    records = RecordFeed()
    records.tell(made(ONE))
    with records.subscribe([ONE]) as subscription:
        first = made(ONE)
        records.tell(first)
        stream = subscription.records()
        assert await anext(stream) is first
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        second = made(ONE)
        records.tell(second)
        assert await waiting is second
    records.tell(made(ONE))
    assert not subscription._queue


@pytest.mark.parametrize(("name", "limit", "size"), [("MAX_QUEUED", 3, 1), ("MAX_QUEUED_BYTES", 30, 10)])
async def test_who_is_too_slow_is_ended_without_a_gap(monkeypatch, name, limit, size):
    monkeypatch.setattr(feed, name, limit)
    records = RecordFeed()
    with records.subscribe([]) as slow, records.subscribe([TWO]) as other:
        told = [made(ONE, size) for _ in range(5)]
        for record in told:
            records.tell(record)
        stream = slow.records()
        for record in told[:3]:
            assert await anext(stream) is record
        with pytest.raises(SubscriberTooSlowError) as caught:
            await anext(stream)
        assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
        records.close()
        assert await all_of(other) == []


async def test_what_is_taken_makes_room(monkeypatch):
    monkeypatch.setattr(feed, "MAX_QUEUED_BYTES", 20)
    records = RecordFeed()
    with records.subscribe([]) as subscription:
        stream = subscription.records()
        for _ in range(10):
            large = made(ONE, 1_000)
            records.tell(large)
            assert await anext(stream) is large


async def test_a_closed_feed_ends_whoever_comes_later():
    records = RecordFeed()
    records.close()
    with records.subscribe([]) as subscription:
        records.tell(made(ONE))
        assert await all_of(subscription) == []
