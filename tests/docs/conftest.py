"""A daemon for what the documents show, and the blocks of code in them."""

import hashlib
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import platformdirs
import pytest
from daemons import JS_PACKAGE, install_js, prepare_threadd

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "starts").glob("*.md")])

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    page: str
    number: int
    language: str
    text: str


@pytest.fixture(scope="session")
def blocks():
    """All blocks of code of the documents; those of README that make does are tested elsewhere."""
    return [
        Block(str(page.relative_to(ROOT)), number, language, text)
        for page in PAGES
        for number, (language, text) in enumerate(_BLOCK.findall(page.read_text()))
    ]


@pytest.fixture(scope="session")
def documented(tmp_path_factory):
    """A daemon that the blocks run against."""
    daemon = prepare_threadd(tmp_path_factory.mktemp("docs"), "--host-addr", "off")
    daemon.start()
    yield daemon
    daemon.kill()


@pytest.fixture(scope="session")
def here(documented):
    """Puts the doors of that daemon into a text in the place of the usual ones."""
    doors = {
        "127.0.0.1:3006": documented.hub_api,
        "127.0.0.1:3007": documented.hub_web,
        "127.0.0.1:6006": documented.threads_api,
        "127.0.0.1:6007": documented.threads_web,
    }

    def put(text):
        for usual, door in doors.items():
            text = text.replace(usual, door)
        return text

    return put


@pytest.fixture(scope="session")
def js_packages():
    """The folder of the published JS packages, shared with the other tests of them."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node and npm are not installed")
    clone = hashlib.sha256(str(JS_PACKAGE.resolve()).encode()).hexdigest()[:16]
    folder = platformdirs.user_cache_path("threadd-tests") / clone
    install_js(folder)
    return folder
