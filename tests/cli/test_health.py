"""`threadd health`: what a container asks every few seconds."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from daemons import Daemon, environment

from threadd.control import ControlServer

HEAVY = (
    "asyncio",
    "google.protobuf",
    "grpc",
    "lmdb",
    "starlette",
    "structlog",
    "uvloop",
    "threadd.cli",
    "threadd.config",
)


def ask(*arguments: str | Path, variables: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run the command; returns its exit status and what it printed, on standard output and on standard error."""
    command = [sys.executable, "-m", "threadd", "health", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment() | (variables or {})
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.timeout(120)
def test_a_daemon_from_its_start_to_its_end(start_daemon: Callable[..., Daemon]) -> None:
    # It listens to nobody but the operator.
    daemon = start_daemon("--hub-web", "off", "--threads-web", "off", "--gateway", "off", "--host-addr", "off")
    assert ask("--repo", daemon.repo) == (0, "ready\n", "")
    assert ask(variables={"THREADD_REPO": str(daemon.repo)}) == (0, "ready\n", "")
    status, said, _ = ask("--repo", daemon.repo, "--json")
    assert (status, json.loads(said)) == (0, {"ready": True, "fault": ""})

    process = daemon.process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    status, said, fault = ask("--repo", daemon.repo, "--timeout", "0.5")
    assert (status, said, fault) == (1, "", "not ready: the daemon did not answer: timed out\n")
    os.kill(process.pid, signal.SIGCONT)
    daemon.stop()

    gone = f"no daemon runs on {daemon.repo}, or it is still starting"
    assert ask("--repo", daemon.repo) == (1, "", f"not ready: {gone}\n")
    status, said, _ = ask("--repo", daemon.repo, "--json")
    assert (status, json.loads(said)) == (1, {"ready": False, "fault": gone})


async def test_a_daemon_that_takes_no_work(tmp_path: Path) -> None:
    asked = []

    async def handle(request: bytes) -> bytes:
        asked.append(json.loads(request))
        return b'{"fault":"its disk takes no writes"}'

    server = ControlServer(tmp_path, handle)
    await server.start()
    try:
        done = await _ask_beside(tmp_path)
    finally:
        await server.close()
    assert done == (1, "not ready: its disk takes no writes\n")
    assert asked == [{"verb": "check_health"}]


async def _ask_beside(repo: Path) -> tuple[int | None, str]:
    """Run the command while this event loop goes on; returns its exit status and its standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "threadd", "health", "--repo", str(repo), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


def test_a_repository_that_is_not_there_or_a_socket_that_nobody_serves(tmp_path: Path) -> None:
    assert ask("--repo", tmp_path / "nothing")[0] == 1
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control.sock"))
    status, _, said = ask("--repo", tmp_path)
    assert (status, "no daemon runs on" in said) == (1, True)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e300", "soon"])
def test_a_time_that_cannot_be_waited(tmp_path: Path, seconds: str) -> None:
    status, _, said = ask("--repo", tmp_path, "--timeout", seconds)
    assert (status, "Traceback" in said) == (2, False)
    assert "--timeout" in said


def test_its_help_is_asked_for_like_that_of_every_command() -> None:
    assert ask("-h") == ask("--help")
    assert ask("-h")[0] == 0


def test_it_imports_little(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from threadd.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        f"    print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", program, "health", "--repo", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment())
    assert done.stdout == "[]\n"
