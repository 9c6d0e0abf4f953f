"""A daemon for what the documents show, and the blocks of code in them."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import platformdirs
import pytest
from daemons import JS_PACKAGE, free_ports, install_js, prepare_threadd

from threadd.client import Client

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

_BLOCK = re.compile(
    r"(?:^<!-- (?P<kind>run by|checked, not run): (?P<why>[^\n]*) -->\n)?"
    r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A block of code.

    Args:
        page: Its page, from the root.
        number: Its place on the page, from 0.
        language: As the fence says.
        text: What is in it.
        kind: `run by` or `checked, not run`, as the comment above it says; empty where it is run here.
        why: The rest of that comment: what runs it, or why nothing can.
    """

    page: str
    number: int
    language: str
    text: str
    kind: str
    why: str

    @property
    def name(self):
        return f"{self.page} {self.number}"


def read_blocks():
    """All blocks of the documents. Pages that docs/generate.py makes are compared as wholes elsewhere."""
    found = []
    for page in PAGES:
        text = page.read_text()
        if "Made by `docs/generate.py`" in text and page.parent.name == "reference":
            continue
        name = str(page.relative_to(ROOT))
        blocks = [
            Block(name, number, each["language"], each["text"], each["kind"] or "", each["why"] or "")
            for number, each in enumerate(_BLOCK.finditer(text))
        ]
        fences = len(re.findall(r"^ *(?:```|~~~)", text, re.MULTILINE))
        assert fences == 2 * len(blocks), f"{name} has fences that are no block"
        found += blocks
    return found


@pytest.fixture(scope="session")
def blocks():
    """All of them."""
    return read_blocks()


@pytest.fixture(scope="session")
def documented(tmp_path_factory):
    """A daemon that the blocks run against."""
    gateway, console = (f"127.0.0.1:{port}" for port in free_ports(2))
    daemon = prepare_threadd(tmp_path_factory.mktemp("docs"), "--gateway", gateway, "--console", console)
    daemon.console = console
    daemon.start()
    yield daemon
    daemon.kill()


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory):
    """Another daemon, which blocks call HOST."""
    daemon = prepare_threadd(tmp_path_factory.mktemp("elsewhere"))
    daemon.start()
    yield daemon
    daemon.kill()


@pytest.fixture
async def here(documented, elsewhere):
    """Puts the doors of that daemon into a text in the place of the usual ones, and real values in that of words in capitals."""
    made = json.loads(documented.run("keys", "create", "--type", "user", "--json"))
    async with Client(documented.threads_api) as client:
        thread = str((await client.new_db(name="documented")).id)
    values = {
        r"127\.0\.0\.1:3006": documented.hub_api,
        r"127\.0\.0\.1:3007": documented.hub_web,
        r"127\.0\.0\.1:6006": documented.threads_api,
        r"127\.0\.0\.1:6007": documented.threads_web,
        r"127\.0\.0\.1:8007": documented.console,
        r"\bHOST:6006\b": elsewhere.threads_api,
        r"\bKEY\b": made["key"],
        r"\bSECRET\b": made["secret"],
        r"\bTHREAD\b": thread,
    }

    def put(text):
        for usual, value in values.items():
            text = re.sub(usual, value, text)
        return text

    return put


@pytest.fixture(scope="session")
def js_packages():
    """The folder of the published JS packages, shared with the other tests of them."""
    _require("node", "npm")
    clone = hashlib.sha256(str(JS_PACKAGE.resolve()).encode()).hexdigest()[:16]
    folder = platformdirs.user_cache_path("threadd-tests") / clone
    install_js(folder)
    return folder


@pytest.fixture(scope="session")
def chromium():
    """The browser."""
    return _require("chromium")


def _require(*programs):
    """Whoever cannot run all blocks is told so, rather than told that they are right."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.fail(f"{program} is not installed: blocks of the documents need it")
    return shutil.which(programs[0])
