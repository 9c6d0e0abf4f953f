"""The commands that show what is kept, with a daemon that runs and without."""

import json
import re
import subprocess
import time

import pytest
from actors import Door, Mailer
from daemons import DaemonError, environment, threadd_command

from net.keys import PrivateKey
from threadd.client import Client

OTHER = PrivateKey(bytes(32))


@pytest.fixture
async def kept(start_daemon):
    daemon = start_daemon()
    async with Client(daemon.threads_api) as client:
        db = await client.new_db(name="library")
        people = await db.new_collection("people")
        await people.create([{"_id": f"p{n}", "name": f"n{n}"} for n in range(3)])
    return daemon, db.id


def test_documents_are_found_counted_written_and_deleted(kept):
    daemon, db = kept
    assert len(daemon.run("docs", "find", db, "people").splitlines()) == 3
    found = json.loads(daemon.run("docs", "find", db, "people", "--query", '{"limit": 1}', "--json"))
    assert (found["documents"][0]["_id"], found["indexes"]) == ("p0", [])
    made = daemon.run("docs", "save", db, "people", '{"name": "new"}').strip()
    assert json.loads(daemon.run("docs", "count", db, "people", "--json")) == {"count": 4}
    assert daemon.run("docs", "rm", db, "people", made, "nothing").strip() == "1"
    with pytest.raises(DaemonError, match="invalid query"):
        daemon.run("docs", "find", db, "people", "--query", "[]")


def test_what_is_kept_is_shown_without_a_daemon_too(kept):
    daemon, db = kept
    for stop in (False, True):
        if stop:
            daemon.stop()
        [people] = json.loads(daemon.run("collections", db, "--json"))
        assert (people["name"], people["documents"]) == ("people", 3)
        [record] = json.loads(daemon.run("log", db, "--json"))
        assert [patch["action"] for patch in record["patches"]] == ["create"] * 3
        assert json.loads(daemon.run("accounts", "--json"))[0]["name"] == "local"
        assert "people" in daemon.run("collections", db)
        assert "create people/p0" in daemon.run("log", db, "--limit", "1")
        assert "developer" in daemon.run("accounts")


def test_databases_are_measured_with_and_without_a_daemon(kept):
    daemon, db = kept
    [before] = json.loads(daemon.run("sizes", "--json"))
    assert (before["id"], before["name"], before["records"]) == (db, "library", 1)
    daemon.run("docs", "save", db, "people", json.dumps({"name": "long" * 10_000}))
    [after] = json.loads(daemon.run("sizes", "--json"))
    # The document, the record and the change that followers read hold the text.
    assert 3 * 40_000 <= after["size"] - before["size"] <= 4 * 40_000
    assert str(after["size"]) in daemon.run("sizes")
    daemon.stop()
    assert json.loads(daemon.run("sizes", "--json")) == [after]


async def test_mail_is_counted(start_daemon):
    daemon = start_daemon()
    key = json.loads(daemon.run("keys", "create", "--type", "user", "--insecure", "--json"))["key"]
    mailer = Mailer(key)
    async with Door(daemon.hub_api) as door:
        for _ in range(3):
            await mailer.step(door)
        await door.users("ReadInboxMessage", id=mailer.sent[0])
        await door.users("DeleteSentboxMessage", id=mailer.sent[1])
        # Whoever gives the name to a database of another kind has no mailbox.
        door.metadata = [("x-textile-api-key", key)]
        door.metadata += [("authorization", f"bearer {await door.token(OTHER)}"), ("x-textile-thread-name", "hubmail")]
        await door.new_db()
    found = {each["key"]: each["mail"] for each in json.loads(daemon.run("accounts", "--json"))}
    assert found[mailer.identity.public.text] == {"received": 3, "unread": 2, "sent": 2}
    assert found[OTHER.public.text] is None


def test_only_a_daemon_that_runs_has_a_status(kept):
    daemon, _ = kept
    status = json.loads(daemon.run("status", "--json"))
    assert status["ready"]
    assert status["databases"] == 1
    ends = time.monotonic() + 30
    while not status["traffic"]:
        assert time.monotonic() < ends
        time.sleep(0.5)
        status = json.loads(daemon.run("status", "--json"))
    assert status["traffic"][0]["writes"] > 0
    assert "writes" in daemon.run("status")
    assert "/threads.pb.API/Create" in daemon.run("status")
    with pytest.raises(DaemonError, match="console is off"):
        daemon.run("console")
    daemon.stop()
    with pytest.raises(DaemonError, match="no daemon runs"):
        daemon.run("status")


def test_only_a_daemon_that_runs_makes_tokens(kept):
    daemon, _ = kept
    made = json.loads(daemon.run("token", "--json"))
    assert made["seconds"] == 12 * 3600
    tokens = {made["token"], daemon.run("token").strip(), daemon.run("token").strip()}
    assert len(tokens) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)
    assert not any(token in daemon.said() for token in tokens)
    daemon.stop()
    with pytest.raises(DaemonError, match="no daemon runs"):
        daemon.run("token")


def test_changes_are_followed(kept):
    daemon, db = kept
    command = [threadd_command(), "docs", "watch", db, "people", "--snapshot", "--address", daemon.threads_api]
    watching = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment() | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        told = [json.loads(watching.stdout.readline()) for _ in range(4)]
        assert [one["action"] for one in told] == ["present"] * 3 + ["ready"]
        daemon.run("docs", "save", db, "people", '{"_id": "p9", "name": "later"}')
        event = json.loads(watching.stdout.readline())
        assert (event["action"], event["id"], event["document"]["name"]) == ("save", "p9", "later")
    finally:
        watching.kill()
        watching.communicate()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_learns_to_complete(shell):
    done = subprocess.run([threadd_command(), "completion", shell], capture_output=True, text=True, check=True)
    assert "_THREADD_COMPLETE" in done.stdout
    words = environment() | {"_THREADD_COMPLETE": "bash_complete", "COMP_WORDS": "threadd do", "COMP_CWORD": "1"}
    done = subprocess.run([threadd_command()], capture_output=True, text=True, check=True, env=words)
    assert done.stdout.strip() == "plain,docs"
