"""Where a request comes from, as a text for logs."""

from threadd.web.calls import Scope


def peer_of(scope: Scope) -> str:
    """Tell the peer of an ASGI scope in the form that the gRPC doors have: `ipv4:127.0.0.1:50000`."""
    client = scope.get("client")
    if client is None:
        return "unknown"
    host, port = client[0], client[1]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
