"""A service with every kind of method, made of a descriptor on the spot, and what answers it."""

import asyncio
from contextlib import nullcontext

from google.protobuf import descriptor_pb2, descriptor_pool

from store.errors import ThreaddError
from threadd.api.principals import Principal

KINDS = {
    "Echo": (False, False),
    "CountUp": (False, True),
    "Join": (True, False),
    "EchoAll": (True, True),
    "NotYet": (False, False),
    "NotYetStream": (True, True),
    "ListDBs": (False, False),
}


def make_service():
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
        self.withdrawn = set()
        self.principal = Principal(is_known=True)

    def admit(self, head):
        if self.refuse_with is not None:
            raise self.refuse_with
        self.admitted.append(head)
        return self.principal

    def check_again(self, call):
        if call in self.withdrawn:
            raise ThreaddError("no more")

    def run(self, call, request, handler):
        return handler(call, request)


class Echo:
    def __init__(self):
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.ended = 0
        self.limit = nullcontext()

    async def echo(self, call, request):
        self.started.set()
        if request.text.startswith("wait"):
            try:
                await asyncio.sleep(float(request.text.split()[1]))
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if request.text == "crash":
            raise ZeroDivisionError
        if request.text == "long":
            raise ThreaddError("%é" * 10_000)
        if request.text == "peer":
            request.text = call.peer
        if request.text == "metadata":
            request.text = repr(sorted(call.metadata.items()))
        return request

    async def count_up(self, call, request):
        try:
            await call.send_headers()
            self.started.set()
            for number in range(int(request.text)):
                request.text = str(number)
                yield request
            await asyncio.sleep(60)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    async def echo_all(self, call, requests):
        async with self.limit:
            async for request in requests:
                yield request
                while request.text.startswith("flood"):
                    yield request
            self.ended += 1
