"""The two carriers put together as one ASGI application."""

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from threadd.web.calls import Calls
from threadd.web.http_calls import HttpCalls
from threadd.web.websocket_calls import WebsocketCalls


def web_app(calls: Calls) -> Starlette:
    """Make the application of a door.

    Args:
        calls: The calls of the door. A method's path is its full name, such as `/threads.pb.API/FindByID`.
    """
    return Starlette(
        routes=[
            Route("/{path:path}", HttpCalls(calls)),
            WebSocketRoute("/{path:path}", WebsocketCalls(calls)),
        ],
    )
