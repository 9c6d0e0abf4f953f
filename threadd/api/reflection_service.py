"""`grpc.reflection.v1alpha.ServerReflection`: tells tools such as grpcurl what a door answers, from the descriptors."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message
from grpc_reflection.v1alpha import reflection_pb2 as pb

from store.errors import StatusCode
from threadd.api.dispatcher import Call

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["ServerReflection"]


class ReflectionService:
    """The servicer.

    Args:
        services: The full names of the services of this door.
    """

    def __init__(self, services: Collection[str]) -> None:
        self._services = sorted(services)
        self._pool = descriptor_pool.Default()

    async def server_reflection_info(
        self, _call: Call, requests: AsyncIterator[pb.ServerReflectionRequest]
    ) -> AsyncGenerator[pb.ServerReflectionResponse, None]:
        """Answer questions until the client ends the stream; what is not there is said in the answer."""
        async for request in requests:
            answer = self._answer(request)
            yield pb.ServerReflectionResponse(valid_host=request.host, original_request=request, **answer)

    def _answer(self, request: pb.ServerReflectionRequest) -> dict[str, Message]:
        match request.WhichOneof("message_request"):
            case "list_services":
                found = [pb.ServiceResponse(name=name) for name in self._services]
                return {"list_services_response": pb.ListServiceResponse(service=found)}
            case "file_by_filename":
                return self._file(self._pool.FindFileByName, request.file_by_filename)
            case "file_containing_symbol":
                return self._file(self._pool.FindFileContainingSymbol, request.file_containing_symbol)
            case _:
                return _refusal(StatusCode.NOT_FOUND, "no message here has extensions")

    def _file(self, find: Callable[[str], FileDescriptor], name: str) -> dict[str, Message]:
        try:
            file = find(name)
        except KeyError:
            return _refusal(StatusCode.NOT_FOUND, f"{name} is not known here")
        needed: dict[str, bytes] = {}
        _collect(file, needed)
        return {"file_descriptor_response": pb.FileDescriptorResponse(file_descriptor_proto=needed.values())}


def _collect(file: FileDescriptor, needed: dict[str, bytes]) -> None:
    """Add a file and what it imports."""
    if file.name not in needed:
        needed[file.name] = file.serialized_pb
        for imported in file.dependencies:
            _collect(imported, needed)


def _refusal(code: StatusCode, text: str) -> dict[str, Message]:
    return {"error_response": pb.ErrorResponse(error_code=int(code), error_message=text)}
