"""What a database refuses, with the texts that clients match on.

The codes are those that old clients saw. The reference gives UNKNOWN to most refusals; where it dies or answers wrongly
instead, the code says what is wrong (docs/compatibility.md).
"""

from store.errors import StatusCode, ThreaddError


class DatabaseNotFoundError(ThreaddError):
    """No database of that thread is kept here."""

    code = StatusCode.NOT_FOUND
    default_text = "db not found"


class DatabaseExistsError(ThreaddError):
    """The thread has a database here already."""

    default_text = "db already exists"


class InvalidNameError(ThreaddError):
    """The name of a database or a collection breaks the rule for names."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = (
        "name may only contain alphanumeric characters or non-consecutive hyphens, "
        "and cannot begin or end with a hyphen"
    )


class ReadKeyRequiredError(ThreaddError):
    """A database reads its thread, and the given key opens only the outer records."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "thread read key is required: give the 64-byte key that holds both the service and the read key"


class CollectionNotFoundError(ThreaddError):
    """The database has no collection of that name."""

    code = StatusCode.NOT_FOUND
    default_text = "collection not found"


class CollectionExistsError(ThreaddError):
    """The database has a collection of that name already."""

    default_text = "collection already registered"


class InvalidSchemaError(ThreaddError):
    """A collection's schema is not one."""

    code = StatusCode.INVALID_ARGUMENT


class InvalidIndexError(ThreaddError):
    """An index names a path that cannot be indexed."""

    code = StatusCode.INVALID_ARGUMENT


class InvalidScriptError(ThreaddError):
    """A write validator or a read filter cannot be used."""

    code = StatusCode.INVALID_ARGUMENT


class ScriptError(ThreaddError):
    """A validator or a filter failed, took too long or used too much memory; whatever it was asked for is refused."""


class ScriptEngineError(ThreaddError):
    """No process for scripts can be started; whatever it was needed for is refused."""

    code = StatusCode.UNAVAILABLE
    default_text = "the script engine does not start: try again"


class WriteDeniedError(ThreaddError):
    """The collection's write validator does not accept a write."""

    default_text = "app denied net record body"


class InvalidInstanceError(ThreaddError):
    """What was sent is not an instance: not JSON, not an object, or with an impossible ID."""

    code = StatusCode.INVALID_ARGUMENT


class SchemaViolationError(ThreaddError):
    """An instance breaks its collection's schema."""

    default_text = "instance doesn't correspond to schema"


class SchemaCostError(ThreaddError):
    """A collection's schema takes too long, or too much memory, to check an instance; the instance is refused."""

    code = StatusCode.RESOURCE_EXHAUSTED


class SchemaEngineError(ThreaddError):
    """No process that checks instances can be had; whatever it was needed for is refused."""

    code = StatusCode.UNAVAILABLE
    default_text = "no process that checks schemas is free: try again"


class InstanceNotFoundError(ThreaddError):
    """The collection has no such instance, or the reader may not see it."""

    default_text = "instance not found"


class InstanceExistsError(ThreaddError):
    """A create names an ID that is taken."""

    default_text = "can't create already existing instance"


class CreateConflictError(ThreaddError):
    """Two creates of one transaction name the same ID."""

    default_text = "can't create already existent instance"


class UniqueConstraintError(ThreaddError):
    """Another instance has the same value at a path that is unique."""

    default_text = "unique constraint violation"


class IndexNotUniqueError(ThreaddError):
    """A unique index is asked for, and instances share a value at its path."""

    default_text = "can't create unique index (duplicate instances exist)"


class QueryTimeError(ThreaddError):
    """A query takes longer than this daemon works on one."""

    code = StatusCode.DEADLINE_EXCEEDED


class InvalidQueryError(ThreaddError):
    """A query is not one."""

    code = StatusCode.INVALID_ARGUMENT


class ResultTooLargeError(ThreaddError):
    """The rows of a query are more than one answer holds."""

    code = StatusCode.RESOURCE_EXHAUSTED
    default_text = "the result is larger than one answer may be: ask for fewer rows with limit, and go on with seek"


class TransactionEndedError(ThreaddError):
    """A transaction that was discarded cannot be committed."""

    default_text = "can't commit discarded/committed txn"


class TransactionTooOldError(ThreaddError):
    """A client held a transaction open for too long."""

    code = StatusCode.ABORTED

    def __init__(self, seconds: float) -> None:
        super().__init__(f"transaction was open for longer than {seconds:g} s and is dropped: begin it again")


class ListenerTooSlowError(ThreaddError):
    """A listener did not take its events fast enough."""

    code = StatusCode.RESOURCE_EXHAUSTED
    default_text = "listener is too slow: too many events wait for it, so it is ended rather than given a gap"


class StoppingError(ThreaddError):
    """The daemon is about to stop."""

    code = StatusCode.UNAVAILABLE
    default_text = "the daemon is stopping: connect again in a moment"
