import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from threadd.api.dispatcher import Dispatcher
from threadd.api.health_service import DESCRIPTOR, LIVENESS, Health, HealthService

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

SERVICE = "threads.pb.API"


class Works:
    def __init__(self):
        self.answer = True

    def __call__(self):
        return self.answer


@pytest.fixture
def works():
    return Works()


@pytest.fixture
async def health(works):
    return Health(works, poll=0.05)


@pytest.fixture
async def stub(policy, health, open_door):
    dispatcher = Dispatcher(policy)
    dispatcher.register(DESCRIPTOR, HealthService(health, [SERVICE]))
    async with open_door(dispatcher) as channel:
        yield health_pb2_grpc.HealthStub(channel)


@pytest.fixture
def check(stub):
    async def ask(service=""):
        reply = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        return reply.status

    return ask


async def test_readiness_follows_the_daemon_and_liveness_does_not(check, health, works):
    for ready, change in [
        (False, lambda: None),
        (True, lambda: health.set_ready(ready=True)),
        (False, lambda: setattr(works, "answer", False)),
        (True, lambda: setattr(works, "answer", True)),
        (False, health.close),
        (False, lambda: health.set_ready(ready=True)),
    ]:
        change()
        for service in ("", "readiness", SERVICE):
            assert await check(service) == (SERVING if ready else NOT_SERVING)
        assert await check(LIVENESS) == SERVING


async def test_an_unknown_service(check, stub):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check("no.such.Service")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watching = stub.Watch(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=10)
    assert (await watching.read()).status == SERVICE_UNKNOWN
    watching.cancel()


async def test_a_watcher_hears_of_each_change_and_is_let_go_at_the_end(stub, health, works):
    watching = stub.Watch(health_pb2.HealthCheckRequest(), timeout=20)
    assert (await watching.read()).status == NOT_SERVING
    health.set_ready(ready=True)
    assert (await watching.read()).status == SERVING
    works.answer = False
    assert (await watching.read()).status == NOT_SERVING
    works.answer = True
    assert (await watching.read()).status == SERVING
    health.close()
    assert (await watching.read()).status == NOT_SERVING
    async with asyncio.timeout(10):
        assert await watching.read() is grpc.aio.EOF
