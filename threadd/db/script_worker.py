"""The process that runs clients' JavaScript, apart from the daemon: what a script does to it, the daemon survives.

Each call gets an engine of its own, so nothing stays from call to call, and the engine has no way out: no files, no
network, no modules. Requests and answers are framed by a 4-byte big-endian length on stdin and stdout; the parent keeps
the time and ends this process when a call takes too long; an alarm does so where the parent is gone.
"""

import resource
import signal
import struct
import sys
from typing import BinaryIO

import msgspec
import quickjs

MEMORY_BYTES = 64 * 1024 * 1024
STACK_BYTES = 512 * 1024
_ADDRESS_SPACE_BYTES = 1024 * 1024 * 1024

_ORPHAN_SECONDS = 30

_LENGTH = struct.Struct(">I")

_CALL = """
(function (body, names, values) {
    "use strict";
    const names_ = names.split(","), values_ = JSON.parse(values);
    values_[0] ??= undefined;
    values_.length = names_.length;
    const result = Function.apply(null, names_.concat([body])).apply(undefined, values_);
    return result === undefined ? "null" : JSON.stringify(result);
})
"""


class Request(msgspec.Struct, array_like=True):
    """One call.

    Args:
        body: The body of a JavaScript function.
        names: The names of its arguments, joined by commas.
        values: Their values: the JSON text of an array. A first one of null, and those that it lacks at its end, are
            undefined.
        only_compile: Whether the body is only to be read, not called.
    """

    body: str
    names: str
    values: str
    only_compile: bool = False


class Answer(msgspec.Struct, array_like=True):
    """What came of a call.

    Args:
        result: The JSON text of what the function returned, or "".
        error: What went wrong, or "".
    """

    result: str = ""
    error: str = ""


def answer(request: Request) -> Answer:
    """Run one call in an engine of its own."""
    try:
        engine = quickjs.Context()
        engine.set_memory_limit(MEMORY_BYTES)
        engine.set_max_stack_size(STACK_BYTES)
        if request.only_compile:
            engine.set("body", request.body)
            engine.eval(f'new Function("{request.names}", body)')
            return Answer()
        result = engine.eval(_CALL)(request.body, request.names, request.values)
    except quickjs.JSException as error:
        return Answer(error=str(error).strip().split("\n", 1)[0])
    return Answer(result=result if isinstance(result, str) else "null")


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer calls, one after the other, until the source ends.

    Args:
        source: Framed `Request`s in msgpack.
        sink: Where the framed `Answer`s go.
    """
    decode = msgspec.msgpack.Decoder(Request).decode
    while len(head := source.read(_LENGTH.size)) == _LENGTH.size:
        request = decode(source.read(*_LENGTH.unpack(head)))
        signal.alarm(_ORPHAN_SECONDS)
        reply = msgspec.msgpack.encode(answer(request))
        signal.alarm(0)
        sink.write(_LENGTH.pack(len(reply)) + reply)
        sink.flush()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    serve(sys.stdin.buffer, sys.stdout.buffer)
