"""Worker processes for what must not hold up or bring down the daemon: one pool for each kind."""

import asyncio
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from threadd.db.worker_frames import LENGTH

_START_SECONDS = 10.0

RequestT = TypeVar("RequestT", bound=msgspec.Struct)
AnswerT = TypeVar("AnswerT", bound=msgspec.Struct)


class WorkerTimeoutError(Exception):
    """A call took longer than it may, and its worker was ended."""


class WorkerExhaustedError(Exception):
    """A call took more CPU time than its worker gives it."""


class WorkerEndedError(Exception):
    """A call ended its worker, as one does that needs too much memory."""


class WorkerStartError(Exception):
    """No worker can be started."""


class PoolBusyError(Exception):
    """No worker became free in time."""


@dataclass(slots=True)
class WorkerPool(Generic[RequestT, AnswerT]):
    """Calls worker processes, which are started when they are first needed.

    Args:
        module: The module that a worker runs; it serves `worker_frames.run`.
        answer_type: What it answers.
        greeting: A request that any worker answers at once; it shows that the worker has started.
        workers: How many calls may run at once.
        seconds: What one call may take, by the wall clock.
        wait_seconds: How long a call may wait for its turn; None for as long as it takes.
    """

    module: str
    answer_type: type[AnswerT]
    greeting: RequestT
    workers: int
    seconds: float
    wait_seconds: float | None = None
    _idle: list["Worker"] = field(default_factory=list)
    _places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.workers)

    async def call(self, request: RequestT) -> AnswerT:
        """Let a worker answer a request. Turns are given in the order of asking.

        Raises:
            WorkerTimeoutError, WorkerExhaustedError, WorkerEndedError, WorkerStartError: See there.
            PoolBusyError: Other calls took all of `wait_seconds`.
        """
        try:
            async with asyncio.timeout(self.wait_seconds):
                await self._places.acquire()
        except TimeoutError as error:
            raise PoolBusyError from error
        try:
            return await self._answer(request)
        finally:
            self._places.release()

    async def _answer(self, request: RequestT) -> AnswerT:
        if self._idle:
            try:
                return await self._ask(self._idle.pop(), request)
            except EOFError:
                pass  # it may have died while it was idle, which is not the request's doing
        try:
            return await self._ask(await self._start(), request)
        except EOFError as error:
            raise WorkerEndedError from error

    async def _ask(self, worker: "Worker", request: RequestT) -> AnswerT:
        """Let a worker answer; it is idle afterwards, or gone. EOFError where it ended by itself."""
        whole = False
        try:
            async with asyncio.timeout(self.seconds):
                answer = await self._call(worker, request)
            whole = True
        except TimeoutError as error:
            raise WorkerTimeoutError from error
        except EOFError as error:
            await worker.kill()
            if worker.process.returncode == -signal.SIGPROF:
                raise WorkerExhaustedError from error
            raise
        finally:
            if whole:
                self._idle.append(worker)
            else:
                await worker.kill()
        return answer

    async def _start(self) -> "Worker":
        """Start a worker and wait until it answers, so that a first call is not charged with its start."""
        try:
            worker = await Worker.start(self.module)
        except OSError as error:
            raise WorkerStartError from error
        started = False
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._call(worker, self.greeting)
            started = True
        except (TimeoutError, EOFError) as error:
            raise WorkerStartError from error
        finally:
            if not started:
                await worker.kill()
        return worker

    async def _call(self, worker: "Worker", request: RequestT) -> AnswerT:
        reply = await worker.exchange(msgspec.msgpack.encode(request))
        return msgspec.msgpack.decode(reply, type=self.answer_type)

    async def close(self) -> None:
        """End all idle workers; busy ones end with the calls that wait for them."""
        while self._idle:
            await self._idle.pop().kill()


@dataclass(slots=True)
class Worker:
    """One process.

    Args:
        process: The process.
        source: Where its answers come from.
        sink: Where its requests go.
    """

    process: subprocess.Popen[bytes]
    source: asyncio.StreamReader
    sink: asyncio.StreamWriter

    @classmethod
    async def start(cls, module: str) -> "Worker":
        """Start a process; OSError where that is not possible."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                # The loop's own way runs gRPC's fork handlers amid its threads; this one (vfork) runs none. A process
                # group of its own keeps a terminal's Ctrl-C from it.
                process = subprocess.Popen(  # noqa: ASYNC220, S603 - about 1 ms; a module of ours
                    [sys.executable, "-m", module],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    process_group=0,
                )
            source, sink = await asyncio.open_connection(sock=ours)
        except OSError:
            ours.close()
            raise
        return cls(process, source, sink)

    async def exchange(self, data: bytes) -> bytes:
        """One request and its answer; EOFError where the process ends instead."""
        try:
            self.sink.write(LENGTH.pack(len(data)) + data)
            await self.sink.drain()
            (length,) = LENGTH.unpack(await self.source.readexactly(LENGTH.size))
            return await self.source.readexactly(length)
        except OSError as error:
            raise EOFError from error

    async def kill(self) -> None:
        """End the process, whatever it does, and wait for that."""
        self.sink.close()
        self.process.kill()
        await asyncio.shield(asyncio.to_thread(self.process.wait))
