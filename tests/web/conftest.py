"""A web door in front of the echo service."""

import asyncio
import struct

import pytest
from echo import Echo, OpenPolicy, make_service
from google.protobuf import message_factory

from threadd.api.dispatcher import Dispatcher
from threadd.web.door import WebDoor

_SERVICE = make_service()
_TEXT = message_factory.GetMessageClass(_SERVICE.methods_by_name["Echo"].input_type)


@pytest.fixture
async def echo():
    return Echo()


@pytest.fixture
def policy():
    return OpenPolicy()


@pytest.fixture
async def door(policy, echo, caplog):
    dispatcher = Dispatcher(policy, max_message_bytes=100_000)
    dispatcher.register(_SERVICE, echo)
    opened = WebDoor(dispatcher, "127.0.0.1", 0)
    await opened.open()
    yield opened
    await opened.close()
    # uvicorn says so when an application breaks.
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


@pytest.fixture
def drained(door):
    """Waits until no call runs any more."""

    async def wait():
        async with asyncio.timeout(10):
            while door.open_streams:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def frame():
    """The frame of a message of the echo service."""

    def make(text, flag=0):
        body = _TEXT(text=text).SerializeToString()
        return struct.pack(">BI", flag, len(body)) + body

    return make


@pytest.fixture(scope="session")
def parse():
    """The replies' texts and the fields of all blocks in a body of frames."""

    def take(data):
        texts, fields = [], {}
        while data:
            flag, length = struct.unpack_from(">BI", data)
            body, data = data[5 : 5 + length], data[5 + length :]
            assert len(body) == length
            if flag == 0:
                texts.append(_TEXT.FromString(body).text)
            else:
                assert flag == 0x80
                lines = body.decode("ascii").split("\r\n")
                assert lines.pop() == ""
                fields |= dict(line.split(": ", 1) for line in lines)
        return texts, fields

    return take
