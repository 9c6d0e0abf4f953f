"""A client of `threads.pb.API` over a real channel: calls, streams that are held open, and listeners."""

import queue
import threading

import grpc
from model.model import RefusedError

from proto import threads_pb2 as pb

SECONDS = 20.0
"""How long an answer may take."""

EVENT_SECONDS = 5.0
"""How long an event may take once the write that it tells of was answered."""


def refusal(error):
    return RefusedError(error.code().name, error.details())


class Client:
    """The methods of a database by their names, on one channel."""

    def __init__(self, address, thread):
        self.channel = grpc.insecure_channel(address, [("grpc.enable_retries", 0)])
        self.thread = thread

    def close(self):
        self.channel.close()

    def call(self, method, **fields):
        """The reply; a refusal is raised."""
        request, reply = getattr(pb, f"{method}Request"), getattr(pb, f"{method}Reply")
        stub = self.channel.unary_unary(
            f"/threads.pb.API/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=reply.FromString,
        )
        try:
            return stub(request(dbID=self.thread, **fields), timeout=SECONDS, wait_for_ready=True)
        except grpc.RpcError as error:
            raise refusal(error) from error

    def transaction(self, kind, collection):
        return Stream(self, kind, collection)

    def listen(self, filters):
        return Ear(self, filters)


class Stream:
    """A transaction that is held open: `kind` is Read or Write."""

    def __init__(self, client, kind, collection):
        self.request = getattr(pb, f"{kind}TransactionRequest")
        reply = getattr(pb, f"{kind}TransactionReply")
        self.to_send = queue.SimpleQueue()
        stub = client.channel.stream_stream(
            f"/threads.pb.API/{kind}Transaction",
            request_serializer=self.request.SerializeToString,
            response_deserializer=reply.FromString,
        )
        start = pb.StartTransactionRequest(dbID=client.thread, collectionName=collection)
        self.to_send.put(self.request(startTransactionRequest=start))
        self.replies = stub(iter(self.to_send.get, None), timeout=3 * SECONDS, wait_for_ready=True)

    def ask(self, method, **fields):
        """The reply to one operation; a refusal, of the operation or of the stream, is raised. The former has no code."""
        option = f"{method[0].lower()}{method[1:]}"
        request = getattr(pb, f"{method}Request")(**fields)
        self.to_send.put(self.request(**{f"{option}Request": request}))
        try:
            reply = next(self.replies)
        except grpc.RpcError as error:
            self.to_send.put(None)
            raise refusal(error) from error
        answer = getattr(reply, f"{option}Reply")
        assert reply.WhichOneof("option") == f"{option}Reply"
        error = getattr(answer, "transactionError", "")
        if error:
            raise RefusedError("", error)
        return answer

    def end(self):
        """End it and wait for what the daemon says to that."""
        self.to_send.put(None)
        try:
            assert list(self.replies) == []
        except grpc.RpcError as error:
            raise refusal(error) from error

    def abandon(self):
        """Go away without an end, as a client does that dies."""
        self.replies.cancel()
        self.to_send.put(None)


class Ear:
    """A listener that takes what comes at once; it hears of everything that is done after it was made."""

    def __init__(self, client, filters):
        stub = client.channel.unary_stream(
            "/threads.pb.API/Listen",
            request_serializer=pb.ListenRequest.SerializeToString,
            response_deserializer=pb.ListenReply.FromString,
        )
        wanted = [pb.ListenRequest.Filter(collectionName=one, instanceID=id_, action=act) for one, id_, act in filters]
        self.filters = filters
        self.stream = stub(pb.ListenRequest(dbID=client.thread, filters=wanted), wait_for_ready=True)
        self.heard = queue.SimpleQueue()
        self.stream.initial_metadata()
        self.thread = threading.Thread(target=self._take, daemon=True)
        self.thread.start()

    def _take(self):
        try:
            for event in self.stream:
                self.heard.put(event)
            self.heard.put(RefusedError("OK", ""))
        except grpc.RpcError as error:
            self.heard.put(refusal(error))

    def next(self):
        """The next event, or the refusal that ended the stream.

        Raises:
            queue.Empty: Nothing came in time.
        """
        return self.heard.get(timeout=EVENT_SECONDS)

    def close(self):
        self.stream.cancel()
        self.thread.join(SECONDS)
