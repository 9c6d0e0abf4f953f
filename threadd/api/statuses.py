"""The one place where an error becomes a gRPC status."""

from typing import ClassVar, Final, Self

import structlog

from store.errors import StatusCode, ThreaddError

MAX_TEXT_BYTES: Final = 4_000
"""The most bytes of a status text on the wire; a gRPC client refuses trailers from 8 KiB on, status and all."""

NOT_TAKEN: Final = "the call reached its time limit while its replies were not taken"
"""What a client is told, if it can be, that takes no replies until the time limit of its stream."""

_ELLIPSIS = "..."

_log = structlog.get_logger(__name__)


class CallError(Exception):
    """How a call ended that did not end well; what a transport sends instead of a reply.

    Args:
        code: The status code.
        text: The status text, of any length; a transport cuts it with `fit`.
        request_id: The name of the call in the log; empty for none.
    """

    def __init__(self, code: StatusCode, text: str, request_id: str = "") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text
        self.request_id = request_id

    def detached(self) -> "CallError":
        """The same without the frames that it came through, for keeping: they hold the request."""
        return CallError(self.code, self.text, self.request_id)


class InvalidRequestError(ThreaddError):
    """A request cannot be read, or lacks what it needs."""

    code: ClassVar[StatusCode] = StatusCode.INVALID_ARGUMENT


class UnimplementedError(ThreaddError):
    """There is no such method, or none yet."""

    code: ClassVar[StatusCode] = StatusCode.UNIMPLEMENTED


class MessageTooLargeError(ThreaddError):
    """A request is larger than this daemon takes."""

    code: ClassVar[StatusCode] = StatusCode.RESOURCE_EXHAUSTED

    @classmethod
    def of(cls, size: int, limit: int) -> Self:
        """The error for a request of so many bytes where so many are taken."""
        return cls(f"request of {size} bytes is larger than the {limit} bytes that are taken: send it in smaller parts")


class NoIdentityError(ThreaddError):
    """A method needs to know on whose behalf it acts, and the caller named nobody."""

    code: ClassVar[StatusCode] = StatusCode.UNAUTHENTICATED
    default_text: ClassVar[str] = "Token required"


class DeadlineError(ThreaddError):
    """The caller's time is up."""

    code: ClassVar[StatusCode] = StatusCode.DEADLINE_EXCEEDED
    default_text: ClassVar[str] = "Deadline exceeded"


def call_error(error: Exception, method: str, request_id: str) -> CallError:
    """Turn what a call raised into what its client is told.

    An error that nobody foresaw is told as INTERNAL with the request's ID; the log holds the error under the same ID.

    Args:
        error: What was raised.
        method: The full name of the method, for the log.
        request_id: The name of the call.
    """
    if isinstance(error, CallError):
        return error
    if isinstance(error, ThreaddError):
        return CallError(error.code, error.text, request_id)
    _log.error("a call failed unexpectedly", method=method, request_id=request_id, exc_info=error)
    text = f"internal error {request_id}: look for this ID in the daemon's log"
    return CallError(StatusCode.INTERNAL, text, request_id)


def fit(text: str) -> str:
    """Cut a text to `MAX_TEXT_BYTES` in the percent encoding of gRPC; lone surrogates become question marks."""
    data = text.encode("utf-8", "replace")
    room = MAX_TEXT_BYTES
    if len(data) * 3 <= room:
        return data.decode()
    for position, byte in enumerate(data):
        # Bytes outside of this range, and the percent sign itself, travel as %XX.
        room -= 1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3  # noqa: PLR2004 - the range of the gRPC specification
        if room < 0:
            return data[: position - len(_ELLIPSIS)].decode("utf-8", "ignore") + _ELLIPSIS
    return data.decode()
