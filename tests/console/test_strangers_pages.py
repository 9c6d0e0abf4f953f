"""A stranger's page in a bucket, opened in the browser that has the operator's session, in Chromium."""

import json
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from threadd.client import Client

# The first run installs the packages.
pytestmark = pytest.mark.timeout(600)

PAGE = Path(__file__).parent / "js" / "attack.html"
SECRET = "Person 77"
"""A name in the database, which is on each page that shows its documents."""


async def test_a_page_of_a_bucket_neither_reads_nor_changes_what_is_the_operators(
    furnished, db, bucket, walk_program, chromium
):
    targets = {
        "console_": f"http://{furnished.console}",
        "gateway": f"http://{furnished.gateway}",
        "db": db,
        "key": bucket,
    }
    page = PAGE.read_text().replace("/* TARGETS */ null", json.dumps(targets))
    async with Client(furnished.threads_api) as client:
        held = client.db(db).buckets.bucket(bucket)
        await held.push_all({"index.html": page.encode(), "public.txt": b"public", "worker.js": b"1"})
        before = await state(client, db, furnished)
        assert SECRET in before

        port = urlsplit(f"//{furnished.gateway}").port
        urls = [f"http://{host}:{port}/ipns/{bucket}/" for host in ("127.0.0.1", "localhost")]
        urls.append(f"http://{bucket}.buckets.localhost:{port}/")
        link = json.loads(furnished.run("console", "--json"))["url"]
        command = ["node", str(walk_program / "attack.js"), chromium, link, *urls]
        done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        told = json.loads(done.stdout)
        assert await state(client, db, furnished) == before
    # The session is there still, so that all of this was tried with it.
    assert told["heading"] == "Databases"
    assert [one["url"] for one in told["found"]] == urls
    for one in told["found"]:
        is_named = one["url"] == urls[-1]
        assert one["origin"] == (urls[-1].rstrip("/") if is_named else "null")
        loot = set(one["loot"])
        assert "own file: public" in loot
        loot -= {"own file: public", "cookies: "}
        if is_named:
            # It may keep things of its own, below its own name.
            loot -= {"storage: open"}
        assert not [text for text in (*loot, *one["framed"]) if SECRET in text or bucket in text.partition(": ")[2]]
        assert not any(text.startswith(("storage", "worker", "events")) for text in loot)
        for way in loot:
            # What can be read is what the gateway tells anybody: that it does not show this.
            assert way.split(": ")[0].split()[-1].startswith(f"http://{furnished.gateway}/thread/"), way


async def state(client, db, daemon):
    """Everything that the page tries to change, as text."""
    documents = await client.db(db).collection("people").find()
    return json.dumps([sorted(documents, key=lambda one: one["_id"]), json.loads(daemon.run("keys", "ls", "--json"))])
