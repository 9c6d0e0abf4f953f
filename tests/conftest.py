"""What every room of tests may use: real daemons."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The helper modules of the tests are plain modules beside this file; importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from daemons import Daemon, prepare_threadd

# How long an example takes says something of the machine, not of the rule.
settings.register_profile("threadd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("threadd")


@pytest.fixture
def start_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Daemon]]:
    """A function that starts a `threadd` daemon on free ports in a folder of its own and waits until it is ready.

    It takes more flags for `threadd serve`. What still runs at the end of the test is killed.
    """
    daemons: list[Daemon] = []

    def start(*flags: str) -> Daemon:
        daemon = prepare_threadd(tmp_path_factory.mktemp("daemon"), *flags)
        daemons.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in daemons:
        daemon.kill()
