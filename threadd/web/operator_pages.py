"""What the operator finds at the gateway's address: health, metrics and the console, before the gateway's own pages."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from threadd.browsing_verbs import StatusSummary
from threadd.rooms import Rooms
from threadd.web import metrics
from threadd.web.console.console import BASE, Console
from threadd.web.hosts import host_of
from threadd.web.measuring import Measures
from threadd.web.operator_access import Access

_PLACES = frozenset({"/healthz", "/readyz", "/metrics", BASE})


class OperatorPages:
    """The pages, and what a command may ask of them (`threadd.operator.Live`).

    Args:
        rooms: What they show.
        measures: What is counted.
        token: What programs of elsewhere show to read metrics; empty for none.
        is_secure: Whether the gateway speaks TLS.
    """

    def __init__(self, rooms: Rooms, measures: Measures, token: str, *, is_secure: bool) -> None:
        self.url = ""
        """Where the gateway is, such as ``http://127.0.0.1:8006``; empty until it is open."""
        self._measures = measures
        self._access = Access(token)
        self._console = Console(rooms, measures, self._access, is_secure=is_secure)

    def link(self) -> str:
        """Make a link that opens the console once; empty where the gateway is off."""
        return f"{self.url}{BASE}/open/{self._access.new_link()}" if self.url else ""

    def status(self) -> StatusSummary:
        """Tell how the daemon is doing."""
        return self._measures.status()

    def routes(self) -> Sequence[BaseRoute]:
        """All routes."""
        return [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            *self._console.routes(),
        ]

    async def _healthz(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _request: Request) -> Response:
        if self._measures.is_ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", 503)

    async def _metrics(self, request: Request) -> Response:
        if not self._access.may_read_numbers(request):
            text = "metrics are for this machine, or for whoever shows the operator's token\n"
            return PlainTextResponse(text, 401, headers={"www-authenticate": "Bearer"})
        return Response(metrics.exposition(self._measures), media_type="text/plain; version=0.0.4; charset=utf-8")


class Front:
    """An ASGI application that gives the operator's places to the operator's pages, and all others to the gateway.

    Args:
        pages: The operator's pages.
        gateway: The gateway.
        domain: Under which each name is a bucket's website, all of whose places are its own; empty for none.
    """

    def __init__(self, pages: OperatorPages, gateway: ASGIApp, domain: str) -> None:
        self._pages = Starlette(routes=list(pages.routes()))
        self._gateway = gateway
        self._domain = domain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        is_operators = path in _PLACES or path.startswith(f"{BASE}/")
        answer = self._pages if is_operators and not self._is_website(scope) else self._gateway
        await answer(scope, receive, send)

    def _is_website(self, scope: Scope) -> bool:
        host = host_of(scope["headers"])
        return host is not None and host.below(self._domain) is not None
