"""Background work: an unexpected failure is logged with its traceback and counted.

Failures that a peer or a disk causes are for the work itself to handle.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]

_OTHER: Final = "other"

_TRACE_SECONDS: Final = 10.0
"""How often failures of one name and kind are logged: what a peer can cause again and again does not fill the log."""

_counts: Counter[str] = Counter()
_logged: dict[tuple[str, type[BaseException]], float] = {}
"""When a failure of each name and kind was last logged."""
_lock: Final = threading.Lock()


def failures() -> dict[str, int]:
    """How often work in the background has failed in this process, by its name."""
    with _lock:
        return dict(_counts)


def record_failure(name: str, error: BaseException) -> None:
    """Log an unexpected error with its traceback, and count it; callable from any thread.

    Args:
        name: Which work failed; one of few names, since it is a label of a metric.
        error: What it raised.
    """
    now = time.monotonic()
    with _lock:
        _counts[name] += 1
        count = _counts[name]
        kind = name, type(error)
        is_due = now - _logged.get(kind, -_TRACE_SECONDS) >= _TRACE_SECONDS
        if is_due:
            _logged[kind] = now
    if is_due:
        log.error("work in the background failed (%d in all): %s", count, name, exc_info=error)


def spawn(
    name: str,
    work: Callable[[], Coroutine[Any, Any, None]],
    *,
    restart: float | None = None,
    sleep: Sleep = asyncio.sleep,
) -> "asyncio.Task[None]":
    """Run work beside everything else.

    Args:
        name: See `record_failure`.
        work: Begins it.
        restart: How many seconds after a failure it is begun again; None where it is not.
        sleep: Waits some seconds.

    Returns:
        The task, which the caller owns. It raises nothing but `CancelledError`.
    """

    async def run() -> None:
        while True:
            try:
                await work()
            except asyncio.CancelledError as error:
                if task.cancelling():
                    raise
                record_failure(name, error)  # what the work waited for was cancelled, and not this task
            except Exception as error:  # noqa: BLE001  any failure is recorded here
                record_failure(name, error)
            else:
                return
            if restart is None:
                return
            await sleep(restart)

    task = asyncio.create_task(run(), name=name)
    return task


def watch(name: str, task: "asyncio.Task[Any]") -> None:
    """Record the failure of a task that is not awaited.

    Args:
        name: See `record_failure`.
        task: The task.
    """

    def look(done: "asyncio.Task[Any]") -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            record_failure(name, error)

    task.add_done_callback(look)


def watch_process(loop: asyncio.AbstractEventLoop) -> None:
    """Record failures in callbacks of an event loop, in tasks that are never awaited, and in threads.

    Args:
        loop: The event loop.
    """

    def of_loop(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        if error is None:
            log.error("the event loop says: %s", context["message"])
        else:
            record_failure(_OTHER, error)

    def of_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is not None:
            record_failure(_OTHER, failed.exc_value)

    loop.set_exception_handler(of_loop)
    threading.excepthook = of_thread
