"""Clients' JavaScript in its own process."""

import asyncio
import shutil
import sys
import time

import msgspec
import pytest

from threadd.db.errors import InvalidScriptError, ScriptEngineError, ScriptError, WriteDeniedError
from threadd.db.script_worker import Request
from threadd.db.scripts import ScriptRunner
from threadd.db.workers import Worker

EVENT = b'{"patch":{"type":"save"}}'


@pytest.fixture
async def runner():
    runner = ScriptRunner()
    yield runner
    await runner.close()


async def test_true_accepts(runner):
    await runner.validate("return true", "writer", EVENT, b"{}")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return false", "app denied net record body"),
        ("return null", "app denied net record body"),
        ("", "app denied net record body"),
        ("return 'not yours'", "app denied net record body: not yours"),
        ("return 1", "app denied net record body: 1"),
        ("return {a: 1}", 'app denied net record body: {"a":1}'),
    ],
)
async def test_anything_else_refuses_and_a_string_is_the_reason(runner, body, text):
    with pytest.raises(WriteDeniedError) as refused:
        await runner.validate(body, "writer", EVENT, None)
    assert refused.value.text == text


async def test_a_validator_sees_writer_event_and_instance(runner):
    body = "return writer === 'bob' && event.patch.type === 'save' && instance.n === 1"
    await runner.validate(body, "bob", EVENT, b'{"n":1}')


async def test_an_instance_that_is_not_there_is_undefined_as_for_the_reference(runner):
    body = "return [typeof instance, instance === undefined, instance === null, arguments.length].join(' ')"
    with pytest.raises(WriteDeniedError, match=": undefined true false 3"):
        await runner.validate(body, "bob", EVENT, None)


async def test_a_filter_changes_or_hides_what_a_reader_sees(runner):
    body = "if (reader !== 'bob') return null; delete instance.secret; return instance"
    assert await runner.filter(body, "bob", b'{"_id":"a","secret":1}') == b'{"_id":"a"}'
    assert await runner.filter(body, "eve", b'{"_id":"a","secret":1}') is None


async def test_numbers_that_a_filter_leaves_alone_stay_as_they_were_written(runner):
    text = b'{"a":1e3,"b":9007199254740993,"c":[1.0,{"d":-0}],"e":123456789012345678901234567890}'
    assert await runner.filter("instance.x = 2; return instance", "r", text) == text[:-1] + b',"x":2}'


async def test_a_reader_without_a_name_is_undefined_as_for_the_reference(runner):
    body = "instance.kind = typeof reader + arguments.length; return instance"
    assert await runner.filter(body, None, b"{}") == b'{"kind":"undefined2"}'
    assert await runner.filter(body, "r", b"{}") == b'{"kind":"string2"}'


@pytest.mark.parametrize("value", ["return 5", "return 'x'", "return [1]", "return true", "return undefined"])
async def test_what_is_no_object_is_shown_to_nobody(runner, value):
    assert await runner.filter(value, "r", b"{}") is None


async def test_what_does_not_compile_is_refused(runner):
    with pytest.raises(InvalidScriptError, match="compiling js func: SyntaxError"):
        await runner.check("if (", validator=True)
    await runner.check("return true", validator=False)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("throw new Error('no')", "running write validator func: Error: no"),
        ("return nothing.at.all", "ReferenceError"),
        ("function f() { return f() + 1 }; return f()", "call stack"),
        ("const a = []; while (true) a.push('x'.repeat(100000))", "memory"),
    ],
)
async def test_a_script_that_fails_refuses_and_the_next_one_runs(runner, body, text):
    with pytest.raises(ScriptError, match=text):
        await runner.validate(body, "w", EVENT, None)
    await runner.validate("return true", "w", EVENT, None)


@pytest.mark.parametrize(
    "body",
    [
        "throw new Error('x'.repeat(5e6))",
        "return 'x'.repeat(5e6)",
        "return '\\u0000'.repeat(1e5)",
        "return 'x'.repeat(5000)",
        "return {x: 'x'.repeat(5e6)}",
    ],
)
async def test_what_a_validator_says_is_passed_on_in_short(runner, body):
    with pytest.raises((ScriptError, WriteDeniedError)) as refused:
        await runner.validate(body, "w", EVENT, None)
    assert 1_000 < len(refused.value.text) < 1_100


async def test_nothing_stays_from_call_to_call(runner):
    body = "if (globalThis.seen) return 'seen'; globalThis.seen = true; Array.prototype.map = null; return true"
    for _ in range(3):
        await runner.validate(body, "w", EVENT, None)


@pytest.mark.parametrize("name", ["std", "os", "require", "process", "fetch", "XMLHttpRequest", "Deno", "console"])
async def test_a_script_has_no_way_out(runner, name):
    await runner.validate(f"return typeof {name} === 'undefined'", "w", EVENT, None)


async def test_an_endless_script_ends_by_the_wall_clock_and_the_loop_stays_free():
    runner = ScriptRunner(seconds=0.3)
    longest = 0.0

    async def watch():
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    watcher = asyncio.create_task(watch())
    before = time.perf_counter()
    with pytest.raises(ScriptError, match="timed out"):
        await runner.validate("while (true) {}", "w", EVENT, None)
    watcher.cancel()
    assert 0.3 <= time.perf_counter() - before < 5
    assert longest < 0.25
    await runner.validate("return true", "w", EVENT, None)
    await runner.close()


async def test_calls_of_many_callers_do_not_mix(runner):
    async def one(number):
        assert (
            await runner.filter("instance.who = reader; return instance", str(number), b"{}")
            == b'{"who":"%d"}' % number
        )

    await asyncio.gather(*(one(number) for number in range(50)))


async def test_an_engine_that_died_while_it_was_idle_is_replaced(runner):
    await runner.validate("return true", "w", EVENT, None)
    (worker,) = runner._pool._idle
    worker.process.kill()
    worker.process.wait()
    await runner.validate("return true", "w", EVENT, None)
    assert runner._pool._idle != [worker]


async def test_a_script_that_ends_its_engine_fails_its_call(runner, monkeypatch):
    exchange = Worker.exchange

    async def die(worker, data):
        if not msgspec.msgpack.decode(data, type=Request).only_compile:
            worker.process.kill()
        return await exchange(worker, data)

    monkeypatch.setattr(Worker, "exchange", die)
    for _ in range(2):
        with pytest.raises(ScriptError, match="ended its engine"):
            await runner.validate("return true", "w", EVENT, None)
    monkeypatch.undo()
    await runner.validate("return true", "w", EVENT, None)


async def test_an_engine_that_does_not_start_is_told_as_such(runner, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(ScriptEngineError):
        await runner.validate("return true", "w", EVENT, None)
    with pytest.raises(ScriptEngineError):
        await runner.check("return true", validator=True)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(ScriptEngineError):
        await runner.validate("return true", "w", EVENT, None)


async def test_a_call_that_is_cancelled_leaves_no_worker_behind(runner):
    task = asyncio.create_task(runner.validate("while (true) {}", "w", EVENT, None))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runner._pool._idle == []
    await runner.validate("return true", "w", EVENT, None)
