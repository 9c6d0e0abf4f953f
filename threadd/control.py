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
import struct
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ClassVar

import msgspec
import structlog

from store.errors import StatusCode, ThreaddError

_LENGTH = struct.Struct(">I")
_MAX_REQUEST = 1 << 20
_MAX_REPLY = 1 << 28
# macOS takes 103 bytes and Linux 107; a path that fits both behaves the same on both.
_MAX_PATH = 100
_SOCKET_NAME = "control.sock"
_POINTER_NAME = "control.path"
_RUNTIME_PREFIX = "threadd-"
# What mkdtemp and the socket's name add to a folder.
_RUNTIME_ROOM = 24

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class NoDaemonError(ThreaddError):
    """No daemon listens in that repository."""

    code: ClassVar[StatusCode] = StatusCode.UNAVAILABLE


class ControlError(ThreaddError):
    """A refusal that came through the socket; it carries the text and the code of the error in the daemon.

    Args:
        text: The text.
        status: The code.
    """

    def __init__(self, text: str, status: StatusCode) -> None:
        super().__init__(text)
        self.status = status


class _Reply(msgspec.Struct, omit_defaults=True):
    """What the daemon answers: a result, or a text and a code."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    code: int = 0


def _locate(repo: Path) -> Path | None:
    """Find the socket of a repository: in it, or where its pointer file says."""
    pointer = repo / _POINTER_NAME
    with contextlib.suppress(FileNotFoundError):
        return Path(pointer.read_text(encoding="utf-8"))
    path = repo / _SOCKET_NAME
    return path if len(os.fsencode(path)) <= _MAX_PATH else None


def _remove_left_over(repo: Path) -> None:
    """Remove what an earlier daemon left. The caller holds the repository's lock, so none is running."""
    path = _locate(repo)
    (repo / _POINTER_NAME).unlink(missing_ok=True)
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
            and len(os.fsencode(base)) <= _MAX_PATH - _RUNTIME_ROOM
            and os.access(base, os.W_OK)
        ):
            return Path(tempfile.mkdtemp(prefix=_RUNTIME_PREFIX, dir=base))
    raise ThreaddError("no folder has a path short enough for the control socket; set XDG_RUNTIME_DIR to one")


def _bind(repo: Path) -> socket.socket:
    path = repo / _SOCKET_NAME
    if len(os.fsencode(path)) > _MAX_PATH:
        path = _runtime_folder() / "s"
        pointer = repo / _POINTER_NAME
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
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > _MAX_REQUEST:
                return
            answer = msgspec.json.encode(await self._answer(await reader.readexactly(length)))
            writer.write(_LENGTH.pack(len(answer)) + answer)
            await writer.drain()

    async def _answer(self, request: bytes) -> _Reply:
        try:
            return _Reply(result=msgspec.Raw(await self._handle(request)))
        except ThreaddError as error:
            return _Reply(error=error.text, code=error.code)
        except Exception:
            log.exception("a control request failed")
            return _Reply(error="the daemon failed at this; its log says why", code=StatusCode.INTERNAL)


class ControlClient:
    """The command line's end of the socket; it blocks.

    Args:
        repo: The repository's folder.
        timeout: Seconds to wait for one answer.

    Raises:
        NoDaemonError: No daemon listens there.
    """

    def __init__(self, repo: Path, timeout: float = 60.0) -> None:
        path = _locate(repo)
        if path is None:
            raise NoDaemonError(f"no daemon runs on {repo}")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self._socket.close()
            raise NoDaemonError(f"no daemon runs on {repo}") from error
        except OSError as error:
            self._socket.close()
            text = f"cannot reach the daemon at {path}: {error.strerror}"
            raise ControlError(text, StatusCode.UNAVAILABLE) from error

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()

    def call(self, request: bytes) -> bytes:
        """Send one request and wait for its answer.

        Args:
            request: JSON.

        Returns:
            The result, as JSON.

        Raises:
            ControlError: The daemon refused it, or went away.
        """
        try:
            self._socket.sendall(_LENGTH.pack(len(request)) + request)
            (length,) = _LENGTH.unpack(self._receive(_LENGTH.size))
            if length > _MAX_REPLY:
                raise ControlError("the daemon's answer is too long", StatusCode.INTERNAL)
            reply = msgspec.json.decode(self._receive(length), type=_Reply)
        except (OSError, msgspec.DecodeError) as error:
            raise ControlError(f"the daemon did not answer: {error}", StatusCode.UNAVAILABLE) from error
        if reply.error:
            raise ControlError(reply.error, StatusCode(reply.code))
        return bytes(reply.result)

    def _receive(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._socket.recv(min(count - len(parts), 1 << 16))
            if not part:
                raise ControlError("the daemon went away before it answered", StatusCode.UNAVAILABLE)
            parts += part
        return bytes(parts)
