"""`grpc.health.v1.Health`: whether the daemon lives, and whether it is ready for work.

The process answering at all is its liveness: the service name `liveness` is SERVING for as long as it does. Readiness
is everything else: the empty name, `readiness` and the name of each service are NOT_SERVING before all doors are open,
while the daemon drains, and when its store takes no writes any more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import ClassVar

from grpc_health.v1 import health_pb2

from store.errors import StatusCode, ThreaddError
from threadd.api.dispatcher import Call

LIVENESS = "liveness"
READINESS = "readiness"

DESCRIPTOR = health_pb2.DESCRIPTOR.services_by_name["Health"]

_Status = health_pb2.HealthCheckResponse.ServingStatus


class UnknownServiceError(ThreaddError):
    """Health was asked about a service that is not there."""

    code: ClassVar[StatusCode] = StatusCode.NOT_FOUND
    default_text: ClassVar[str] = "unknown service"


class Health:
    """The state that the services of both doors tell.

    Args:
        works: Whether what the daemon stands on, such as its store, is in order; asked at each check.
        poll: How often a watcher looks at `works`, in seconds.
    """

    def __init__(self, works: Callable[[], bool] = lambda: True, *, poll: float = 1.0) -> None:
        self._works = works
        self._ready = False
        self._closed = False
        self._poll = poll
        self._changed = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether work is taken."""
        return self._ready and self._works()

    @property
    def closed(self) -> bool:
        """Whether the daemon drains, for good."""
        return self._closed

    def set_ready(self, *, ready: bool) -> None:
        """Say whether work is taken; watchers hear of it."""
        self._ready = ready and not self._closed
        self._wake()

    def close(self) -> None:
        """Be NOT_SERVING from now on and end what watches, so that a drain need not wait for it."""
        self._closed = True
        self.set_ready(ready=False)

    async def wait(self) -> None:
        """Wait until the state may have changed."""
        try:
            async with asyncio.timeout(self._poll):
                await self._changed.wait()
        except TimeoutError:
            return

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class HealthService:
    """Servicer of `grpc.health.v1.Health`.

    Args:
        health: The state.
        services: The full names of the services of this door.
    """

    def __init__(self, health: Health, services: Collection[str] = ()) -> None:
        self._health = health
        self._services = frozenset(services) | {"", READINESS}

    async def check(
        self,
        _call: Call,
        request: health_pb2.HealthCheckRequest,
    ) -> health_pb2.HealthCheckResponse:
        """Tell the state of a service.

        Raises:
            UnknownServiceError: There is no such service.
        """
        status = self._status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            raise UnknownServiceError
        return health_pb2.HealthCheckResponse(status=status)

    async def watch(
        self,
        _call: Call,
        request: health_pb2.HealthCheckRequest,
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Tell the state of a service now and at each change, until the daemon drains."""
        last = None
        while True:
            # Looked at first: while a reply is sent, the daemon may begin to drain, and that is told, too.
            closed = self._health.closed
            status = self._status(request.service)
            if status != last:
                yield health_pb2.HealthCheckResponse(status=status)
                last = status
            if closed:
                return
            await self._health.wait()

    def _status(self, service: str) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
        if service == LIVENESS:
            return _Status.SERVING
        if service not in self._services:
            return _Status.SERVICE_UNKNOWN
        return _Status.SERVING if self._health.ready else _Status.NOT_SERVING
