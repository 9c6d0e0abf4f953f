"""GetToken: a client proves that it has the key of an identity and gets a token for it (threads protocol, "Tokens")."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from net import tokens
from net.crypto import Randomness
from net.keys import PrivateKey, PublicKey
from store.errors import StatusCode, ThreaddError
from threadd.api.statuses import InvalidRequestError

_SECOND: Final = 10**9


class ChallengeDeadlineError(ThreaddError):
    """The client did not answer in time."""

    code: ClassVar[StatusCode] = StatusCode.DEADLINE_EXCEEDED
    default_text: ClassVar[str] = "Challenge deadline exceeded"


@dataclass(frozen=True, slots=True)
class TokenFlow:
    """The conversation, the same in both services that have it.

    Args:
        host_key: Signs the tokens.
        randomness: Gives the challenges.
        clock: Nanoseconds since 1970.
        limit: How long to wait for each message of the client, in seconds.
        revoked: Up to which second the tokens of an identity do not count; a new one is dated behind that.
    """

    host_key: PrivateKey
    randomness: Randomness
    clock: Callable[[], int]
    limit: float = tokens.CHALLENGE_SECONDS
    revoked: Mapping[PublicKey, int] = field(default_factory=dict)

    async def run(self, requests: AsyncIterator[Any], reply_type: Callable[..., Any]) -> AsyncGenerator[Any, None]:
        """Challenge the client and give it a token.

        Args:
            requests: GetTokenRequest messages: the first with `key`, the second with `signature`.
            reply_type: GetTokenReply of the same service.

        Yields:
            One reply with `challenge`, one with `token`.

        Raises:
            InvalidRequestError: A message is missing or not the one that is due.
            InvalidKeyError: The key is none.
            BadChallengeError: The signature is not by that key.
            ChallengeDeadlineError: The client takes too long.
        """
        identity = PublicKey.from_text(await self._next(requests, "key", "Key is required"))
        challenge = self.randomness(tokens.CHALLENGE_BYTES)
        yield reply_type(challenge=challenge)
        signature = await self._next(requests, "signature", "Signature is required")
        tokens.check_challenge(identity, challenge, signature)
        issued_at = max(self.clock() // _SECOND, self.revoked.get(identity, -1) + 1)
        yield reply_type(token=tokens.issue(self.host_key, identity, issued_at))

    async def _next(self, requests: AsyncIterator[Any], field: str, missing: str) -> Any:
        try:
            async with asyncio.timeout(self.limit):
                request = await anext(requests, None)
        except TimeoutError as error:
            raise ChallengeDeadlineError from error
        if request is None or request.WhichOneof("payload") != field:
            raise InvalidRequestError(missing)
        return getattr(request, field)
