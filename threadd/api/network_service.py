"""`threads.net.pb.API`: threads without a database. What is not here answers UNIMPLEMENTED."""

from collections.abc import AsyncIterator

from proto import threadsnet_pb2 as pb
from threadd.api.dispatcher import Call
from threadd.api.token_flow import TokenFlow

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["API"]


class NetworkService:
    """The servicer.

    Args:
        token_flow: Gives tokens.
    """

    def __init__(self, token_flow: TokenFlow) -> None:
        self._token_flow = token_flow
        self._peer_id = token_flow.host_key.public.peer_id

    async def get_host_id(self, _call: Call, _request: pb.GetHostIDRequest) -> pb.GetHostIDReply:
        """Tell the peer ID of this daemon."""
        return pb.GetHostIDReply(peerID=self._peer_id)

    def get_token(
        self,
        _call: Call,
        requests: AsyncIterator[pb.GetTokenRequest],
    ) -> AsyncIterator[pb.GetTokenReply]:
        """Give a token to whoever proves to be an identity; see `TokenFlow.run`."""
        return self._token_flow.run(requests, pb.GetTokenReply)
