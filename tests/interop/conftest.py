"""The Go programs of this folder, built once, and the JS programs with their packages, installed once."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
import pytest
from daemons import GO_MODULE, JS_PACKAGE, GoDaemon, build_go, build_hub, has_go, install_js, prepare_godaemon


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


@pytest.fixture(scope="session")
def buck_program() -> Path:
    """The `buck` program of the Hub's users, built; without Go as `go_programs`."""
    return build_hub(_built() / "hub-program", "buck")


def _built() -> Path:
    """The folder where this clone's programs are put."""
    if not has_go():
        _go_without("Go is not installed: the clients of the Hub that these tests drive are Go programs")
    return _cache(GO_MODULE)


@pytest.fixture(scope="session")
def js_programs() -> Path:
    """The folder of the JS programs and their packages; without Node as `go_programs`."""
    if not (shutil.which("node") and shutil.which("npm")):
        _go_without("Node and npm are not installed: the clients of the Hub that these tests drive are JS programs")
    folder = _cache(JS_PACKAGE)
    install_js(folder)
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser; where there is none, as `go_programs`."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    _go_without("Chromium is not installed: these tests drive the clients of the Hub in a browser")
    return ""


def _go_without(reason: str) -> None:
    """Skip a test for want of a program, and fail it where CI runs it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _cache(source: Path) -> Path:
    """The folder where what is built of a source is put."""
    # Two clones of the project do not share a folder.
    clone = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:16]
    return platformdirs.user_cache_path("threadd-tests") / clone


@pytest.fixture
def start_godaemon(go_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., GoDaemon]]:
    """A function that starts a real go-threads daemon on free ports, with more flags; at the end it is killed."""
    daemons: list[GoDaemon] = []

    def start(*flags: str) -> GoDaemon:
        daemon = prepare_godaemon(tmp_path_factory.mktemp("godaemon"), go_programs, *flags)
        daemons.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in daemons:
        daemon.kill()
