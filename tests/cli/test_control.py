"""The socket between the command line and a running daemon."""

import asyncio
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from store.errors import StatusCode
from threadd import control
from threadd.control import ControlServer
from threadd.control_client import ControlClient, ControlError, NoDaemonError
from threadd.hub.errors import UnknownApiKeyError


async def handle(request: bytes) -> bytes:
    match request:
        case b'"refuse"':
            raise UnknownApiKeyError
        case b'"break"':
            raise RuntimeError("the secret is 42")
        case b'"wait"':
            await asyncio.sleep(60)
    return b"[" + request + b"]"


@asynccontextmanager
async def serving(repo: Path) -> AsyncIterator[ControlServer]:
    server = ControlServer(repo, handle)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def call(repo: Path, *requests: bytes) -> list[bytes]:
    def work() -> list[bytes]:
        client = ControlClient(repo, timeout=10)
        try:
            return [client.call(request) for request in requests]
        finally:
            client.close()

    return await asyncio.to_thread(work)


@pytest.fixture
def runtime() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def entries(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.fixture
def long_repo(tmp_path: Path) -> Path:
    repo = tmp_path / ("long" * 30)
    repo.mkdir()
    return repo


async def test_requests_are_answered_one_after_the_other(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert await call(tmp_path, b"1", b'"two"', b"{}") == [b"[1]", b'["two"]', b"[{}]"]
        assert await call(tmp_path, b"3") == [b"[3]"]


async def test_large_messages(tmp_path: Path) -> None:
    text = b'"' + b"x" * 900_000 + b'"'
    async with serving(tmp_path):
        assert await call(tmp_path, text) == [b"[" + text + b"]"]


async def test_a_request_that_is_too_large_ends_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path):
        with pytest.raises(ControlError, match="daemon"):
            await call(tmp_path, b"1" * 2_000_000)
        assert await call(tmp_path, b"1") == [b"[1]"]


async def test_a_refusal_keeps_text_and_code(tmp_path: Path) -> None:
    async with serving(tmp_path):
        with pytest.raises(ControlError, match="mongo: no documents in result") as raised:
            await call(tmp_path, b'"refuse"')
    assert raised.value.status == StatusCode.UNKNOWN


async def test_what_nobody_foresaw_is_not_told(tmp_path: Path) -> None:
    async with serving(tmp_path):
        with pytest.raises(ControlError, match="its log says why") as raised:
            await call(tmp_path, b'"break"')
        assert "42" not in raised.value.text
        assert await call(tmp_path, b"1") == [b"[1]"]


async def test_only_the_owner_can_open_it(tmp_path: Path) -> None:
    async with serving(tmp_path):
        mode = (tmp_path / "control.sock").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert entries(tmp_path) == []


async def test_a_long_path_gets_a_short_socket(long_repo: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    async with serving(long_repo):
        (folder,) = entries(runtime)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "s").stat().st_mode) == 0o600
        assert stat.S_IMODE((long_repo / "control.path").stat().st_mode) == 0o600
        assert await call(long_repo, b"1") == [b"[1]"]
    assert entries(runtime) == []
    assert entries(long_repo) == []


async def test_a_runtime_folder_that_is_too_long_is_passed_over(
    long_repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long_repo))
    async with serving(long_repo):
        assert await call(long_repo, b"1") == [b"[1]"]


@pytest.mark.parametrize("name", ["tmp_path", "long_repo"])
async def test_what_a_killed_daemon_left_is_in_nobodys_way(request: pytest.FixtureRequest, name: str) -> None:
    repo = request.getfixturevalue(name)
    listener = control._bind(repo)
    listener.close()
    with pytest.raises(NoDaemonError):
        ControlClient(repo)
    async with serving(repo):
        assert await call(repo, b"1") == [b"[1]"]
    with pytest.raises(NoDaemonError, match="no daemon runs on"):
        ControlClient(repo)


def test_no_daemon(tmp_path: Path, long_repo: Path) -> None:
    for repo in (tmp_path, long_repo, tmp_path / "nowhere"):
        with pytest.raises(NoDaemonError):
            ControlClient(repo)


async def test_closing_cuts_what_is_connected(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        waiting = asyncio.ensure_future(call(tmp_path, b'"wait"'))
        idle = socket.socket(socket.AF_UNIX)
        idle.connect(str(tmp_path / "control.sock"))
        await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            await server.close()
            with pytest.raises(ControlError, match="the daemon went away"):
                await waiting
        idle.close()


async def test_a_client_that_goes_away_is_no_matter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path):
        for sent in (b"", b"\0", b"\0\0\0\x08abc", b"\0\0\0\x01" + b"1"):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(tmp_path / "control.sock"))
            client.sendall(sent)
            client.close()
        assert await call(tmp_path, b"1") == [b"[1]"]
    assert not caplog.records
