"""The same query gives the same rows with and without an index, and they are those of the model."""

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model import strategies as made_up
from model.client import Client
from model.model import find, is_number, parsed, text_of, value_at

from net.thread_id import ThreadID, Variant
from proto import threads_pb2 as pb

LOOSE, TYPED = (text_of(schema).encode() for schema in (made_up.LOOSE, made_up.TYPED))


def texts(documents):
    return [text_of(document).encode() for document in documents]


class Pair:
    """Two collections that are told the same; one of them has indexes, over values of any kind."""

    def __init__(self, address, paths):
        self.client = Client(address, ThreadID.random(Variant.RAW, os.urandom).bytes)
        self.paths = paths
        self.client.call("NewDB", collections=[pb.CollectionConfig(name=name, schema=LOOSE) for name in self.names])

    names = ("plain", "indexed")

    def both(self, method, **fields):
        return [self.client.call(method, collectionName=name, **fields) for name in self.names]

    def make_indexes(self):
        for name in self.names:
            indexes = [pb.Index(path=path) for path in self.paths if name == "indexed"]
            self.client.call("UpdateCollection", config=pb.CollectionConfig(name=name, schema=TYPED, indexes=indexes))

    def rows(self, query):
        return [
            [parsed(text) for text in reply.instances] for reply in self.both("Find", queryJSON=text_of(query).encode())
        ]

    def close(self):
        self.client.call("DeleteDB")
        self.client.close()


def ids(documents):
    return [document["_id"] for document in documents]


def at_a_value(document, path, operation):
    """A query for the value that a document has; for everything where it has none that can be asked for."""
    value = value_at(document, path)
    if isinstance(value, bool):
        wanted = {"bool": value}
    elif isinstance(value, str):
        wanted = {"string": value}
    elif is_number(value):
        wanted = {"float": value}
    else:
        return {"sort": {"fieldPath": path}, "limit": 10}
    return {"ands": [{"fieldPath": path, "operation": operation, "value": wanted}]}


def test_rows_are_the_same_with_and_without_an_index(start_daemon):
    daemon = start_daemon()

    @settings(max_examples=40, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
    @given(
        contents=st.lists(made_up.contents, min_size=10, max_size=40),
        later=st.lists(st.tuples(st.integers(0, 44), made_up.typed), max_size=20),
        gone=st.lists(st.integers(0, 44), max_size=5),
        paths=st.lists(st.sampled_from(made_up.PATHS), min_size=1, unique=True),
        pointed=st.lists(
            st.tuples(st.integers(0, 30), st.sampled_from(["s", *made_up.PATHS]), st.sampled_from([0, 0, *range(6)])),
            min_size=10,
            max_size=20,
        ),
        queries=st.lists(made_up.good_queries(), min_size=10, max_size=25),
    )
    def same(contents, later, gone, paths, pointed, queries):
        pair = Pair(daemon.threads_api, paths)
        pair.both("Create", instances=texts({**one, "_id": f"{n:02}"} for n, one in enumerate(contents)))
        pair.make_indexes()
        pair.both("Save", instances=texts({**one, "_id": f"{n:02}"} for n, one in later))
        pair.both("Delete", instanceIDs=[f"{n:02}" for n in gone])
        everything = [{document["_id"]: document for document in rows} for rows in pair.rows({})]
        at_values = [at_a_value(everything[0].get(f"{n:02}"), path, operation) for n, path, operation in pointed]
        for query in queries + at_values:
            plain, indexed = pair.rows(query)
            assert ids(plain) == ids(find(everything[0], query)), query
            assert ids(indexed) == ids(find(everything[1], query)), query
            assert "_mod" in text_of(query) or ids(plain) == ids(indexed), query
        pair.close()

    same()
