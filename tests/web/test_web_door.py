"""The web door as what a daemon opens and closes."""

import asyncio
import signal
import socket

import pytest
from websockets.asyncio.client import connect

from threadd.api.dispatcher import Dispatcher
from threadd.web.door import WebDoor
from threadd.web.sockets import DoorError


def begin(door, method):
    return connect(f"ws://127.0.0.1:{door.port}/tests.echo.API/{method}", subprotocols=["grpc-websockets"])


async def test_a_port_in_use_is_refused_by_name(door, policy):
    with pytest.raises(DoorError, match=rf"cannot listen on 127\.0\.0\.1:{door.port}: it is in use"):
        await WebDoor(Dispatcher(policy), "127.0.0.1", door.port).open()


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.1", "192.0.2.1:0: it is not an address of this machine"),
        ("no-such-host.invalid", "no-such-host.invalid: no host of that name is known here"),
    ],
)
async def test_an_address_of_elsewhere_is_refused_by_name(policy, host, reason):
    with pytest.raises(DoorError, match=f"^cannot listen on {reason}$"):
        await WebDoor(Dispatcher(policy), host, 0).open()


async def test_a_name_opens_every_address_that_it_has(policy):
    door = WebDoor(Dispatcher(policy), "localhost", 0)
    assert await door.open() == door.port > 0
    for family, *_, address in socket.getaddrinfo("localhost", door.port, type=socket.SOCK_STREAM):
        if family == socket.AF_INET or socket.has_ipv6:
            try:
                _, writer = await asyncio.open_connection(address[0], door.port)
            except OSError:
                # The machine has the name, but not the address.
                assert family == socket.AF_INET6
                continue
            writer.close()
            await writer.wait_closed()
    await door.close()


async def test_signals_stay_the_process_s(policy):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    door = WebDoor(Dispatcher(policy), "127.0.0.1", 0)
    await door.open()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    await door.close()
    await door.close()


async def test_a_port_is_free_again_at_once(policy):
    door = WebDoor(Dispatcher(policy), "127.0.0.1", 0)
    port = await door.open()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await door.close()
    again = WebDoor(Dispatcher(policy), "127.0.0.1", port)
    assert await again.open() == port
    await again.close()
    writer.close()


async def test_closing_lets_running_calls_finish(door, frame, parse, echo):
    async with begin(door, "Echo") as running:
        await running.send(b"")
        await running.send(b"\0" + frame("wait 0.3"))
        await echo.started.wait()
        closing = asyncio.ensure_future(door.close(5))
        pieces = [await running.recv() for _ in range(3)]
        assert parse(b"".join(pieces))[0] == ["wait 0.3"]
        await closing
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", door.port)


async def test_closing_ends_what_does_not_finish_and_takes_no_more(door, frame, parse, echo):
    async with begin(door, "Echo") as running, begin(door, "Echo") as late:
        await running.send(b"")
        await running.send(b"\0" + frame("wait 60"))
        await echo.started.wait()
        async with asyncio.timeout(10):
            closing = asyncio.ensure_future(door.close(0.3))
            await asyncio.sleep(0.1)
            await late.send(b"")
            for socket_ in (late, running):
                fields = parse(await socket_.recv())[1]
                assert (fields["grpc-status"], fields["grpc-message"]) == (
                    "14",
                    "the daemon is stopping: connect again in a moment",
                )
            await closing
    assert echo.cancelled.is_set()
    assert door.open_streams == 0
