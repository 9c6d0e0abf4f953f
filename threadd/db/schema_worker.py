"""The process that compiles schemas and checks documents that could hold up the daemon.

A call that takes more CPU time or memory than it may ends this process, and the daemon starts another.
"""

import enum
import os
import time
from collections import OrderedDict

import msgspec

from threadd.db import documents, worker_frames
from threadd.db.documents import MODIFIED_FIELD
from threadd.db.errors import InvalidIndexError, InvalidInstanceError, InvalidSchemaError
from threadd.db.schemas import Schema

COMPILE_SECONDS = 2.0
"""The CPU time that compiling a schema may take."""

CHECK_SECONDS = 1.0
"""The CPU time that checking one document may take."""

_CACHED_SCHEMAS = 64
_CACHED_BYTES = 4 * 1024 * 1024
_NICENESS = 10


class Request(msgspec.Struct, array_like=True):
    """One call.

    Args:
        key: Names the schema.
        schema: Its JSON text; empty where the worker may know it already.
        index_paths: Paths that are to be held against the schema.
        instance: The JSON text of a document to check; empty for none.
        timestamp: The time of its change, in ns.
        is_report: Whether to say what is wrong with the document, which is known not to be valid.
        compile_seconds: The CPU time that compiling may take.
        check_seconds: The CPU time that the rest may take.
    """

    key: bytes
    schema: bytes = b""
    index_paths: tuple[str, ...] = ()
    instance: bytes = b""
    timestamp: int = 0
    is_report: bool = False
    compile_seconds: float = COMPILE_SECONDS
    check_seconds: float = CHECK_SECONDS


class Outcome(enum.IntEnum):
    """What came of a call."""

    FINE = 0
    UNKNOWN_SCHEMA = 1
    INVALID_SCHEMA = 2
    INVALID_INDEX = 3
    INVALID_INSTANCE = 4
    VIOLATION = 5


class Answer(msgspec.Struct, array_like=True):
    """What came of a call.

    Args:
        outcome: See there.
        text: What is wrong, or "".
        seconds: The CPU time that it took.
    """

    outcome: Outcome = Outcome.FINE
    text: str = ""
    seconds: float = 0.0


GREETING = Request(b"")


class Checker:
    """Answers calls; compiled schemas are kept for the next ones."""

    def __init__(self) -> None:
        self._schemas: OrderedDict[bytes, Schema] = OrderedDict()

    def answer(self, request: Request) -> Answer:
        """Answer one call."""
        start = time.process_time()
        try:
            schema = self._schema(request)
            answer = Answer(Outcome.UNKNOWN_SCHEMA) if schema is None else _answer(schema, request)
        except InvalidSchemaError as error:
            answer = Answer(Outcome.INVALID_SCHEMA, error.text)
        except InvalidIndexError as error:
            answer = Answer(Outcome.INVALID_INDEX, error.text)
        except InvalidInstanceError as error:
            answer = Answer(Outcome.INVALID_INSTANCE, error.text)
        answer.seconds = time.process_time() - start
        return answer

    def _schema(self, request: Request) -> Schema | None:
        schema = self._schemas.get(request.key)
        if schema is not None:
            self._schemas.move_to_end(request.key)
        elif request.schema:
            with worker_frames.cpu_limit(request.compile_seconds):
                schema = Schema(request.schema)
            self._schemas[request.key] = schema
            while len(self._schemas) > _CACHED_SCHEMAS or self._size() > _CACHED_BYTES:
                self._schemas.popitem(last=False)
        return schema

    def _size(self) -> int:
        return sum(len(schema.text) for schema in self._schemas.values())


def _answer(schema: Schema, request: Request) -> Answer:
    with worker_frames.cpu_limit(request.check_seconds):
        for _ in schema.check_indexes(request.index_paths):
            pass
        if not request.instance:
            return Answer()
        instance = documents.parse(request.instance)
        if schema.names_modified:
            instance[MODIFIED_FIELD] = request.timestamp
        if request.is_report:
            return Answer(Outcome.VIOLATION, schema.violation(instance).text)
        return Answer(Outcome.FINE if schema.allows(instance) else Outcome.VIOLATION)


if __name__ == "__main__":
    os.nice(_NICENESS)
    worker_frames.run(Request, Checker().answer)
