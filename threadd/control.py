"""The way in for the command line while a daemon runs: a unix socket in the repository that only its owner can open.

A message is four bytes of length, big-endian, and a JSON document; one request, one reply, as often as one likes.
What the verbs do is in `threadd.operator`.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from store.errors import StatusCode, ThreaddError
from threadd.control_client import LENGTH, MAX_PATH, POINTER_NAME, SOCKET_NAME, ControlError, Reply, locate

_MAX_REQUEST = 1 << 20
_RUNTIME_PREFIX = "threadd-"
# What mkdtemp and the socket's name add to a folder.
_RUNTIME_ROOM = 24

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def _remove_left_over(repo: Path) -> None:
    """Remove what an earlier daemon left. The caller holds the repository's lock, so none is running."""
    path = locate(repo)
    (repo / POINTER_NAME).unlink(missing_ok=True)
    if path is None:
        return
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    if path.parent != repo and path.parent.name.startswith(_RUNTIME_PREFIX):
        shutil.rmtree(path.parent, ignore_errors=True)


def _runtime_folder() -> Path:
    """Make a folder of our own with a short path."""
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108  mkdtemp makes it 0700
        if (
            base
            and Path(base).is_dir()
            and len(os.fsencode(base)) <= MAX_PATH - _RUNTIME_ROOM
            and os.access(base, os.W_OK)
        ):
            return Path(tempfile.mkdtemp(prefix=_RUNTIME_PREFIX, dir=base))
    raise ThreaddError("no folder has a path short enough for the control socket; set XDG_RUNTIME_DIR to one")


def _bind(repo: Path) -> socket.socket:
    path = repo / SOCKET_NAME
    if len(os.fsencode(path)) > MAX_PATH:
        path = _runtime_folder() / "s"
        pointer = repo / POINTER_NAME
        pointer.touch(mode=0o600)
        pointer.write_text(str(path), encoding="utf-8")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        # Nobody can connect before listen, so nobody does with other rights than these.
        path.chmod(0o600)
        listener.listen(16)
    except OSError:
        listener.close()
        raise
    return listener


class ControlServer:
    """The daemon's end of the socket.

    Args:
        repo: The repository's folder; its lock is held.
        handle: Answers one request, both as JSON. A ThreaddError that it raises reaches the client with text and code.
    """

    def __init__(self, repo: Path, handle: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._repo = repo
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            ThreaddError: The socket cannot be made.
        """
        try:
            _remove_left_over(self._repo)
            self._server = await asyncio.start_unix_server(self._accept, sock=_bind(self._repo))
        except OSError as error:
            text = f"cannot make the control socket of {self._repo}: {error.strerror}"
            raise ControlError(text, StatusCode.UNAVAILABLE) from error

    async def close(self) -> None:
        """Stop listening, cut what is connected and remove the socket."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        _remove_left_over(self._repo)
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The client went away, or the daemon ends; asyncio would log a cancelled connection as a fault.
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            if length > _MAX_REQUEST:
                return
            answer = msgspec.json.encode(await self._answer(await reader.readexactly(length)))
            writer.write(LENGTH.pack(len(answer)) + answer)
            await writer.drain()

    async def _answer(self, request: bytes) -> Reply:
        try:
            return Reply(result=msgspec.Raw(await self._handle(request)))
        except ThreaddError as error:
            return Reply(error=error.text, code=error.code)
        except Exception:
            log.exception("a control request failed")
            return Reply(error="the daemon failed at this; its log says why", code=StatusCode.INTERNAL)
