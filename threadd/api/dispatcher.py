"""Methods, calls, and the dispatcher that brings the two together; nothing here knows a transport.

A transport makes a `CallHead` of the headers, and `Dispatcher.admit` a `Call` of that, before any of the body is taken.
Then the transport hands the call over with the bytes of its requests and sends the bytes that come back, or the
`CallError` that is raised instead. It cancels a call by cancelling the task that runs it: a servicer then sees
`asyncio.CancelledError` at its next await, and the dispatcher lets it pass.

A servicer is any object with one method per rpc, named in snake case (`FindByID` is `find_by_id`):

    unary request, unary reply      async def name(call, request) -> reply
    unary request, reply stream     def name(call, request) -> async generator of replies
    request stream, unary reply     async def name(call, requests) -> reply
    both streams                    def name(call, requests) -> async generator of replies

An rpc that the servicer has no method for answers UNIMPLEMENTED.
"""

import itertools
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from store.errors import StatusCode
from threadd.api.budgets import BudgetError, Budgets, Pools, Share
from threadd.api.deadlines import require_time, until
from threadd.api.limits import DEFAULTS, Check, Limits, OpenStreams
from threadd.api.long_calls import LongCalls
from threadd.api.observing import Observer
from threadd.api.principals import Principal
from threadd.api.statuses import (
    CallError,
    InvalidRequestError,
    MessageTooLargeError,
    NoIdentityError,
    UnimplementedError,
    call_error,
)
from threadd.logs import current_request_id

if TYPE_CHECKING:
    from net.keys import PublicKey
    from threadd.hub.callers import Caller

MAX_MESSAGE_BYTES: Final = 16 * 2**20
"""The default limit of one request message."""

Handler: TypeAlias = Callable[["Call", Any], Any]

REQUEST_ID: Final = "x-request-id"
"""The metadata by which a caller names a request, and the trailer by which its answer names it."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)

_PROCESS: Final = secrets.token_hex(4)
"""What tells the IDs that are made up here from those of other runs: a number for each call is cheaper than chance."""

_UNNAMED: Final = ("",)

_number = itertools.count(1)

_WORD_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z](?!s(?:[A-Z]|$))[a-z])")


class Transport(Protocol):
    """What a call asks of what carries it."""

    def peer(self) -> str:
        """Where the call comes from, for logs."""

    def carrier(self) -> Hashable:
        """What stands for the connection that the call came over."""

    async def send_initial_metadata(self, initial_metadata: Any, /) -> None:
        """Send the headers of the reply now; once per call, before the first reply."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A transport with nothing to say: for tests, and for those that send headers with the first reply.

    Args:
        name: Where the call comes from.
    """

    name: str = "in-process"

    def peer(self) -> str:
        """See `Transport`."""
        return self.name

    def carrier(self) -> Hashable:
        """See `Transport`: those of one name are one."""
        return self

    async def send_initial_metadata(self, initial_metadata: Any, /) -> None:
        """See `Transport`; nothing is sent."""


class CallHead:
    """What the headers of a call say: what, from where, until when, with which credentials.

    Args:
        method: Full name, such as `/threads.pb.API/FindByID`.
        metadata: Pairs of lower-case name and value, as often as they were sent; values of `-bin` names are bytes.
        transport: What carries the call.
        deadline: When the dispatcher has to end the call, in the seconds of the event loop's clock. None where there is
            no deadline, or the transport ends the call by itself (see `require_time`).
        size: The size of its headers in bytes, as RFC 7541 (4.1) counts it.

    Attributes:
        metadata: The values by name, in the order in which they came.
    """

    __slots__ = ("_request_id", "deadline", "metadata", "method", "size", "transport")

    def __init__(
        self,
        method: str,
        metadata: Iterable[tuple[str, str | bytes]] = (),
        transport: Transport = Peer(),
        deadline: float | None = None,
        size: int = 0,
    ) -> None:
        self.method = method
        self.metadata: dict[str, list[Any]] = {}
        for name, value in metadata:
            self.metadata.setdefault(name, []).append(value)
        self.transport = transport
        self.deadline = deadline
        self.size = size
        self._request_id = ""

    def request_id(self) -> str:
        """The name of this call in the log and for its client: what the client sent as such, or made up when needed."""
        if not self._request_id:
            given = self.metadata.get(REQUEST_ID, _UNNAMED)[0]
            is_one = given and isinstance(given, str) and _REQUEST_ID.fullmatch(given)
            self._request_id = given if is_one else f"{_PROCESS}{next(_number):08x}"
        return self._request_id

    @property
    def peer(self) -> str:
        """Where the call comes from, for logs."""
        return self.transport.peer()


class Call:
    """One call that was admitted; `Dispatcher.admit` makes it, and its transport closes it.

    Args:
        head: What its headers say.
        principal: Who makes it.
        share: Who draws on the budgets for it.
        bound: What runs it.
        pools: The budgets that it draws on; its headers were taken of them.
    """

    __slots__ = ("_has_headers", "bound", "head", "pools", "principal", "share")

    def __init__(self, head: CallHead, principal: Principal, share: Share, bound: "Bound", pools: Pools) -> None:
        self.head = head
        self.principal = principal
        self.share = share
        self.bound = bound
        self.pools = pools
        self._has_headers = True

    def close(self) -> None:
        """Give back what it took of the budgets, since it has ended."""
        if self._has_headers:
            self._has_headers = False
            self.pools.headers.give_back(self.share, self.head.size)

    @property
    def identity(self) -> "PublicKey":
        """On whose behalf to read and write.

        Raises:
            NoIdentityError: The method is open to callers without an identity, and this one has none.
        """
        if self.principal.identity is None:
            raise NoIdentityError
        return self.principal.identity

    @property
    def caller(self) -> "Caller":
        """What the Hub knows about the caller.

        Raises:
            NoIdentityError: The call came through a threads endpoint, which knows of no accounts.
        """
        if self.principal.caller is None:
            raise NoIdentityError
        return self.principal.caller

    @property
    def method(self) -> str:
        """See `CallHead`."""
        return self.head.method

    @property
    def metadata(self) -> dict[str, list[Any]]:
        """See `CallHead`."""
        return self.head.metadata

    @property
    def peer(self) -> str:
        """See `CallHead`."""
        return self.head.transport.peer()

    def request_id(self) -> str:
        """See `CallHead`."""
        return self.head.request_id()

    async def send_headers(self) -> None:
        """Tell the client that the call has begun, before there is a reply; at most once."""
        await self.head.transport.send_initial_metadata(())


@dataclass(frozen=True, slots=True)
class Method:
    """What the descriptors say about one rpc.

    Args:
        full_name: As on the wire: `/threads.pb.API/FindByID`.
        request_type: The class of its request messages.
        reply_type: The class of its reply messages.
        client_streaming: Whether there are many requests.
        server_streaming: Whether there are many replies.
    """

    full_name: str
    request_type: type[Message]
    reply_type: type[Message]
    client_streaming: bool
    server_streaming: bool

    @classmethod
    def of(cls, descriptor: MethodDescriptor) -> Self:
        """The method that a descriptor describes."""
        return cls(
            f"/{descriptor.containing_service.full_name}/{descriptor.name}",
            message_factory.GetMessageClass(descriptor.input_type),
            message_factory.GetMessageClass(descriptor.output_type),
            descriptor.client_streaming,
            descriptor.server_streaming,
        )

    @property
    def is_unary(self) -> bool:
        """Whether one request gets one reply."""
        return not (self.client_streaming or self.server_streaming)


class Policy(Protocol):
    """Who may call what on a door; see `threadd.api.authentication`."""

    def admit(self, head: CallHead, /) -> Principal:
        """Find out who calls, by the headers alone.

        Raises:
            ThreaddError: The call is refused.
        """

    def check_again(self, call: Call, /) -> None:
        """Decide whether a call that was admitted may go on, after something was withdrawn from somebody.

        Raises:
            ThreaddError: What its caller was admitted by counts no longer.
        """

    def run(self, call: Call, request: Any, handler: Handler, /) -> Awaitable[Any]:
        """Run a unary call that was admitted, with what has to happen before and after it.

        Raises:
            ThreaddError: The call is refused by what it asks for.
        """


@dataclass(frozen=True, slots=True)
class Bound:
    """A method and what runs it here.

    Args:
        method: The method.
        handler: The servicer's method.
        decode: Makes a request of bytes.
        check: Refuses a request that asks for too much; None where no limit is about it.
    """

    method: Method
    handler: Handler
    decode: Callable[[bytes], Any]
    check: Check | None


class _Nobody:
    """Hears of calls, and is silent about them."""

    def begun(self, _head: CallHead, /) -> None:
        """See `Observer`."""

    def ended(self, _head: CallHead, _code: StatusCode, _seconds: float, /) -> None:
        """See `Observer`."""


class Dispatcher:
    """Decodes, authenticates, runs and encodes the calls of one door.

    Args:
        policy: Who may call what.
        max_message_bytes: The limit of one request message.
        observer: Hears of every call.
        limits: What a call and a caller may ask for, beside the size of a message.
        budgets: What all calls may make the daemon keep; those of this dispatcher alone if left out.

    Attributes:
        budgets: See above.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        observer: Observer | None = None,
        limits: Limits = DEFAULTS,
        budgets: Budgets | None = None,
    ) -> None:
        self.budgets = budgets or Budgets.of(max_message_bytes, limits.streams)
        self.max_message_bytes = max_message_bytes
        self._limits = limits
        self._streams = OpenStreams(limits.streams)
        self._observer = observer or _Nobody()
        self._policy = policy
        self._long: LongCalls[Call] = LongCalls(policy.check_again)
        self._bound: dict[str, Bound] = {}
        self._methods: dict[str, Method] = {}

    @property
    def methods(self) -> Mapping[str, Method]:
        """Every registered method by its full name."""
        return MappingProxyType(self._methods)

    def register(self, service: ServiceDescriptor, servicer: object) -> None:
        """Add a service.

        Args:
            service: Its descriptor, such as `threads_pb2.DESCRIPTOR.services_by_name["API"]`.
            servicer: Has a method for each rpc that is there; None if there is none at all yet.
        """
        for descriptor in service.methods:
            method = Method.of(descriptor)
            handler = getattr(servicer, snake_case(descriptor.name), None)
            self._methods[method.full_name] = method
            if handler is not None:
                check = self._limits.check_of(descriptor.input_type)
                self._bound[method.full_name] = Bound(method, handler, method.request_type.FromString, check)

    def look_again(self) -> None:
        """End the streams whose callers would not be admitted any more with UNAUTHENTICATED; see `Policy`."""
        self._long.look_again()

    def admit(self, head: CallHead) -> Call:
        """Decide by the headers whether a call may go on; its transport takes no body before.

        Args:
            head: What the headers say.

        Returns:
            The call, to be invoked once.

        Raises:
            CallError: There is no such method, its caller may not call it, or his calls have too many headers already.
        """
        begun = time.perf_counter()
        named = current_request_id.set(head.request_id)
        try:
            return self._admitted(head)
        except Exception as error:
            self._observer.begun(head)
            raise self._failed(head, begun, error) from error
        finally:
            current_request_id.reset(named)

    async def invoke_unary(self, call: Call, body: bytes) -> bytes:
        """Run a call of a method that is unary on both sides.

        Args:
            call: The call.
            body: The protobuf bytes of the request.

        Returns:
            The protobuf bytes of the reply.

        Raises:
            CallError: Anything went wrong.
        """
        head, begun = call.head, time.perf_counter()
        self._observer.begun(head)
        current_request_id.set(head.request_id)
        try:
            require_time(head.deadline)
            request = self._decode(call.bound, body)
            reply = await until(head.deadline, self._policy.run(call, request, call.bound.handler))
            encoded: bytes = reply.SerializeToString()
        except Exception as error:
            raise self._failed(head, begun, error) from error
        except BaseException:
            self._ended(head, begun, StatusCode.CANCELLED)
            raise
        self._ended(head, begun, StatusCode.OK)
        return encoded

    async def invoke_stream(self, call: Call, bodies: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Run a call of any kind whose requests come one by one; the end of the iterator is the client's half-close.

        Close the generator (`contextlib.aclosing`) when the client goes away.

        Args:
            call: The call.
            bodies: The protobuf bytes of the requests.

        Yields:
            The protobuf bytes of each reply.

        Raises:
            CallError: Anything went wrong.
        """
        head, bound, begun = call.head, call.bound, time.perf_counter()
        self._observer.begun(head)
        current_request_id.set(head.request_id)
        try:
            require_time(head.deadline)
            requests = self._decoded(bound, bodies)
            if bound.method.is_unary:
                request = await until(head.deadline, _only(requests))
                reply = await until(head.deadline, self._policy.run(call, request, bound.handler))
                yield reply.SerializeToString()
            else:
                async with aclosing(self._replies(call, requests)) as replies:
                    async for reply in replies:
                        yield reply.SerializeToString()
        except Exception as error:
            raise self._failed(head, begun, error) from error
        except BaseException:
            self._ended(head, begun, StatusCode.CANCELLED)
            raise
        self._ended(head, begun, StatusCode.OK)

    def _failed(self, head: CallHead, begun: float, error: Exception) -> CallError:
        """Count a call that failed; returns what its client is told.

        The caller raises it at once. In a variable it would hold its own frame, and with that the request, until the
        garbage collector came by.
        """
        failure = call_error(error, head.method, head.request_id())
        self._ended(head, begun, failure.code)
        return failure

    def _ended(self, head: CallHead, begun: float, code: StatusCode) -> None:
        self._observer.ended(head, code, time.perf_counter() - begun)

    async def _replies(self, call: Call, requests: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        """The replies of a call that is a stream at least on one side."""
        method, handler, deadline = call.bound.method, call.bound.handler, call.head.deadline
        with self._long.one_more(call) as long:
            argument: Any = requests
            if not method.client_streaming:
                argument = await long.until(until(deadline, _only(requests)))
            if not method.server_streaming:
                yield await long.until(until(deadline, handler(call, argument)))
                return
            with self._streams.one_more(call.share.holder):
                async with aclosing(handler(call, argument)) as replies:
                    while (reply := await long.until(until(deadline, anext(replies, None)))) is not None:
                        yield reply
                        long.check()

    def _admitted(self, head: CallHead) -> Call:
        if head.method not in self._methods:
            raise UnimplementedError(self._unknown(head.method))
        principal = self._policy.admit(head)
        bound = self._bound.get(head.method)
        if bound is None:
            raise UnimplementedError(f"method {head.method} is not implemented")
        share = Share(principal.holder(head.transport.peer()), head.transport.carrier())
        pools = self.budgets.pools_of(principal)
        if not pools.headers.take(share, head.size):
            raise BudgetError("the headers of open calls take too much room already: end some of them first")
        return Call(head, principal, share, bound, pools)

    def _unknown(self, method: str) -> str:
        service, _, name = method.removeprefix("/").rpartition("/")
        if any(known.startswith(f"/{service}/") for known in self._methods):
            return f"unknown method {name} for service {service}"
        return f"unknown service {service}"

    def _decode(self, bound: Bound, body: bytes) -> Any:
        if len(body) > self.max_message_bytes:
            raise MessageTooLargeError.of(len(body), self.max_message_bytes)
        try:
            request = bound.decode(body)
        except DecodeError as error:
            name = bound.method.request_type.DESCRIPTOR.full_name
            raise InvalidRequestError(f"request is not a valid {name} message: {error}") from error
        if bound.check is not None:
            bound.check(request)
        return request

    async def _decoded(self, bound: Bound, bodies: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for body in bodies:
            yield self._decode(bound, body)


def snake_case(name: str) -> str:
    """The Python name of an rpc: `ListDBs` is `list_dbs`."""
    return _WORD_BORDER.sub("_", name).lower()


async def _only(requests: AsyncIterator[Any]) -> Any:
    request = await anext(requests, None)
    if request is None:
        raise InvalidRequestError("the call ended without its request message")
    return request
