"""Write validators and read filters: clients' JavaScript, run in worker processes under a time limit."""

import asyncio
import json
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass, field

import msgspec

from threadd.db import documents
from threadd.db.errors import InvalidScriptError, ScriptEngineError, ScriptError, WriteDeniedError
from threadd.db.script_worker import Answer, Request

CALL_SECONDS = 1.0
"""What one call may take, by the wall clock."""

_START_SECONDS = 10.0
_LENGTH = struct.Struct(">I")
_VALIDATOR_ARGUMENTS = "writer,event,instance"
_FILTER_ARGUMENTS = "reader,instance"


@dataclass(slots=True)
class ScriptRunner:
    """Runs scripts in worker processes that are started when they are first needed.

    Args:
        workers: How many calls may run at once.
        seconds: What one call may take, by the wall clock.
    """

    workers: int = 2
    seconds: float = CALL_SECONDS
    _idle: list["_Worker"] = field(default_factory=list)
    _places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.workers)

    async def check(self, body: str, *, validator: bool) -> None:
        """Refuse a body that does not compile.

        Args:
            body: The body of a function.
            validator: Whether it is a write validator, else it is a read filter.

        Raises:
            InvalidScriptError: With the place and the reason.
        """
        names = _VALIDATOR_ARGUMENTS if validator else _FILTER_ARGUMENTS
        try:
            await self._call(Request(body, names, "[]", only_compile=True))
        except ScriptError as error:
            raise InvalidScriptError(f"compiling js func: {error.text}") from error

    async def validate(self, body: str, writer: str, event: bytes, instance: bytes | None) -> None:
        """Ask a write validator.

        Args:
            body: Its body.
            writer: Text of the writer's public key.
            event: JSON text of the event.
            instance: JSON text of the instance before the event, or None: then it is undefined for the validator.

        Raises:
            WriteDeniedError: It did not return true; a string that it returns is the reason.
            ScriptError: It failed or took too long.
        """
        values = f"[{json.dumps(writer)},{event.decode()}{'' if instance is None else ',' + instance.decode()}]"
        try:
            result = await self._call(Request(body, _VALIDATOR_ARGUMENTS, values))
        except ScriptError as error:
            raise ScriptError(f"running write validator func: {error.text}") from error
        if result in ("false", "null"):
            raise WriteDeniedError
        if result != "true":
            reason = json.loads(result)
            raise WriteDeniedError(f"{WriteDeniedError.default_text}: {reason if isinstance(reason, str) else result}")

    async def filter(self, body: str, reader: str | None, instance: bytes) -> bytes | None:
        """Ask a read filter.

        Args:
            body: Its body.
            reader: Text of the reader's public key, or None: then it is undefined for the filter.
            instance: JSON text of the instance.

        Returns:
            JSON text of what the reader may see, or None where that is nothing. Numbers that the filter left alone are
            as they were written.

        Raises:
            ScriptError: It failed or took too long.
        """
        values = f"[{json.dumps(reader)},{instance.decode()}]"
        try:
            result = await self._call(Request(body, _FILTER_ARGUMENTS, values))
        except ScriptError as error:
            raise ScriptError(f"running read filter func: {error.text}") from error
        shown = documents.parse(result.encode())
        if not isinstance(shown, dict):
            return None
        return documents.to_bytes(documents.with_numbers_of(documents.parse(instance), shown))

    async def _call(self, request: Request) -> str:
        async with self._places:
            try:
                answer = await self._ask(self._idle.pop(), request) if self._idle else None
            except EOFError:
                # It may have died while it was idle, which is not the script's doing.
                answer = None
            if answer is None:
                try:
                    answer = await self._ask(await _Worker.start(), request)
                except EOFError as error:
                    raise ScriptError("the script ended its engine") from error
        if answer.error:
            raise ScriptError(answer.error)
        return answer.result

    async def _ask(self, worker: "_Worker", request: Request) -> Answer:
        """Let a worker answer; it is idle afterwards, or gone. EOFError where it ended by itself."""
        whole = False
        try:
            async with asyncio.timeout(self.seconds):
                answer = await worker.call(request)
            whole = True
        except TimeoutError as error:
            raise ScriptError(f"timed out: a call may take {self.seconds:g} s") from error
        finally:
            if whole:
                self._idle.append(worker)
            else:
                await worker.kill()
        return answer

    async def close(self) -> None:
        """End all idle workers; busy ones end with the calls that wait for them."""
        while self._idle:
            await self._idle.pop().kill()


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    source: asyncio.StreamReader
    sink: asyncio.StreamWriter

    @classmethod
    async def start(cls) -> "_Worker":
        """Start a worker and wait until it answers, so that a first call is not charged with its start.

        Raises:
            ScriptEngineError: It does not start.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                # The loop's own way runs gRPC's fork handlers amid its threads; this one (vfork) runs none. A process
                # group of its own keeps a terminal's Ctrl-C from it.
                process = subprocess.Popen(  # noqa: ASYNC220 - takes about 1 ms
                    [sys.executable, "-m", "threadd.db.script_worker"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    process_group=0,
                )
            source, sink = await asyncio.open_connection(sock=ours)
        except OSError as error:
            ours.close()
            raise ScriptEngineError from error
        worker = cls(process, source, sink)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await worker.call(Request("", "", "[]", only_compile=True))
        except (TimeoutError, EOFError) as error:
            await worker.kill()
            raise ScriptEngineError from error
        except asyncio.CancelledError:
            await worker.kill()
            raise
        return worker

    async def call(self, request: Request) -> Answer:
        """One request and its answer; EOFError where the process ends instead."""
        data = msgspec.msgpack.encode(request)
        try:
            self.sink.write(_LENGTH.pack(len(data)) + data)
            await self.sink.drain()
            (length,) = _LENGTH.unpack(await self.source.readexactly(_LENGTH.size))
            return msgspec.msgpack.decode(await self.source.readexactly(length), type=Answer)
        except OSError as error:
            raise EOFError from error

    async def kill(self) -> None:
        """End the process, whatever it does, and wait for that."""
        self.sink.close()
        self.process.kill()
        await asyncio.shield(asyncio.to_thread(self.process.wait))
