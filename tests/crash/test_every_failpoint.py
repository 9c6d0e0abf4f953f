"""Every place where a test can make the daemon fail is come by, and a kill there costs nothing that was answered."""

import asyncio
import json
import random
import signal

import grpc
import pytest
from actors import Door, Mailer, Mover, Pusher, Shaper, Transactor
from agreement import check_repository
from daemons import DaemonError

from store import failpoints
from store.failpoints import VARIABLE, Failpoint
from threadd.maintenance.verification import verify

LONGEST_SECONDS = 60

OFTEN = {
    Failpoint.BEFORE_BATCH: 60,
    Failpoint.BEFORE_COMMIT: 60,
    Failpoint.AFTER_COMMIT: 60,
    Failpoint.BEFORE_SUBMIT: 30,
    Failpoint.AFTER_SUBMIT: 30,
    Failpoint.DB_MADE: 3,
    Failpoint.OWNED: 3,
    Failpoint.BLOCKS_SYNCED: 3,
}
"""Where a place is come by often, the so many-th time kills, so that something was answered before."""

pytestmark = pytest.mark.timeout(len(Failpoint) * LONGEST_SECONDS)


async def act(actor, address):
    async with Door(address) as door:
        await actor.run(door)


async def check(crew):
    for actor, address in crew:
        async with Door(address) as door:
            await actor.check(door)


async def die_at(daemon, crew, place):
    """Start the daemon, check what it kept, and work until it dies at a place."""
    daemon.variables = {VARIABLE: f"{place}=kill@{OFTEN.get(place, 1)}"}
    try:
        daemon.start()
        await check(crew)
        async with asyncio.timeout(LONGEST_SECONDS), asyncio.TaskGroup() as group:
            for actor, address in crew:
                group.create_task(act(actor, address))
    except TimeoutError:
        pytest.fail(f"nothing came by {place}")
    except (DaemonError, grpc.aio.AioRpcError):
        pass  # it died at the place already, on its way up or while it was asked
    assert daemon.process.wait(10) == -signal.SIGKILL, daemon.said()
    faults = verify(daemon.repo).faults
    assert not faults, f"after a kill at {place}: {faults}"


async def test_a_kill_at_each_place(start_daemon, moved):
    dice = random.Random(8)
    daemon = start_daemon()
    key = json.loads(daemon.run("keys", "create", "--type", "user", "--insecure", "--json"))["key"]
    daemon.kill()
    on_threads = Transactor(dice), Shaper(dice), Pusher(dice), Mover(daemon.repo, *moved)
    crew = [*((actor, daemon.threads_api) for actor in on_threads), (Mailer(key), daemon.hub_api)]
    for place in Failpoint:
        crew[-1][0].made.clear()
        await die_at(daemon, crew, place)
    daemon.variables = {}
    daemon.start()
    await check(crew)
    for actor, address in crew:
        async with Door(address) as door:
            await actor.step(door)
    daemon.stop()
    assert verify(daemon.repo).faults == []
    # The Shaper's collections are deleted and made again, and begin anew then: records tell more than they hold.
    await check_repository(
        daemon.repo, {actor.thread for actor in on_threads if isinstance(actor, Transactor | Pusher)}
    )


@pytest.mark.parametrize("text", ["store.nowhere=kill", "store.before-batch=stop", "store.before-batch=kill@x"])
def test_what_is_no_place_or_no_action_is_refused(text):
    with pytest.raises(ValueError, match=r"nowhere|is not NAME="):
        failpoints.arm({VARIABLE: text})
    failpoints.arm({})
