"""The line to a daemon: one gRPC channel, and calls by the descriptors of their services."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, TypeVar

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from proto import threadd_pb2, threads_pb2
from threadd.client.credentials import Credentials, Metadata
from threadd.client.errors import refused_by

_R = TypeVar("_R", bound=Message)

API: Final = threads_pb2.DESCRIPTOR.services_by_name["API"]
"""Databases, as all clients of the Hub know them."""
OWN: Final = threadd_pb2.DESCRIPTOR.services_by_name["API"]
"""What this daemon adds."""

_NONE: Final[Metadata] = []

_OPTIONS: Final = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A daemon that vanished is noticed, so that what listens connects again.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class Connection:
    """A channel; make it on the event loop that uses it.

    Args:
        address: ``HOST:PORT`` of a gRPC door.
        credentials: What each call carries.
        certificates: PEM text of the authorities to trust; None for plain text, empty for those of the system.
    """

    def __init__(self, address: str, credentials: Credentials, certificates: bytes | None = None) -> None:
        self.credentials = credentials
        if certificates is None:
            self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        else:
            trusted = grpc.ssl_channel_credentials(certificates or None)
            self._channel = grpc.aio.secure_channel(address, trusted, options=_OPTIONS)

    async def close(self) -> None:
        """End all calls and let the channel go."""
        await self._channel.close()

    async def unary(
        self, service: ServiceDescriptor, rpc: str, request: Message, reply: type[_R], metadata: Metadata = _NONE
    ) -> _R:
        """Call a method that has one request and one reply.

        Args:
            service: The descriptor of its service.
            rpc: Its name.
            request: The request.
            reply: The class of the reply.
            metadata: What the call carries beside the credentials.

        Raises:
            RefusedError: The daemon refused it, or could not be reached.
        """
        call = self._channel.unary_unary(
            f"/{service.full_name}/{rpc}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        with refused_by():
            answer: _R = await call(request, metadata=[*self.credentials.metadata(), *metadata])
        return answer

    async def follow(
        self, service: ServiceDescriptor, rpc: str, request: Message, reply: type[_R], metadata: Metadata = _NONE
    ) -> AsyncGenerator[_R, None]:
        """Call a method that has one request and a stream of replies; arguments as `unary`.

        Yields:
            Each reply.

        Raises:
            RefusedError: The daemon refused it, ended it, or could not be reached.
        """
        call = self._channel.unary_stream(
            f"/{service.full_name}/{rpc}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )(request, metadata=[*self.credentials.metadata(), *metadata])
        try:
            with refused_by():
                async for answer in call:
                    yield answer
        finally:
            call.cancel()

    async def upload(
        self,
        service: ServiceDescriptor,
        rpc: str,
        requests: AsyncGenerator[Message, None],
        metadata: Metadata = _NONE,
    ) -> AsyncGenerator[Any, None]:
        """Call a method that takes a stream of requests and tells meanwhile what has become of them.

        Args:
            service: The descriptor of its service.
            rpc: Its name.
            requests: The requests.
            metadata: What the call carries beside the credentials.

        Yields:
            Each reply.

        Raises:
            RefusedError: The daemon refused it, or could not be reached.
            Exception: What the requests raised; the call is broken off then.
        """
        failure: list[Exception] = []

        async def noticed() -> AsyncGenerator[Message, None]:
            # gRPC cancels a call whose requests fail, and does not say why.
            try:
                async with aclosing(requests):
                    async for request in requests:
                        yield request
            except Exception as error:
                failure.append(error)
                raise

        call = self._streams(service, rpc)(noticed(), metadata=[*self.credentials.metadata(), *metadata])
        try:
            with refused_by():
                async for answer in call:
                    yield answer
        except asyncio.CancelledError:
            if failure:
                raise failure[0] from None
            raise
        finally:
            call.cancel()

    def converse(self, service: ServiceDescriptor, rpc: str) -> Any:
        """Begin a call with streams on both sides.

        Returns:
            The call of grpc.aio.
        """
        return self._streams(service, rpc)(metadata=self.credentials.metadata())

    def _streams(self, service: ServiceDescriptor, rpc: str) -> Any:
        """What calls a method that has streams on both sides."""
        method = service.methods_by_name[rpc]
        return self._channel.stream_stream(
            f"/{service.full_name}/{rpc}",
            request_serializer=message_factory.GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
