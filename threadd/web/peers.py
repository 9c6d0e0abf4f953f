"""Where a client is, as gRPC writes it."""

from typing import Any

from threadd.web.calls import Scope
from threadd.web.proxies import TrustedProxies


def peer_of(scope: Scope, proxies: TrustedProxies) -> str:
    """The peer of an ASGI connection: `ipv4:127.0.0.1:50000`.

    Args:
        scope: Of the request or of the websocket's handshake.
        proxies: Those that are believed about their clients.
    """
    forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    client = scope.get("client")
    return peer_text(proxies.client_of(client and (client[0], client[1]), forwarded))


def peer_text(address: Any) -> str:
    """An address of a socket; "unknown" where there is none."""
    if not address:
        return "unknown"
    host, port = address[0], address[1]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
