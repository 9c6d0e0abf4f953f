"""Databases that a daemon of ours and a real go-threads daemon share."""

import os
import time

import grpc
import pytest
from peers import Api, in_step, new_thread

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def ours(start_daemon):
    return Api(start_daemon())


@pytest.fixture
def theirs(start_godaemon):
    return Api(start_godaemon())


def same(thread, expected, *apis, collection="c", seconds=15):
    ends = time.monotonic() + seconds
    while True:
        seen = [api.documents(thread, collection) for api in apis]
        if all(each == expected for each in seen):
            return
        if time.monotonic() > ends:
            raise AssertionError((expected, seen, [api.daemon.said() for api in apis]))
        time.sleep(0.02)


@pytest.mark.parametrize("we_join", [True, False])
@pytest.mark.parametrize("block", [True, False])
def test_both_see_each_others_documents(ours, theirs, we_join, block):
    thread, key = new_thread()
    first, second = (theirs, ours) if we_join else (ours, theirs)
    first.new_db(thread, key, "c")
    documents = {f"{n}": {"n": n} for n in range(50)}
    first.save(thread, *({"_id": id_, **document} for id_, document in documents.items()))
    second.join_db(first, thread, key, "c", block=block)
    same(thread, documents, ours, theirs)
    second.save(thread, {"_id": "1", "n": 100}, {"_id": "new", "n": 0.5})
    documents |= {"1": {"n": 100}, "new": {"n": 0.5}}
    same(thread, documents, ours, theirs, seconds=5)
    first.remove(thread, "2", "new")
    del documents["2"], documents["new"]
    same(thread, documents, ours, theirs, seconds=5)
    first.save(thread, {"_id": "2", "n": 7})
    second.remove(thread, "3")
    del documents["3"]
    documents["2"] = {"n": 7}
    same(thread, documents, ours, theirs, seconds=5)
    in_step(thread, ours, theirs, logs=2)


def test_collections_that_come_later(ours, theirs):
    thread, key = new_thread()
    theirs.new_db(thread, key, "c", "d")
    theirs.save(thread, {"_id": "1", "n": 1})
    theirs.save(thread, {"_id": "2", "n": 2}, collection="d")
    ours.join_db(theirs, thread, key, "c")
    same(thread, {"1": {"n": 1}}, ours)
    theirs.save(thread, {"_id": "3", "n": 3}, collection="d")
    theirs.save(thread, {"_id": "4", "n": 4})
    same(thread, {"1": {"n": 1}, "4": {"n": 4}}, ours, theirs)
    ours("NewCollection", dbID=thread, config=ours.collections("d")[0])
    same(thread, {"2": {"n": 2}, "3": {"n": 3}}, ours, theirs, collection="d")


def test_joins_that_fail_leave_nothing(ours, theirs):
    thread, key = new_thread()
    theirs.new_db(thread, key, "c")
    with pytest.raises(grpc.RpcError):
        ours.join_db(theirs, thread, os.urandom(64), "c")
    with pytest.raises(grpc.RpcError, match="read key"):
        ours.join_db(theirs, thread, key[:32], "c")
    assert list(ours("ListDBs").dbs) == []
    ours.join_db(theirs, thread, key, "c")
    with pytest.raises(grpc.RpcError, match="db already exists"):
        ours.join_db(theirs, thread, key, "c")


def test_a_database_of_our_own_is_attached_to(ours):
    thread, key = new_thread()
    ours.new_db(thread, key, "c")
    ours.save(thread, {"_id": "1", "n": 1})
    ours.join_db(ours, thread, key, "c")
    assert ours.documents(thread) == {"1": {"n": 1}}


def test_each_side_is_killed_and_comes_back(ours, theirs):
    thread, key = new_thread()
    theirs.new_db(thread, key, "c")
    ours.join_db(theirs, thread, key, "c")
    documents = {}
    for round_, api in enumerate((ours, theirs, ours)):
        for side in (ours, theirs):
            document = {"n": round_}
            id_ = f"{round_}-{side is ours}"
            side.save(thread, {"_id": id_, **document})
            documents[id_] = document
        same(thread, documents, ours, theirs)
        if api is ours:
            api.daemon.kill()
        else:
            api.daemon.stop()  # a killed one may have lost what it acknowledged
        other = theirs if api is ours else ours
        other.save(thread, {"_id": f"while-{round_}", "n": -1})
        documents[f"while-{round_}"] = {"n": -1}
        api.daemon.start()
        same(thread, documents, ours, theirs, seconds=20)
