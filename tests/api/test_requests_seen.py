"""What the operator sees of calls: counts, durations, names in the log; and what tools see of a door."""

import logging

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from store.errors import StatusCode
from threadd import logs
from threadd.api import own_service
from threadd.api.dispatcher import CallHead, Dispatcher
from threadd.api.observing import BOUNDS, CallCounts, Durations
from threadd.api.statuses import CallError


@pytest.fixture
def counted(policy, echo_service, text_message):
    class Servicer:
        async def echo(self, call, request):
            if request.text == "bad":
                raise KeyError(request.text)
            return request

    counts = CallCounts()
    dispatcher = Dispatcher(policy, observer=counts)
    dispatcher.register(echo_service, Servicer())
    return dispatcher, counts


async def test_calls_are_counted_by_method_and_code(counted, echo_service, text_message):
    dispatcher, counts = counted
    name = f"/{echo_service.full_name}/Echo"
    for text in ("a", "b"):
        await dispatcher.invoke_unary(dispatcher.admit(CallHead(name)), text_message(text=text).SerializeToString())
    with pytest.raises(CallError):
        await dispatcher.invoke_unary(dispatcher.admit(CallHead(name)), text_message(text="bad").SerializeToString())
    with pytest.raises(CallError):
        dispatcher.admit(CallHead("/made.Up/Name"))
    assert counts.ended_by == {
        (name, StatusCode.OK): 2,
        (name, StatusCode.INTERNAL): 1,
        ("unknown", StatusCode.UNIMPLEMENTED): 1,
    }
    assert counts.durations[name].count == 3
    assert counts.open == {name: 0}


def test_durations_are_classed():
    durations = Durations()
    for seconds in (0.0, BOUNDS[0], 0.3, 60.0):
        durations.add(seconds)
    assert durations.longest == 60.0
    buckets = dict(durations.buckets())
    assert (buckets["0.0005"], buckets["0.25"], buckets["0.5"], buckets["+Inf"]) == (2, 2, 3, 4)


@pytest.mark.parametrize(("sent", "kept"), [("mine-1", True), ("not\tone", False), ("x" * 65, False), (b"x", False)])
def test_a_caller_may_name_its_request(sent, kept):
    head = CallHead("/a.B/C", [("x-request-id", sent)])
    assert (head.request_id() == sent) is kept
    assert head.request_id() == head.request_id()


async def test_every_answer_is_named_in_a_trailer(threads_door, channels):
    for method, sent in (("/threads.pb.API/ListDBs", b""), ("/grpc.health.v1.Health/Check", b"")):
        call = channels["threads"].unary_unary(method)(sent, metadata=[("x-request-id", "mine-1")])
        await call
        assert dict(await call.trailing_metadata())["x-request-id"] == "mine-1"
    call = channels["threads"].unary_unary("/threads.pb.API/ListDBs")(b"")
    await call
    assert len(dict(await call.trailing_metadata())["x-request-id"]) == 16
    talk = channels["threads"].stream_stream("/threads.pb.API/GetToken")(
        iter(()), metadata=[("x-request-id", "mine-3")]
    )
    await talk.code()
    assert dict(await talk.trailing_metadata())["x-request-id"] == "mine-3"
    stub = channels["threads"].unary_unary("/threadd.v1.API/Count")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub(b"", metadata=[("x-request-id", "mine-2")])
    assert ("x-request-id", "mine-2") in list(caught.value.trailing_metadata())


async def test_what_is_logged_in_a_call_has_its_name(counted, echo_service, text_message, capfd):
    logs.set_up("info", "json")
    try:
        dispatcher, _ = counted
        call = dispatcher.admit(CallHead(f"/{echo_service.full_name}/Echo", [("x-request-id", "mine-3")]))
        with pytest.raises(CallError, match="mine-3"):
            await dispatcher.invoke_unary(call, text_message(text="bad").SerializeToString())
        assert '"request_id": "mine-3"' in capfd.readouterr().err
        assert "mine-3" in logs.recent.lines[-1]
    finally:
        logging.getLogger().handlers.clear()


async def test_a_door_tells_its_services_and_their_messages(channels):
    for channel in channels.values():
        stub = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        questions = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="threadd.v1.API"),
            reflection_pb2.ServerReflectionRequest(file_by_filename="nothing.proto"),
            reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="threadd.v1.API"),
        ]
        services, file, nothing, extensions = [answer async for answer in stub(iter(questions))]
        names = [service.name for service in services.list_services_response.service]
        assert {"threads.pb.API", "threadd.v1.API", "grpc.health.v1.Health"} <= set(names)
        assert own_service.DESCRIPTOR.file.serialized_pb in file.file_descriptor_response.file_descriptor_proto
        assert nothing.error_response.error_code == extensions.error_response.error_code == StatusCode.NOT_FOUND
