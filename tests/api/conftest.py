"""A service with every kind of method, made of a descriptor on the spot, and doors to reach it."""

from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from threadd.api.dispatcher import Dispatcher
from threadd.api.grpc_door import GrpcDoor

KINDS = {
    "Echo": (False, False),
    "CountUp": (False, True),
    "Join": (True, False),
    "EchoAll": (True, True),
    "NotYet": (False, False),
    "NotYetStream": (True, True),
    "ListDBs": (False, False),
}


def _make_service():
    file = descriptor_pb2.FileDescriptorProto(name="tests/echo.proto", package="tests.echo", syntax="proto3")
    message = file.message_type.add(name="Text")
    message.field.add(name="text", number=1, type=9, label=1)
    service = file.service.add(name="API")
    for name, (client_streaming, server_streaming) in KINDS.items():
        service.method.add(
            name=name,
            input_type=".tests.echo.Text",
            output_type=".tests.echo.Text",
            client_streaming=client_streaming,
            server_streaming=server_streaming,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName("tests.echo.API")


class OpenPolicy:
    """Admits everybody; counts."""

    def __init__(self):
        self.admitted = []
        self.refuse_with = None

    def admit(self, call):
        if self.refuse_with is not None:
            raise self.refuse_with
        self.admitted.append(call)

    def run(self, call, request, handler):
        return handler(call, request)


@pytest.fixture(scope="session")
def echo_service():
    return _make_service()


@pytest.fixture(scope="session")
def text_message(echo_service):
    return message_factory.GetMessageClass(echo_service.methods_by_name["Echo"].input_type)


@pytest.fixture
def policy():
    return OpenPolicy()


@pytest.fixture
def open_door():
    """A context manager that opens a door for a dispatcher and gives a channel to it."""

    @asynccontextmanager
    async def opened(dispatcher: Dispatcher, options=()):
        door = GrpcDoor(dispatcher, "127.0.0.1:0")
        port = await door.open()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=list(options)) as channel:
                yield channel
        finally:
            await door.close()

    return opened
