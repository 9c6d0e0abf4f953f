"""A door that speaks gRPC over HTTP/2: the adapter between grpc.aio and the dispatcher."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, ClassVar, Final, TypeAlias

import grpc

from store.errors import StatusCode, ThreaddError
from threadd.api.dispatcher import Call, Dispatcher
from threadd.api.statuses import NOT_TAKEN, CallError
from threadd.tls import Tls

_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
_RpcHandler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"

_SLACK: Final = 2
"""How many times the dispatcher's limit a message may have before grpc itself refuses it, in words of its own."""

_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


class DoorError(ThreaddError):
    """A door cannot be opened."""

    code: ClassVar[StatusCode] = StatusCode.FAILED_PRECONDITION


class GrpcDoor:
    """One listening gRPC address.

    Every message size is the dispatcher's to limit: a larger one is RESOURCE_EXHAUSTED. Replies have no limit here.

    A client that ends its half of a unary call without having sent the request gets no answer before its deadline: grpc
    waits on.

    Args:
        dispatcher: Answers the calls.
        address: `HOST:PORT`; port 0 takes a free one. An IPv6 host stands in brackets.
        tls: What to speak TLS with; None for plain text.
    """

    def __init__(self, dispatcher: Dispatcher, address: str, tls: Tls | None = None) -> None:
        self._dispatcher = dispatcher
        self._address = address
        self._tls = tls
        self._server: grpc.aio.Server | None = None
        self.port = 0
        """The port that is listened on; 0 until the door is open."""

    async def open(self) -> int:
        """Listen and answer calls from now on; must be called on the event loop that shall serve them.

        Returns:
            The port.

        Raises:
            DoorError: The address is taken or makes no sense.
        """
        server = grpc.aio.server(
            handlers=[_Handlers(self._dispatcher)],
            options=_options(self._dispatcher.max_message_bytes),
        )
        try:
            if self._tls is None:
                self.port = server.add_insecure_port(self._address)
            else:
                pair = (self._tls.key, self._tls.certificate)
                self.port = server.add_secure_port(self._address, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise DoorError(
                f"cannot listen on {self._address}: it is in use by another program, or is no address of this machine",
            ) from error
        await server.start()
        self._server = server
        return self.port

    async def close(self, grace: float = 0.0) -> None:
        """Take no more calls, let those that run finish, then end what is left.

        Args:
            grace: How long to let them finish, in seconds.
        """
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None


def _options(max_message_bytes: int) -> list[tuple[str, Any]]:
    return [
        # Two daemons would share a port silently.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_message_bytes * _SLACK),
        ("grpc.max_send_message_length", -1),
        # Clients ping every 20 s, with and without streams (hub protocol, "Transports"); no ping is one too many.
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # A peer that vanished is noticed, so that its streams end.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]


class _Handlers(grpc.GenericRpcHandler):
    """Finds the handler of a method; all of them take and give bytes."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._handlers = {
            name: self._unary(name) if method.is_unary else self._stream(name)
            for name, method in dispatcher.methods.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _RpcHandler:
        """The handler of a method; an unknown one is refused by the dispatcher, whatever its kind."""
        name = handler_call_details.method
        return self._handlers.get(name) or self._stream(name)

    def _unary(self, name: str) -> _RpcHandler:
        invoke = self._dispatcher.invoke_unary

        async def handle(body: bytes, context: _Context) -> bytes:
            try:
                return await invoke(Call(name, context.invocation_metadata() or (), context), body)
            except CallError as error:
                failure = error
            await _abort(context, failure)
            return b""

        return grpc.unary_unary_rpc_method_handler(handle)

    def _stream(self, name: str) -> _RpcHandler:
        invoke = self._dispatcher.invoke_stream

        async def handle(bodies: AsyncIterator[bytes], context: _Context) -> None:
            call = Call(name, context.invocation_metadata() or (), context)
            try:
                async with aclosing(invoke(call, _until_half_close(bodies, context))) as replies:
                    async for reply in replies:
                        await context.write(reply)
            except CallError as error:
                failure = error
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # It was a time limit of the servicer, and closing has undone it: the client takes no replies.
                failure = CallError(StatusCode.ABORTED, NOT_TAKEN)
            else:
                return
            await _abort(context, failure)

        return grpc.stream_stream_rpc_method_handler(handle)


async def _until_half_close(bodies: AsyncIterator[bytes], context: _Context) -> AsyncGenerator[bytes, None]:
    """The requests of a stream until its client ends its half.

    That a client broke the call off, or vanished, looks the same to grpc.aio at first, and would commit half of a
    transaction. One more read then comes back after the task was cancelled; after a real end it comes back at once.
    """
    async for body in bodies:
        yield body
    await context.read()


async def _abort(context: _Context, error: CallError) -> None:
    """End a call; raises what grpc.aio wants to see then."""
    await context.abort(_GRPC_CODES[error.code], error.text)
