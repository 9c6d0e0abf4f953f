"""A real daemon and a small model are told the same, over and over, in any order: they have to agree on every answer.

What is found here is shrunk to the fewest steps; hypothesis prints them with a blob that plays them again.
"""

import os
from collections import deque
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model import strategies as made_up
from model.client import Client, Ear
from model.model import BAD_NAME, BAD_SCHEMA, Config, Database, RefusedError, Transaction, parsed, text_of, violates

from net.thread_id import ThreadID, Variant
from proto import threads_pb2 as pb

ACTIONS = {"CREATE": 1, "SAVE": 2, "DELETE": 3}
STOPPING = ("UNAVAILABLE", "the daemon is stopping: connect again in a moment")

places = st.sampled_from(range(16))
"""Which collection: one of those that there are, or, for the last place, one that there may not be."""


def outcome(run):
    """What a function gives, or how it is refused."""
    try:
        return run(), None
    except RefusedError as refused:
        return None, refused


def agree(got, wanted, *, with_code=True):
    """Whether both refused, in the same words, or neither did. Of a schema's violations the model knows no details."""
    if got is None or wanted is None:
        assert got is wanted, (got, wanted)
        return
    assert not with_code or got.code == wanted.code, (got, wanted)
    if wanted.text == BAD_SCHEMA:
        assert got.text.startswith(f"{BAD_SCHEMA}: "), (got, wanted)
    else:
        assert got.text == wanted.text, (got, wanted)


def fields_of(method, argument):
    """The fields of a request for an operation."""
    if method in {"Create", "Save", "Verify"}:
        return {"instances": [text_of(instance).encode() for instance in argument]}
    if method == "Find":
        return {"queryJSON": text_of(argument).encode()}
    return {"instanceID": argument} if method == "FindByID" else {"instanceIDs": argument}


def answer_of(method, reply):
    """What a reply says, in the terms of the model."""
    if method == "Create":
        return list(reply.instanceIDs)
    if method == "Has":
        return reply.exists
    if method == "Find":
        return [instance.decode() for instance in reply.instances]
    return reply.instance.decode() if method == "FindByID" else None


def modelled(transaction, method, argument, answer):
    """What the model answers to an operation; the daemon's answer tells it the IDs that were made."""
    if method == "Create":
        return transaction.create(argument, answer or ())
    if method == "Find":
        return [text_of(document) for document in transaction.find(argument)]
    if method == "FindByID":
        return text_of(transaction.find_by_id(argument))
    verbs = {"Save": transaction.save, "Verify": transaction.verify, "Delete": transaction.delete}
    return verbs.get(method, transaction.has)(argument)


def config_message(config):
    indexes = [pb.Index(path=index.path, unique=index.unique) for index in config.indexes]
    return pb.CollectionConfig(name=config.name, schema=text_of(config.schema).encode(), indexes=indexes)


class Listening:
    """A listener, and what it has yet to hear."""

    def __init__(self, ear):
        self.ear = ear
        self.due = deque()

    def wants(self, change):
        return not self.ear.filters or any(
            collection in {"", change.collection}
            and instance_id in {"", change.instance_id}
            and action in {0, ACTIONS[change.action]}
            for collection, instance_id, action in self.ear.filters
        )

    def is_only_of(self, name):
        return bool(self.ear.filters) and all(collection == name for collection, _, _ in self.ear.filters)

    def hear(self):
        """It hears all that is due, in order, and each with its value then."""
        while self.due:
            collection, instance_id, action, text = self.due.popleft()
            event = self.ear.next()
            assert not isinstance(event, RefusedError), event
            assert (event.collectionName, event.instanceID) == (collection, instance_id)
            assert pb.ListenReply.Action.Name(event.action) == action
            assert event.instance.decode() == text

    def end(self, code, *texts):
        """It hears all that is due, nothing else, and then that it ends."""
        self.hear()
        last = self.ear.next()
        assert isinstance(last, RefusedError), last
        assert last.code == code
        assert not texts or last.text in texts
        self.ear.close()


class ApiMachine(RuleBasedStateMachine):
    """Drives a daemon and a model; every example has a database of its own."""

    def __init__(self, daemon):
        super().__init__()
        self.daemon = daemon
        self.thread = ThreadID.random(Variant.RAW, os.urandom).bytes
        self.model = Database()
        self.client = Client(daemon.threads_api, self.thread)
        self.witness = None
        self.listeners = []
        self.readers = []
        self.last_time = 0
        self.restarts = self.renewals = 0

    @initialize(
        configs=made_up.first_configs,
        restarts=st.sampled_from([0, 0, 0, 0, 1]),
        renewals=st.sampled_from([0, 0, 1]),
    )
    def begin(self, configs, restarts, renewals):
        self.restarts, self.renewals = restarts, renewals
        self.make_database(configs)

    def make_database(self, configs):
        """Make it with its first collections; where one is refused there is nothing, and it is made without any."""
        model = Database()
        _, wanted = outcome(lambda: [config.check() for config in configs])
        if wanted is None:
            _, wanted = outcome(lambda: [model.new_collection(config) for config in configs])
        messages = [config_message(config) for config in configs]
        _, got = outcome(lambda: self.client.call("NewDB", collections=messages))
        agree(got, wanted)
        if wanted is not None:
            _, refused = outcome(lambda: self.client.call("GetDBInfo"))
            agree(refused, RefusedError("NOT_FOUND", "thread not found"))
            self.client.call("NewDB")
            model = Database()
        self.model = model
        self.last_time = 0
        self.witness = self.client.listen([])

    def name(self, at):
        there = sorted(self.model.collections)
        return there[at % len(there)] if there and at < 15 else made_up.NAMES[0]

    # Collections

    @rule(config=made_up.configs())
    def new_collection(self, config):
        self.both("NewCollection", lambda: self.model.new_collection(config), config=config_message(config))

    @rule(config=made_up.configs())
    def update_collection(self, config):
        self.both("UpdateCollection", lambda: self.model.update_collection(config), config=config_message(config))

    @rule(at=places)
    def loosen(self, at):
        """So that values of every kind come to stand where an index is made later."""
        self.update_collection(Config(self.name(at), made_up.LOOSE))

    @rule(at=places, indexes=made_up.indexes)
    def index_what_is_there(self, at, indexes):
        self.update_collection(Config(self.name(at), made_up.TYPED, tuple(indexes)))

    @precondition(lambda self: any(len(one.documents) > 2 for one in self.model.collections.values()))
    @rule(at=places, again=made_up.configs())
    def delete_collection(self, at, again):
        """What is made again under the name starts empty."""
        name = self.name(at)
        if not self.both("DeleteCollection", lambda: self.model.delete_collection(name), name=name):
            return
        for listening in [one for one in self.listeners if one.is_only_of(name)]:
            listening.end("NOT_FOUND", "collection not found")
            self.listeners.remove(listening)
        for stream, transaction in [one for one in self.readers if one[1].collection.config.name == name]:
            _, got = outcome(stream.end)
            agree(got, RefusedError("NOT_FOUND", "collection not found"))
            self.readers.remove((stream, transaction))
        self.new_collection(replace(again, name=name))

    @rule(at=places)
    def tell_of_a_collection(self, at):
        name = self.name(at)
        collection, wanted = outcome(lambda: self.model.collection(name))
        info, got = outcome(lambda: self.client.call("GetCollectionInfo", name=name))
        agree(got, wanted)
        reply, got = outcome(lambda: self.client.call("GetCollectionIndexes", name=name))
        agree(got, wanted)
        if wanted is None:
            message = config_message(collection.config)
            assert (info.name, info.schema, list(info.indexes)) == (name, message.schema, list(message.indexes))
            assert list(reply.indexes) == list(message.indexes)

    # Instances

    @rule(at=places, instances=made_up.instances)
    def create(self, at, instances):
        self.one_operation(at, "Create", instances)

    @rule(at=places, contents=st.lists(made_up.contents, min_size=3, max_size=10))
    def create_what_the_schema_allows(self, at, contents):
        name = self.name(at)
        there = self.model.collections.get(name)
        schema = there.config.schema if there else made_up.LOOSE
        allowed = [
            {key: item for key, item in one.items() if not violates({**schema, "required": []}, {key: item})}
            for one in contents
        ]
        self.one_operation(at, "Create", [one for one in allowed if not violates(schema, {**one, "_id": ""})])

    @rule(at=places, instances=made_up.instances)
    def save(self, at, instances):
        self.one_operation(at, "Save", instances)

    @precondition(lambda self: any(one.documents for one in self.model.collections.values()))
    @rule(data=st.data(), change=made_up.typed, method=st.sampled_from(["Save", "Save", "Verify", "Create"]))
    def write_what_is_there(self, data, change, method):
        """As a client does that read it before; half of the changes change nothing."""
        at, name = data.draw(st.sampled_from([(at, self.name(at)) for at in range(len(self.model.collections))]))
        documents = self.model.collection(name).documents
        if documents:
            document = documents[data.draw(st.sampled_from(sorted(documents)))]
            self.one_operation(at, method, [document | data.draw(st.sampled_from([{}, change]))])

    @rule(at=places, operation=made_up.operations)
    def any_operation(self, at, operation):
        self.one_operation(at, *operation)

    @rule(at=places, queries=st.lists(made_up.queries, min_size=1, max_size=4))
    def find(self, at, queries):
        for query in queries:
            self.one_operation(at, "Find", query)

    def one_operation(self, at, method, argument):
        """A call is a transaction of one operation."""
        name = self.name(at)
        fields = fields_of(method, argument)
        reply, got = outcome(lambda: self.client.call(method, collectionName=name, **fields))
        answer = None if got else answer_of(method, reply)

        def expected():
            transaction = self.model.begin(name)
            return modelled(transaction, method, argument, answer), transaction.commit()

        wanted, refused = outcome(expected)
        agree(got, refused)
        if refused is None:
            assert answer == wanted[0]
            self.committed(wanted[1])

    # Transactions

    @rule(
        at=places,
        operations=made_up.transactions(),
        end=st.sampled_from(["end", "end", "end", "end", "discard", "abandon"]),
    )
    def write_transaction(self, at, operations, end):
        name = self.name(at)
        stream = self.client.transaction("Write", name)
        transaction, refused = outcome(lambda: self.model.begin(name))
        if refused is not None:
            _, got = outcome(stream.end)
            agree(got, refused)
            return
        for method, argument in operations:
            self.ask(stream, transaction, method, argument)
        self.ask(stream, transaction, "Find", {})
        if end == "abandon":
            stream.abandon()
            return
        if end == "discard":
            stream.ask("Discard")
            transaction.discard()
            for method, argument in operations[:1]:
                self.ask(stream, transaction, method, argument)
        _, got = outcome(stream.end)
        changes, wanted = outcome(transaction.commit)
        agree(got, wanted)
        if wanted is None:
            self.committed(changes)

    @precondition(lambda self: len(self.readers) < 2)
    @rule(at=places, operation=made_up.reads)
    def begin_to_read(self, at, operation):
        """A state that is read from in later steps, whatever is written and indexed meanwhile."""
        name = self.name(at)
        stream = self.client.transaction("Read", name)
        transaction, refused = outcome(lambda: self.model.begin(name))
        if refused is not None:
            _, got = outcome(stream.end)
            agree(got, refused)
            return
        self.ask(stream, transaction, *operation)
        self.readers.append((stream, transaction))

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), operations=st.lists(made_up.reads, max_size=3), last=st.booleans())
    def go_on_reading(self, data, operations, last):
        stream, transaction = reader = data.draw(st.sampled_from(self.readers))
        for operation in operations:
            self.ask(stream, transaction, *operation)
        self.ask(stream, transaction, "Find", {})
        if last:
            stream.end()
            self.readers.remove(reader)

    def ask(self, stream, transaction: Transaction, method, argument):
        """One operation of a transaction; what is refused is told in its reply."""
        reply, got = outcome(lambda: stream.ask(method, **fields_of(method, argument)))
        answer = None if got else answer_of(method, reply)
        wanted, refused = outcome(lambda: modelled(transaction, method, argument, answer))
        assert got is None or not got.code, got
        agree(got, refused, with_code=False)
        assert answer == wanted

    # Listeners

    @precondition(lambda self: len(self.listeners) < 3)
    @rule(filters=made_up.listen_filters)
    def listen(self, filters):
        self.listeners.append(Listening(Ear(self.client, filters)))

    @precondition(lambda self: self.listeners)
    @rule(data=st.data(), leave=st.booleans())
    def hear(self, data, leave):
        listening = data.draw(st.sampled_from(self.listeners))
        listening.hear()
        if leave:
            listening.ear.close()
            self.listeners.remove(listening)

    def committed(self, changes):
        """Everything is told at once, in order, with its value; the times that the daemon gave are learned from that."""
        for change in changes:
            event = self.witness.next()
            assert not isinstance(event, RefusedError), event
            assert (event.collectionName, event.instanceID) == (change.collection, change.instance_id)
            assert pb.ListenReply.Action.Name(event.action) == change.action
            text = ""
            if change.document is not None:
                time = parsed(event.instance)["_mod"]
                assert time > self.last_time
                self.last_time = change.document["_mod"] = time
                text = text_of(change.document)
            assert event.instance.decode() == text
            for listening in self.listeners:
                if listening.wants(change):
                    listening.due.append((change.collection, change.instance_id, change.action, text))

    # The daemon and the database come and go

    @precondition(lambda self: self.restarts)
    @rule()
    def stop_and_start(self):
        self.restarts -= 1
        self.end_readers()
        self.daemon.stop()
        for listening in [*self.listeners, Listening(self.witness)]:
            listening.end(*STOPPING)
        self.start_again()

    @precondition(lambda self: self.restarts)
    @rule(at=places, operations=st.lists(made_up.operations, max_size=3))
    def kill_in_a_transaction_and_start(self, at, operations):
        """What was answered stays; of a transaction that is open nothing does."""
        self.restarts -= 1
        name = self.name(at)
        for listening in self.listeners:
            listening.hear()
        transaction, refused = outcome(lambda: self.model.begin(name))
        stream = self.client.transaction("Write", name)
        for method, argument in operations if refused is None else ():
            self.ask(stream, transaction, method, argument)
        self.daemon.kill()
        stream.abandon()
        for listening in [*self.listeners, Listening(self.witness)]:
            listening.end("UNAVAILABLE")
        self.start_again()

    def start_again(self):
        self.client.close()
        self.daemon.start()
        self.client = Client(self.daemon.threads_api, self.thread)
        self.readers, self.listeners = [], []
        self.witness = self.client.listen([])

    @precondition(lambda self: self.renewals)
    @rule(configs=made_up.first_configs)
    def delete_the_database_and_make_it_again(self, configs):
        self.renewals -= 1
        self.delete_database()
        self.make_database(configs)

    def delete_database(self):
        self.client.call("DeleteDB")
        gone = RefusedError("NOT_FOUND", "db not found")
        for listening in [*self.listeners, Listening(self.witness)]:
            listening.end(gone.code, gone.text)
        for stream, _ in self.readers:
            _, got = outcome(stream.end)
            agree(got, gone)
        self.listeners, self.readers = [], []
        for method in ("DeleteDB", "GetDBInfo", "ListCollections"):
            _, got = outcome(lambda method=method: self.client.call(method))
            agree(got, RefusedError("NOT_FOUND", "thread not found"))

    def end_readers(self):
        for stream, _ in self.readers:
            stream.end()
        self.readers = []

    @invariant()
    def all_is_as_the_model_has_it(self):
        if self.witness is None:
            return
        reply = self.client.call("ListCollections")
        listed = {info.name: list(info.indexes) for info in reply.collections}
        collections = self.model.collections
        assert listed == {name: list(config_message(one.config).indexes) for name, one in collections.items()}
        for name, collection in collections.items():
            rows = answer_of("Find", self.client.call("Find", collectionName=name, queryJSON=b"{}"))
            assert rows == [text_of(collection.documents[key]) for key in sorted(collection.documents)]

    def both(self, method, expected, **fields):
        """Tell the daemon and the model; whether they did it."""
        _, got = outcome(lambda: self.client.call(method, **fields))
        _, wanted = outcome(expected)
        agree(got, wanted)
        return wanted is None

    def teardown(self):
        try:
            if self.witness is not None and self.daemon.alive():
                self.delete_database()
        finally:
            self.client.close()
            if not self.daemon.alive():
                self.daemon.start()


pytestmark = pytest.mark.timeout(900)
"""When there is something to shrink it takes minutes."""

STATEFUL = settings(
    max_examples=32,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def test_the_daemon_does_what_the_model_does(start_daemon):
    daemon = start_daemon()
    run_state_machine_as_test(lambda: ApiMachine(daemon), settings=STATEFUL)
    daemon.stop()


def test_names_and_databases_are_refused_as_documented(start_daemon):
    client = Client(start_daemon().threads_api, ThreadID.random(Variant.RAW, os.urandom).bytes)
    client.call("NewDB")
    _, got = outcome(lambda: client.call("NewDB"))
    agree(got, RefusedError("UNKNOWN", "db already exists"))
    for name in ["", "a_b", "a-", "-a", "a--b", "é", "a\n", "a b"]:
        _, got = outcome(
            lambda name=name: client.call("NewCollection", config=config_message(Config(name, made_up.LOOSE)))
        )
        agree(got, RefusedError("INVALID_ARGUMENT", BAD_NAME))
    client.close()
