"""Finding blocks by their CIDs without a key for each of them."""

import hashlib
import itertools

import pytest

from store import records, threads
from store.blocks import SEGMENT_RECORDS, BlockKind, BlockPlace
from store.engine import Transaction
from store.memory import MemoryEngine
from store.records import RecordRow
from store.threads import HeadRow


def cid(*parts):
    return bytes.fromhex("01711220") + hashlib.sha256(":".join(str(part) for part in parts).encode()).digest()


def row(thread, log, position):
    names = [cid(thread, log, position, kind) for kind in range(4)]
    return RecordRow(names[0], tuple(names[1:]), *(f"{position} {kind}".encode() for kind in range(4)))


async def filled(logs):
    """An engine with so many records in each log, added one by one."""
    engine = MemoryEngine()
    for (thread, log), count in logs.items():
        old = HeadRow()
        for position in range(1, count + 1):
            transaction = Transaction()
            new = HeadRow(row(thread, log, position).cid, position)
            records.put_record(engine, transaction, thread, log, position, row(thread, log, position))
            threads.put_head(transaction, thread, log, old, new)
            await engine.commit(transaction)
            old = new
    return engine


@pytest.mark.parametrize(
    "count", [1, SEGMENT_RECORDS - 1, SEGMENT_RECORDS, SEGMENT_RECORDS + 1, 3 * SEGMENT_RECORDS + 5]
)
async def test_every_block_is_found_in_whole_segments_and_behind_them(count):
    logs = {(1, 1): count, (1, 2): 3, (2, 3): count}
    engine = await filled(logs)
    for (thread, log), kept in logs.items():
        for position, kind in itertools.product({1, kept // 2 + 1, kept}, BlockKind):
            place = BlockPlace(thread, log, position, kind)
            name = cid(thread, log, position, int(kind))
            assert records.find_block(engine, name) == place
            assert records.find_block(engine, name, thread) == place
            assert records.get_block(engine, name) == f"{position} {int(kind)}".encode()
            assert records.find_block(engine, name, 3 - thread) is None


async def test_a_block_that_only_begins_like_another_is_not_taken_for_it():
    engine = await filled({(1, 1): SEGMENT_RECORDS + 3})
    for position in (5, SEGMENT_RECORDS + 2):
        name = cid(1, 1, position, 2)
        assert records.find_block(engine, name[:-1] + bytes([name[-1] ^ 1])) is None
    assert records.find_block(engine, cid("nowhere")) is None


async def test_so_many_records_cost_one_more_key():
    engine = await filled({(1, 1): SEGMENT_RECORDS - 1})
    before = sum(1 for _ in engine.scan(b"", b"\xff"))
    transaction = Transaction()
    records.put_record(engine, transaction, 1, 1, SEGMENT_RECORDS, row(1, 1, SEGMENT_RECORDS))
    assert len(transaction.puts) == 2
    assert before == SEGMENT_RECORDS  # and the head
