"""Databases that a daemon of ours and a real go-threads daemon share, where what they do does not go together."""

import threading
import time

import pytest
from peers import SCHEMA, Api, in_step, new_thread

from proto import threads_pb2 as db_pb

pytestmark = pytest.mark.timeout(900)

NOT_NEGATIVE = "return !event.patch.json_patch || !(event.patch.json_patch.n < 0)"


@pytest.fixture
def ours(start_daemon):
    return Api(start_daemon())


@pytest.fixture
def theirs(start_godaemon):
    return Api(start_godaemon("-pull"))


def until(condition, seconds=20):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come about in time"
        time.sleep(0.02)


def test_a_validator_here_binds_what_is_written_there(ours, theirs):
    thread, key = new_thread()
    config = db_pb.CollectionConfig(name="c", schema=SCHEMA, writeValidator=NOT_NEGATIVE)
    ours("NewDB", dbID=thread, key=key, collections=[config])
    theirs.join_db(ours, thread, key, "c")
    theirs.save(thread, {"_id": "good", "n": 1})
    theirs.save(thread, {"_id": "bad", "n": -1})
    theirs.save(thread, {"_id": "late", "n": 2})
    until(lambda: set(ours.documents(thread)) == {"good", "late"})
    in_step(thread, ours, theirs)
    assert set(theirs.documents(thread)) == {"good", "bad", "late"}


def test_saves_of_one_id_on_all_sides_at_once(start_daemon, ours, theirs):
    third = Api(start_daemon())
    thread, key = new_thread()
    ours.new_db(thread, key, "c")
    third.join_db(ours, thread, key, "c")
    theirs.join_db(ours, thread, key, "c")
    for round_ in range(10):
        saves = [
            threading.Thread(target=api.save, args=(thread, {"_id": "same", "n": 10 * round_ + place}), daemon=True)
            for place, api in enumerate((ours, third, theirs))
        ]
        for save in saves:
            save.start()
        for save in saves:
            save.join()
    ours.save(thread, {"_id": "last", "n": 0})
    until(lambda: "last" in third.documents(thread))
    until(lambda: ours.documents(thread) == third.documents(thread) and len(ours.heads(thread)) == 3)
    in_step(thread, ours, third, logs=3)
    assert ours.documents(thread)["same"]["n"] in range(90, 93)


def test_creates_of_one_id_on_all_sides_while_they_are_apart(start_daemon, ours, theirs):
    third = Api(start_daemon())
    sides = (theirs, ours, third)
    thread, key = new_thread()
    ours.new_db(thread, key, "c")
    third.join_db(ours, thread, key, "c")
    theirs.join_db(ours, thread, key, "c")
    for place, api in enumerate(sides):
        api.save(thread, {"_id": f"before-{place}", "n": place})
    in_step(thread, *sides, logs=3)
    for api in sides:
        api.daemon.stop()
    for place, api in enumerate(sides):
        api.daemon.start()
        api.create_instance(thread, {"_id": "same", "n": place})
        api.daemon.stop()
    for api in sides:
        api.daemon.start()
    in_step(thread, *sides, logs=3)
    until(lambda: ours.documents(thread)["same"] == third.documents(thread)["same"] == {"n": 2})
    for place, api in enumerate(sides):
        api.save(thread, {"_id": f"after-{place}", "n": place})
    until(lambda: all(set(each.documents(thread)) >= {f"after-{place}" for place in range(3)} for each in sides))
    assert theirs.documents(thread)["same"] == {"n": 0}  # it keeps what it made, and takes no other create
    third.save(thread, {"_id": "same", "n": 3})
    until(lambda: all(each.documents(thread)["same"] == {"n": 3} for each in sides))
    assert ours.documents(thread) == third.documents(thread) == theirs.documents(thread)


@pytest.mark.parametrize("killed", ["ours", "theirs"])
def test_each_side_dies_and_comes_back_while_both_write(ours, theirs, killed):
    thread, key = new_thread()
    ours.new_db(thread, key, "c")
    theirs.join_db(ours, thread, key, "c")
    theirs.save(thread, {"_id": "first", "n": 0})
    written, stop = {"ours": {"first"}, "theirs": set()}, threading.Event()

    def load(name, api):
        number = 0
        while not stop.is_set():
            id_ = f"{name}-{number}"
            number += 1
            try:
                api.save(thread, {"_id": id_, "n": number})
                written[name].add(id_)
            except Exception:  # noqa: BLE001 - whether it was written is not known while the daemon dies
                time.sleep(0.1)
            time.sleep(0.01)

    sides = {"ours": ours, "theirs": theirs}
    loads = [threading.Thread(target=load, args=side, daemon=True) for side in sides.items()]
    for each in loads:
        each.start()
    try:
        for _ in range(2):
            time.sleep(1.5)
            daemon = sides[killed].daemon
            # Go may lose what it has acknowledged when it is killed, and then writes on from an earlier head.
            daemon.kill() if killed == "ours" else daemon.stop()
            time.sleep(0.5)
            daemon.start()
        time.sleep(1)
    finally:
        stop.set()
        for each in loads:
            each.join()
    wanted = written["ours"] | written["theirs"]
    for api in (ours, theirs):
        until(lambda: not wanted - set(api.documents(thread)), seconds=60)  # noqa: B023 - called at once
    in_step(thread, ours, theirs, logs=2, seconds=30)
