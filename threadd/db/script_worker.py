"""The process that runs clients' JavaScript, apart from the daemon: what a script does to it, the daemon survives.

Each call gets an engine of its own, so nothing stays from call to call, and the engine has no way out: no files, no
network, no modules.
"""

import msgspec
import quickjs

from threadd.db import worker_frames

MEMORY_BYTES = 64 * 1024 * 1024
STACK_BYTES = 512 * 1024
MAX_TEXT = 1_000
"""How many characters of a script's own words are passed on where it refuses or fails."""

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
        return Answer(error=str(error).strip().split("\n", 1)[0][:MAX_TEXT])
    return Answer(result=result if isinstance(result, str) else "null")


if __name__ == "__main__":
    worker_frames.run(Request, answer)
