"""Real Go clients against real daemons: programs over the client packages of go-threads and of the Hub.

Each program prints a JSON line a check; each check is a subtest here.
"""

import json
import subprocess
from typing import NamedTuple

import pytest

# The first build downloads and compiles the modules.
pytestmark = pytest.mark.timeout(900)

RUN_SECONDS = 180


class Check(NamedTuple):
    name: str
    ok: bool
    detail: str


def run(program, *arguments):
    """Run a program; returns its checks."""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    checks = [Check(**json.loads(line)) for line in done.stdout.splitlines()]
    failed = any(not check.ok for check in checks)
    assert done.returncode == int(failed), done.stderr
    return checks


def report(subtests, daemon, checks, at_least):
    said = "" if all(check.ok for check in checks) else daemon.said()
    for check in checks:
        with subtests.test(check.name):
            assert check.ok, f"{check.detail}\n{said}"
    assert len(checks) >= at_least


def key_flags(daemon, name, kind, *flags):
    key = json.loads(daemon.run("keys", "create", "--type", kind, "--json", *flags))
    return ["-" + name + "-key", key["key"], "-" + name + "-secret", key["secret"]]


def test_a_hub_user(go_programs, start_daemon, subtests):
    daemon = start_daemon()
    checks = run(
        go_programs / "hubuser",
        *["-hub", daemon.hub_api],
        *key_flags(daemon, "user", "user"),
        *key_flags(daemon, "other", "user"),
        *key_flags(daemon, "account", "account"),
        *key_flags(daemon, "insecure", "user", "--insecure"),
    )
    report(subtests, daemon, checks, 75)
    daemon.stop()


def test_a_developer_and_users_with_mail(go_programs, start_daemon, subtests):
    daemon = start_daemon("--confirm", "auto-signin")
    report(subtests, daemon, run(go_programs / "accountuser", "-hub", daemon.hub_api), 40)
    daemon.stop()


def test_a_user_of_a_threads_daemon(go_programs, start_daemon, subtests):
    daemon = start_daemon()
    report(subtests, daemon, run(go_programs / "threaduser", "-threads", daemon.threads_api), 215)
    daemon.stop()


def test_a_user_of_the_network_api(go_programs, start_daemon, subtests):
    daemon = start_daemon()
    report(subtests, daemon, run(go_programs / "netuser", "-threads", daemon.threads_api), 90)
    daemon.stop()


def test_a_user_of_streams_of_a_threads_daemon(go_programs, start_daemon, subtests):
    daemon = start_daemon()
    report(subtests, daemon, run(go_programs / "streamuser", "-threads", daemon.threads_api), 110)
    daemon.stop()


def test_a_user_of_streams_of_a_hub(go_programs, start_daemon, subtests):
    daemon = start_daemon()
    key = key_flags(daemon, "user", "user")
    report(subtests, daemon, run(go_programs / "streamuser", "-hub", daemon.hub_api, *key), 110)
    daemon.stop()


def test_a_user_of_buckets_of_a_threads_daemon(go_programs, start_daemon, subtests):
    daemon = start_daemon()
    report(subtests, daemon, run(go_programs / "bucketuser", "-threads", daemon.threads_api), 85)
    daemon.stop()


def test_a_user_of_buckets_of_a_hub(go_programs, start_daemon, subtests):
    daemon = start_daemon()
    key = key_flags(daemon, "user", "user")
    report(subtests, daemon, run(go_programs / "bucketuser", "-hub", daemon.hub_api, *key), 85)
    daemon.stop()


def test_both_users_of_one_daemon_after_a_restart(go_programs, start_daemon):
    daemon = start_daemon()
    key = key_flags(daemon, "user", "user")
    for _ in range(2):
        threads = run(go_programs / "threaduser", "-threads", daemon.threads_api)
        hub = run(go_programs / "hubuser", "-hub", daemon.hub_api, *key)
        assert [check for check in threads + hub if not check.ok] == []
        daemon.restart()
    daemon.stop()


def test_the_reference_passes_what_is_no_departure(go_programs, start_godaemon, subtests):
    daemon = start_godaemon()
    report(subtests, daemon, run(go_programs / "threaduser", "-reference", "-threads", daemon.threads_api), 190)


def test_the_reference_passes_what_is_no_departure_of_the_network_api(go_programs, start_godaemon, subtests):
    daemon = start_godaemon()
    report(subtests, daemon, run(go_programs / "netuser", "-reference", "-threads", daemon.threads_api), 80)


def test_the_reference_passes_what_is_no_departure_of_streams(go_programs, start_godaemon, subtests):
    daemon = start_godaemon()
    report(subtests, daemon, run(go_programs / "streamuser", "-reference", "-threads", daemon.threads_api), 60)


def test_the_benchmark_runs(go_programs, start_daemon, start_godaemon):
    command = [go_programs / "bench", "-ours", start_daemon().threads_api, "-reference", start_godaemon().threads_api]
    options = ["-rounds", "1", "-scale", "0.01", "-docs", "200"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    cases = {case["name"]: case for case in json.loads(done.stdout)["cases"]}
    for name in (
        "create-1",
        "create-16",
        "find-by-id-1",
        "find-by-id-16",
        "new-db",
        "find-200",
        "read-under-scans-of-200",
    ):
        assert cases[name]["ratio"] > 0, cases[name]
