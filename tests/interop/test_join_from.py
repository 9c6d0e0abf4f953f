"""The way out of a go-threads daemon: `threadd join --from`, and what the command line tells of peers afterwards."""

import json

import pytest
from daemons import DaemonError
from peers import Api, in_step, new_thread

from net.thread_id import ThreadID

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def ours(start_daemon):
    return Api(start_daemon())


def join(ours, theirs):
    return json.loads(ours.daemon.run("join", "--from", theirs.daemon.threads_api, "--json"))


def test_every_database_comes_and_stays_in_step(ours, start_godaemon):
    theirs = Api(start_godaemon())
    made = {}
    for number in range(3):
        thread, key = new_thread()
        theirs.new_db(thread, key, "c", "d")
        theirs.save(thread, *({"_id": f"{n}", "n": n} for n in range(number)))
        theirs.save(thread, {"_id": "x", "n": number}, collection="d")
        made[thread] = {f"{n}": {"n": n} for n in range(number)}
    taken = join(ours, theirs)
    assert [(db["collections"], db["was_here"]) for db in taken] == [(2, False)] * 3
    assert len(ours("ListDBs").dbs) == 3
    for number, (thread, documents) in enumerate(made.items()):
        assert ours.documents(thread) == documents
        assert ours.documents(thread, "d") == {"x": {"n": number}}
        assert ours("GetDBInfo", dbID=thread).key == theirs("GetDBInfo", dbID=thread).key
        theirs.save(thread, {"_id": "later", "n": 1})
        in_step(thread, ours, theirs)
        ours.save(thread, {"_id": "back", "n": 2})
        in_step(thread, ours, theirs, logs=2)
    assert [db["was_here"] for db in join(ours, theirs)] == [True] * 3
    (peer,) = json.loads(ours.daemon.run("peers", "--json"))
    assert (peer["threads"], peer["failures"]) == (3, 0)
    assert peer["addresses"]
    thread_text = json.loads(ours.daemon.run("dbs", "ls", "--json"))[0]["id"]
    (status,) = json.loads(ours.daemon.run("threads", "status", thread_text, "--json"))
    assert status["id"] == peer["id"]
    assert status["contact"] is not None
    assert "RECORDS BEHIND" in ours.daemon.run("threads", "status", thread_text)
    # The peer has them all; of the three that were written last this may not be known here yet.
    names = [ThreadID(thread).text for thread in made]
    behind = [json.loads(ours.daemon.run("threads", "status", name, "--json"))[0]["behind"] for name in names]
    assert 0 <= sum(behind) <= peer["behind"] <= 3


def test_records_that_it_no_longer_gives_to_peers_come_as_well(ours, start_godaemon):
    theirs = Api(start_godaemon("-pull-limit", "20"))
    thread, key = new_thread()
    theirs.new_db(thread, key, "c")
    documents = {}
    for n in range(100):
        theirs.save(thread, {"_id": f"{n}", "n": n})
        documents[f"{n}"] = {"n": n}
    (taken,) = join(ours, theirs)
    assert taken["records"] == 100
    assert ours.documents(thread) == documents
    theirs.save(thread, {"_id": "0", "n": -1})
    in_step(thread, ours, theirs)


def test_what_cannot_be_joined_says_why(ours, start_godaemon, start_daemon):
    theirs = Api(start_godaemon())
    theirs.daemon.stop()
    with pytest.raises(DaemonError, match=theirs.daemon.threads_api):
        join(ours, theirs)
    alone = start_daemon("--host-addr", "off")
    with pytest.raises(DaemonError, match="host-addr"):
        alone.run("join", "--from", theirs.daemon.threads_api)
    with pytest.raises(DaemonError, match="thread not found"):
        ours.daemon.run("threads", "status", "bafk7ayo2xuuafgx6ubbcn2lro3s7qixgujdsotgbdfigq4ykqsbgfkq")
