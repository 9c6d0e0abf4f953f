"""The root of every error that a caller may see, and the errors of the store.

It stands in the lowest room so that all others can build on it; `threadd.api` maps it to gRPC in one place.
"""

import enum
from typing import ClassVar


class StatusCode(enum.IntEnum):
    """The canonical status codes of gRPC, by number."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ThreaddError(Exception):
    """An error whose text and code may be shown to a client.

    A subclass names its `code` and, where clients match on it, its `default_text`.

    Args:
        text: What went wrong and what to do about it; `default_text` when left out.
    """

    code: ClassVar[StatusCode] = StatusCode.UNKNOWN
    default_text: ClassVar[str] = ""

    def __init__(self, text: str = "") -> None:
        self.text = text or self.default_text
        super().__init__(self.text)


class StoreError(ThreaddError):
    """The store could not do what it was asked; nothing of it was kept."""

    code = StatusCode.UNAVAILABLE


class ConflictError(StoreError):
    """A precondition of a transaction did not hold when its turn came."""

    code = StatusCode.ABORTED
    default_text = "the state that this write was built on has changed"


class StoreFullError(StoreError):
    """The disk or the map is full; reads go on."""

    code = StatusCode.RESOURCE_EXHAUSTED
    default_text = "the store is full: free some disk space and try again"


class RepositoryLockedError(StoreError):
    """Another daemon holds the repository."""

    code = StatusCode.FAILED_PRECONDITION


class FormatError(StoreError):
    """What is kept was written in a format that this version does not read."""

    code = StatusCode.FAILED_PRECONDITION
