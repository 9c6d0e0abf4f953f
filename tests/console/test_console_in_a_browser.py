"""Every page of the console in a real browser: by keyboard, on a phone, light and dark, and looked at by axe."""

import json
import os
import subprocess
from pathlib import Path

import pytest

# The first run installs the packages.
pytestmark = pytest.mark.timeout(400)


SCREENSHOTS = Path(__file__).parents[2] / "artefacts" / "console"
"""Where CI finds them."""


@pytest.mark.usefixtures("bucket")
def test_the_whole_console(furnished, db, walk_program, chromium, subtests):
    link = json.loads(furnished.run("console", "--json"))["url"]
    # They stay, for whoever wants to see the pages; those of an earlier run do not.
    screenshots = Path(os.environ.get("THREADD_SCREENSHOTS", SCREENSHOTS))
    for old in screenshots.glob("*.png"):
        old.unlink()
    command = ["node", str(walk_program / "walk.js"), chromium, str(screenshots), link, db]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    checks = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    for found in checks:
        with subtests.test(found["name"]):
            assert found["ok"], found["detail"]
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(checks) >= 56
    assert len(list(screenshots.glob("*.png"))) >= 29
