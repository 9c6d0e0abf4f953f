"""A daemon for the tests of programs that use one: a context manager, and a pytest fixture that is built on it.

In a ``conftest.py``::

    pytest_plugins = ["threadd.client.testing"]

and in a test::

    async def test_it(threadd_daemon):
        async with Client(threadd_daemon.threads_api) as client: ...
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import pytest

from threadd.client.credentials import ApiKey
from threadd.client.errors import ClientError

_DOORS: Final = ("hub-api", "hub-web", "threads-api", "threads-web")
_STOP_SECONDS: Final = 10.0


class _PrintedKey(msgspec.Struct):
    key: str
    secret: str


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that runs.

    Args:
        hub_api: ``HOST:PORT`` of the Hub's gRPC door.
        hub_web: ``HOST:PORT`` of the Hub's grpc-web door.
        threads_api: ``HOST:PORT`` of the gRPC door of a plain threads daemon.
        threads_web: ``HOST:PORT`` of the grpc-web door of a plain threads daemon.
        repo: The folder that holds everything.
    """

    hub_api: str
    hub_web: str
    threads_api: str
    threads_web: str
    repo: Path

    def create_key(self, kind: str = "user") -> ApiKey:
        """Make an API key for the Hub's door.

        Args:
            kind: ``user`` or ``account``.

        Raises:
            ClientError: It cannot be made.
        """
        command = [sys.executable, "-m", "threadd", "keys", "create", "--type", kind, "--json"]
        command += ["--repo", str(self.repo)]
        done = subprocess.run(command, capture_output=True, env=_environment(), check=False)  # noqa: S603  our own
        if done.returncode != 0:
            raise ClientError(f"no API key: {done.stderr.decode(errors='replace')}")
        printed = msgspec.json.decode(done.stdout, type=_PrintedKey)
        return ApiKey(printed.key, printed.secret)


@contextmanager
def run_daemon(repo: Path, *flags: str) -> Generator[Daemon, None, None]:
    """Run a daemon on free ports of this machine for as long as the body runs; it talks to no other host.

    Args:
        repo: The folder that is to hold everything.
        flags: More flags for ``threadd serve``.

    Raises:
        ClientError: It does not start.
    """
    command = [sys.executable, "-m", "threadd", "serve", "--repo", str(repo), "--host-addr", "off"]
    command += ["--gateway", "off", "--console", "off"]
    for door in _DOORS:
        command += [f"--{door}", "127.0.0.1:0"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603  our own
            [*command, *flags], stdout=subprocess.PIPE, stderr=said, env=_environment(), text=True
        )
        try:
            places = _until_ready(process)
            if places is None:
                said.seek(0)
                raise ClientError(f"the daemon does not start:\n{said.read().decode(errors='replace')}")
            hub_api, hub_web, threads_api, threads_web = (places[door] for door in _DOORS)
            yield Daemon(hub_api, hub_web, threads_api, threads_web, repo)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _until_ready(process: "subprocess.Popen[str]") -> dict[str, str] | None:
    """Where the doors are, or None where the daemon has ended."""
    if process.stdout is None:
        return None
    for line in process.stdout:
        if line.startswith("ready "):
            # What it prints later must not fill the pipe.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return dict(part.split("=", 1) for part in line.split()[1:])
    return None


def _environment() -> dict[str, str]:
    """Give an environment without the settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("THREADD_")}


@pytest.fixture
def threadd_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon of a test's own."""
    with run_daemon(tmp_path_factory.mktemp("threadd") / "repo") as daemon:
        yield daemon
