"""A daemon as an operator sees it: what it says, how the command line reaches it, and how it ends."""

import asyncio
import contextlib
import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from daemons import Daemon, DaemonError, environment, free_ports, prepare_threadd, threadd_command
from grpc_health.v1 import health_pb2

from net.keys import PrivateKey

Start = Callable[..., Daemon]


def check_health(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        status: int = check(health_pb2.HealthCheckRequest(), timeout=10).status
        return status


def answer(daemon: Daemon, *arguments: str) -> Any:
    return json.loads(daemon.run(*arguments, "--json"))


def test_a_daemon_says_where_it_listens(start_daemon: Start) -> None:
    daemon = start_daemon()
    text = daemon.said()
    ready = next(line for line in text.splitlines() if line.startswith("ready"))
    assert f"hub-api={daemon.hub_api} threads-api={daemon.threads_api}" in ready
    assert f"hub-web={daemon.hub_web} threads-web={daemon.threads_web}" in ready
    peer_id = PrivateKey.from_bytes((daemon.repo / "host.key").read_bytes()).public.peer_id_text
    assert f"peer-id={peer_id}" in ready
    assert str(daemon.repo) in text
    assert "secret" not in text
    assert check_health(daemon.hub_api) == check_health(daemon.threads_api) == health_pb2.HealthCheckResponse.SERVING
    daemon.restart()
    assert f"peer-id={peer_id}" in daemon.said()


def test_a_repository_is_for_its_owner_alone(start_daemon: Start) -> None:
    daemon = start_daemon()
    assert stat.S_IMODE(daemon.repo.stat().st_mode) == 0o700
    for file in daemon.repo.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_commands_work_while_it_runs_and_when_it_does_not(start_daemon: Start) -> None:
    daemon = start_daemon()
    while_running = answer(daemon, "keys", "create", "--type", "user")
    assert [key["key"] for key in answer(daemon, "keys", "ls")] == [while_running["key"]]
    daemon.stop()
    while_stopped = answer(daemon, "keys", "create", "--type", "account", "--insecure")
    assert [key["key"] for key in answer(daemon, "keys", "ls")] == [while_running["key"], while_stopped["key"]]
    daemon.start()
    daemon.run("keys", "invalidate", while_running["key"])
    assert [key["valid"] for key in answer(daemon, "keys", "ls")] == [False, True]
    assert answer(daemon, "dbs", "ls") == []
    with pytest.raises(DaemonError, match="status 1: Error: there is no API key 'bunknown'"):
        daemon.run("keys", "invalidate", "bunknown")
    daemon.kill()
    assert [key["valid"] for key in answer(daemon, "keys", "ls")] == [False, True]


def test_keys_that_are_made_while_it_runs_count_at_once(start_daemon: Start) -> None:
    daemon = start_daemon()

    def find(key: str) -> tuple[grpc.StatusCode, str]:
        with grpc.insecure_channel(daemon.hub_api) as channel:
            method = channel.unary_unary("/threads.pb.API/Find")
            with pytest.raises(grpc.RpcError) as raised:
                method(b"", metadata=[("x-textile-api-key", key)], timeout=10)
            error: Any = raised.value
            return error.code(), error.details()

    assert find("b" * 27) == (grpc.StatusCode.NOT_FOUND, "API key not found or is invalid")
    assert find("b" * 4000) == (grpc.StatusCode.NOT_FOUND, "API key not found or is invalid")
    key = answer(daemon, "keys", "create", "--type", "user", "--insecure")["key"]
    assert find(key) == (grpc.StatusCode.UNAUTHENTICATED, "Token required")
    daemon.run("keys", "invalidate", key)
    assert find(key) == (grpc.StatusCode.NOT_FOUND, "API key not found or is invalid")


def test_secrets_stay_out_of_the_log(start_daemon: Start) -> None:
    daemon = start_daemon("--log-level", "debug")
    secrets = [
        answer(daemon, "keys", "create", "--type", "user")["secret"],
        answer(daemon, "keys", "import", "--key", "bxxxx", "--secret", "b" + "a" * 39, "--type", "user")["secret"],
    ]
    daemon.stop()
    for secret in secrets:
        assert secret not in daemon.said()


@pytest.mark.parametrize(
    ("origins", "warning"),
    [
        ("*", "pages of every origin may read and write all threads"),
        ("https://app.example,null", "any page can be one: a sandboxed frame has none"),
        ("https://app.example", ""),
    ],
)
def test_the_log_says_that_any_page_may_call(start_daemon: Start, origins: str, warning: str) -> None:
    daemon = start_daemon("--web-origin", origins)
    assert warning in daemon.said()
    assert ("may read and write all threads of this daemon" in daemon.said()) == bool(warning)
    daemon.stop()


def test_a_second_daemon_on_a_repository_is_refused(start_daemon: Start, tmp_path: Path) -> None:
    daemon = start_daemon()
    second = prepare_threadd(tmp_path, "--repo", str(daemon.repo))
    with pytest.raises(DaemonError, match="ended with status 1") as raised:
        second.start()
    assert daemon.process is not None
    errors = [line for line in str(raised.value).splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert str(daemon.repo) in errors[0]
    assert str(daemon.process.pid) in errors[0]
    # The running one still answers.
    answer(daemon, "keys", "ls")


@pytest.mark.parametrize("door", ["--hub-api", "--threads-api"])
def test_a_port_in_use(tmp_path: Path, door: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon = prepare_threadd(tmp_path, door, address)
        with pytest.raises(DaemonError, match="ended with status 1") as raised:
            daemon.start()
    lines = str(raised.value).splitlines()[1:]
    assert len(lines) == 1, lines
    assert lines[0].startswith("Error: ")
    assert address in lines[0]
    assert "in use" in lines[0]
    daemon.command = [*daemon.command, door, f"127.0.0.1:{free_ports(1)[0]}"]
    daemon.start()
    daemon.stop()


def test_doors_that_are_off(start_daemon: Start) -> None:
    daemon = start_daemon("--threads-api", "off")
    assert "threads-api=" not in daemon.said()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(daemon.threads_api.split(":")):
        pass  # pragma: no cover
    assert check_health(daemon.hub_api) == health_pb2.HealthCheckResponse.SERVING


def test_doors_of_the_environment_and_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "threadd.toml"
    file.write_text('hub-web = "off"\nthreads-web = "off"\nthreads-api = "127.0.0.1:0"\nhub-api = "127.0.0.1:1"\n')
    settings = {"THREADD_HUB_API": "127.0.0.1:0", "THREADD_CONFIG": str(file), "THREADD_REPO": str(tmp_path / "repo")}
    process = subprocess.Popen(
        [sys.executable, "-m", "threadd"], stdout=subprocess.PIPE, text=True, env=environment() | settings
    )
    assert process.stdout is not None
    try:
        ready = next(line for line in process.stdout if line.startswith("ready"))
        doors = dict(word.split("=") for word in ready.split()[1:])
        assert check_health(doors["hub-api"]) == check_health(doors["threads-api"])
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert process.returncode == 0


def on_a_terminal(repo: Path, *flags: str) -> str:
    """What a daemon says on a terminal until it is ready."""
    shown, inner = pty.openpty()
    command = [
        threadd_command(),
        "serve",
        "--repo",
        str(repo),
        "--hub-api",
        "127.0.0.1:0",
        "--threads-api",
        "off",
        *flags,
    ]
    process = subprocess.Popen(command, stdout=inner, stderr=subprocess.DEVNULL, env=environment())
    os.close(inner)
    text = b""
    with contextlib.suppress(OSError):
        while b"\nready" not in text:
            text += os.read(shown, 4096)
    process.terminate()
    assert process.wait(10) == 0
    os.close(shown)
    return text.decode()


def test_a_terminal_is_shown_a_key_that_stays(tmp_path: Path) -> None:
    def pair(text: str) -> list[str]:
        return [word for line in text.splitlines() for word in line.split() if line.startswith(("  key ", "  secret "))]

    first = on_a_terminal(tmp_path / "repo")
    assert pair(first)[0::2] == ["key", "secret"]
    assert first.count(pair(first)[1]) == first.count(pair(first)[3]) == 2
    assert "GetToken" in first
    assert pair(on_a_terminal(tmp_path / "repo")) == pair(first)
    assert pair(on_a_terminal(tmp_path / "repo", "--hub-api", "off")) == []


async def test_calls_in_flight_finish(start_daemon: Start) -> None:
    """GetToken waits for its client's signature for up to a minute: the drain lets it finish, but not forever."""
    daemon = start_daemon()
    async with grpc.aio.insecure_channel(daemon.threads_api) as channel:
        watching = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        identity = PrivateKey(b"i" * 32)
        asking = channel.stream_stream("/threads.pb.API/GetToken")()
        key = identity.public.text.encode()
        await asking.write(b"\x0a" + bytes([len(key)]) + key)
        challenge = (await asking.read())[2:]

        began = time.monotonic()
        assert daemon.process is not None
        daemon.process.terminate()
        await asyncio.sleep(0.5)
        assert daemon.process.poll() is None
        await asking.write(b"\x12\x40" + identity.sign(challenge))
        assert (await asking.read()).startswith(b"\x12")
        await asking.done_writing()
        assert await asyncio.to_thread(daemon.process.wait, 10) == 0
        assert time.monotonic() - began < 5


async def test_subscriptions_end_well_when_the_daemon_drains(start_daemon: Start) -> None:
    """A Go client that follows records ends its whole program on any other status than OK."""
    daemon = start_daemon()
    async with grpc.aio.insecure_channel(daemon.threads_api) as channel:
        following = channel.unary_stream("/threads.net.pb.API/Subscribe")(b"")
        await following.initial_metadata()
        began = time.monotonic()
        await asyncio.to_thread(daemon.stop)
        assert await following.read() is grpc.aio.EOF
        assert await following.code() is grpc.StatusCode.OK
        assert time.monotonic() - began < 3


async def test_calls_that_do_not_end_are_ended(start_daemon: Start) -> None:
    daemon = start_daemon()
    async with grpc.aio.insecure_channel(daemon.threads_api) as channel:
        asking = channel.stream_stream("/threads.pb.API/GetToken")()
        key = PrivateKey(b"i" * 32).public.text.encode()
        await asking.write(b"\x0a" + bytes([len(key)]) + key)
        await asking.read()
        await asyncio.to_thread(daemon.stop)


def test_a_daemon_ends_cleanly_when_it_is_told_so_at_once(tmp_path: Path) -> None:
    daemon = prepare_threadd(tmp_path)
    for delay in (0.3, 0.6, 0.9):
        process = subprocess.Popen(daemon.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())
        time.sleep(delay)
        process.terminate()
        _, errors = process.communicate(timeout=20)
        assert process.returncode in (0, -signal.SIGTERM)
        assert b"Traceback" not in errors, errors


def test_the_path_of_a_repository_may_be_long(tmp_path: Path) -> None:
    folder = tmp_path / "long" / ("x" * 120)
    folder.mkdir(parents=True)
    daemon = prepare_threadd(folder)
    daemon.start()
    try:
        key = answer(daemon, "keys", "create", "--type", "user")["key"]
        assert [found["key"] for found in answer(daemon, "keys", "ls")] == [key]
    finally:
        daemon.stop()
    assert answer(daemon, "keys", "ls")[0]["key"] == key
