"""The console's endpoint: what the operator finds there, health, metrics and the console, and nobody else's content."""

from collections.abc import Iterable
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from threadd.browsing_verbs import HealthSummary, OperatorToken, StatusSummary
from threadd.rooms import Rooms
from threadd.web import metrics
from threadd.web.console.console import BASE, Console
from threadd.web.console.guard import Guard
from threadd.web.health import LIVE_PATH, READY_PATH, health_response
from threadd.web.measuring import Measures
from threadd.web.operator_access import TOKEN_HINT, TOKEN_SECONDS, Access

METRICS_PATH: Final = "/metrics"


class OperatorPages:
    """The pages, and what a command may ask of them (`threadd.operator.Live`).

    Args:
        rooms: What they show.
        measures: What is counted.
        access: Who is the operator.
        names: Host names that the console is reached by, besides IP addresses and `localhost`.
        is_secure: Whether the endpoint speaks TLS.
    """

    def __init__(
        self, rooms: Rooms, measures: Measures, access: Access, names: Iterable[str], *, is_secure: bool
    ) -> None:
        self.url = ""
        """Where the endpoint is, such as ``http://127.0.0.1:8007``; empty until it is open."""
        self._rooms = rooms
        self._measures = measures
        self._access = access
        self._names = frozenset(names)
        self._is_secure = is_secure

    def link(self) -> str:
        """Make a link that opens the console once; empty where the console is off."""
        return f"{self.url}{BASE}/open/{self._access.new_link()}" if self.url else ""

    def token(self) -> OperatorToken:
        """Make an operator token."""
        return OperatorToken(self._access.new_token(), int(TOKEN_SECONDS))

    def health(self) -> HealthSummary:
        """Tell whether work is taken."""
        return HealthSummary(
            "" if self._measures.is_ready() else "it is stopping, or its disk takes no writes; see its log"
        )

    def status(self) -> StatusSummary:
        """Tell how the daemon is doing."""
        return self._measures.status()

    def app(self, gateway_port: int | None) -> ASGIApp:
        """Make the application of the endpoint.

        Args:
            gateway_port: Where the gateway listens; None where it is off.
        """
        console = Console(self._rooms, self._measures, self._access, gateway_port, is_secure=self._is_secure)
        open_paths = (LIVE_PATH, READY_PATH, METRICS_PATH)
        routes = [
            Route(LIVE_PATH, self._health),
            Route(READY_PATH, self._health),
            Route(METRICS_PATH, self._metrics),
            Route("/", lambda _request: RedirectResponse(f"{BASE}/", 302)),
            *console.routes(),
        ]
        return Guard(Starlette(routes=routes), self._names, open_paths)

    async def _health(self, request: Request) -> Response:
        return health_response(request.url.path, self._measures.is_ready)

    async def _metrics(self, request: Request) -> Response:
        if not self._access.has_token(request):
            text = f"metrics are for the operator; {TOKEN_HINT}\n"
            return PlainTextResponse(text, 401, headers={"www-authenticate": "Bearer"})
        return Response(metrics.exposition(self._measures), media_type="text/plain; version=0.0.4; charset=utf-8")
