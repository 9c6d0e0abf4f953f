"""A database that is imported again and again by tests that kill."""

import json

import pytest

COLLECTION = "moved"
RECORDS, INSTANCES = 600, 2


@pytest.fixture(scope="session")
def moved(tmp_path_factory):
    """The file of a database whose records wait for a collection, enough for parts of an import, a fill and an index.

    Gives the arguments of `actors.Mover` behind the first.
    """
    from actors import SCHEMA, moving  # noqa: PLC0415  the root conftest makes it importable
    from daemons import prepare_threadd  # noqa: PLC0415
    from peers import Api, new_thread  # noqa: PLC0415

    from net.thread_id import ThreadID  # noqa: PLC0415
    from proto import threads_pb2  # noqa: PLC0415

    daemon = prepare_threadd(tmp_path_factory.mktemp("moved"))
    daemon.start()
    thread, key = new_thread()
    file = daemon.folder / "moved.jsonl"
    try:
        api = Api(daemon)
        collection = threads_pb2.CollectionConfig(name=COLLECTION, schema=SCHEMA)
        api("NewDB", dbID=thread, key=key, collections=[collection])
        for number in range(RECORDS):
            texts = [json.dumps({"_id": f"m{number}-{one}", "rank": number}).encode() for one in range(INSTANCES)]
            api("Create", dbID=thread, collectionName=COLLECTION, instances=texts)
        exported = daemon.run("export", ThreadID(thread).text).encode().splitlines()
        daemon.stop()
    finally:
        daemon.kill()
    taken, thread, ids = moving(exported, COLLECTION)
    file.write_bytes(b"\n".join(taken) + b"\n")
    return file, thread, COLLECTION, ids
