"""The command line's end of the control socket: where it is, and what travels through it; see `threadd.control`.

A health check starts every few seconds: this module imports little.
"""

import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from store.errors import StatusCode, ThreaddError

LENGTH: Final = struct.Struct(">I")
"""What stands before each message: its length in bytes."""

MAX_PATH: Final = 100
"""The longest path of a socket, in bytes: macOS takes 103 and Linux 107, and both are to behave the same."""

SOCKET_NAME: Final = "control.sock"
POINTER_NAME: Final = "control.path"
"""The file that names the socket where the repository's own path is too long for one."""

_MAX_REPLY = 1 << 28


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


class Reply(msgspec.Struct, omit_defaults=True):
    """What the daemon answers: a result, or a text and a code."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    code: int = 0


def locate(repo: Path) -> Path | None:
    """Find the socket of a repository: in it, or where its pointer file says."""
    pointer = repo / POINTER_NAME
    with contextlib.suppress(FileNotFoundError):
        return Path(pointer.read_text(encoding="utf-8"))
    path = repo / SOCKET_NAME
    return path if len(os.fsencode(path)) <= MAX_PATH else None


class ControlClient:
    """The command line's end of the socket; it blocks.

    Args:
        repo: The repository's folder.
        timeout: Seconds to wait for one answer.

    Raises:
        NoDaemonError: No daemon listens there.
    """

    def __init__(self, repo: Path, timeout: float = 60.0) -> None:
        path = locate(repo)
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
            self._socket.sendall(LENGTH.pack(len(request)) + request)
            (length,) = LENGTH.unpack(self._receive(LENGTH.size))
            if length > _MAX_REPLY:
                raise ControlError("the daemon's answer is too long", StatusCode.INTERNAL)
            reply = msgspec.json.decode(self._receive(length), type=Reply)
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
