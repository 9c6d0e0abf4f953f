"""Who may see the operator's pages: whoever is on this machine sees numbers; the rest wants a token.

A link with a token that works once opens a session in a browser. The token of the settings, if there is one, is for
programs: it is sent as `Authorization: Bearer ...`. Nothing here is ever logged.
"""

import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from starlette.requests import Request

from threadd.web.hosts import Host, host_of, parse_origin

COOKIE: Final = "threadd-console"

LINK_SECONDS: Final = 15 * 60.0
"""How long a link may wait to be opened."""

SESSION_SECONDS: Final = 12 * 3600.0

_MOST_LINKS: Final = 20
_LOOPBACK_NAMES: Final = frozenset({"localhost", "localhost.localdomain"})


class Access:
    """Links and sessions; both end with the daemon.

    Args:
        token: What programs show; empty for none.
        clock: Seconds.
    """

    def __init__(self, token: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token
        self._clock = clock
        self._links: dict[str, float] = {}
        self._sessions: dict[str, float] = {}

    def new_link(self) -> str:
        """Make a token that opens one session."""
        self._drop_old()
        while len(self._links) >= _MOST_LINKS:
            del self._links[next(iter(self._links))]
        link = secrets.token_urlsafe(24)
        self._links[link] = self._clock() + LINK_SECONDS
        return link

    def open_session(self, link: str) -> str | None:
        """Use up a token of a link.

        Returns:
            What the browser keeps, or None where the token is none, was used, or is too old.
        """
        self._drop_old()
        if self._links.pop(link, None) is None:
            return None
        session = secrets.token_urlsafe(32)
        self._sessions[session] = self._clock() + SESSION_SECONDS
        return session

    def end_session(self, request: Request) -> None:
        """End the session of a request."""
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)

    def has_session(self, request: Request) -> bool:
        """Whether a request comes from a browser that was let in, or shows the token of the settings."""
        self._drop_old()
        return request.cookies.get(COOKIE, "") in self._sessions or self._shows_token(request)

    def may_read_numbers(self, request: Request) -> bool:
        """Whether a request may see metrics: from this machine, or let in."""
        return is_local(request) or self.has_session(request)

    def _shows_token(self, request: Request) -> bool:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        return (
            bool(self._token)
            and scheme.lower() == "bearer"
            and hmac.compare_digest(shown.encode(), self._token.encode())
        )

    def _drop_old(self) -> None:
        now = self._clock()
        for kept in (self._links, self._sessions):
            for name in [name for name, until in kept.items() if until < now]:
                del kept[name]


def is_local(request: Request) -> bool:
    """Whether a request was made on this machine by its own name.

    A page of elsewhere can have a browser here send requests to a name that leads here: that name gives it away.
    """
    if request.client is None:
        return False
    host = host_of(request.scope["headers"])
    if host is None or not Host(request.client.host).is_loopback:
        return False
    return host.name in _LOOPBACK_NAMES or host.is_loopback


def is_own_page(request: Request) -> bool:
    """Whether a request that changes something comes from a page of the console itself."""
    origin = parse_origin(request.headers.get("origin", ""))
    return origin is not None and origin.host == host_of(request.scope["headers"])
