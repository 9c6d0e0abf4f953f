"""What `docs/reliability.md` says of tests and settings is so: each promise and each fault names a test that exists."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from threadd.config import SETTINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()

pytestmark = pytest.mark.timeout(300)


def rows(heading):
    """The cells of the table under a heading, without its head."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_each_promise_names_a_test():
    promises = rows("Promises")
    assert len(promises) > 15
    for promise, held_by in promises:
        assert re.search(r"`tests/|^the same|`threadd verify`", held_by), promise


def test_what_is_named_is_there():
    named = set(re.findall(r"`((?:tests|store|net|threadd|docs|bench|proto)/[\w./-]+)`", PAGE))
    assert len(named) > 30
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_each_limit_has_its_setting():
    flags = {setting.flag for setting in SETTINGS}
    named = set(re.findall(r"`(--(?:max|bytes|threads)-[\w-]+)`", PAGE))
    assert named <= flags
    assert {flag for flag in flags if flag.startswith("--max-") or flag.endswith("-per-owner")} == named


def test_each_point_of_the_checklist_has_a_line():
    assert [int(point.split()[0]) for point, _ in rows("The checklist")] == list(range(1, 19))


def test_each_fault_has_a_command_that_finds_its_test():
    commands = [shlex.split(re.fullmatch(r"`pytest (.*)`", cells[-1]).group(1)) for cells in rows("Ledger")]
    assert len(commands) > 10
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", *sorted({command[0] for command in commands})]
    done = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tests = done.stdout.splitlines()
    for path, *chosen in commands:
        words = chosen[1].split(" or ") if chosen else [""]
        for word in words:
            assert any(line.startswith(path) and word in line.removeprefix(path) for line in tests), (path, word)
