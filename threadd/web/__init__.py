"""The doors for browsers and Node: grpc-web over HTTP, and the websocket dialect that the JS clients of the Hub speak.

`frames` and `metadata` know the bytes and do no I/O; `calls` runs one call over whatever carries it; `http_calls` and
`websocket_calls` are the two carriers as ASGI applications; `app` puts them together and `door` listens.
"""
