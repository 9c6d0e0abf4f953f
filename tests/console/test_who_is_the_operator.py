"""What is shown depends on what a request shows, and on nothing else: not on who or where the program says that it is."""

import asyncio
import itertools
import json
import subprocess

import pytest

from threadd.client import Client, Identity

pytestmark = pytest.mark.timeout(400)

CREDENTIALS = (
    "nothing",
    "a wrong token",
    "another scheme",
    "a user's token",
    "a token of threadd token",
    "the token of the settings",
)
OPERATORS = CREDENTIALS[-2:]

# What programs, browsers and proxies add of their own accord.
ADDED = (
    {},
    {"sec-fetch-mode": "cors"},
    {"sec-fetch-mode": "cors", "sec-fetch-site": "cross-site", "sec-fetch-dest": "empty"},
    {"sec-fetch-mode": "navigate", "sec-fetch-site": "none", "sec-fetch-dest": "document"},
    {"sec-fetch-mode": "navigate", "sec-fetch-site": "same-site", "sec-fetch-dest": "iframe"},
    {"origin": "null"},
    {"origin": "http://evil.example"},
    {"x-forwarded-for": "192.0.2.1"},
    {"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1"},
    {"forwarded": "for=127.0.0.1;host=localhost"},
    {"via": "1.1 proxy", "x-forwarded-host": "localhost"},
    {"host": "localhost"},
    {"host": "127.0.0.1:80"},
    {"host": "[::1]"},
    {"host": "rebound.example"},
    {"user-agent": "curl/8.0"},
    {"user-agent": "node"},
)


@pytest.fixture
async def shown(furnished, db):
    """Paths of the gateway, by what they show, the token of a user, and an operator token."""
    async with Client(furnished.threads_api) as client:
        user = await client.authenticate(Identity.random())
    async with Client(furnished.threads_api) as client:
        sealed = await client.db(db).buckets.create("sealed", private=True)
        await sealed.push("file", b"x")
        paths = {
            "documents": f"/thread/{db}/people",
            "a document": f"/thread/{db}/people/p000",
            "a list of buckets": f"/thread/{db}/buckets",
            "its JSON": f"/thread/{db}/buckets?json=true",
            "a private bucket of nobody": f"/thread/{db}/buckets/{sealed.key}/file",
            "it by name": f"/ipns/{sealed.key}/file",
        }
        yield paths, user, furnished.run("token").strip()
        await sealed.delete()


def sent(path, credential, user, token):
    """The path and the headers for a credential."""
    match credential:
        case "a user's token":
            return f"{path}{'&' if '?' in path else '?'}token={user}", {}
        case "a wrong token":
            return path, {"authorization": f"Bearer {user}"}
        case "another scheme":
            return path, {"authorization": f"Basic {token}"}
        case "a token of threadd token":
            return path, {"authorization": f"Bearer {token}"}
        case "the token of the settings":
            return path, {"authorization": "bearer for-prometheus"}
    return path, {}


def expected(what, credential):
    if credential in OPERATORS:
        return 200
    if what == "metrics":
        return 401
    if credential == "a user's token":
        return 200
    return 404 if what in ("a private bucket of nobody", "it by name") else 401


async def test_the_same_credentials_give_the_same_answer_whatever_else_is_sent(gateway, stranger, shown):
    paths, user, token = shown
    for what, path in (*paths.items(), ("metrics", "/metrics")):
        asked = stranger if what == "metrics" else gateway
        for credential, added in itertools.product(CREDENTIALS, ADDED):
            target, headers = sent(path, credential, user, token)
            status, _, text = await asyncio.to_thread(asked.ask, target, None, headers | added)
            assert status == expected(what, credential), (what, credential, added)
            assert ("threadd token" in text) == (status != 200)


async def test_node_curl_and_a_browser_are_answered_alike(furnished, shown, walk_program, chromium):
    paths, user, token = shown
    cases = [
        (*sent(f"http://{furnished.gateway}{path}", credential, user, token), expected(what, credential))
        for (what, path), credential in itertools.product(paths.items(), CREDENTIALS)
    ]
    asked = json.dumps([[url, headers] for url, headers, _ in cases])
    command = ["node", str(walk_program / "fetches.js"), chromium, asked]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    wanted = [status for _, _, status in cases]
    assert json.loads(done.stdout) == {"node": wanted, "browser": wanted}
    curled = []
    for url, headers, _ in cases:
        command = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", url]
        for name, value in headers.items():
            command += ["--header", f"{name}: {value}"]
        curled.append(int(subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout))
    assert curled == wanted


def test_a_console_session_opens_nothing_at_the_gateway(gateway, browser, shown):
    paths, _, _ = shown
    gateway.cookie = browser.cookie
    for what, path in paths.items():
        assert gateway.ask(path)[0] == expected(what, "nothing")
    assert browser.ask("/_/")[0] == 200
