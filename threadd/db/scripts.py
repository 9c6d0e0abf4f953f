"""Write validators and read filters: clients' JavaScript, run in worker processes under a time limit."""

import json
from dataclasses import dataclass, field

from threadd.db import documents
from threadd.db.errors import InvalidScriptError, ScriptEngineError, ScriptError, WriteDeniedError
from threadd.db.script_worker import MAX_TEXT, Answer, Request
from threadd.db.workers import WorkerEndedError, WorkerPool, WorkerStartError, WorkerTimeoutError

CALL_SECONDS = 1.0
"""What one call may take, by the wall clock."""

_GREETING = Request("", "", "[]", only_compile=True)
_MAX_RESULT = 12 * MAX_TEXT
"""A character of a string may take so many in JSON."""

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
    _pool: WorkerPool[Request, Answer] = field(init=False)

    def __post_init__(self) -> None:
        self._pool = WorkerPool("threadd.db.script_worker", Answer, _GREETING, self.workers, self.seconds)

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
            raise WriteDeniedError(f"{WriteDeniedError.default_text}: {_reason(result)}")

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
        try:
            answer = await self._pool.call(request)
        except WorkerTimeoutError as error:
            raise ScriptError(f"timed out: a call may take {self.seconds:g} s") from error
        except WorkerEndedError as error:
            raise ScriptError("the script ended its engine") from error
        except WorkerStartError as error:
            raise ScriptEngineError from error
        if answer.error:
            raise ScriptError(answer.error)
        return answer.result

    async def close(self) -> None:
        """End all idle workers; busy ones end with the calls that wait for them."""
        await self._pool.close()


def _reason(result: str) -> str:
    """What a validator that did not return true says, from the JSON text of what it returned."""
    if len(result) > _MAX_RESULT:
        return result[:MAX_TEXT]
    value = json.loads(result)
    return (value if isinstance(value, str) else result)[:MAX_TEXT]
