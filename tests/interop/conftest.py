"""The Go programs of this folder, built once."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
import pytest
from daemons import GO_MODULE, GoDaemon, build_go, build_hub, has_go, prepare_godaemon


@pytest.fixture(scope="session")
def go_programs() -> Path:
    """The folder of the built programs; without Go the test is skipped, and fails where CI runs it."""
    folder = _built()
    build_go(folder)
    return folder


@pytest.fixture(scope="session")
def hub_program() -> Path:
    """The `hub` program of the Hub's users, built; without Go as `go_programs`."""
    return build_hub(_built() / "hub-program")


def _built() -> Path:
    """The folder where this clone's programs are put."""
    if not has_go():
        reason = "Go is not installed: the clients of the Hub that these tests drive are Go programs"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    # Two clones of the project do not share a folder.
    clone = hashlib.sha256(str(GO_MODULE.resolve()).encode()).hexdigest()[:16]
    return platformdirs.user_cache_path("threadd-tests") / clone


@pytest.fixture
def start_godaemon(go_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], GoDaemon]]:
    """A function that starts a real go-threads daemon on free ports; what still runs at the end is killed."""
    daemons: list[GoDaemon] = []

    def start() -> GoDaemon:
        daemon = prepare_godaemon(tmp_path_factory.mktemp("godaemon"), go_programs)
        daemons.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in daemons:
        daemon.kill()
