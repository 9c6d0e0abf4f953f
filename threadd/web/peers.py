"""Where a client is."""

from typing import Any

from threadd.web.calls import Scope


def peer_of(scope: Scope) -> str:
    """The peer of an ASGI connection, as gRPC writes it: `ipv4:127.0.0.1:50000`."""
    return peer_text(scope.get("client"))


def peer_text(address: Any) -> str:
    """An address of a socket as gRPC writes it; "unknown" where there is none."""
    if not address:
        return "unknown"
    host, port = address[0], address[1]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
