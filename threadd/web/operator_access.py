"""Who is the operator: the one rule for the console, metrics, documents over HTTP, bucket lists and unowned buckets.

The operator shows either an operator token (``Authorization: Bearer ...``), which is that of the settings or one made
through the control socket, or, in the console only, the cookie of a session that a one-use link opened. An
address, a host name or a forwarded header grants nothing. Nothing here is ever logged.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from starlette.requests import Request

LINK_SECONDS: Final = 15 * 60.0
"""How long a link may wait to be opened."""

SESSION_SECONDS: Final = 12 * 3600.0

TOKEN_SECONDS: Final = 12 * 3600.0
"""How long a token that was made through the control socket is good for."""

TOKEN_HINT: Final = "send Authorization: Bearer TOKEN with what threadd token prints on the daemon's machine"  # noqa: S105
"""What a refusal says about getting an operator token."""

_MAX_LINKS: Final = 20
_MAX_SESSIONS: Final = 100
_MAX_TOKENS: Final = 1000


class _Secrets:
    """Random secrets with a lifetime, of which only hashes are kept.

    Args:
        seconds: How long one is good for.
        most: How many are kept; the oldest makes room.
        clock: Seconds.
    """

    def __init__(self, seconds: float, most: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._ends: dict[bytes, float] = {}

    def make(self) -> str:
        """Make one."""
        self._drop_expired()
        while len(self._ends) >= self._most:
            del self._ends[next(iter(self._ends))]
        made = secrets.token_urlsafe(32)
        self._ends[_hash(made)] = self._clock() + self._seconds
        return made

    def holds(self, text: str) -> bool:
        """Whether a text is one of them."""
        self._drop_expired()
        return _hash(text) in self._ends

    def take(self, text: str) -> bool:
        """Remove one; tells whether it was there."""
        self._drop_expired()
        return self._ends.pop(_hash(text), None) is not None

    def _drop_expired(self) -> None:
        # All live equally long, so the oldest expires first.
        now = self._clock()
        while self._ends and next(iter(self._ends.values())) < now:
            del self._ends[next(iter(self._ends))]


class Access:
    """The operator's tokens, links and sessions. All but the token of the settings end with the daemon.

    Args:
        token: The operator token of the settings; empty for none.
        repository: Distinguishes the repository from others, so that the cookies of two daemons on one host differ.
        clock: Seconds.
    """

    def __init__(self, token: str = "", repository: bytes = b"", clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token
        self._links = _Secrets(LINK_SECONDS, _MAX_LINKS, clock)
        self._sessions = _Secrets(SESSION_SECONDS, _MAX_SESSIONS, clock)
        self._tokens = _Secrets(TOKEN_SECONDS, _MAX_TOKENS, clock)
        self.cookie = f"threadd-console-{hashlib.sha256(repository).hexdigest()[:8]}"
        """The name of the cookie that holds a session."""

    def new_token(self) -> str:
        """Make an operator token."""
        return self._tokens.make()

    def new_link(self) -> str:
        """Make a secret that opens one session."""
        return self._links.make()

    def open_session(self, link: str) -> str | None:
        """Use up the secret of a link.

        Returns:
            The value of the cookie, or None if the secret is unknown, used or expired.
        """
        return self._sessions.make() if self._links.take(link) else None

    def end_session(self, request: Request) -> None:
        """End the session of a request."""
        self._sessions.take(request.cookies.get(self.cookie, ""))

    def has_session(self, request: Request) -> bool:
        """Whether a request to the console is the operator's: by a session, or by a token."""
        return self._sessions.holds(request.cookies.get(self.cookie, "")) or self.has_token(request)

    def has_token(self, request: Request) -> bool:
        """Whether a request, to any endpoint, shows an operator token."""
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        shown = shown.strip()
        is_configured = bool(self._token) and hmac.compare_digest(shown.encode(), self._token.encode())
        return is_configured or self._tokens.holds(shown)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
