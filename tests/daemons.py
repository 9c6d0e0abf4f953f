"""Real daemons for tests and benchmarks: started on free ports, stopped, killed and started again.

A plain module without pytest, so that `bench/run.py` can use it as well.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

GO_MODULE = Path(__file__).parent / "interop" / "go"
JS_PACKAGE = Path(__file__).parent / "interop" / "js"

HUB_MODULE = "github.com/textileio/textile/v2"

START_SECONDS = 180.0
STOP_SECONDS = 10.0
"""How long a daemon may take to drain after SIGTERM."""

_POLL_SECONDS = 0.01
_PORTS = (20_000, 32_000)


class DaemonError(Exception):
    """A daemon did not start, or did not end as it should; the text holds what it said."""


def free_ports(number: int) -> list[int]:
    """As many TCP ports of the loopback interface as asked for that nobody listens on.

    They are below those that the system gives to outgoing connections, which would take one before it is listened on.
    """
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < number:
            one = socket.socket()
            try:
                one.bind(("127.0.0.1", random.randrange(*_PORTS)))
            except OSError:
                one.close()
            else:
                sockets.append(one)
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def environment() -> dict[str, str]:
    """The environment for a program that is to see none of the settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("THREADD_")}


def threadd_command() -> str:
    """The `threadd` command of the environment that this runs in."""
    return str(Path(sysconfig.get_path("scripts")) / "threadd")


@dataclass
class Process:
    """A program that prints a line beginning with `ready` once it can be used.

    Args:
        command: The command line.
        folder: Where its output is kept, outside of what it calls its repository.
    """

    command: Sequence[str]
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    variables: dict[str, str] = field(default_factory=dict, init=False)
    """More of its environment, from its next start on."""
    stop_seconds: ClassVar[float] = STOP_SECONDS
    """How long it may take to end."""
    _starts: int = field(default=0, init=False)

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            DaemonError: It ended, or was not ready in time.
        """
        self._starts += 1
        with self._output("stdout").open("wb") as stdout, self._output("stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                self.command, stdout=stdout, stderr=stderr, env=environment() | self.variables
            )
        ends = time.monotonic() + START_SECONDS
        while not any(line.startswith("ready") for line in self._output("stdout").read_text().splitlines()):
            if self.process.poll() is not None:
                raise DaemonError(f"ended with status {self.process.returncode} before it was ready:\n{self.said()}")
            if time.monotonic() > ends:
                self.kill()
                raise DaemonError(f"not ready after {START_SECONDS:.0f} s:\n{self.said()}")
            time.sleep(_POLL_SECONDS)

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """Ask it to end, and wait until it has.

        Raises:
            DaemonError: It had ended before, took longer than `stop_seconds`, or ended with another status than 0.
        """
        if self.process is None:
            return
        if not self.alive():
            raise DaemonError(f"had ended with status {self.process.returncode}:\n{self.said()}")
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise DaemonError(f"still there {self.stop_seconds:.0f} s after SIGTERM:\n{self.said()}") from error
        if status != 0:
            raise DaemonError(f"ended with status {status} after SIGTERM:\n{self.said()}")

    def restart(self) -> None:
        """Start it again on the same ports and folder, stopping it first if it runs."""
        if self.alive():
            self.stop()
        self.start()

    def said(self) -> str:
        """The end of what it printed since it was last started."""
        texts = [self._output(name).read_text(errors="replace")[-4000:] for name in ("stdout", "stderr")]
        return "\n".join(text for text in texts if text)

    def _output(self, name: str) -> Path:
        return self.folder / f"{name}-{self._starts}.log"


@dataclass
class Daemon(Process):
    """A `threadd` daemon.

    Args:
        hub_api: HOST:PORT of its Hub door.
        threads_api: HOST:PORT of its threads door.
        hub_web: HOST:PORT of its Hub door for browsers.
        threads_web: HOST:PORT of its threads door for browsers.
        repo: Its repository.
    """

    hub_api: str
    threads_api: str
    hub_web: str
    threads_web: str
    repo: Path

    def run(self, *arguments: str) -> str:
        """Run a `threadd` command on its repository; returns what it printed."""
        command = [threadd_command(), *arguments, "--repo", str(self.repo)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60, check=False)
        if done.returncode != 0:
            raise DaemonError(f"{' '.join(arguments)} ended with status {done.returncode}: {done.stderr}")
        return done.stdout


def prepare_threadd(folder: Path, *flags: str) -> Daemon:
    """A daemon in a folder of its own that is not started yet.

    Args:
        folder: An empty folder.
        flags: More flags for `threadd serve`.
    """
    hub, threads, hub_web, threads_web, host = free_ports(5)
    repo = folder / "repo"
    settings = {
        "repo": str(repo),
        "hub-api": f"127.0.0.1:{hub}",
        "threads-api": f"127.0.0.1:{threads}",
        "hub-web": f"127.0.0.1:{hub_web}",
        "threads-web": f"127.0.0.1:{threads_web}",
        "gateway": "off",
        "console": "off",
        "host-addr": f"/ip4/127.0.0.1/tcp/{host}",
    }
    command = [threadd_command(), "serve"]
    for name, value in settings.items():
        command += [f"--{name}", value]
    doors = (settings[name] for name in ("hub-api", "threads-api", "hub-web", "threads-web"))
    return Daemon([*command, *flags], folder, *doors, repo)


@dataclass
class GoDaemon(Process):
    """A real go-threads daemon.

    Args:
        threads_api: HOST:PORT of its gRPC door.
    """

    # With peers that are away it takes its time.
    stop_seconds: ClassVar[float] = 120.0
    threads_api: str


def prepare_godaemon(folder: Path, programs: Path, *flags: str) -> GoDaemon:
    """A go-threads daemon in a folder of its own that is not started yet.

    Args:
        folder: An empty folder.
        programs: Where `build_go` put the Go programs.
        flags: More flags for the daemon.
    """
    api, host = free_ports(2)
    address = f"127.0.0.1:{api}"
    repo = folder / "repo"
    command = [str(programs / "godaemon"), "-repo", str(repo), "-api", address]
    return GoDaemon([*command, "-host-addr", f"/ip4/127.0.0.1/tcp/{host}", *flags], folder, address)


def has_go() -> bool:
    """Whether the `go` command is there."""
    return shutil.which("go") is not None


def build_go(folder: Path) -> None:
    """Build the Go programs; what has not changed since is not built again.

    Args:
        folder: Where they are put, outside of the tree.

    Raises:
        DaemonError: They do not build.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["go", "build", "-buildvcs=false", "-o", f"{folder}{os.sep}", "./cmd/..."]
    done = subprocess.run(command, cwd=GO_MODULE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DaemonError(f"{' '.join(command)} failed:\n{done.stderr}")


def build_hub(folder: Path, name: str = "hub") -> Path:
    """Build a program of the Hub's users; what has not changed since is not built again.

    It is built as its authors did: with their module file and their compiler, but with the release of go-threads that
    clients carry, since the version that the file names is nowhere to be had.

    Args:
        folder: Where it is put, outside of the tree.
        name: `hub`, or `buck` for buckets alone.

    Returns:
        The program.

    Raises:
        DaemonError: It does not build.
    """
    command = ["go", "mod", "download", "-json", HUB_MODULE]
    found = subprocess.run(command, cwd=GO_MODULE, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise DaemonError(f"{' '.join(command)} failed:\n{found.stderr}")
    module = Path(json.loads(found.stdout)["Dir"])
    folder.mkdir(parents=True, exist_ok=True)
    modules = folder / f"{module.name}.mod"
    if not modules.exists():
        threads = "github.com/textileio/go-threads"
        modules.with_suffix(".sum").write_bytes((module / "go.sum").read_bytes())
        modules.write_text((module / "go.mod").read_text() + f"\nreplace {threads} => {threads} v1.1.5\n")
    program = folder / name
    command = ["go", "build", "-modfile", str(modules), "-o", str(program), f"./cmd/{name}"]
    settings = {"GOENV": "off", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "go1.17.13"}
    done = subprocess.run(command, cwd=module, env=os.environ | settings, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DaemonError(f"{' '.join(command)} failed:\n{done.stderr}")
    return program


def install_js(folder: Path, package: Path = JS_PACKAGE) -> None:
    """Put JS programs into a folder, with the packages that their lock file names.

    Args:
        folder: Where they are put, outside of the tree.
        package: Where they are kept.

    Raises:
        DaemonError: The packages cannot be installed.
    """
    shutil.copytree(package, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    lock = (package / "package-lock.json").read_text()
    installed = folder / "installed-lock.json"
    if installed.exists() and installed.read_text() == lock:
        return
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DaemonError(f"{' '.join(command)} failed:\n{done.stderr}")
    installed.write_text(lock)
