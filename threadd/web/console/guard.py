"""What stands between the pages of other origins and the console, whatever its routes are.

A browser sends the operator's session along with requests that other pages cause. The cookie's SameSite does not stop a
page of another port of this machine, which is of the same site; these rules do.
"""

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from threadd.web.hosts import Host, SeveralOriginsError, host_of, origin_of, parse_origin

_FIELDS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    # Without any referrer a browser does not say where a form comes from.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
_SAFE_METHODS: Final = ("GET", "HEAD")
_FOREIGN: Final = "This request comes from a page of another origin.\n"
_UNKNOWN_NAME: Final = (
    "The console does not answer to this host name: if it is reached by that name, add it to --console-host.\n"
)


class Guard:
    """An ASGI application in front of the console that refuses what other origins cause, and marks every answer.

    The hosts that the console answers to are IP addresses, `localhost` and those of the settings. A page whose DNS name
    is made to lead here (DNS rebinding) has its origin under a name that is none of these.

    Args:
        app: The console.
        names: Host names of the settings, in lower case.
        open_paths: Where nothing depends on a session, so that any host name will do.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], open_paths: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(names) | {"localhost"}
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_FIELDS)
            await send(message)

        refusal = "" if scope["path"] in self._open_paths else self._refusal(scope)
        app = PlainTextResponse(refusal, 403) if refusal else self._app
        await app(scope, receive, send_marked)

    def _refusal(self, scope: Scope) -> str:
        """Why a request is refused; empty if it is not."""
        host = host_of(scope["headers"])
        if host is None or not (host.name in self._names or host.is_address):
            return _UNKNOWN_NAME
        headers = Headers(scope=scope)
        if scope["method"] in _SAFE_METHODS:
            return _FOREIGN if _is_foreign_page(headers) else ""
        is_own = _is_page_of(host, scope) and headers.get("sec-fetch-site", "same-origin") == "same-origin"
        return "" if is_own else _FOREIGN


def _is_page_of(host: Host, scope: Scope) -> bool:
    """Whether a page of a host makes a request."""
    try:
        origin = parse_origin(origin_of(scope["headers"]) or "")
    except SeveralOriginsError:
        return False
    return origin is not None and origin.host == host


def _is_foreign_page(headers: Headers) -> bool:
    """Whether a page of another origin fetches, embeds or frames something here, rather than leading to it.

    Browsers say so in Fetch Metadata (https://www.w3.org/TR/fetch-metadata/); other programs do not send it.
    """
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    return headers.get("sec-fetch-mode") != "navigate" or headers.get("sec-fetch-dest") != "document"
