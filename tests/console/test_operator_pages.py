"""The console's endpoint of a real daemon, over HTTP: health, metrics, the console, and what other pages cannot do."""

import asyncio
import http.client
import itertools
import json
import re
from contextlib import closing
from urllib.parse import quote, urlsplit

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from proto import bucketsd_pb2
from threadd.client import Client
from threadd.web.console.snippets import snippet


def test_health_is_told_to_anybody_at_both_endpoints(stranger, gateway):
    for asked in (stranger, gateway):
        for path, text in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
            status, _, body = asked.ask(path, headers={"host": "elsewhere.example"})
            assert (status, body) == (200, text)


def test_the_gateway_says_where_metrics_and_the_console_went(gateway):
    gateway.cookie = "threadd-console=x"
    for path, named in (
        ("/metrics", "127.0.0.1:8007"),
        ("/_", "threadd console"),
        ("/_/", "threadd console"),
        ("/_/keys", "threadd console"),
        ("/_/open/x", "threadd console"),
    ):
        status, headers, body = gateway.ask(path, headers={"authorization": "Bearer for-prometheus"})
        assert (status, headers["location"]) == (410, None)
        assert named in body


def test_the_console_endpoint_has_nothing_of_the_gateway(browser, db, bucket):
    for path in (f"/ipns/{bucket}/", f"/thread/{db}/people", f"/thread/{db}/buckets", "/ipfs/x", "/confirm/x"):
        assert browser.ask(path)[0] == 404
    assert browser.ask("/")[1]["location"] == "/_/"


def test_metrics_are_for_the_operator(stranger, browser, furnished, db):
    made = {"authorization": f"bearer {furnished.run('token').strip()}"}
    status, headers, text = stranger.ask("/metrics", headers=made)
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {family.name: family for family in text_string_to_metric_families(text)}
    calls = {
        (sample.labels["door"], sample.labels["method"], sample.labels["code"]): sample.value
        for sample in found["threadd_calls"].samples
    }
    assert calls["threads", "/threads.pb.API/Create", "OK"] >= 1
    [durations] = [
        sample.value
        for sample in found["threadd_call_duration_seconds"].samples
        if sample.name.endswith("_count") and sample.labels["method"] == "/threads.pb.API/Create"
    ]
    assert durations >= 1
    assert found["threadd_databases"].samples[0].value == 1
    assert found["threadd_commit_batches"].samples[0].value > 1
    assert found["threadd_ready"].samples[0].value == 1
    assert {sample.labels["part"] for sample in found["threadd_disk_bytes"].samples} >= {"store"}
    assert found["threadd_event_loop_delay_seconds"].samples[-1].value >= 0
    # A browser sends the console's cookie to the console alone, so metrics take no session.
    for asked in (stranger, browser):
        status, headers, text = asked.ask("/metrics")
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert "threadd token" in text


def test_a_link_opens_the_console_once(furnished, stranger, browser):
    link = json.loads(furnished.run("console", "--json"))["url"]
    assert stranger.ask("/_/")[0] == 401
    assert stranger.ask(urlsplit(link).path)[0] == 303
    assert stranger.ask("/_/")[0] == 200
    assert stranger.ask(urlsplit(link).path)[0] == 303
    stranger.cookie = ""
    assert stranger.ask(urlsplit(link).path)[0] == 401
    assert stranger.ask("/_/")[0] == 401
    assert urlsplit(link).path.rpartition("/")[2] not in furnished.said()
    assert browser.ask("/_/leave", {})[0] == 303
    assert browser.ask("/_/")[0] == 401


def test_every_page_is_there_and_bound_to_its_own_scripts(browser, db):
    places = ["", "buckets", "accounts", "keys", "peers", "status", f"db/{db}", f"db/{db}/live", f"db/{db}/log"]
    places += [f"db/{db}/collection/people", f"db/{db}/collection/people/edit?id=p000"]
    for place in places:
        status, headers, text = browser.ask(f"/_/{place}")
        assert status == 200, text
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "<script>" not in text
    for name in ("console.css", "console.js"):
        assert browser.ask(f"/_/static/{name}")[0] == 200
    assert browser.ask("/_/nothing")[0] == 404
    assert browser.ask("/_/db/bafknothing")[0] == 400
    assert browser.ask(f"/_/db/{db}/collection/nothing")[0] == 404


def test_pages_show_what_is_kept(browser, db):
    assert "library" in browser.ask("/_/")[2]
    assert "born" in browser.ask(f"/_/db/{db}")[2]
    _, _, log = browser.ask(f"/_/db/{db}/log")
    assert "#2 of log" in log
    assert "save" in log
    assert "local" in browser.ask("/_/accounts")[2]
    status = browser.ask("/_/status")[2]
    assert "/threads.pb.API/Create" in status
    assert "peer_id=" in status  # The line that tells that it is ready.


def test_a_query_is_answered_and_explained(browser, db):
    place = f"/_/db/{db}/collection/people"
    query = '{"ands":[{"fieldPath":"born","operation":4,"value":{"float":2018}}]}'
    status, _, text = browser.ask(f"{place}?query={quote(query)}")
    assert status == 200
    assert "index on born, sorted afterwards; 2 rows read" in text
    assert "new Where(&#34;born&#34;).ge(2018)" in text
    assert "db.Where(&#34;born&#34;).Ge(2018)" in text
    status, _, text = browser.ask(f"{place}?query=%7B%22ands%22%3A1%7D")
    assert status == 400
    assert "is an array" in text
    status, _, text = browser.ask(f"{place}?query=nonsense")
    assert status == 400


def test_pages_of_documents_follow_each_other(browser, db):
    place = f"/_/db/{db}/collection/people"
    seen = 0
    suffix = ""
    for _ in range(3):
        _, _, text = browser.ask(place + suffix)
        seen += text.count("data-json")
        if "Next page" not in text:
            break
        suffix = text.split('<a class="button" href="?', 1)[1].split('"', 1)[0].replace("&amp;", "&")
        suffix = "?" + suffix
    assert seen == 120


def test_documents_are_created_changed_and_deleted(browser, db):
    place = f"/_/db/{db}/collection/people"
    form = {"id": "new", "field.name": "Grace", "field.born": "1906.50", "field.alive": "false", "rest": '{"rank": 1}'}
    assert browser.ask(f"{place}/edit", form)[0] == 303
    _, _, text = browser.ask(f"{place}/edit?id=new")
    assert 'value="1906.50"' in text
    assert "rank" in text
    modified = text.split('name="modified" value="', 1)[1].split('"', 1)[0]
    changed = form | {"field.name": "Grace Hopper", "modified": modified}
    assert browser.ask(f"{place}/edit", changed)[0] == 303
    status, _, text = browser.ask(f"{place}/edit", changed | {"field.name": "Late"})
    assert status == 400
    assert "has been changed meanwhile" in text
    assert "Grace Hopper" in browser.ask(f"{place}/edit?id=new")[2]
    assert browser.ask(f"{place}/delete", {"id": "new"})[0] == 303
    assert browser.ask(f"{place}/edit?id=new")[0] == 404


@pytest.mark.parametrize(
    ("form", "errors"),
    [
        ({"field.born": "-1"}, {"name": "this is required", "born": "less than the minimum"}),
        ({"field.name": "x", "field.born": "old"}, {"born": "this is not JSON"}),
        ({"field.name": "x", "field.address": "[]"}, {"address": "is not of type"}),
        ({"field.name": "x", "rest": "[1]"}, {"": "write a JSON object"}),
        ({"field.name": "x", "id": "y" * 401}, {"": "400"}),
    ],
)
def test_what_the_schema_refuses_is_said_at_its_field(browser, db, form, errors):
    status, _, text = browser.ask(f"/_/db/{db}/collection/people/edit", form)
    assert status == 400
    assert "<h1>New document</h1>" in text
    inputs = {"name": 1, "born": 2, "alive": 3, "address": 4}
    for name, error in errors.items():
        identifier = f'id="input-{inputs[name]}-error">' if name else 'id="form-error">'
        said = text.split(identifier, 1)[1].split("</p>", 1)[0]
        assert error in said


def test_every_answer_forbids_frames_and_readers_of_other_origins(browser, stranger):
    paths = ("/_/", "/_/nothing", "/_/static/console.js", "/metrics", "/healthz", "/nothing", "/", "/_/open/x")
    for asked, path in itertools.product((browser, stranger), paths):
        for sent in ({}, {"origin": "http://evil.example"}, {"host": "evil.example"}):
            _, headers, _ = asked.ask(path, headers=sent)
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert not [name for name in headers if name.startswith("access-control-")]


def test_what_comes_from_other_pages_changes_nothing(browser, furnished, db):
    place = f"/_/db/{db}/collection/people/delete"
    own = f"http://{furnished.console}"
    for origin in ("http://evil.example", "http://127.0.0.1:1", f"http://{furnished.gateway}", "null", "", "http://[x"):
        assert browser.ask(place, {"id": "p001"}, {"origin": origin})[0] == 403
    for site in ("same-site", "cross-site", "none"):
        assert browser.ask(place, {"id": "p001"}, {"origin": own, "sec-fetch-site": site})[0] == 403
    # Beside its own, which is sent in lower case.
    assert browser.ask(place, {"id": "p001"}, {"Origin": "http://evil.example"})[0] == 403
    assert browser.ask(f"/_/db/{db}/collection/people/edit?id=p001")[0] == 200
    assert browser.ask(place, {"id": "p001"}, {"origin": own, "sec-fetch-site": "same-origin"})[0] == 303


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_pages_of_other_origins_may_lead_to_the_console_and_no_more(browser, site):
    for mode, dest, status in (
        ("navigate", "document", 200),
        ("navigate", "iframe", 403),
        ("navigate", "object", 403),
        ("no-cors", "image", 403),
        ("cors", "empty", 403),
    ):
        sent = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
        assert browser.ask("/_/", headers=sent)[0] == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("[::1]:8007", 200),
        ("localhost", 200),
        ("LOCALHOST:8007", 200),
        ("192.0.2.1:8007", 200),
        ("console.example:8007", 200),
        ("rebound.example", 403),
        ("x.localhost", 403),
        ("127.0.0.1.rebound.example", 403),
    ],
)
def test_the_console_answers_to_its_own_names(browser, host, status):
    answered, _, text = browser.ask("/_/", headers={"host": host})
    assert answered == status
    assert ("--console-host" in text) == (status == 403)


def test_the_cookie_says_where_it_may_go(furnished, stranger):
    link = json.loads(furnished.run("console", "--json"))["url"]
    cookie = stranger.ask(urlsplit(link).path)[1]["set-cookie"]
    assert re.match(r"threadd-console-[0-9a-f]{8}=", cookie)
    fields = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert fields >= {"httponly", "samesite=strict", "path=/_"}


def test_keys_are_made_and_invalidated(browser):
    status, _, text = browser.ask("/_/keys", {"type": "account"})
    assert status == 200
    key = text.split("<dt>Key</dt><dd><code>", 1)[1].split("<", 1)[0]
    assert browser.ask("/_/keys", {"invalidate": key})[0] == 303
    assert "invalid" in browser.ask("/_/keys")[2]


async def test_a_file_is_uploaded_to_a_bucket_and_seen_at_the_gateway(
    furnished, browser, stranger, gateway, db, tmp_path
):
    async with grpc.aio.insecure_channel(furnished.threads_api) as channel:
        create = channel.unary_unary(
            "/api.bucketsd.pb.APIService/Create",
            request_serializer=bucketsd_pb2.CreateRequest.SerializeToString,
            response_deserializer=bucketsd_pb2.CreateResponse.FromString,
        )
        made = await create(bucketsd_pb2.CreateRequest(name="site"), metadata=[("x-textile-thread", db)])
    key = made.root.key
    status, _, text = browser.ask("/_/buckets")
    assert status == 200
    assert "site" in text
    place = f"/_/buckets/{key}?path=hello.txt"
    assert stranger.ask(place, {"hello": "there"})[0] == 401
    status, _, text = browser.ask(place, {"hello": "there"})
    assert (status, json.loads(text)) == (200, {"size": 11})
    assert browser.ask(f"/_/buckets/{key}?path=", {"a": "b"})[0] == 400
    assert gateway.ask(f"/thread/{db}/buckets/{key}/hello.txt")[2] == "hello=there"
    # One that belongs to the account of the operator's keys, not to nobody.
    furnished.run("buckets", "export", key, str(tmp_path / "site.car"))
    moved = json.loads(furnished.run("buckets", "import", str(tmp_path / "site.car"), "--thread", db, "--json"))
    assert browser.ask(f"/_/buckets/{moved['key']}?path=hello.txt", {"good": "bye"})[0] == 200
    assert gateway.ask(f"/thread/{db}/buckets/{moved['key']}/hello.txt")[2] == "good=bye"


@pytest.mark.parametrize(
    ("query", "js", "go"),
    [
        ({}, "new Query()", "(&db.Query{})"),
        (
            {"sort": {"fieldPath": "a.b", "desc": True}, "limit": 3, "skip": 1, "seek": "x", "index": "a"},
            'new Query().orderByDesc("a.b").limitTo(3).skipNum(1).seekID("x").useIndex("a")',
            '(&db.Query{}).OrderByDesc("a.b").LimitTo(3).SkipNum(1).SeekID("x").UseIndex("a")',
        ),
        (
            {
                "Ands": [
                    {"fieldPath": "a", "operation": 1, "value": {"string": "é"}},
                    {"fieldPath": "b", "value": {"bool": False}},
                ],
                "ors": [{"ands": [{"fieldPath": "c", "operation": 3, "value": {"float": 1.5}}]}],
            },
            'new Where("a").ne("é").and("b").eq(false).or(new Where("c").lt(1.5))',
            'db.Where("a").Ne("é").And("b").Eq(false).Or(db.Where("c").Lt(1.5))',
        ),
    ],
)
def test_a_query_is_written_as_programs_write_it(query, js, go):
    assert snippet(query, "js") == js
    assert snippet(query, "go") == go


@pytest.mark.parametrize("position", ["0", "²", "9" * 5000, "-1", "x", ""])
def test_changes_are_told_after_any_position(furnished, browser, db, position):
    with closing(http.client.HTTPConnection(furnished.console, timeout=20)) as connection:
        connection.putrequest("GET", f"/_/db/{db}/events")
        connection.putheader("cookie", browser.cookie)
        connection.putheader("last-event-id", position.encode("latin-1"))
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("content-type")) == (200, "text/event-stream; charset=utf-8")


async def test_live_changes_end_with_the_session(furnished, browser, db):
    with closing(http.client.HTTPConnection(furnished.console, timeout=40)) as connection:
        connection.request("GET", f"/_/db/{db}/events", headers={"cookie": browser.cookie})
        answer = connection.getresponse()
        assert b"ready" in await asyncio.to_thread(lambda: answer.readline() + answer.readline())
        assert (await asyncio.to_thread(browser.ask, "/_/leave", {}))[0] == 303
        async with Client(furnished.threads_api) as client:
            await client.db(db).collection("people").create([{"_id": "late", "name": "Told to nobody"}])
        lines = iter(answer.readline, b"")
        assert not await asyncio.to_thread(lambda: any(b"Told to nobody" in line for line in lines))
