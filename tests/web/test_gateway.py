"""The gateway over real HTTP: files, listings, websites, ranges, and what is not shown to strangers."""

import asyncio
import http.client
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote, unquote

import pytest
from replicas import give_blocks, give_records, push
from structlog.testing import capture_logs

from net import tokens
from net.keys import PrivateKey
from net.thread_id import ThreadID
from store.errors import StoreError
from threadd.buckets import access
from threadd.buckets.buckets import Options
from threadd.buckets.instances import Actor
from threadd.db.collections import CollectionConfig
from threadd.hub.confirmations import ConfirmationOptions
from threadd.hub.errors import InvitationExpiredError
from threadd.rooms import open_rooms
from threadd.web.content_types import content_type
from threadd.web.gateway import Gateway, GatewayOptions
from threadd.web.gateway_door import GatewayDoor
from threadd.web.operator_access import Access
from threadd.web.ranges import UnsatisfiableRangeError, parse_range

pytestmark = pytest.mark.timeout(60)

THREAD = ThreadID(bytes([1, 0x55]) + b"g" * 32)
ALICE, BOB = PrivateKey(b"a" * 32), PrivateKey(b"b" * 32)
DOMAIN = "sites.example"
OPERATOR_TOKEN = "operators"


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def links(self):
        return re.findall(r'href="([^"]*)"', self.body.decode())


class Site:
    """The gateway and what stands behind it."""

    def __init__(self, rooms, port):
        self.rooms = rooms
        self.buckets = rooms.buckets
        self.port = port

    async def get(self, path, method="GET", **headers):
        """Ask for a path as it is, without following anything."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}

        def ask():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                connection.request(method, path, headers=sent)
                reply = connection.getresponse()
                return Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
            finally:
                connection.close()

        return await asyncio.to_thread(ask)

    def actor(self, key=ALICE):
        return Actor(key.public, token=self.token(key))

    def token(self, key):
        return tokens.issue(self.rooms.host_key, key.public, 1)

    async def bucket(self, files, *, private=False, actor=None):
        """The key of a new bucket with some files."""
        actor = actor or self.actor()
        made = await self.buckets.create(THREAD, actor, name="my <site>", private=private)
        async with self.buckets.pushing(THREAD, actor, made.bucket.id) as push:
            for path, data in files.items():
                file = await push.begin(path)
                await file.add(data)
                await push.finish(file)
            await push.save()
        return made.bucket.id

    async def root(self, key):
        return (await self.buckets.get(THREAD, self.actor(), key)).path


@asynccontextmanager
async def opened(folder, *, shows_documents=False, **options):
    async with open_rooms(folder, bucket_options=Options("http://gw.example", DOMAIN), **options) as rooms:
        await rooms.databases.new_db(THREAD, identity=ALICE.public)
        host = rooms.host_key.public
        gateway = Gateway(
            rooms.buckets,
            rooms.databases,
            rooms.hub,
            host,
            lambda token: tokens.verify(token, host),
            Access(OPERATOR_TOKEN),
            GatewayOptions(DOMAIN, shows_documents),
            lambda: True,
        )
        door = GatewayDoor(gateway, "127.0.0.1", 0)
        try:
            yield Site(rooms, await door.open())
        finally:
            await door.close()


@pytest.fixture
async def site(tmp_path):
    async with opened(tmp_path / "repo") as made:
        yield made


def kinds(key):
    return [f"/ipns/{key}", f"/thread/{THREAD.text}/buckets/{key}"]


async def test_files_and_listings_by_every_way(site):
    key = await site.bucket({"a.txt": b"hello", "d/e/f.bin": bytes(300_000)})
    for base in (*kinds(key), await site.root(key)):
        file = await site.get(f"{base}/a.txt")
        assert (file.status, file.body, file.headers["content-type"]) == (200, b"hello", "text/plain")
        assert file.headers["content-length"] == "5"
        assert file.headers["access-control-allow-origin"] == "*"
        for path in (base, base + "/", base + "/d", base + "/d/e/"):
            listing = await site.get(path)
            assert listing.status == 200
            assert listing.headers["content-type"].startswith("text/html")
            for link in listing.links:
                assert (await site.get(link)).status == 200
        assert (await site.get(f"{base}/no/such")).status == 404
    assert (await site.get("/health")).status == 200
    for path in ("/ipfs/nonsense", "/thread/nonsense/buckets", f"/ipns/{key}/a/../b", "/thread/zz/people/x"):
        assert (await site.get(path)).status == 400
    for path in ("/ipns/nobody", "/dashboard/me", "/p2p/x", f"/thread/{THREAD.text}/buckets/nobody", "/x"):
        assert (await site.get(path)).status == 404
    missing = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    assert (await site.get(f"/ipfs/{missing}")).status == 404
    assert (await site.get("/health", "POST")).status == 405


@pytest.mark.parametrize(
    "name",
    ["é", "e\u0301", "日本 語", "#?&+%", "a b ", "%2e%2e", "new\nline", "🎈", "<b>&'\"", "a\\b", "x:y;z", "it's"],
)
async def test_every_name_has_a_link_that_opens_it(site, name):
    key = await site.bucket({f"{name}/{name}": name.encode()})
    for base in kinds(key):
        listing = await site.get(f"{base}/{quote(name)}/")
        assert "<b>" not in listing.body.decode()
        (link,) = [link for link in listing.links if unquote(link.replace("&#x27;", "'")).endswith(f"{name}/{name}")]
        assert (await site.get(link)).body == name.encode()
    links = await site.buckets.links(
        THREAD, site.actor(), await site.buckets.get(THREAD, site.actor(), key), f"{name}/{name}"
    )
    for url in (links.url, links.ipns):
        assert (await site.get(url.removeprefix("http://gw.example"))).body == name.encode()


async def test_index_pages(site):
    key = await site.bucket({"index.html": b"<h1>home", "docs/index.html": b"<h1>docs", "odd/index.html/x": b"1"})
    for base in kinds(key):
        page = await site.get(f"{base}/")
        assert (page.body, page.headers["content-type"]) == (b"<h1>home", "text/html")
        moved = await site.get(f"{base}/docs")
        assert (moved.status, moved.headers["location"]) == (302, f"{base}/docs/")
        assert (await site.get(f"{base}/docs/")).body == b"<h1>docs"
        assert b"Index of" in (await site.get(f"{base}/odd/")).body


async def test_websites_by_their_names(site):
    key = await site.bucket({"index.html": b"<h1>home", "app.js": b"1", "sub/index.html": b"<h1>sub", "dir/x": b"2"})
    bare = await site.bucket({"x": b"1"})
    host = f"{key}.{DOMAIN}:8006"
    assert (await site.get("/", host=host)).body == b"<h1>home"
    script = await site.get("/app.js", host=host)
    assert (script.body, script.headers["content-type"]) == (b"1", "application/javascript")
    assert (await site.get("/sub/", host=host)).body == b"<h1>sub"
    assert (await site.get("/sub", host=host)).headers["location"] == "/sub/"
    assert (await site.get("/none", host=host)).status == 404
    # On a bucket's own name its paths are its own.
    assert (await site.get("/health", host=host)).status == 404
    empty = await site.get("/", host=f"{bare}.{DOMAIN}")
    assert (empty.status, b"an index.html file was not found in this bucket" in empty.body) == (404, True)
    assert (await site.get("/", host=f"nobody.{DOMAIN}")).status == 404


async def test_parts_and_tags(site):
    whole = bytes(range(256)) * 2000
    key = await site.bucket({"big.bin": whole, "empty": b""})
    sealed = await site.bucket({"big.bin": whole}, private=True)
    token = site.token(ALICE)
    for url in (f"/ipns/{key}/big.bin", f"/ipns/{sealed}/big.bin?token={token}"):
        file = await site.get(url)
        assert file.body == whole
        tag = file.headers["etag"]
        cases = {
            "bytes=0-0": (0, 1),
            "bytes=262140-262150": (262_140, 262_151),
            "bytes=511990-": (511_990, 512_000),
            "bytes=-5": (511_995, 512_000),
            "bytes=17-400000": (17, 400_001),
        }
        for header, (start, stop) in cases.items():
            part = await site.get(url, range=header)
            assert (part.status, part.body) == (206, whole[start:stop])
            assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
        for header in ("bytes=0-1,5-6", "items=1-2", "bytes=5-1"):
            assert (await site.get(url, range=header)).status == 200
        outside = await site.get(url, range="bytes=512000-")
        assert (outside.status, outside.headers["content-range"]) == (416, "bytes */512000")
        assert (await site.get(url, if_none_match=f'"x", {tag}')).status == 304
        assert (await site.get(url, range="bytes=0-0", if_range='"other"')).status == 200
        for sent in ({}, *({"range": header} for header in (*cases, "bytes=512000-", "bytes=0-1,5-6", "items=1-2"))):
            for more in ({}, {"if_range": tag}, {"if_range": '"other"'}):
                head = await site.get(url, "HEAD", **sent, **more)
                assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "512000")
                assert "content-range" not in head.headers
        assert (await site.get(url, "HEAD", if_none_match=tag)).status == 304
    assert (await site.get(f"/ipns/{key}/empty")).body == b""


async def test_private_content_wants_a_token(site):
    key = await site.bucket({"dir/secret.txt": b"secret"}, private=True)
    alice, bob = site.token(ALICE), site.token(BOB)
    for base in kinds(key):
        for path in ("", "/dir", "/dir/secret.txt"):
            for query in ("", f"?token={bob}", "?token=nonsense", f"?token={alice[:-3]}abc"):
                refused = await site.get(f"{base}{path}{query}")
                assert refused.status == 404
                assert b"secret" not in refused.body
        assert (await site.get(f"{base}/dir/secret.txt?token={alice}")).body == b"secret"
        listing = await site.get(f"{base}/dir/?token={alice}")
        assert listing.headers["cache-control"].startswith("private")
        assert listing.headers["referrer-policy"] == "no-referrer"
        opened_links = [await site.get(link.replace("&amp;", "&")) for link in listing.links]
        assert b"secret" in [answer.body for answer in opened_links]
    ciphertext = await site.get(await site.root(key))
    assert b"secret" not in ciphertext.body


async def test_a_private_bucket_without_an_owner_is_the_operators(site):
    key = await site.bucket({"file": b"mine"}, private=True, actor=Actor(site.rooms.host_key.public, named=False))
    for base in kinds(key):
        assert (await site.get(f"{base}/file", authorization=f"Bearer {OPERATOR_TOKEN}")).body == b"mine"
        for sent in ({}, {"authorization": "Bearer other"}, {"authorization": f"Basic {OPERATOR_TOKEN}"}):
            refused = await site.get(f"{base}/file", **sent)
            assert refused.status == 404
            assert b"threadd token" in refused.body
            assert refused.body == (await site.get(f"{base[:-1]}/file")).body


async def test_documents_are_for_the_operator_or_a_user(site, tmp_path):
    schema = b'{"properties": {"_id": {"type": "string"}}}'
    database = site.rooms.databases.get(THREAD)
    await database.new_collection(CollectionConfig("people", schema))
    await database.create("people", [b'{"_id": "jane", "n": 1}'], ALICE.public)
    key = await site.bucket({"x": b"1"})
    operator = {"authorization": f"Bearer {OPERATOR_TOKEN}"}
    many, one = f"/thread/{THREAD.text}/people", f"/thread/{THREAD.text}/people/jane"
    assert [row["_id"] for row in json.loads((await site.get(many, **operator)).body)] == ["jane"]
    assert json.loads((await site.get(one, **operator)).body)["n"] == 1
    assert (await site.get(f"/thread/{THREAD.text}/people/nobody", **operator)).status == 404
    assert (await site.get(f"/thread/{THREAD.text}/animals", **operator)).status == 404
    buckets = f"/thread/{THREAD.text}/buckets"
    assert b"my &lt;site&gt;" in (await site.get(buckets, **operator)).body
    assert [row["_id"] for row in json.loads((await site.get(f"{buckets}?json=true", **operator)).body)] == [key]
    assert json.loads((await site.get(f"{buckets}/{key}?json=true", **operator)).body)["name"] == "my <site>"
    assert (await site.get(f"{buckets}/{key}/x?json=true", **operator)).status == 404
    # Whether something exists is not told either.
    for path in (many, one, buckets, f"{buckets}/{key}?json=true", f"{many}/nobody", f"/thread/{THREAD.text}/animals"):
        refused = await site.get(path)
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert b"threadd token" in refused.body
    for path in (many, one, buckets, f"{buckets}/{key}?json=true"):
        joined = "&" if "?" in path else "?"
        assert (await site.get(f"{path}{joined}token={site.token(BOB)}")).status == 200
        assert (await site.get(f"{path}{joined}token=nonsense")).status == 404
    async with opened(tmp_path / "open", shows_documents=True) as shown:
        assert (await shown.get(f"/thread/{THREAD.text}/buckets")).status == 200


OPEN = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "Content-Length, Content-Range, ETag",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


async def test_pages_of_any_site_may_read_every_answer(tmp_path, monkeypatch):
    confirmation = ConfirmationOptions(secret="sesame")
    async with opened(tmp_path / "repo", confirmation=confirmation) as site:
        key = await site.bucket({"a.txt": b"hello", "docs/index.html": b"<h1>"})
        sealed = await site.bucket({"a.txt": b"hello"}, private=True)
        token = site.token(ALICE)
        tag = (await site.get(f"/ipns/{key}/a.txt")).headers["etag"]
        hub = site.rooms.hub
        signing = asyncio.ensure_future(hub.signing.sign_up("jane", "jane@example.org"))
        while not hub.confirmations.pending():  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0)
        asked = [
            (200, "/", "GET", {}),
            (200, "/health", "GET", {}),
            (200, "/healthz", "GET", {}),
            (200, "/readyz", "GET", {}),
            (200, f"/ipns/{key}/", "GET", {}),
            (200, f"/ipns/{key}/a.txt", "HEAD", {}),
            (200, f"/ipns/{sealed}/a.txt?token={token}", "GET", {}),
            (200, f"/thread/{THREAD.text}/buckets?token={token}", "GET", {}),
            (200, f"/thread/{THREAD.text}/buckets?json=true&token={token}", "GET", {}),
            (200, f"/thread/{THREAD.text}/buckets/{key}?json=true&token={token}", "GET", {}),
            (200, "/confirm/sesame", "GET", {}),
            (204, "/confirm/sesame", "OPTIONS", {"origin": "https://app.example"}),
            (206, f"/ipns/{key}/a.txt", "GET", {"range": "bytes=0-1"}),
            (302, f"/ipns/{key}/docs", "GET", {}),
            (304, f"/ipns/{key}/a.txt", "GET", {"if_none_match": tag}),
            (400, "/thread/nonsense/buckets", "GET", {}),
            (404, "/nothing", "GET", {}),
            (404, "/confirm/sesame", "GET", {}),
            (404, "/consent/nothing", "GET", {}),
            (404, f"/ipns/{sealed}/a.txt", "GET", {}),
            (404, "/", "GET", {"host": f"nobody.{DOMAIN}"}),
            (405, "/", "POST", {}),
            (410, "/metrics", "GET", {}),
            (410, "/_/", "GET", {}),
            (416, f"/ipns/{key}/a.txt", "GET", {"range": "bytes=5-"}),
        ]
        for status, path, method, headers in asked:
            answer = await site.get(path, method, **headers)
            assert (answer.status, path) == (status, path)
            assert OPEN.items() <= answer.headers.items()
        await signing
        jane = hub.accounts.find("jane")
        acme = await hub.organisations.create("Acme", jane)
        invited = (await hub.invitations.invite(acme, jane.public_key, "john@example.org")).token

        async def too_late(_token):
            raise InvitationExpiredError

        async def broken(_token):
            raise RuntimeError("unforeseen")

        for status, consent in ((200, hub.invitations.consent), (412, too_late), (500, broken)):
            monkeypatch.setattr(hub.invitations, "consent", consent)
            answer = await site.get(f"/consent/{invited}")
            assert answer.status == status
            assert OPEN.items() <= answer.headers.items()
            assert b"unforeseen" not in answer.body


SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"


async def test_content_by_path_has_no_origin_and_everything_else_is_never_framed(site):
    """Every kind of answer, of which the default is the strict one."""
    key = await site.bucket({"a.html": b"<script>", "a.svg": b"<svg/>", "index/index.html": b"<h1>", "d/x": b"1"})
    bases = [*kinds(key), await site.root(key)]
    tag = (await site.get(f"{bases[0]}/a.html")).headers["etag"]
    content = [
        (base + path, {}) for base in bases for path in ("", "/", "/a.html", "/a.svg", "/index", "/index/", "/d/")
    ]
    content += [(f"{bases[0]}/a.html", {"if_none_match": tag}), (f"{bases[0]}/a.html", {"range": "bytes=0-2"})]
    content += [(f"{bases[0]}/a.html", {"range": "bytes=99-"}), (f"{bases[0]}/none", {})]
    seen = set()
    for path, headers in content:
        for method in ("GET", "HEAD"):
            answer = await site.get(path, method, **headers)
            seen.add(answer.status)
            assert answer.headers["content-security-policy"] == SANDBOX, path
    assert seen == {200, 206, 302, 304, 404, 416}
    own = ["/", "/health", "/healthz", "/metrics", "/_/", "/nothing", "/confirm/x", "/consent/x", "/thread/x/people"]
    own += [
        f"/thread/{THREAD.text}/{rest}" for rest in ("people", "people/jane", "buckets", f"buckets/{key}?json=true")
    ]
    own.append("/ipns/nobody")
    for path in own:
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            answer = await site.get(path, method)
            assert answer.headers["content-security-policy"] == f"{SANDBOX}; frame-ancestors 'none'", path
            assert answer.headers["x-frame-options"] == "DENY"
    named = await site.get("/a.html", host=f"{key}.{DOMAIN}")
    assert "content-security-policy" not in named.headers
    for host in (DOMAIN, f"{key}.{DOMAIN}.", "127.0.0.1", f"{key}.elsewhere.example"):
        assert (await site.get(f"/ipns/{key}/a.html", host=host)).headers["content-security-policy"] == SANDBOX


async def test_links_that_confirm(tmp_path):
    async with opened(tmp_path / "repo", confirmation=ConfirmationOptions(secret="sesame")) as site:
        assert (await site.get("/confirm/sesame")).status == 404
        signing = asyncio.ensure_future(site.rooms.hub.signing.sign_up("jane", "jane@example.org"))
        while not site.rooms.hub.confirmations.pending():  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0)
        looked = await site.get("/confirm/sesame", method="HEAD")
        assert (looked.status, looked.headers["allow"]) == (405, "GET, OPTIONS")
        assert site.rooms.hub.confirmations.pending()
        said = await site.get("/confirm/sesame")
        assert (said.status, b"confirmed the sign-up of jane." in said.body) == (200, True)
        await signing
        assert (await site.get("/consent/nothing")).status == 404
        hub = site.rooms.hub
        jane = hub.accounts.find("jane")
        acme = await hub.organisations.create("Acme", jane)
        token = (await hub.invitations.invite(acme, jane.public_key, "john@example.org")).token
        for _ in range(2):
            said = await site.get(f"/consent/{token}")
            assert (said.status, b"john@example.org may now join Acme" in said.body) == (200, True)


@pytest.mark.parametrize("error", [RuntimeError, StoreError])
async def test_links_that_confirm_stay_out_of_the_log(tmp_path, monkeypatch, error):
    async def fail(_token):
        raise error

    async with opened(tmp_path / "repo") as site:
        monkeypatch.setattr(site.rooms.hub.invitations, "consent", fail)
        with capture_logs() as said:
            for path in ("/consent/sesame", "//consent//sesame/", "/%63onsent/sesame"):
                assert (await site.get(path)).status == 500
    assert [line["path"] for line in said] == ["/consent/(hidden)"] * 3


@pytest.mark.parametrize(
    ("name", "head", "wanted"),
    [
        ("a.css", b"", "text/css"),
        ("a.SVG", b"", "image/svg+xml"),
        ("readme.md", b"# x", "text/plain"),
        ("a", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("a", b"  <!DOCTYPE html>", "text/html; charset=utf-8"),
        ("a", b"plain words", "text/plain; charset=utf-8"),
        ("a", b"\x00\x01\x02", "application/octet-stream"),
        ("a.woff2", b"wOF2", "font/woff2"),
        ("a.xyz123", b"RIFF....WEBP", "image/webp"),
        ("page.bin", b"<b>", "text/html; charset=utf-8"),
    ],
)
def test_types(name, head, wanted):
    assert content_type(name, head) == wanted


def test_ranges_of_nothing():
    assert parse_range(None, 0) is None
    assert parse_range("bytes=-", 5) is None
    for header in ("bytes=0-", "bytes=-1"):
        with pytest.raises(UnsatisfiableRangeError):
            parse_range(header, 0)


@pytest.mark.parametrize("private", [False, True])
async def test_a_root_that_comes_without_its_blocks_leaves_a_bucket_as_it_was_by_every_way(site, tmp_path, private):
    key = await site.bucket({"index.html": b"<h1>site</h1>", "d/a.txt": b"hello"}, private=private)
    async with open_rooms(tmp_path / "there") as there:
        await give_records(site.rooms, there, THREAD)
        await give_blocks(site.rooms, there)
        await push(there, THREAD, site.actor(), key, {"new.txt": b"new", "d/a.txt": b"changed"})
        await give_records(there, site.rooms, THREAD)
        end = f"?token={site.token(ALICE)}"
        for _ in range(2):
            for base in kinds(key):
                assert (await site.get(f"{base}/d/a.txt{end}")).body == b"hello"
                assert (await site.get(f"{base}/{end}")).body == b"<h1>site</h1>"
                assert (await site.get(f"{base}/new.txt{end}")).status == 404
            assert (await site.get(f"/{end}", host=f"{key}.{DOMAIN}")).body == b"<h1>site</h1>"
            await site.buckets.sweeping.sweep()
        await give_blocks(there, site.rooms)
        for base in kinds(key):
            assert (await site.get(f"{base}/new.txt{end}")).body == b"new"
            assert (await site.get(f"{base}/d/a.txt{end}")).body == b"changed"


async def test_a_website_of_a_daemon_that_joined_is_there_at_once(site, tmp_path):
    async with open_rooms(tmp_path / "there") as there:
        await there.databases.new_db(THREAD, identity=ALICE.public, key=site.rooms.databases.get(THREAD).info().key)
        made = await there.buckets.create(THREAD, site.actor())
        await push(there, THREAD, site.actor(), made.bucket.id, {"index.html": b"from elsewhere"})
        database = site.rooms.databases.get(THREAD)
        await database.new_collection(access.CONFIG)
        await give_blocks(there, site.rooms)
        await give_records(there, site.rooms, THREAD)
        key = made.bucket.id
        assert (await site.get("/", host=f"{key}.{DOMAIN}")).body == b"from elsewhere"
        assert (await site.get(f"/ipns/{key}/")).body == b"from elsewhere"
