"""Work in the background: what nobody foresaw is logged with its trace and counted, and goes on where it is to."""

import asyncio
import logging
import threading

import pytest

from store import background


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(background, "_logged", {})


def counted(name):
    return background.failures().get(name, 0)


async def test_a_failure_is_logged_with_its_trace_and_counted(caplog):
    async def fails():
        raise ZeroDivisionError("of the test")

    before = counted("test")
    await background.spawn("test", fails)
    assert counted("test") == before + 1
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "test" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError
    assert "in fails" in caplog.text


async def test_work_that_fails_is_begun_again_after_a_pause():
    pauses, runs = [], []

    async def sleep(seconds):
        pauses.append(seconds)

    async def work():
        runs.append(None)
        if len(runs) < 3:
            raise KeyError

    before = counted("again")
    await background.spawn("again", work, restart=7.0, sleep=sleep)
    assert (len(runs), pauses, counted("again") - before) == (3, [7.0, 7.0], 2)


async def test_work_that_is_cancelled_has_not_failed():
    task = background.spawn("cancelled", asyncio.Event().wait, restart=0.0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted("cancelled") == 0


@pytest.mark.parametrize("restart", [None, 0.0])
async def test_work_that_waited_for_something_that_was_cancelled_has_failed(restart):
    runs = []

    async def work():
        runs.append(None)
        if len(runs) == 1:
            other = asyncio.ensure_future(asyncio.Event().wait())
            asyncio.get_running_loop().call_soon(other.cancel)
            await other

    before = counted("abandoned")
    await background.spawn("abandoned", work, restart=restart)
    assert (len(runs), counted("abandoned") - before) == (1 if restart is None else 2, 1)


async def test_what_fails_over_and_over_does_not_fill_the_log(caplog):
    before = counted("often")
    for _ in range(100):
        background.record_failure("often", ValueError("x"))
    assert counted("often") == before + 100
    assert len(caplog.records) == 1


async def test_tasks_callbacks_and_threads_of_a_process_are_watched(monkeypatch):
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    handler = loop.get_exception_handler()
    background.watch_process(loop)
    try:
        before = counted("other")
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.01)
        assert counted("other") == before + 1
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        assert counted("other") == before + 2
        task = asyncio.ensure_future(fails_soon())
        background.watch("watched", task)
        await asyncio.wait({task})
        assert counted("watched") == 1
    finally:
        loop.set_exception_handler(handler)


async def fails_soon():
    raise RuntimeError("of the test")
