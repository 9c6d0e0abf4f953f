"""Who calls is decided by the headers, before any of the body is taken."""

import asyncio

import pytest
from echo import Echo
from raw_grpc import prefix, raw_connection

from net.keys import PrivateKey
from proto import threads_pb2
from store.errors import StatusCode, ThreaddError
from threadd.api.dispatcher import Dispatcher
from threadd.api.limits import Limits
from threadd.api.statuses import MAX_TEXT_BYTES
from threadd.hub.api_keys import KeyKind
from threadd.web.grpc_door import GrpcDoor
from threadd.web.http2_frames import MAX_CONCURRENT_STREAMS

HUB = "/threads.pb.API/"
ECHO = "/tests.echo.API/"
JANE = PrivateKey(b"j" * 32)
FULL = "3 streams are open already: end one of them first"
REQUIRED = (16, "Session or API key required")


class NotYouError(ThreaddError):
    code = StatusCode.UNAUTHENTICATED


@pytest.fixture
async def address(policy, echo_service):
    dispatcher = Dispatcher(policy, max_message_bytes=10_000_000)
    dispatcher.register(echo_service, Echo())
    door = GrpcDoor(dispatcher, "127.0.0.1", 0)
    yield f"127.0.0.1:{await door.open()}"
    await door.close()


@pytest.mark.parametrize("method", ["Create", "Listen", "WriteTransaction"])
async def test_a_call_without_key_is_answered_before_its_body_comes(house, method):
    async with raw_connection(f"127.0.0.1:{house.ports['hub']}") as connection:
        stream = connection.open(HUB + method)
        assert await connection.status(stream, seconds=5) == REQUIRED
        assert connection.settings[MAX_CONCURRENT_STREAMS] == 128


async def test_a_refusal_names_its_request(address, policy):
    policy.refuse_with = NotYouError("not you")
    async with raw_connection(address) as connection:
        streams = [
            connection.open(ECHO + method, [(b"x-request-id", b"mine-%d" % number)])
            for number, method in enumerate(("Echo", "EchoAll"))
        ]
        for stream in streams:
            assert await connection.status(stream) == (16, "not you")
        assert [connection.request_ids[stream] for stream in streams] == ["mine-0", "mine-1"]


async def test_the_text_of_a_refusal_fits_into_a_frame_whatever_the_headers_are(address):
    async with raw_connection(address) as connection:
        named = connection.open(ECHO + "Echo", [(b"%" * 15_000 + b"-bin", b"no base64!")])
        unknown = connection.open(ECHO + "%" * 15_000, end=True)
        for stream, code in ((named, 3), (unknown, 12)):
            got, text = await connection.status(stream)
            assert (got, len(text) <= MAX_TEXT_BYTES) == (code, True)


@pytest.mark.parametrize("method", ["Echo", "EchoAll", "Nothing"])
async def test_no_window_is_given_for_the_body_of_a_refused_call(address, policy, method):
    policy.refuse_with = NotYouError("not you")
    async with raw_connection(address) as connection:
        stream = connection.open(ECHO + method)
        connection.data(stream, prefix(1_000_000))
        for _ in range(3):
            connection.data(stream, b"x" * 16_000)
        code, _ = await connection.status(stream)
        assert code == (12 if method == "Nothing" else 16)
        assert stream not in connection.windows


async def test_a_client_that_streams_may_end_its_half_before_it_is_refused(address, policy):
    policy.refuse_with = NotYouError("not you")
    async with raw_connection(address) as connection:
        stream = connection.open(ECHO + "EchoAll")
        connection.data(stream, prefix(0), end=True)
        assert await connection.status(stream) == (16, "not you")
        assert stream not in connection.resets
        broken = connection.open(ECHO + "EchoAll")
        connection.reset(broken)
        await asyncio.sleep(0.3)
        assert broken not in connection.statuses


async def test_streams_are_few_until_a_caller_is_known(house, address, policy):
    async with raw_connection(f"127.0.0.1:{house.ports['hub']}") as connection:
        check = connection.open("/grpc.health.v1.Health/Check")
        connection.data(check, prefix(0), end=True)
        assert (await connection.status(check))[0] == 0
        # A method that is open to everybody tells nothing of who calls.
        assert connection.settings[MAX_CONCURRENT_STREAMS] == 128
        opened = [connection.open("/grpc.health.v1.Health/Check") for _ in range(129)]
        await connection.until(lambda: connection.resets)
        assert connection.resets == {opened[-1]: 7}
    async with raw_connection(address) as connection:
        connection.data(connection.open(ECHO + "Echo"), prefix(0), end=True)
        await connection.until(lambda: connection.settings.get(MAX_CONCURRENT_STREAMS) == 10_000)


async def test_streams_count_by_who_calls_and_not_for_all_who_are_unknown(open_house, tmp_path):
    """Callers who ask for a token and never end shut out nobody who has one, nor callers of another key."""
    limits = Limits(streams=3)
    async with open_house(tmp_path / "repo", limits=limits) as house:
        owner = house.rooms.accounts.local().public_key
        keys = [await house.rooms.api_keys.create(owner, KeyKind.USER, secure=False) for _ in range(2)]
        async with raw_connection(f"127.0.0.1:{house.ports['hub']}") as connection:

            def ask(key, token=""):
                metadata = [(b"x-textile-api-key", key.key.encode())]
                if token:
                    metadata.append((b"authorization", b"bearer " + token.encode()))
                return connection.open(HUB + ("Listen" if token else "GetToken"), metadata)

            unfinished = [ask(keys[0]) for _ in range(3)]
            assert (await connection.status(ask(keys[0]))) == (8, FULL)
            # Another key's callers from the same address, and those of this key who have proved an identity.
            for stream, body in (
                (ask(keys[1]), threads_pb2.GetTokenRequest(key=JANE.public.text)),
                (ask(keys[0], house.token(JANE)), threads_pb2.ListenRequest(dbID=b"unknown")),
            ):
                connection.data(stream, prefix(body.ByteSize()) + body.SerializeToString(), end=True)
                code, said = await connection.status(stream)
                assert code != 8, said
            assert not set(unfinished) & connection.statuses.keys()
            connection.reset(unfinished[0])
            await asyncio.sleep(0.1)
            again = ask(keys[0])
            await asyncio.sleep(0.1)
            assert again not in connection.statuses
