"""A disk that is full or fails: writes are refused and reads go on; a full one recovers, a failed one is not trusted."""

import json
import os
import resource
import subprocess

import grpc
import pytest
from actors import Door, is_gone
from daemons import DaemonError

from proto import threads_pb2
from store.failpoints import VARIABLE
from threadd.maintenance.verification import verify

pytestmark = pytest.mark.timeout(300)

FULL, FAILED = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE
COLLECTION = threads_pb2.CollectionConfig(
    name="note", schema=b'{"properties":{"_id":{"type":"string"},"n":{"type":"string"}}}'
)


async def write(door, thread, name, size=20_000):
    text = json.dumps({"_id": name, "text": os.urandom(size // 2).hex()}).encode()
    await door.threads("Create", dbID=thread, collectionName="note", instances=[text])


async def write_until_refused(door, thread, prefix, most=2_000):
    """Writes one after the other; gives the names that were acknowledged and the refusal."""
    written = []
    for number in range(most):
        try:
            await write(door, thread, f"{prefix}{number}")
        except grpc.aio.AioRpcError as error:
            return written, error
        written.append(f"{prefix}{number}")
    raise AssertionError("nothing was refused")


async def health(address):
    from grpc_health.v1 import health_pb2  # noqa: PLC0415  only here

    async with Door(address) as door:
        call = door.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        reply = await call(health_pb2.HealthCheckRequest())
        return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)


def limit_files(daemon, more):
    """Let the files of a daemon grow by so many bytes only; None for any number."""
    size = (daemon.repo / "store" / "data.mdb").stat().st_size
    limit = resource.RLIM_INFINITY if more is None else size + more
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


@pytest.mark.parametrize("more", [0, 123_457])
async def test_no_room_refuses_writes_until_there_is_some(start_daemon, more):
    daemon = start_daemon()
    async with Door(daemon.threads_api) as door:
        thread = await door.new_db([COLLECTION])
        await write(door, thread, "first")
        limit_files(daemon, more)
        written, error = await write_until_refused(door, thread, "a")
        assert (error.code(), error.details()) == (FULL, "the store is full: free some disk space and try again")
        assert (await door.found(thread, "note")).keys() == {"first", *written}
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await write(door, thread, "large", 400_000)
        assert refused.value.code() is FULL
        assert await health(daemon.threads_api) == "SERVING"
        limit_files(daemon, None)
        await write(door, thread, "after")
        await write(door, thread, "large", 400_000)
        expected = {"first", "after", "large", *written}
        assert (await door.found(thread, "note")).keys() == expected
    daemon.kill()
    assert verify(daemon.repo).faults == []
    daemon.start()
    async with Door(daemon.threads_api) as door:
        assert (await door.found(thread, "note")).keys() == expected
    daemon.stop()


@pytest.mark.parametrize("place", ["store.before-commit", "store.after-commit"])
async def test_a_disk_that_failed_is_not_trusted_before_a_restart(start_daemon, place):
    daemon = start_daemon()
    daemon.stop()
    daemon.variables = {VARIABLE: f"{place}=raise@30"}
    daemon.start()
    async with Door(daemon.threads_api) as door:
        thread = await door.new_db([COLLECTION])
        written, error = await write_until_refused(door, thread, "a")
        assert error.code() is FAILED
        assert "restart the daemon once it is sound" in error.details()
        # The failpoint is spent: what refuses from here on is that a sync which failed is never taken for a good one.
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await write(door, thread, "b")
        assert refused.value.code() is FAILED
        found = await door.found(thread, "note")
        assert set(written) <= found.keys() <= {*written, f"a{len(written)}"}
    assert await health(daemon.threads_api) == "NOT_SERVING"
    daemon.variables = {}
    daemon.kill()
    assert verify(daemon.repo).faults == []
    daemon.start()
    async with Door(daemon.threads_api) as door:
        found = await door.found(thread, "note")
        assert set(written) <= found.keys() <= {*written, f"a{len(written)}"}
        await write(door, thread, "b")
    daemon.stop()


async def test_an_index_that_cannot_be_built_for_want_of_room_leaves_the_collection_as_it_was(start_daemon):
    daemon = start_daemon()
    async with Door(daemon.threads_api) as door:
        thread = await door.new_db([COLLECTION])
        texts = [json.dumps({"_id": f"i{n}", "n": "w" * 50 + str(n)}).encode() for n in range(3_000)]
        for first in range(0, 3_000, 500):
            await door.threads("Create", dbID=thread, collectionName="note", instances=texts[first : first + 500])
        limit_files(daemon, 0)
        indexed = threads_pb2.CollectionConfig(
            name="note", schema=COLLECTION.schema, indexes=[threads_pb2.Index(path="n")]
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            for _ in range(20):  # there may be free pages in the file at first
                await door.threads("UpdateCollection", dbID=thread, config=indexed)
                await door.threads("UpdateCollection", dbID=thread, config=COLLECTION)
        assert refused.value.code() is FULL
        assert not is_gone(refused.value)
        assert len(await door.found(thread, "note")) == 3_000
        limit_files(daemon, None)
        await door.threads("UpdateCollection", dbID=thread, config=indexed)
    daemon.kill()
    assert verify(daemon.repo).faults == []


def without_rights(daemon):
    """Have a daemon start without what lets root write where nobody may."""
    if os.geteuid() == 0:
        daemon.command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner", *daemon.command]


def in_a_read_only_mount(daemon):
    """Have a daemon start where its repository is mounted read-only, for it alone."""
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    daemon.command = ["unshare", "--mount", "sh", "-c", script, str(daemon.repo), *daemon.command]


def may_mount():
    try:
        done = subprocess.run(
            ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, timeout=20, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


MODES = {"lock": 0o400, "host.key": 0, "store/data.mdb": 0o400, "blocks/data.mdb": 0o400, "store/lock.mdb": 0o400}


@pytest.fixture
async def stopped(start_daemon):
    """A daemon that has something and does not run; gives it, its command and the thread."""
    daemon = start_daemon()
    async with Door(daemon.threads_api) as door:
        thread = await door.new_db([COLLECTION])
        await write(door, thread, "first")
    daemon.stop()
    return daemon, daemon.command, thread


async def goes_on(daemon, thread):
    daemon.start()
    async with Door(daemon.threads_api) as door:
        await write(door, thread, "second")
        assert (await door.found(thread, "note")).keys() == {"first", "second"}
    daemon.stop()
    assert verify(daemon.repo).faults == []


async def test_where_nothing_may_be_written_it_does_not_start_and_says_where(stopped):
    daemon, command, thread = stopped
    without_rights(daemon)
    for place, mode in MODES.items():
        path = daemon.repo / place
        before = path.stat().st_mode
        path.chmod(mode)
        try:
            with pytest.raises(DaemonError, match="ended with status 1") as refused:
                daemon.start()
        finally:
            path.chmod(before)
        assert str(daemon.repo) in str(refused.value)
        assert "ermission denied" in str(refused.value)
        assert "Traceback" not in str(refused.value)
    # Not every machine lets its users mount; what a mount refuses is refused in the same places.
    if may_mount():
        daemon.command = command
        in_a_read_only_mount(daemon)
        with pytest.raises(DaemonError, match="Read-only file system"):
            daemon.start()
    daemon.command = command
    await goes_on(daemon, thread)
