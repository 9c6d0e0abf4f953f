"""A daemon whose callers send documents that are costly to check serves the others, and stops when it is asked to."""

import asyncio

import grpc
import pytest
from actors import Door
from costly_schemas import TOO_COSTLY, doc, text

from proto import threads_pb2

CALLERS = 6

pytestmark = pytest.mark.timeout(120)


async def test_others_are_served_and_sigterm_is_heard_while_documents_are_checked(start_daemon):
    daemon = start_daemon()
    schema, data = TOO_COSTLY["references twice over"]
    costly = threads_pb2.CollectionConfig(name="costly", schema=schema)
    async with Door(daemon.threads_api) as door:
        threads = [await door.new_db([costly]) for _ in range(CALLERS)]
        plain = await door.new_db([threads_pb2.CollectionConfig(name="plain", schema=text())])
        calls = [
            asyncio.create_task(door.threads("Create", dbID=thread, collectionName="costly", instances=[data]))
            for thread in threads
        ]
        for number in range(20):
            await door.threads("Create", dbID=plain, collectionName="plain", instances=[doc(_id=str(number))])
        assert not any(call.done() for call in calls)
        await asyncio.to_thread(daemon.stop)
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(answer, grpc.aio.AioRpcError)
    daemon.start()
    async with Door(daemon.threads_api) as door:
        assert len(await door.found(plain, "plain")) == 20
        for thread in threads:
            assert await door.found(thread, "costly") == {}
    daemon.stop()
