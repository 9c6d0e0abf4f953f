"""The dispatcher by itself, as any transport uses it."""

import asyncio
import time
from contextlib import aclosing

import pytest

from store.errors import StatusCode, ThreaddError
from threadd.api.dispatcher import CallHead, Dispatcher, Method, snake_case
from threadd.api.statuses import CallError


class Echo:
    def __init__(self, message):
        self.message = message
        self.events = []

    async def echo(self, call, request):
        if request.text == "wait":
            try:
                await asyncio.sleep(60)
            finally:
                self.events.append("ended")
        if request.text == "hold the loop":
            time.sleep(0.05)  # noqa: ASYNC251 - what never waits is what this is about
        if request.text == "fail":
            raise ThreaddError("as asked")
        if request.text == "crash":
            raise ZeroDivisionError
        return request

    async def count_up(self, call, request):
        try:
            for number in range(int(request.text)):
                yield self.message(text=str(number))
            await asyncio.sleep(60)
        finally:
            self.events.append("closed")

    async def join(self, call, requests):
        return self.message(text="+".join([request.text async for request in requests]))

    async def echo_all(self, call, requests):
        async for request in requests:
            yield request


@pytest.fixture
def echo(text_message):
    return Echo(text_message)


@pytest.fixture
def dispatcher(policy, echo_service, echo):
    made = Dispatcher(policy, max_message_bytes=1000)
    made.register(echo_service, echo)
    return made


async def stream_of(*bodies):
    for body in bodies:
        yield body


async def collect(dispatcher, method, *bodies, deadline=None):
    call = dispatcher.admit(CallHead(f"/tests.echo.API/{method}", deadline=deadline))
    async with aclosing(dispatcher.invoke_stream(call, stream_of(*bodies))) as replies:
        return [reply async for reply in replies]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GetToken", "get_token"),
        ("NewDB", "new_db"),
        ("NewDBFromAddr", "new_db_from_addr"),
        ("ListDBs", "list_dbs"),
        ("GetDBInfo", "get_db_info"),
        ("FindByID", "find_by_id"),
        ("GetHostID", "get_host_id"),
        ("Has", "has"),
        ("PullIpfsPath", "pull_ipfs_path"),
    ],
)
def test_rpc_names_in_python(name, expected):
    assert snake_case(name) == expected


def test_methods_come_from_the_descriptors(dispatcher, text_message):
    method = dispatcher.methods["/tests.echo.API/CountUp"]
    assert method == Method(
        "/tests.echo.API/CountUp", text_message, text_message, client_streaming=False, server_streaming=True
    )
    assert not method.is_unary
    assert dispatcher.methods["/tests.echo.API/Echo"].is_unary


async def test_a_unary_call(dispatcher, text_message, policy):
    head = CallHead("/tests.echo.API/Echo", [("a", "1"), ("b", "2"), ("a", "3")])
    call = dispatcher.admit(head)
    assert policy.admitted == [head]
    body = text_message(text="hello").SerializeToString()
    assert await dispatcher.invoke_unary(call, body) == body
    assert call.metadata == {"a": ["1", "3"], "b": ["2"]}
    assert call.peer == "in-process"
    await call.send_headers()


async def test_streams_of_every_kind(dispatcher, text_message, echo):
    bodies = [text_message(text=text).SerializeToString() for text in "xyz"]
    assert await collect(dispatcher, "EchoAll", *bodies) == bodies
    assert await collect(dispatcher, "Join", *bodies) == [text_message(text="x+y+z").SerializeToString()]
    assert await collect(dispatcher, "Echo", bodies[0]) == bodies[:1]
    call = dispatcher.admit(CallHead("/tests.echo.API/CountUp"))
    body = text_message(text="2").SerializeToString()
    async with aclosing(dispatcher.invoke_stream(call, stream_of(body))) as replies:
        assert [text_message.FromString(await anext(replies)).text for _ in range(2)] == ["0", "1"]
    assert echo.events == ["closed"]


@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_a_stream_ends_once_its_caller_would_not_be_admitted(dispatcher, policy, echo, text_message, taken):
    body = text_message(text="2").SerializeToString()
    calls = [dispatcher.admit(CallHead("/tests.echo.API/CountUp")) for _ in range(2)]
    async with (
        aclosing(dispatcher.invoke_stream(calls[0], stream_of(body))) as ending,
        aclosing(dispatcher.invoke_stream(calls[1], stream_of(body))) as staying,
    ):
        for _ in range(taken):
            await anext(ending)
            await anext(staying)
        waiting = [asyncio.ensure_future(anext(each)) for each in (ending, staying)] if taken == 2 else []
        await asyncio.sleep(0.01)
        dispatcher.look_again()
        policy.withdrawn.add(calls[0])
        dispatcher.look_again()
        dispatcher.look_again()
        if taken:
            with pytest.raises(CallError, match="no more") as caught:
                await (waiting[0] if waiting else anext(ending))
            assert caught.value.code is StatusCode.UNAUTHENTICATED
            assert echo.events == ["closed"]
        if waiting:
            assert not waiting[1].done()
            waiting[1].cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting[1]
        else:
            await anext(staying)
    assert len(dispatcher._long) == 0


async def test_a_stream_that_is_withdrawn_and_cancelled_at_once_is_cancelled(dispatcher, policy, text_message):
    call = dispatcher.admit(CallHead("/tests.echo.API/CountUp"))
    replies = dispatcher.invoke_stream(call, stream_of(text_message(text="0").SerializeToString()))
    waiting = asyncio.ensure_future(anext(replies))
    await asyncio.sleep(0.01)
    policy.withdrawn.add(call)
    dispatcher.look_again()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await replies.aclose()


@pytest.mark.parametrize("method", ["Echo", "CountUp"])
async def test_a_call_without_its_request(dispatcher, method):
    with pytest.raises(CallError) as caught:
        await collect(dispatcher, method)
    assert caught.value.code is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("text", "code"),
    [("fail", StatusCode.UNKNOWN), ("crash", StatusCode.INTERNAL)],
)
async def test_errors_of_a_servicer(dispatcher, text_message, text, code):
    body = text_message(text=text).SerializeToString()
    with pytest.raises(CallError) as caught:
        await dispatcher.invoke_unary(dispatcher.admit(CallHead("/tests.echo.API/Echo")), body)
    assert caught.value.code is code
    with pytest.raises(CallError) as caught:
        await collect(dispatcher, "Echo", body)
    assert caught.value.code is code


@pytest.mark.parametrize("method", ["Echo", "CountUp", "Join", "EchoAll"])
@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (b"\xff\xff\xff", StatusCode.INVALID_ARGUMENT, "tests.echo.Text"),
        (b"\x0a\x01\xff", StatusCode.INVALID_ARGUMENT, "tests.echo.Text"),
        (b"x" * 1001, StatusCode.RESOURCE_EXHAUSTED, "smaller parts"),
    ],
)
async def test_requests_that_cannot_be_read(dispatcher, method, body, code, text):
    with pytest.raises(CallError) as caught:
        await collect(dispatcher, method, body)
    assert caught.value.code is code
    assert text in caught.value.text


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("/tests.echo.API/NotYet", "method /tests.echo.API/NotYet is not implemented"),
        ("/tests.echo.API/NotYetStream", "method /tests.echo.API/NotYetStream is not implemented"),
        ("/tests.echo.API/Nothing", "unknown method Nothing for service tests.echo.API"),
        ("/no.such/Thing", "unknown service no.such"),
        ("garbage", "unknown service "),
        ("", "unknown service "),
    ],
)
def test_methods_that_are_not_there(dispatcher, method, text):
    with pytest.raises(CallError) as caught:
        dispatcher.admit(CallHead(method))
    assert (caught.value.code, caught.value.text) == (StatusCode.UNIMPLEMENTED, text)


async def test_the_policy_speaks_before_the_request_is_read(dispatcher, policy):
    policy.refuse_with = ThreaddError("not you")
    for method in ("Echo", "NotYet", "EchoAll"):
        with pytest.raises(CallError, match="not you"):
            await collect(dispatcher, method, b"\xff")


async def test_cancelling_the_task_cancels_the_servicer(dispatcher, text_message, echo):
    body = text_message(text="wait").SerializeToString()
    task = asyncio.create_task(dispatcher.invoke_unary(dispatcher.admit(CallHead("/tests.echo.API/Echo")), body))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert echo.events == ["ended"]


async def test_a_deadline_ends_the_call(dispatcher, text_message, echo):
    soon = asyncio.get_running_loop().time() + 0.02
    with pytest.raises(CallError) as caught:
        await dispatcher.invoke_unary(
            dispatcher.admit(CallHead("/tests.echo.API/Echo", deadline=soon)),
            text_message(text="wait").SerializeToString(),
        )
    assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
    soon = asyncio.get_running_loop().time() + 0.02
    with pytest.raises(CallError) as caught:
        await collect(dispatcher, "CountUp", text_message(text="1").SerializeToString(), deadline=soon)
    assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
    assert echo.events == ["ended", "closed"]


@pytest.mark.parametrize("method", ["Echo", "CountUp", "Join", "EchoAll"])
async def test_a_deadline_that_has_passed_keeps_a_call_from_running(dispatcher, text_message, echo, method):
    now = asyncio.get_running_loop().time()
    body = text_message(text="x").SerializeToString()
    with pytest.raises(CallError) as caught:
        await collect(dispatcher, method, body, deadline=now)
    assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
    with pytest.raises(CallError) as caught:
        await dispatcher.invoke_unary(dispatcher.admit(CallHead("/tests.echo.API/Echo", deadline=now)), body)
    assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
    assert echo.events == []


async def test_a_result_that_comes_after_the_deadline_is_not_given(dispatcher, text_message):
    loop = asyncio.get_running_loop()
    body = text_message(text="hold the loop").SerializeToString()
    with pytest.raises(CallError) as caught:
        call = dispatcher.admit(CallHead("/tests.echo.API/Echo", deadline=loop.time() + 0.02))
        await dispatcher.invoke_unary(call, body)
    assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
    with pytest.raises(CallError) as caught:
        await collect(dispatcher, "Echo", body, deadline=loop.time() + 0.02)
    assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
