"""A daemon with something in it, and a browser's way into its console."""

import hashlib
import http.client
import json
import os
import shutil
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import platformdirs
import pytest
from daemons import free_ports, install_js, prepare_threadd

from threadd.client import Client

SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "_id": {"type": "string"},
        "name": {"type": "string", "minLength": 1, "description": "What people call them"},
        "born": {"type": "number", "minimum": 0},
        "alive": {"type": "boolean"},
        "address": {"type": "object"},
    },
    "required": ["name"],
}


@pytest.fixture(scope="session")
def furnished(tmp_path_factory):
    """A daemon with its gateway and its console open, for all tests of the console."""
    gateway, console = (f"127.0.0.1:{port}" for port in free_ports(2))
    flags = ["--gateway", gateway, "--console", console, "--console-host", "console.example"]
    flags += ["--gateway-domain", "buckets.localhost"]
    flags += ["--operator-token", "for-prometheus", "--host-addr", "off"]
    daemon = prepare_threadd(tmp_path_factory.mktemp("console"), *flags)
    daemon.gateway, daemon.console = gateway, console
    daemon.start()
    yield daemon
    daemon.kill()


@pytest.fixture
async def db(furnished):
    """The ID of a database with people in it."""
    async with Client(furnished.threads_api) as client:
        made = await client.new_db(name="library")
        people = await made.new_collection("people", schema=SCHEMA, indexes=["born"])
        await people.create([{"_id": f"p{n:03}", "name": f"Person {n}", "born": 1900 + n} for n in range(120)])
        await people.save([{"_id": "p000", "name": "Ada <script>", "born": 1815}])
        yield made.id
        await made.delete()


@pytest.fixture
async def bucket(furnished, db):
    """The key of a bucket in that database."""
    async with Client(furnished.threads_api) as client:
        made = await client.db(db).buckets.create("site")
        yield made.key
        await made.delete()


class Browser:
    """Keeps a cookie, as a browser does."""

    def __init__(self, address):
        self.address = address
        self.cookie = ""

    def ask(self, path, form=None, headers=()):
        """The status, the headers and the text of an answer."""
        sent = dict(headers) | ({"cookie": self.cookie} if self.cookie else {})
        body = None
        if form is not None:
            sent = {"content-type": "application/x-www-form-urlencoded", "origin": f"http://{self.address}"} | sent
            body = urlencode(form)
        with closing(http.client.HTTPConnection(self.address, timeout=20)) as connection:
            connection.request("GET" if form is None else "POST", path, body, sent)
            answer = connection.getresponse()
            if set_cookie := answer.getheader("set-cookie"):
                self.cookie = set_cookie.partition(";")[0]
            return answer.status, answer.headers, answer.read().decode()


@pytest.fixture
def browser(furnished):
    """One that was let in."""
    made = Browser(furnished.console)
    link = json.loads(furnished.run("console", "--json"))["url"]
    status, headers, _ = made.ask(urlsplit(link).path)
    assert (status, headers["location"]) == (303, "/_/")
    return made


@pytest.fixture
def stranger(furnished):
    """One that was not."""
    return Browser(furnished.console)


@pytest.fixture
def gateway(furnished):
    """A client of the gateway."""
    return Browser(furnished.gateway)


@pytest.fixture(scope="session")
def walk_program():
    """The folder of the program that walks through the console, with its packages."""
    source = Path(__file__).parent / "js"
    clone = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:16]
    folder = platformdirs.user_cache_path("threadd-tests") / clone
    _require("node", "npm")
    install_js(folder, source)
    return folder


@pytest.fixture(scope="session")
def chromium():
    """The browser."""
    return _require("chromium")


def _require(*programs):
    """Skip a test for want of a program, and fail it where CI runs it."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        reason = f"{', '.join(missing)} not installed: a browser walks through the console"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return shutil.which(programs[0])
