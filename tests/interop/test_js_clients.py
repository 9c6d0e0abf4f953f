"""Real JS clients against a real daemon: the published packages of the Hub and of threads, in Node and in a browser.

Each program prints a JSON line a check; each check is a subtest here.
"""

import json
import os
import resource
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest
from daemons import free_ports

from threadd.client import Client

# The first run installs the packages.
pytestmark = pytest.mark.timeout(600)

RUN_SECONDS = 150
LISTENERS = 1200


class Check(NamedTuple):
    name: str
    ok: bool
    detail: str


@pytest.fixture
def run(js_programs, subtests):
    """Runs a program against a daemon and reports its checks."""

    def run_one(daemon, at_least, program, *arguments, **environment):
        command = ["node", str(js_programs / program), *map(str, arguments)]
        done = subprocess.run(
            command,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        checks = [Check(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith('{"name"')]
        failed = any(not check.ok for check in checks)
        assert done.returncode == int(failed), done.stderr
        said = daemon.said() if failed else ""
        for check in checks:
            with subtests.test(check.name):
                assert check.ok, f"{check.detail}\n{said}"
        assert len(checks) >= at_least

    return run_one


def make_key(daemon, kind, *flags):
    key = json.loads(daemon.run("keys", "create", "--type", kind, "--json", *flags))
    return {"key": key["key"], "secret": key["secret"]}


def test_a_user_of_a_threads_daemon(start_daemon, run):
    daemon = start_daemon("--hub-web", "off")
    another = start_daemon("--hub-web", "off")
    run(daemon, 100, "threads.js", f"http://{daemon.threads_web}", f"http://{another.threads_web}")
    daemon.stop()


def test_users_of_the_hub(start_daemon, run):
    daemon = start_daemon("--threads-web", "off")
    keys = {
        "user": make_key(daemon, "user"),
        "insecure": make_key(daemon, "user", "--insecure"),
        "account": make_key(daemon, "account"),
    }
    run(daemon, 170, "hub.js", f"http://{daemon.hub_web}", json.dumps(keys))
    daemon.stop()


def test_an_app_that_keeps_a_database_at_the_hub_and_is_started_again(start_daemon, run):
    daemon = start_daemon()
    endpoints = f"http://{daemon.hub_web}", json.dumps(make_key(daemon, "user")), f"http://{daemon.threads_web}"
    run(daemon, 6, "threaddb.js", *endpoints)
    daemon.stop()


def test_a_user_with_buckets(start_daemon, run):
    # Links are given where there is a gateway for them to lead to.
    daemon = start_daemon("--threads-web", "off", "--gateway", f"127.0.0.1:{free_ports(1)[0]}")
    run(daemon, 74, "buckets.js", f"http://{daemon.hub_web}", json.dumps(make_key(daemon, "user")))
    daemon.stop()


def test_buckets_in_a_browser(start_daemon, run, chromium, tmp_path):
    gateway = f"127.0.0.1:{free_ports(1)[0]}"
    # Browsers take every name that ends in localhost for this machine.
    domain = "buckets.localhost"
    daemon = start_daemon("--threads-web", "off", "--gateway", gateway, "--gateway-domain", domain)
    doors = f"http://{daemon.hub_web}", f"http://{gateway}", domain
    run(daemon, 114, "websites.js", chromium, tmp_path, *doors, json.dumps(make_key(daemon, "user")))
    daemon.stop()


def test_the_clients_in_a_browser(start_daemon, run, chromium, tmp_path):
    daemon = start_daemon()
    doors = f"http://{daemon.hub_web}", f"http://{daemon.threads_web}"
    run(daemon, 100, "browser.js", chromium, tmp_path, *doors, json.dumps(make_key(daemon, "user")))
    daemon.stop()


async def test_which_pages_may_call_without_a_key(start_daemon, run, js_programs, chromium, tmp_path):
    gateway = f"127.0.0.1:{free_ports(1)[0]}"
    domain = "buckets.localhost"
    daemon = start_daemon("--gateway", gateway, "--gateway-domain", domain)
    subprocess.run(["node", str(js_programs / "bundle.js"), str(tmp_path), "attempt.js"], check=True)
    page = b'<!doctype html><script src="page.js"></script>'
    async with Client(daemon.threads_api) as client:
        bucket = await (await client.new_db(name="theirs")).buckets.create("site")
        await bucket.push_all({"index.html": page, "page.js": (tmp_path / "page.js").read_bytes()})
        links = await bucket.links()
    places = {"path": links.url, "name": f"http://{bucket.key}.{domain}:{gateway.rpartition(':')[2]}/"}
    run(daemon, 11, "origins.js", chromium, tmp_path, f"http://{daemon.threads_web}", json.dumps(places))
    daemon.stop()


def resident(pid):
    """The anonymous memory of a process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))


def sockets(pid):
    """How many sockets a process has open."""
    links = [link for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    return sum(target(link).startswith("socket:") for link in links)


def target(link):
    try:
        return str(link.readlink())
    except FileNotFoundError:
        # It was closed between the look at the folder and the look at it.
        return ""


@pytest.fixture
def few_files():
    """The limit of open files that login shells start with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_listeners(console, token):
    """How many calls that listen the daemon counts, and how many listeners."""
    asked = urllib.request.Request(f"http://{console}/metrics", headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    calls = [line for line in lines if line.startswith("threadd_open_calls") and "/Listen" in line]
    (listeners,) = (line for line in lines if line.startswith("threadd_listeners "))
    return sum(float(line.split()[-1]) for line in calls), float(listeners.split()[-1])


def test_many_listeners_that_vanish_leave_nothing(few_files, start_daemon, js_programs):
    console = f"127.0.0.1:{free_ports(1)[0]}"
    daemon = start_daemon("--console", console)
    token = daemon.run("token").strip()
    pid = daemon.process.pid
    before = sockets(pid)
    used = []
    for _ in range(3):
        command = ["node", str(js_programs / "listeners.js"), f"http://{daemon.threads_web}", str(LISTENERS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout.readline() == "open\n"
            assert sockets(pid) == before + LISTENERS
            assert open_listeners(console, token) == (LISTENERS, LISTENERS)
            program.send_signal(signal.SIGKILL)
        ends = time.monotonic() + 20
        while sockets(pid) > before:
            assert time.monotonic() < ends, f"{sockets(pid) - before} connections are left"
            time.sleep(0.05)
        time.sleep(0.5)
        assert open_listeners(console, token) == (0, 0)
        used.append(resident(pid))
    # The first round warms up what is kept for the next ones.
    assert used[-1] - used[1] < 8 * 2**20, used
    daemon.stop()
