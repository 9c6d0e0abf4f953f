"""Records from elsewhere: hosts agree whatever the order in which records arrive, and nothing stalls a log."""

import asyncio
import itertools
import json
import os
import time
from pathlib import Path

import pytest
from hosts import CREATE, DELETE, HOST, KEY, SAVE, THREAD, Host, Log, patch
from hypothesis import given, settings
from hypothesis import strategies as st

from net import cbor, records
from net.crypto import Cipher
from net.errors import BadSignatureError, LogNotFoundError, OutOfOrderError
from net.keys import PrivateKey
from net.network import Network
from net.patches import Patch, encode_body
from net.records import RecordBlocks
from net.thread_id import ThreadID, Variant
from net.thread_key import ThreadKey
from store import documents as document_rows
from store import indexes as index_rows
from store import records as record_rows
from store import tables
from store.errors import StoreError
from store.faulty import Fault, FaultyEngine
from store.indexes import IndexPlace
from store.memory import MemoryEngine
from threadd.db.collections import CollectionConfig, Index
from threadd.db.errors import CollectionNotFoundError, InstanceNotFoundError
from threadd.db.indexes import value_of

OPEN = json.dumps({"type": "object", "properties": {"_id": {"type": "string"}, "age": {"type": "integer"}}}).encode()
STRICT = json.dumps(
    {"type": "object", "properties": {"_id": {"type": "string"}, "age": {"type": "integer"}}, "required": ["age"]}
).encode()
THINGS = CollectionConfig("things", OPEN)


def fold(logs, names=("things",)):
    """What the rules say of all patches: the plain way."""
    folded = {}
    for _, each in sorted((entry for log in logs for entry in log.patches), key=lambda entry: entry[0]):
        if each.collection not in names:
            continue
        key = each.instance_id
        if each.type is DELETE:
            folded.pop(key, None)
        else:
            content = json.loads(each.json)
            before = folded.get(key, {}) if each.type is SAVE else {}
            merged = {k: v for k, v in {**before, **content}.items() if v is not None}
            folded[key] = {**merged, "_id": key}
    return folded


operations = st.builds(
    lambda kind, name, timestamp, fields: patch(kind, name, timestamp, **fields),
    st.sampled_from([CREATE, SAVE, SAVE, DELETE]),
    st.sampled_from(["a", "b", "c"]),
    st.one_of(st.integers(0, 6), st.integers(0, 2**60)),
    st.fixed_dictionaries(
        {}, optional={"x": st.integers(0, 3), "y": st.text(max_size=2), "age": st.one_of(st.none(), st.integers(0, 3))}
    ),
)
histories = st.lists(st.lists(st.lists(operations, min_size=1, max_size=3), max_size=6), min_size=1, max_size=4)


def logs_of(history):
    logs = []
    for seed, log_records in enumerate(history, 1):
        log = Log(seed)
        for patches in log_records:
            log.append(*patches)
        logs.append(log)
    return logs


@settings(max_examples=150, deadline=None)
@given(history=histories, data=st.data())
def test_any_order_of_arrival_that_keeps_each_logs_own_gives_the_same_documents(history, data):
    logs = logs_of(history)
    turns = [log for log in logs for _ in log.records]
    order = data.draw(st.permutations(range(len(turns))))
    late = data.draw(st.integers(0, len(turns)), label="records before the collection is made")
    batch = data.draw(st.integers(1, 4), label="records at once")

    async def run():
        async with Host() as host:
            await host.open(logs=logs)
            given_so_far = dict.fromkeys(range(len(logs)), 0)
            for count, turn in enumerate(order):
                if count == late:
                    await host.database.new_collection(CollectionConfig("things", OPEN, (Index("age"),)))
                log = turns[turn]
                start = given_so_far[logs.index(log)]
                await host.database.accept(log.id, log.records[start : start + batch])
                given_so_far[logs.index(log)] = max(start, min(start + batch, len(log.records)))
            if late == len(turns):
                await host.database.new_collection(CollectionConfig("things", OPEN, (Index("age"),)))
            for log in logs:
                await host.database.accept(log.id, log.records)
            assert host.documents() == fold(logs)
            thread = host.threads.get(host.engine, THREAD)
            assert {(info.id, info.head) for info in thread.logs if info.counter} == {
                (log.id, log.head) for log in logs if log.head
            }
            check_index(host)

    asyncio.run(run())


def check_index(host):
    """The index holds what a scan of the documents gives."""
    row = host.database._catalogue.row("things")
    (index,) = row.indexes
    thread = host.threads.number(host.engine, THREAD)
    place = IndexPlace(thread, row.number, index.number)
    for instance_id, text in document_rows.all_documents(host.engine, thread, row.number):
        assert instance_id in set(index_rows.holders(host.engine, place, value_of(index, text)))
    entries = sum(1 for _ in host.engine.scan(*tables.index_entries(thread, row.number, index.number)))
    assert entries == len(host.documents())


async def test_local_writes_count_after_all_that_were_seen():
    log = Log(1)
    now = time.time_ns()
    log.append(patch(CREATE, "a", now + 10**15, x="theirs", y=1))
    async with Host() as host:
        await host.open(THINGS, logs=[log])
        await host.database.accept(log.id, log.records)
        await host.database.save("things", [b'{"_id":"a","x":"ours","y":1}'], HOST.public)
        assert host.documents()["a"]["x"] == "ours"
        assert host.documents()["a"]["_mod"] > now + 10**15


async def test_two_hosts_that_give_each_other_what_they_wrote_agree():
    async with Host() as one, Host() as other:
        for host in (one, other):
            await host.open(THINGS)
        writers = {one: PrivateKey(b"1" * 32), other: PrivateKey(b"2" * 32)}
        for host, writer in writers.items():
            for number in range(20):
                await host.database.save("things", [doc(_id=str(number % 3), n=number)], writer.public)
            await host.database.delete("things", ["1"], writer.public)
        await exchange(one, other)
        await exchange(other, one)
        assert one.documents() == other.documents()
        assert one.documents()


def doc(**fields):
    return json.dumps(fields).encode()


async def exchange(source, target):
    """Give all records of one host to another."""
    thread = source.threads.get(source.engine, THREAD)
    known = {info.id for info in target.threads.get(target.engine, THREAD).logs}
    for info in thread.logs:
        if info.id not in known:
            await target.network.create_thread(
                THREAD, identity=PrivateKey.random(os.urandom).public, key=KEY, log_key=info.public_key
            )
        rows = record_rows.records_from(source.engine, thread.number, info.number)
        await target.database.accept(
            info.id, [RecordBlocks(row.record, row.event, row.header, row.body) for _, row in rows]
        )


def vector_logs():
    vectors = json.loads((Path(__file__).parents[1] / "vectors" / "records_db.json").read_text())
    logs = {
        bytes.fromhex(log["log_id"]): (
            log["log_pub_pb"],
            [
                RecordBlocks(*(bytes.fromhex(each[f"{part}Node"]) for part in ("record", "event", "header", "body")))
                for each in log["records"]
            ],
        )
        for log in vectors["logs"]
    }
    return vectors, logs


async def test_what_real_peers_wrote_gives_the_documents_that_they_had():
    vectors, logs = vector_logs()
    thread_id = ThreadID(bytes.fromhex(vectors["thread_id"]))
    key = ThreadKey(bytes.fromhex(vectors["service_key"]), bytes.fromhex(vectors["read_key"]))
    people = CollectionConfig(vectors["collection"], vectors["schema"].encode())
    orders = set(itertools.permutations([log_id for log_id, (_, blocks) in logs.items() for _ in blocks]))
    assert len(orders) > 1
    for collection_first, order in itertools.product((True, False), orders):
        async with Host() as host:
            await host.manager.new_db(
                thread_id, key=key, collections=[people] if collection_first else [], identity=HOST.public
            )
            host.database = host.manager.get(thread_id)
            for public, _ in logs.values():
                identity = PrivateKey.random(os.urandom).public
                log_key = type(identity).from_bytes(bytes.fromhex(public))
                await host.network.create_thread(thread_id, identity=identity, key=key, log_key=log_key)
            left = {log_id: iter(blocks) for log_id, (_, blocks) in logs.items()}
            for log_id in order:
                await host.network.add_record(thread_id, log_id, next(left[log_id]))
            if not collection_first:
                await host.database.new_collection(people)
            found = [json.loads(text) for text in await host.database.find("people", b"{}", HOST.public)]
            for document in found:
                del document["_mod"]
            assert found == [
                {"_id": "01m880zna0wfm7b04649snfesd", "name": 'Zoë \u2028 <b>&"q"'},
                {"_id": "a1", "name": "Ann B.", "age": 33},
            ]


def bad_bodies():
    yield "no patches at all", cbor.canonicalise(b"\xa0")
    yield "another shape", cbor.canonicalise(b"\x83\x01\x02\x03")
    yield "no JSON", encode_body([Patch("a", "things", CREATE, b"{", 1)])
    yield "no object", encode_body([Patch("a", "things", SAVE, b"[1]", 1)])
    yield "no ID", encode_body([patch(CREATE, "", 1)])
    yield "a long ID", encode_body([patch(CREATE, "x" * 401, 1)])
    yield "an impossible collection", encode_body([patch(CREATE, "a", 1, collection="no/name")])
    yield "a time far ahead", encode_body([patch(CREATE, "a", 2**63 - 1)])
    yield "against the schema", encode_body([patch(CREATE, "a", 1, age="old")])
    yield "deep", encode_body([Patch("a", "things", SAVE, b'{"a":' * 300 + b"1" + b"}" * 300, 1)])


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in bad_bodies()])
async def test_a_bad_record_is_kept_and_marked_and_the_log_goes_on(body):
    log = Log(1)
    log.append(patch(CREATE, "before", 1, age=1))
    log.append(body)
    log.append(patch(CREATE, "after", 2, age=2))
    async with Host() as host:
        await host.open(CollectionConfig("things", STRICT), logs=[log])
        await host.database.accept(log.id, log.records)
        assert set(host.documents()) == {"before", "after"}
        assert host.refused(log, 2) != ""
        assert host.refused(log, 1) == host.refused(log, 3) == ""
        kept = await host.network.get_record(
            THREAD, records.open_envelope(log.records[1].record, Cipher(KEY.service)).cid
        )
        assert kept == log.records[1]
        await host.database.save("things", [doc(_id="before", age=5)], HOST.public)
        assert host.documents()["before"]["age"] == 5


async def test_a_save_is_not_held_against_the_schema_or_the_order_of_arrival_would_count():
    log, other = Log(1), Log(2)
    log.append(patch(CREATE, "a", 1, age=1))
    other.append(patch(SAVE, "a", 2, x="y"))
    async with Host() as host:
        await host.open(CollectionConfig("things", STRICT), logs=[log, other])
        await host.database.accept(other.id, other.records)
        await host.database.accept(log.id, log.records)
        assert host.documents() == {"a": {"_id": "a", "age": 1, "x": "y"}}


async def test_the_validator_judges_what_others_wrote_by_its_author_in_the_state_before_the_record():
    good, bad = Log(1), Log(2)
    validator = f"return writer === '{good.key.public.text}' && (!instance || instance.n < event.patch.json_patch.n)"
    good.append(patch(CREATE, "a", 10, n=1), patch(SAVE, "a", 11, n=5))
    good.append(patch(SAVE, "a", 12, n=6), patch(SAVE, "b", 13, n=1), patch(SAVE, "b", 14, n=1))
    good.append(patch(SAVE, "a", 15, n=6))
    good.append(patch(SAVE, "a", 16, n=7))
    bad.append(patch(SAVE, "a", 20, n=100))
    async with Host() as host:
        await host.open(CollectionConfig("things", OPEN, write_validator=validator), logs=[good, bad])
        await host.database.accept(good.id, good.records)
        await host.database.accept(bad.id, bad.records)
        assert {name: document["n"] for name, document in host.documents().items()} == {"a": 7, "b": 1}
        assert [host.refused(good, position) != "" for position in (1, 2, 3, 4)] == [False, False, True, False]
        assert host.refused(bad, 1) == "app denied net record body"


async def test_a_unique_index_does_not_bind_what_others_wrote():
    log = Log(1)
    log.append(patch(CREATE, "a", 1, age=1), patch(CREATE, "b", 2, age=1))
    async with Host() as host:
        await host.open(CollectionConfig("things", OPEN, (Index("age", unique=True),)), logs=[log])
        await host.database.accept(log.id, log.records)
        assert set(host.documents()) == {"a", "b"}
        check_index(host)


async def test_records_wait_for_their_collection_and_only_for_that():
    log = Log(1)
    log.append(patch(CREATE, "a", 1, collection="first"), patch(CREATE, "b", 2, collection="second"))
    log.append(patch(CREATE, "c", 3, collection="second"))
    async with Host() as host:
        await host.open(CollectionConfig("first", OPEN), logs=[log])
        await host.database.accept(log.id, log.records)
        assert set(host.documents("first")) == {"a"}
        await host.database.new_collection(CollectionConfig("second", OPEN))
        assert set(host.documents("first")) == {"a"}
        assert set(host.documents("second")) == {"b", "c"}


async def test_a_collection_that_is_made_again_starts_empty_though_its_records_had_waited():
    log = Log(1)
    log.append(patch(CREATE, "a", 1))
    async with Host() as host:
        await host.open(logs=[log])
        await host.database.accept(log.id, log.records)
        await host.database.new_collection(THINGS)
        assert set(host.documents()) == {"a"}
        await host.database.delete_collection("things")
        await host.database.new_collection(THINGS)
        assert host.documents() == {}
        with pytest.raises(InstanceNotFoundError):
            await host.database.find_by_id("things", "a", HOST.public)


async def test_a_record_that_waited_is_judged_when_its_collection_comes():
    log = Log(1)
    log.append(patch(CREATE, "a", 1, age="old"))
    log.append(patch(CREATE, "b", 2, age=3))
    async with Host() as host:
        await host.open(logs=[log])
        await host.database.accept(log.id, log.records)
        await host.database.new_collection(CollectionConfig("things", STRICT))
        assert set(host.documents()) == {"b"}
        assert host.refused(log, 1) != ""


async def test_a_collection_whose_filling_fails_is_not_there_and_can_be_made_again():
    log = Log(1)
    for number in range(600):
        log.append(patch(CREATE, str(number), number))
    engine = FaultyEngine(MemoryEngine())
    async with Host(engine) as host:
        await host.open(logs=[log])
        await host.database.accept(log.id, log.records)
        engine.faults.extend([Fault.NONE] * 300 + [Fault.REFUSED])
        with pytest.raises(StoreError):
            await host.database.new_collection(THINGS)
        with pytest.raises(CollectionNotFoundError):
            host.database.collection("things")
        await host.database.new_collection(THINGS)
        assert len(host.documents()) == 600


async def test_a_database_on_a_plain_thread_takes_its_records():
    log = Log(1)
    log.append(patch(CREATE, "a", 1, x=1))
    log.append(cbor.canonicalise(b"\xa0"))
    log.append(patch(SAVE, "a", 2, x=2), patch(CREATE, "z", 3, collection="later"))
    async with Host() as host:
        await host.network.create_thread(THREAD, identity=log.key.public, key=KEY, log_key=log.key.public)
        await host.network.add_records(THREAD, log.id, log.records)
        host.database = await host.manager.new_db(THREAD, key=KEY, collections=[THINGS], identity=HOST.public)
        assert host.documents() == {"a": {"_id": "a", "x": 2}}
        assert host.refused(log, 2) != ""
        await host.database.new_collection(CollectionConfig("later", OPEN))
        assert set(host.documents("later")) == {"z"}


async def test_records_are_taken_in_order_only_and_once_and_from_their_log_only():
    log, other = Log(1), Log(2)
    for number in range(4):
        log.append(patch(CREATE, str(number), number))
    other.append(patch(CREATE, "other", 1))
    async with Host() as host:
        await host.open(THINGS, logs=[log])
        with pytest.raises(OutOfOrderError):
            await host.database.accept(log.id, log.records[1:])
        with pytest.raises(OutOfOrderError):
            await host.database.accept(log.id, [log.records[0], log.records[2]])
        assert set(host.documents()) == {"0"}
        with pytest.raises(LogNotFoundError):
            await host.database.accept(other.id, other.records)
        with pytest.raises(BadSignatureError):
            await host.database.accept(log.id, other.records)
        await asyncio.gather(*(host.database.accept(log.id, log.records) for _ in range(3)))
        assert set(host.documents()) == {"0", "1", "2", "3"}


def forked(log, length):
    """Another history of a log, which has its first records in common with it."""
    other = Log(log.seed, number=log.number, records=log.records[:length])
    other.patches = [entry for entry in log.patches if entry[0][2] <= length]
    cipher = Cipher(KEY.service)
    other.head = records.open_envelope(log.records[length - 1].record, cipher).cid if length else None
    return other


async def test_patches_of_a_history_that_lost_come_out_of_the_instances():
    log, third = Log(1), Log(2)
    log.append(patch(CREATE, "a", 10, x=1))
    log.append(patch(CREATE, "b", 11, x=1))
    other = forked(log, 2)
    log.append(patch(SAVE, "a", 20, x=2), patch(CREATE, "lost", 21, v=1))
    log.append(patch(DELETE, "b", 22))
    other.append(patch(SAVE, "a", 15, z=5))
    other.append(patch(CREATE, "new", 16))
    other.append(patch(SAVE, "b", 17, x=9))
    third.append(patch(SAVE, "a", 18, y=3), patch(SAVE, "lost", 30, y=4))
    async with Host() as host:
        await host.open(THINGS, logs=[log, third])
        await host.database.accept(log.id, log.records)
        await host.database.accept(third.id, third.records)
        assert host.documents() == fold([log, third])
        await host.database.accept(other.id, other.records[:3])
        assert host.documents() == fold([log, third])
        with host.database.listen([], HOST.public) as listener:
            await host.database.accept(other.id, other.records)
            events, heard = listener.events(), {}
            while heard.get("b") != b'{"_id":"b","x":9}':
                event = await anext(events)
                heard[event.instance_id] = event.instance
            await events.aclose()
        assert host.documents() == fold([other, third])
        assert {id_: text and json.loads(text) for id_, text in heard.items()} == {
            **host.documents(),
            "lost": {"_id": "lost", "y": 4},
        }
        for _ in range(3):
            log.append(patch(SAVE, "a", 40, w=1))
        await host.database.accept(log.id, log.records)
        assert host.documents() == fold([log, third])


HISTORIES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 8),
        st.lists(
            st.tuples(
                st.sampled_from([CREATE, SAVE, DELETE]), st.sampled_from("abc"), st.integers(1, 30), st.integers(0, 3)
            ),
            min_size=1,
            max_size=8,
        ),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(HISTORIES, st.randoms(use_true_random=False))
async def test_hosts_agree_whatever_histories_of_a_log_come_in_which_order(made, chance):
    third = Log(2)
    for number in range(4):
        third.append(patch(SAVE, "abc"[number % 3], 7 * number, t=number))
    histories = [Log(1)]
    histories[0].append(patch(CREATE, "a", 1, age=0), patch(CREATE, "later", 1, "later"))
    for which, length, patches in made:
        base = histories[which % len(histories)]
        history = forked(base, min(length, len(base.records)))
        for kind, instance_id, timestamp, x in patches:
            history.append(patch(kind, instance_id, timestamp, age=x), patch(SAVE, "z", timestamp, "later", age=x))
        histories.append(history)
    chosen = min(histories, key=lambda history: (-len(history.records), history.head))
    for _ in range(2):
        given_out = [*histories, third]
        chance.shuffle(given_out)
        async with Host() as host:
            await host.open(CollectionConfig("things", OPEN, indexes=(Index("age"),)), logs=[histories[0], third])
            for each in given_out:
                await host.database.accept(each.id, each.records)
            assert host.documents() == fold([chosen, third])
            await host.database.new_collection(CollectionConfig("later", OPEN))
            assert host.documents("later") == fold([chosen], ("later",))
            found = await host.database.find(
                "things", b'{"ands":[{"fieldPath":"age","operation":0,"value":{"float":1}}]}', HOST.public
            )
            assert {json.loads(text)["_id"] for text in found} == {
                id_ for id_, document in host.documents().items() if document.get("age") == 1
            }


async def test_listeners_hear_of_what_others_wrote_as_it_changes_the_instance():
    log, other = Log(1), Log(2)
    log.append(patch(CREATE, "a", 10, x=1))
    log.append(patch(SAVE, "a", 20, x=2))
    other.append(patch(SAVE, "a", 15, y=3))
    other.append(patch(SAVE, "a", 5, x=0))
    other.append(patch(DELETE, "a", 12))
    other.append(patch(DELETE, "a", 30))
    async with Host() as host:
        await host.open(THINGS, logs=[log, other])
        with host.database.listen([], HOST.public) as listener:
            await host.database.accept(log.id, log.records)
            await host.database.accept(other.id, other.records)
            events = listener.events()
            heard = [await anext(events) for _ in range(4)]
            await events.aclose()
        assert [(event.action, event.instance and json.loads(event.instance)) for event in heard] == [
            (CREATE, {"_id": "a", "x": 1}),
            (SAVE, {"_id": "a", "x": 2}),
            (SAVE, {"_id": "a", "x": 2, "y": 3}),
            (DELETE, None),
        ]


async def test_what_was_taken_is_there_after_a_restart(open_rooms):
    rooms = await open_rooms()
    log, other = Log(1), Log(2)
    thread_id = ThreadID.random(Variant.RAW, os.urandom)
    for number in range(300):
        log.append(patch(SAVE, str(number % 7), 2 * number, n=number))
    other.append(patch(SAVE, "3", 201, late=True))
    database = await rooms.manager.new_db(thread_id, key=KEY, collections=[THINGS], identity=rooms.host)
    network = Network(rooms.engine, rooms.threads, tables.database, rooms.manager.app_of)
    for each in (log, other):
        await network.create_thread(thread_id, identity=each.key.public, key=KEY, log_key=each.key.public)
    await network.add_records(thread_id, log.id, log.records)
    before = await database.find("things", b"{}", rooms.host)
    await network.close()
    rooms = await open_rooms()
    database = rooms.manager.get(thread_id)
    assert await database.find("things", b"{}", rooms.host) == before
    await database.accept(other.id, other.records)
    found = json.loads(await database.find_by_id("things", "3", rooms.host))
    assert found == {"_id": "3", "n": 297 - (297 - 3) % 7, "late": True}
