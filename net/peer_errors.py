"""What goes wrong between hosts."""

from net.errors import NetError
from store.errors import StatusCode


class PeerUnreachableError(NetError):
    """A host cannot be reached, or the connection to it has ended."""

    code = StatusCode.UNAVAILABLE
    default_text = "the peer cannot be reached"


class PeerTooSlowError(NetError):
    """A host did not answer in time."""

    code = StatusCode.DEADLINE_EXCEEDED
    default_text = "the peer did not answer in time"


class PeerRefusedError(NetError):
    """A host answered with an error.

    Args:
        status: The status of its answer.
        text: Its text.
    """

    def __init__(self, status: StatusCode, text: str) -> None:
        super().__init__(f"the peer answers: {text or status.name}")
        self.status = status
        self.said = text


class InvalidReplyError(NetError):
    """What a host answered makes no sense."""

    code = StatusCode.DATA_LOSS
    default_text = "the peer's answer makes no sense"


class InvalidPeerRequestError(NetError):
    """What a host asks for makes no sense."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "invalid request"


class UnknownMethodError(NetError):
    """A host calls what is not served here."""

    code = StatusCode.UNIMPLEMENTED
    default_text = "unknown method"


class HostError(NetError):
    """The host of this daemon cannot be opened, or is closed."""

    code = StatusCode.UNAVAILABLE
