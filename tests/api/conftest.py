"""Doors to reach the echo service by, and a whole house."""

from contextlib import asynccontextmanager

import grpc
import pytest
from echo import OpenPolicy, make_service
from google.protobuf import message_factory
from houses import services_of

from net import multibase, tokens
from threadd.api import accounts_service, threads_service, users_service
from threadd.api.dispatcher import Dispatcher, Method
from threadd.api.doors import hub_dispatcher, threads_dispatcher
from threadd.api.health_service import Health
from threadd.api.limits import DEFAULTS
from threadd.hub.confirmations import ConfirmationOptions, Purpose
from threadd.hub.signatures import sign
from threadd.rooms import open_rooms
from threadd.web.grpc_door import GrpcDoor


@pytest.fixture(scope="session")
def echo_service():
    return make_service()


@pytest.fixture(scope="session")
def text_message(echo_service):
    return message_factory.GetMessageClass(echo_service.methods_by_name["Echo"].input_type)


@pytest.fixture
def policy():
    return OpenPolicy()


@pytest.fixture
def open_door():
    """A context manager that opens a door for a dispatcher and gives a channel to it."""

    @asynccontextmanager
    async def opened(dispatcher: Dispatcher, options=()):
        door = GrpcDoor(dispatcher, "127.0.0.1", 0)
        port = await door.open()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=list(options)) as channel:
                yield channel
        finally:
            await door.close()

    return opened


class House:
    """A whole daemon's rooms with both doors open, and what a client does with them."""

    def __init__(self, rooms, ports):
        self.rooms = rooms
        self.ports = ports

    def rows(self):
        """Everything that is kept."""
        return list(self.rooms.engine.scan(b"", b"\xff" * 8))

    def hub_metadata(self, key, token=""):
        """What a client of the Hub sends with an API key row."""
        metadata = [("x-textile-api-key", key.key)]
        if key.secure:
            date = "2999-01-01T00:00:00Z"
            signature = sign(multibase.decode(key.secret), date)
            metadata += [("x-textile-api-sig", multibase.encode(signature)), ("x-textile-api-sig-msg", date)]
        if token:
            metadata.append(("authorization", f"bearer {token}"))
        return metadata

    def token(self, identity):
        """A token as GetToken gives it."""
        return tokens.issue(self.rooms.host_key, identity.public, 1)


@asynccontextmanager
async def opened_house(repo, limits=DEFAULTS, **options):
    options = {"confirmation": ConfirmationOptions(frozenset(Purpose))} | options
    async with open_rooms(repo, **options) as rooms:
        health = Health()
        services = services_of(rooms, health)
        doors = {
            "threads": GrpcDoor(threads_dispatcher(services, limits=limits), "127.0.0.1", 0),
            "hub": GrpcDoor(hub_dispatcher(services, rooms.hub, limits=limits), "127.0.0.1", 0),
        }
        try:
            ports = {name: await door.open() for name, door in doors.items()}
            health.set_ready(ready=True)
            yield House(rooms, ports)
        finally:
            health.close()
            for door in doors.values():
                await door.close(1.0)


@pytest.fixture
async def house(tmp_path):
    async with opened_house(tmp_path / "repo") as made:
        yield made


@pytest.fixture(scope="session")
def open_house():
    """Opens the rooms of a repository with both doors, as a context manager; takes the options of `open_rooms`."""
    return opened_house


class Stubs:
    """The methods of one service on one door, called by name with message fields."""

    def __init__(self, channel, service, metadata=()):
        self.channel = channel
        self.service = service
        self.metadata = list(metadata)

    def using(self, metadata):
        return Stubs(self.channel, self.service, metadata)

    def of(self, service):
        return Stubs(self.channel, service, self.metadata)

    async def __call__(self, rpc, /, **fields):
        method = Method.of(self.service.methods_by_name[rpc])
        stub = self.channel.unary_unary(
            method.full_name,
            request_serializer=method.request_type.SerializeToString,
            response_deserializer=method.reply_type.FromString,
        )
        return await stub(method.request_type(**fields), metadata=self.metadata, timeout=20)

    async def refused(self, rpc, /, **fields):
        """The code and text with which a call is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self(rpc, **fields)
        return caught.value.code(), caught.value.details()


@pytest.fixture
async def channels(house):
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{house.ports['threads']}") as threads,
        grpc.aio.insecure_channel(f"127.0.0.1:{house.ports['hub']}") as hub,
    ):
        yield {"threads": threads, "hub": hub}


@pytest.fixture
def threads_door(channels):
    return Stubs(channels["threads"], threads_service.DESCRIPTOR)


@pytest.fixture
def hub_door(channels):
    return Stubs(channels["hub"], threads_service.DESCRIPTOR)


@pytest.fixture
def open_channel():
    """Stubs of the threads door over a channel of its own, as a context manager."""

    @asynccontextmanager
    async def opened(house, options=()):
        target = f"127.0.0.1:{house.ports['threads']}"
        async with grpc.aio.insecure_channel(target, options=list(options)) as channel:
            yield Stubs(channel, threads_service.DESCRIPTOR)

    return opened


class Person:
    """A developer who has signed up, and stubs that carry the session."""

    def __init__(self, accounts, reply):
        self.session = reply.session
        self.key = reply.key
        self.accounts = accounts.using([("x-textile-session", reply.session)])

    def of(self, organisation):
        """The stubs, for an organisation."""
        return self.accounts.using([*self.accounts.metadata, ("x-textile-org", organisation)])


@pytest.fixture
def accounts_door(channels):
    return Stubs(channels["hub"], accounts_service.DESCRIPTOR)


@pytest.fixture
def users_door(channels):
    return Stubs(channels["hub"], users_service.DESCRIPTOR)


@pytest.fixture
def sign_up(accounts_door):
    """Signs somebody up by name."""

    async def signed_up(name):
        return Person(accounts_door, await accounts_door("Signup", username=name, email=f"{name}@example.org"))

    return signed_up
