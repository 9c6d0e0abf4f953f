"""Builds the image with buildah and proves it with podman, on a machine without Docker: what `make container` does.

    python tests/container/prove.py [--base IMAGE] [--certificates FILE] [--runtime PROGRAM]

Without `--base`, a base is made of a Debian mirror by debootstrap, which needs root, and kept for the next time. The daemon is then
asked from outside, through published ports, and killed; what it answered must be there when it runs again on the same volume.
Prints a line a step, and ends with status 1 at the first that fails.
"""

import argparse
import asyncio
import json
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from daemons import free_ports

from threadd.client import ApiKey, Client, Identity

ROOT = Path(__file__).parents[2]
BASE = "localhost/threadd-base"
IMAGE = "localhost/threadd"
PACKAGES = "python3,python3-venv,ca-certificates"
READY_SECONDS = 60
STOP_SECONDS = 10
ANNOUNCED = "/dns4/hub.example.org/tcp/4006"


class ProofError(Exception):
    """A step did not come out as it should."""


def run(*command, stdin=None):
    done = subprocess.run(command, capture_output=True, text=True, input=stdin, check=False, cwd=ROOT)
    if done.returncode != 0:
        raise ProofError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def say(step, began):
    sys.stdout.write(f"{step}: {time.monotonic() - began:.1f} s\n")
    sys.stdout.flush()


def make_base():
    """A minimal Debian with Python, as a local image."""
    if (
        subprocess.run(["buildah", "inspect", "--type", "image", BASE], capture_output=True, check=False).returncode
        == 0
    ):
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", folder)
        container = run("buildah", "from", "scratch")
        run("buildah", "copy", "--quiet", container, folder, "/")
        run("buildah", "commit", "--quiet", container, BASE)
        run("buildah", "rm", container)
    say("base made by debootstrap", began)


def build(base, certificates):
    began = time.monotonic()
    # Only the format of Docker keeps the check of health.
    command = [
        "buildah",
        "build",
        "--layers",
        "--isolation",
        "chroot",
        "--format",
        "docker",
        "--build-arg",
        f"BASE={base}",
    ]
    if certificates:
        command += ["--secret", f"id=certificates,src={certificates}"]
    run(*command, "-t", IMAGE, ".")
    say("image built", began)


class Container:
    """The daemon in a container of its own, on ports of this machine's loopback interface."""

    def __init__(self, runtime):
        self.podman = ["podman", *(["--runtime", runtime] if runtime else [])]
        self.name = f"threadd-proof-{uuid.uuid4().hex[:8]}"
        self.hub, self.web, self.gateway, self.console, self.peers = free_ports(5)

    def ask(self, *arguments):
        return run(*self.podman, *arguments)

    def start(self):
        # Limits above those of whoever runs this cannot be given, and without systemd no timer runs the check of health.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        command = [
            "run",
            "--detach",
            "--name",
            self.name,
            "--health-interval",
            "disable",
            "--env",
            f"THREADD_ANNOUNCE={ANNOUNCED}",
        ]
        command += [
            "--ulimit",
            f"nofile={files}:{files}",
            "--ulimit",
            "nproc=4000:4000",
            "--volume",
            f"{self.name}:/data",
        ]
        published = {self.hub: 3006, self.web: 3007, self.gateway: 8006, self.console: 8007, self.peers: 4006}
        for ours, its in published.items():
            command += ["--publish", f"127.0.0.1:{ours}:{its}"]
        self.ask(*command, IMAGE)
        self.wait()

    def wait(self):
        began = time.monotonic()
        while not self.healthy():
            if time.monotonic() - began > READY_SECONDS:
                raise ProofError(f"not healthy after {READY_SECONDS} s:\n{self.ask('logs', self.name)}")
            time.sleep(0.2)
        if (status := self.status("/readyz")) != 200:
            raise ProofError(f"healthy, though /readyz says {status}")
        if (status := self.status("/readyz", self.console)) != 200:
            raise ProofError(f"healthy, though /readyz of the console's endpoint says {status}")
        say("healthy", began)

    def healthy(self):
        command = [*self.podman, "healthcheck", "run", self.name]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def status(self, path, port=None):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.gateway}{path}", timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def remove(self):
        subprocess.run([*self.podman, "rm", "--force", self.name], capture_output=True, check=False)
        subprocess.run([*self.podman, "volume", "rm", "--force", self.name], capture_output=True, check=False)


async def write(address, key, identity):
    async with Client(address, api_key=key) as client:
        await client.authenticate(identity)
        db = await client.new_db(name="library")
        people = await db.new_collection("people")
        await people.create([{"_id": "ada", "name": "Ada"}])
        return await db.info()


async def read(address, key, identity, db):
    async with Client(address, api_key=key) as client:
        await client.authenticate(identity)
        return await client.db(db).collection("people").get("ada")


def prove(container):
    container.start()
    if (user := container.ask("exec", container.name, "id", "-u")) != "3006":
        raise ProofError(f"it runs as user {user}")
    shown = json.loads(container.ask("exec", container.name, "threadd", "keys", "create", "--type", "user", "--json"))
    key, identity = ApiKey(shown["key"], shown["secret"]), Identity.random()
    address = f"127.0.0.1:{container.hub}"
    made = asyncio.run(write(address, key, identity))
    db = made.thread
    if not made.addresses or not all(b"hub.example.org" in each for each in made.addresses):
        raise ProofError(f"peers are told {made.addresses} instead of {ANNOUNCED}")
    for port in (container.web, container.peers):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()

    container.ask("kill", "--signal", "KILL", container.name)
    container.ask("start", container.name)
    container.wait()
    if asyncio.run(read(address, key, identity, db))["name"] != "Ada":
        raise ProofError("what was written before the kill is not there")

    began = time.monotonic()
    container.ask("stop", "--time", str(STOP_SECONDS), container.name)
    say("stopped by SIGTERM", began)
    if (status := container.ask("inspect", "--format", "{{.State.ExitCode}}", container.name)) != "0":
        raise ProofError(f"it ended with status {status} after SIGTERM")
    container.ask("rm", container.name)
    container.start()
    if asyncio.run(read(address, key, identity, db))["name"] != "Ada":
        raise ProofError("what was written is not there in another container on the same volume")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", help="the image to build on, with Python 3.11 to 3.13")
    parser.add_argument("--certificates", help="authorities that the build trusts, where a proxy signs what pip reads")
    parser.add_argument("--runtime", help="what podman runs containers with; runc where crun refuses the cgroups")
    given = parser.parse_args()
    container = Container(given.runtime)
    try:
        if not given.base:
            make_base()
        build(given.base or BASE, given.certificates)
        prove(container)
    except ProofError as error:
        sys.exit(str(error))
    finally:
        container.remove()


if __name__ == "__main__":
    main()
