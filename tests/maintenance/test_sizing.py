"""What is told of a thread's size while it is counted anew."""

from types import SimpleNamespace

from store import tables
from store.engine import Transaction
from store.memory import MemoryEngine
from threadd.sizing import Sizes


async def test_the_last_size_is_told_until_the_next_count_is_whole():
    engine = MemoryEngine()
    log = SimpleNamespace(counter=0)
    thread = SimpleNamespace(number=1, logs=[log])
    sizes = Sizes(engine)

    async def write(size):
        transaction = Transaction()
        transaction.put(tables.document(1, 1, str(log.counter)), bytes(size))
        await engine.commit(transaction)
        log.counter += 1

    await write(100)
    assert await sizes.of([thread], seconds=0) == {}
    first = (await sizes.of([thread]))[1]
    await write(1000)
    for _ in range(2):
        assert await sizes.of([thread], seconds=0) == {1: first}
    assert (await sizes.of([thread]))[1] > first + 1000
    await engine.close()
