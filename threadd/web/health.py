"""Whether the daemon runs and takes work, for programs that watch it; the same at every HTTP endpoint."""

from collections.abc import Callable
from typing import Final

from starlette.responses import PlainTextResponse, Response

LIVE_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"


def health_response(path: str, is_ready: Callable[[], bool]) -> Response:
    """Answer at one of the two paths.

    Args:
        path: `LIVE_PATH`, where any answer says that the process runs, or `READY_PATH`.
        is_ready: Whether work is taken.
    """
    if path == LIVE_PATH:
        return PlainTextResponse("ok\n")
    return PlainTextResponse("ready\n") if is_ready() else PlainTextResponse("not ready\n", 503)
