"""Compiling schemas and checking documents so that neither holds up the event loop.

What is cheap by `schema_costs`, as nearly everything is, is done at once; the rest is done by worker processes under a
limit. The limit is one of CPU time, so that the load of a host has no part in its verdict on a record.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from threadd.db import documents, schema_worker
from threadd.db.collections import Collection, CollectionConfig, cheap_schema, check_name, key_of_schema
from threadd.db.documents import MODIFIED_FIELD, Document
from threadd.db.errors import (
    InvalidIndexError,
    InvalidInstanceError,
    InvalidSchemaError,
    SchemaCostError,
    SchemaEngineError,
    SchemaViolationError,
)
from threadd.db.schema_worker import Answer, Outcome, Request
from threadd.db.slices import Pacer
from threadd.db.workers import (
    PoolBusyError,
    WorkerEndedError,
    WorkerExhaustedError,
    WorkerPool,
    WorkerStartError,
    WorkerTimeoutError,
)

CONFIGS_SECONDS = 10.0
"""The CPU time that compiling all schemas of one call may take in workers."""

TRANSACTION_SECONDS = 5.0
"""The CPU time that checking all documents of one transaction or record may take in workers."""

_WALL_SECONDS = 20.0
_WAIT_SECONDS = 10.0


@dataclass(slots=True)
class Allowance:
    """What the documents of one transaction or record may still take in workers.

    Args:
        seconds: CPU time.
    """

    seconds: float = TRANSACTION_SECONDS

    def check(self) -> None:
        """Refuse to go on once it is used up.

        Raises:
            SchemaCostError: It is.
        """
        if self.seconds <= 0:
            raise SchemaCostError(
                "the schema takes too long to check these documents: "
                f"those of one transaction may take {TRANSACTION_SECONDS:g} s together"
            )


class SchemaChecks:
    """Compiles schemas and checks documents.

    Args:
        workers: How many costly ones may be under way at once.
        compile_seconds: The CPU time that compiling a schema may take.
        check_seconds: The CPU time that checking a document may take.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        compile_seconds: float = schema_worker.COMPILE_SECONDS,
        check_seconds: float = schema_worker.CHECK_SECONDS,
    ) -> None:
        self.compile_seconds = compile_seconds
        self.check_seconds = check_seconds
        self.pool = WorkerPool(
            "threadd.db.schema_worker", Answer, schema_worker.GREETING, workers, _WALL_SECONDS, _WAIT_SECONDS
        )

    async def check_configs(self, configs: Sequence[CollectionConfig]) -> None:
        """Refuse configurations of which a name, a schema or an index is wrong.

        Raises:
            InvalidNameError: As `check_name`.
            InvalidSchemaError: As `Schema`; or compiling a schema, or all of them, takes too long.
            InvalidIndexError: A path cannot be indexed or is named twice.
            SchemaEngineError: No process could be had for it.
        """
        left, pacer = CONFIGS_SECONDS, Pacer()
        for config in configs:
            check_name(config.name)
            schema = cheap_schema(config.schema)
            if pacer.due():
                await pacer.pause()
            if schema is None:
                left -= await self._compile_apart(config)
                if left <= 0:
                    raise InvalidSchemaError(
                        f"invalid schema: compiling all schemas takes too long, and may take {CONFIGS_SECONDS:g} s"
                    )
            else:
                for _ in schema.check_indexes(index.path for index in config.indexes):
                    if pacer.due():
                        await pacer.pause()

    async def _compile_apart(self, config: CollectionConfig) -> float:
        """Compile a schema and hold indexes against it in a worker; gives the CPU time that it took."""
        request = Request(key_of_schema(config.schema), index_paths=tuple(index.path for index in config.indexes))
        try:
            answer = await self._ask(request, config.schema)
        except WorkerExhaustedError as error:
            raise InvalidSchemaError(
                f"invalid schema: compiling it takes too long, and may take {self.compile_seconds:g} s"
            ) from error
        except WorkerEndedError as error:
            raise InvalidSchemaError("invalid schema: compiling it takes too much memory") from error
        self._raise_for(answer)
        return answer.seconds

    async def check(
        self, collection: Collection, instance: Document, text: bytes, timestamp: int, allowance: Allowance
    ) -> None:
        """Refuse an instance that the schema of its collection does not allow.

        Args:
            collection: The collection.
            instance: The document, without `_mod`.
            text: The JSON text that it was read from.
            timestamp: What `_mod` will be, in ns; it counts where the schema names it.
            allowance: That of the transaction or record.

        Raises:
            SchemaViolationError: With field, rule and JSON pointer of the first violations.
            SchemaCostError: It takes too long to tell.
            InvalidInstanceError: The instance holds what no validator knows.
            SchemaEngineError: No process could be had for it.
        """
        schema = collection.schema
        if schema is None or not schema.cost.allows_check(text):
            await self._check_apart(collection, instance, timestamp, allowance)
            return
        seen = {**instance, MODIFIED_FIELD: timestamp} if schema.names_modified else instance
        if not schema.allows(seen):
            if schema.cost.allows_report(text):
                raise schema.violation(seen)
            raise await self._violation(collection, documents.to_bytes(instance), timestamp)

    async def _check_apart(
        self, collection: Collection, instance: Document, timestamp: int, allowance: Allowance
    ) -> None:
        allowance.check()
        text = documents.to_bytes(instance)
        request = Request(collection.schema_key, instance=text, timestamp=timestamp)
        try:
            answer = await self._ask(request, collection.config.schema)
        except WorkerExhaustedError as error:
            allowance.seconds -= self.check_seconds
            raise SchemaCostError(
                f"the schema takes too long to check this document: a check may take {self.check_seconds:g} s"
            ) from error
        except WorkerEndedError as error:
            raise SchemaCostError("the schema takes too much memory to check this document") from error
        allowance.seconds -= answer.seconds
        if answer.outcome is Outcome.VIOLATION:
            raise await self._violation(collection, text, timestamp)
        self._raise_for(answer)

    async def _violation(self, collection: Collection, text: bytes, timestamp: int) -> SchemaViolationError:
        """What is wrong with an instance that is not valid; without details where no worker can give them."""
        request = Request(collection.schema_key, instance=text, timestamp=timestamp, is_report=True)
        try:
            answer = await self._ask(request, collection.config.schema)
        except (WorkerExhaustedError, WorkerEndedError, SchemaEngineError):
            return SchemaViolationError(f"{SchemaViolationError.default_text}: it takes too long to say where")
        return SchemaViolationError(answer.text)

    async def _ask(self, request: Request, schema: bytes) -> Answer:
        request.compile_seconds, request.check_seconds = self.compile_seconds, self.check_seconds
        try:
            answer = await self.pool.call(request)
            if answer.outcome is Outcome.UNKNOWN_SCHEMA:
                request.schema = schema
                answer = await self.pool.call(request)
        except (WorkerStartError, PoolBusyError, WorkerTimeoutError) as error:
            raise SchemaEngineError from error
        return answer

    def _raise_for(self, answer: Answer) -> None:
        for outcome, error in (
            (Outcome.INVALID_SCHEMA, InvalidSchemaError),
            (Outcome.INVALID_INDEX, InvalidIndexError),
            (Outcome.INVALID_INSTANCE, InvalidInstanceError),
        ):
            if answer.outcome is outcome:
                raise error(answer.text)

    async def close(self) -> None:
        """End all idle workers; busy ones end with the calls that wait for them."""
        await self.pool.close()
