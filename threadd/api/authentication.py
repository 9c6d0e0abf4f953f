"""Who may call what: one policy for each kind of door, both behind `threadd.api.dispatcher.Policy`.

The threads door asks for nothing: a token names the identity to act for, and without one the host's own counts. The hub
door goes by the Hub's checks and by who owns which thread; those rules are in `threadd.hub.gate`.
"""

from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Any, Final

from net import tokens
from net.keys import PublicKey
from net.multiaddr import Multiaddr
from net.thread_id import ThreadID
from threadd.api.dispatcher import Call, CallHead, Handler
from threadd.api.principals import Principal
from threadd.api.statuses import InvalidRequestError
from threadd.hub.gate import Gate
from threadd.hub.methods import CROSS_USER

EXEMPT: Final = frozenset(
    {
        "/threads.pb.API/GetToken",
        "/threads.net.pb.API/GetToken",
        "/threads.net.pb.API/GetHostID",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
    },
)
"""Methods of the threads door that do not look at a token."""

_THREAD_FIELDS = ("dbID", "threadID")
_ADDRESS_FIELD = "addr"


class ThreadsDoorPolicy:
    """The policy of a plain threads daemon.

    Args:
        host: The daemon's key, which tokens are signed with.
        revoked: Up to which second the tokens of an identity do not count.
    """

    def __init__(self, host: PublicKey, revoked: Mapping[PublicKey, int] = tokens.NONE_REVOKED) -> None:
        self._host = host
        self._revoked = revoked
        self._anybody = Principal(host)
        self._tokenless = Principal(host, is_known=True)

    def admit(self, head: CallHead) -> Principal:
        """Find the identity.

        Raises:
            BadAuthorizationError: The value is not of the form `bearer <token>`.
            TokenNotFoundError: The token is no JWT.
            InvalidTokenError: This daemon did not issue it, or it was revoked.
        """
        if head.method in EXEMPT:
            return self._anybody
        values = head.metadata.get("authorization")
        token = tokens.parse_authorization(values[0]) if values else ""
        if not token:
            return self._tokenless
        return Principal(tokens.verify(token, self._host, self._revoked), has_proved=True, is_known=True)

    def check_again(self, call: Call) -> None:
        """See `admit`: the token is looked at again."""
        self.admit(call.head)

    def run(self, call: Call, request: Any, handler: Handler) -> Awaitable[Any]:
        """Run the call; nothing more is asked."""
        running: Awaitable[Any] = handler(call, request)
        return running


class HubDoorPolicy:
    """The policy of the Hub.

    Args:
        gate: Knows the Hub's rules.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def admit(self, head: CallHead) -> Principal:
        """Find out who is calling.

        Raises:
            ThreaddError: See `threadd.hub.gate.Gate.authenticate`.
        """
        caller = self._gate.authenticate(head.method, head.metadata)
        has_proved = caller.identity is not None
        key = "" if caller.api_key is None else caller.api_key.key
        return Principal(caller.identity, has_proved, is_known=has_proved or bool(key), api_key=key, caller=caller)

    def check_again(self, call: Call) -> None:
        """See that what the caller was admitted by still counts.

        Raises:
            ThreaddError: See `threadd.hub.gate.Gate.check_again`.
        """
        self._gate.check_again(call.caller, call.method, call.metadata)

    def run(self, call: Call, request: Any, handler: Handler) -> Awaitable[Any]:
        """Run a call with the checks of ownership, and with what the call changes about it.

        Raises:
            InvalidRequestError: The request names its thread by an address that names none.
            ThreaddError: See `threadd.hub.gate.Gate.run`.
        """
        # The rules look at the thread of such a request no more than the hosted Hub does.
        thread = None if call.method in CROSS_USER else thread_of(request)
        return self._gate.run(call.caller, call.method, thread, partial(handler, call, request))


def thread_of(request: Any) -> ThreadID | None:
    """Find the thread that a request names, by its ID or in an address.

    Args:
        request: Any request message.

    Returns:
        The thread, or None where requests of this kind name none.

    Raises:
        InvalidThreadIDError: The ID is none.
        InvalidAddressError: The address is none.
        InvalidRequestError: The address names no thread.
    """
    fields = request.DESCRIPTOR.fields_by_name
    for name in _THREAD_FIELDS:
        if name in fields:
            return ThreadID.from_bytes(getattr(request, name))
    if _ADDRESS_FIELD in fields:
        thread = Multiaddr.from_bytes(request.addr).thread_id()
        if thread is None:
            raise InvalidRequestError("the address names no thread: it must end in /thread/<thread ID>")
        return thread
    return None
