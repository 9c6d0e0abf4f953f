"""The process that compiles and checks what could hold up the daemon: schemas and documents of any cost.

What takes more CPU time than it may, or more memory, ends this process, and the daemon starts another.
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
    """

    key: bytes
    schema: bytes = b""
    index_paths: tuple[str, ...] = ()
    instance: bytes = b""
    timestamp: int = 0
    is_report: bool = False


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
        seconds: The CPU time that the check took.
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
        try:
            schema = self._schema(request)
            if schema is None:
                return Answer(Outcome.UNKNOWN_SCHEMA)
            for path in request.index_paths:
                schema.check_index(path)
            return _checked(schema, request) if request.instance else Answer()
        except InvalidSchemaError as error:
            return Answer(Outcome.INVALID_SCHEMA, error.text)
        except InvalidIndexError as error:
            return Answer(Outcome.INVALID_INDEX, error.text)
        except InvalidInstanceError as error:
            return Answer(Outcome.INVALID_INSTANCE, error.text)

    def _schema(self, request: Request) -> Schema | None:
        schema = self._schemas.get(request.key)
        if schema is None and request.schema:
            with worker_frames.cpu_limit(COMPILE_SECONDS):
                schema = Schema(request.schema)
            self._schemas[request.key] = schema
            while len(self._schemas) > _CACHED_SCHEMAS or self._size() > _CACHED_BYTES:
                self._schemas.popitem(last=False)
        if schema is not None and request.key in self._schemas:
            self._schemas.move_to_end(request.key)
        return schema

    def _size(self) -> int:
        return sum(len(schema.text) for schema in self._schemas.values())


def _checked(schema: Schema, request: Request) -> Answer:
    start = time.process_time()
    with worker_frames.cpu_limit(CHECK_SECONDS):
        instance = documents.parse(request.instance)
        if schema.names_modified:
            instance[MODIFIED_FIELD] = request.timestamp
        if request.is_report:
            return Answer(Outcome.VIOLATION, schema.violation(instance).text)
        outcome = Outcome.FINE if schema.allows(instance) else Outcome.VIOLATION
    return Answer(outcome, seconds=time.process_time() - start)


if __name__ == "__main__":
    os.nice(_NICENESS)
    worker_frames.run(Request, Checker().answer)
