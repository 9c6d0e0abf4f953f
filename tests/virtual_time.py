"""An event loop whose clock jumps: when nothing is left to do, it is at once the time of whatever waits next."""

import asyncio
import selectors


class _Selector(selectors.SelectSelector):
    """Waits for nothing; it says how long it would have waited."""

    def __init__(self):
        super().__init__()
        self.waited = lambda _seconds: None

    def select(self, timeout=None):
        if timeout:
            self.waited(timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs what needs no other thread and no other process; an hour of sleep takes no time."""

    def __init__(self):
        self._now = 0.0
        selector = _Selector()
        super().__init__(selector)
        selector.waited = self._pass

    def time(self):
        return self._now

    def _pass(self, seconds):
        self._now += seconds


def run(main):
    """Run a coroutine on such a loop."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
