"""Work on the trio side that nobody waits for; one that fails would otherwise end all that its nursery owns."""

from collections.abc import Awaitable, Callable

import trio

from store import background


async def guarded(name: str, work: Callable[[], Awaitable[None]], restart: float | None = None) -> None:
    """Run work; where it fails in a way that nobody foresaw, that is logged and counted (`store.background`).

    Args:
        name: See `background.record_failure`.
        work: Begins it.
        restart: How many seconds after a failure it is begun again; None where it is not.
    """
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  whatever it is, it is told of here
            background.record_failure(name, error)
        else:
            return
        if restart is None:
            return
        await trio.sleep(restart)
