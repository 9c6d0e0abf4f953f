"""Work on the trio side that is not awaited; a failure would otherwise end all that its nursery owns."""

from collections.abc import Awaitable, Callable

import trio

from store import background


async def guarded(name: str, work: Callable[[], Awaitable[None]], restart: float | None = None) -> None:
    """Run work; an unexpected failure is logged and counted (`store.background`).

    Args:
        name: See `background.record_failure`.
        work: Begins it.
        restart: How many seconds after a failure it is begun again; None where it is not.
    """
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  any failure is recorded here
            background.record_failure(name, error)
        else:
            return
        if restart is None:
            return
        await trio.sleep(restart)
