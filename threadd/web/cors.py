"""What lets a page of any origin read an answer; whether it is answered at all is for `threadd.web.origins`.

A page that is refused is let through the preflight, too: of a preflight that failed its browser shows it nothing, so
that no page could tell its developer which setting lets it in. The headers are those of the facts (section 1, "grpc-web
over HTTP").
"""

from typing import Final

from starlette.datastructures import Headers

_MAX_AGE: Final = "600"
_EXPOSED: Final = "content-type, grpc-status, grpc-message, x-request-id"


def is_preflight(asked: Headers) -> bool:
    """Whether an OPTIONS request asks what a page may do."""
    return "origin" in asked and "access-control-request-method" in asked


def preflight_fields(asked: Headers) -> list[tuple[str, str]]:
    """The headers that answer a preflight.

    Args:
        asked: The headers of the request.
    """
    fields = [
        ("access-control-allow-origin", asked["origin"]),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "POST"),
        ("access-control-max-age", _MAX_AGE),
        ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    if names := asked.get("access-control-request-headers"):
        fields.append(("access-control-allow-headers", names))
    return fields


def reply_fields(asked: Headers) -> list[tuple[str, str]]:
    """The headers that let a page read a reply; without an origin there is no page.

    Args:
        asked: The headers of the request.
    """
    if "origin" not in asked:
        return [("vary", "Origin")]
    return [
        ("access-control-allow-origin", asked["origin"]),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", _EXPOSED),
        ("vary", "Origin"),
    ]
