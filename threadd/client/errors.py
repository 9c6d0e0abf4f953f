"""What goes wrong between the client and a daemon."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Self

import grpc

from store.errors import StatusCode, ThreaddError


class ClientError(ThreaddError):
    """The root of what the client raises."""


class RefusedError(ClientError):
    """The daemon refused a call, or could not be reached.

    Args:
        text: What the daemon said.
        status: The status code.
        request_id: Under which the call stands in the daemon's log; empty where the daemon gave none.
    """

    def __init__(self, text: str, status: StatusCode, request_id: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.request_id = request_id

    @classmethod
    def unanswered(cls) -> Self:
        """The daemon ended a call as if all were well, and did not answer."""
        return cls("the daemon ended the call without a reply", StatusCode.INTERNAL)


class OperationRefusedError(ClientError):
    """An operation inside of a transaction was refused; the transaction goes on without it."""


class BadKeyError(ClientError):
    """The secret of an API key is no multibase text."""

    code: ClassVar[StatusCode] = StatusCode.INVALID_ARGUMENT


@contextmanager
def refused_by() -> Iterator[None]:
    """Turn a status of gRPC into the client's error."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        request_id = dict(error.trailing_metadata() or ()).get("x-request-id", "")
        text = error.details() or error.code().name
        raise RefusedError(text, StatusCode(error.code().value[0]), str(request_id)) from error
