"""Whether the threads of a call are the caller's, and how the table of owners follows the calls."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from store.errors import StatusCode, ThreaddError
from threadd.hub.api_keys import KeyKind
from threadd.hub.callers import Caller
from threadd.hub.methods import CREATING, CROSS_USER, DELETING

NEW_DB = "/threads.pb.API/NewDB"
DELETE_DB = "/threads.pb.API/DeleteDB"
OWNERS_ONLY = "/threads.pb.API/GetDBInfo"
FIND = "/threads.pb.API/Find"

NOT_OWNER = (StatusCode.PERMISSION_DENIED, "User does not own thread")
BAD_KEY = (StatusCode.PERMISSION_DENIED, "Bad API key")


async def succeed() -> str:
    return "done"


async def fail() -> str:
    raise ThreaddError("the call failed")


class Client:
    """Somebody with a key of their own, or one that is shared."""

    def __init__(self, hub: Any, user: str, key: Any) -> None:
        self.hub, self.user, self.key = hub, user, key

    def caller(self, method: str, **headers: str) -> Caller:
        found: Caller = self.hub.gate.authenticate(method, self.hub.headers(self.key, self.user, **headers))
        return found

    async def call(self, method: str, thread: Any, work: Callable[[], Awaitable[str]] = succeed, **headers: str) -> str:
        result: str = await self.hub.gate.run(self.caller(method, **headers), method, thread, work)
        return result

    async def refusal(self, *arguments: Any, **headers: str) -> tuple[StatusCode, str]:
        with pytest.raises(ThreaddError) as raised:
            await self.call(*arguments, **headers)
        return raised.value.code, raised.value.text

    def owns(self, thread: Any) -> bool:
        return self.hub.ownership.get(self.hub.user(self.user).public.bytes, thread) is not None


@pytest.fixture
async def key(hub: Any) -> Any:
    return await hub.api_keys.create(hub.owner, KeyKind.USER)


@pytest.fixture
async def alice(hub: Any, key: Any) -> Client:
    return Client(hub, "alice", key)


@pytest.fixture
async def bob(hub: Any, key: Any) -> Client:
    return Client(hub, "bob", key)


def test_which_methods_are_open_across_users() -> None:
    expected = {
        "/threads.pb.API": "Create Verify Save Delete Has Find FindByID ReadTransaction WriteTransaction Listen",
        "/api.bucketsd.pb.APIService": (
            "Root Links ListPath PushPath PullPath SetPath MovePath RemovePath PullPathAccessRoles PushPathAccessRoles"
        ),
        "/threadd.v1.API": "Count Explain Page Listen",
    }
    assert {f"{service}/{name}" for service, names in expected.items() for name in names.split()} == CROSS_USER
    assert {method: is_db for method, is_db in CREATING.items() if not is_db}.keys() == {
        "/threads.net.pb.API/CreateThread",
        "/threads.net.pb.API/AddThread",
    }


@pytest.mark.parametrize("method", sorted(CREATING))
async def test_who_makes_a_thread_owns_it(alice: Client, method: str, key: Any) -> None:
    thread = alice.hub.thread()
    assert await alice.call(method, thread, x_textile_thread_name="Notes") == "done"
    row = alice.hub.ownership.get(alice.hub.user("alice").public.bytes, thread)
    assert (row.name, row.api_key, row.is_db, row.created) == ("Notes", key.key, CREATING[method], alice.hub.now)


@pytest.mark.parametrize("method", sorted(CREATING))
async def test_a_thread_that_could_not_be_made_is_nobodys(alice: Client, method: str) -> None:
    thread = alice.hub.thread()
    for _ in range(2):
        assert (await alice.refusal(method, thread, fail, x_textile_thread_name="Notes"))[1] == "the call failed"
        assert not alice.owns(thread)
    await alice.call(method, thread, x_textile_thread_name="notes")


async def test_it_is_recorded_before_the_call_but_counts_after_it(alice: Client, bob: Client) -> None:
    """Whoever asks for a thread that exists must not own it meanwhile."""
    thread = alice.hub.thread()
    await alice.call(NEW_DB, thread)
    refused = asyncio.Event()

    async def exists_already() -> str:
        assert not bob.owns(thread)
        assert await bob.refusal(DELETE_DB, thread) == NOT_OWNER
        assert "E11000 duplicate key error" in (await bob.refusal(NEW_DB, thread))[1]
        refused.set()
        return await fail()

    await bob.refusal(NEW_DB, thread, exists_already)
    assert refused.is_set()
    assert alice.owns(thread)
    assert not bob.owns(thread)


async def test_a_thread_header_does_not_disturb_a_new_thread(alice: Client) -> None:
    """The contexts of the JavaScript client keep the last thread."""
    await alice.call(NEW_DB, alice.hub.thread("new"), x_textile_thread=alice.hub.thread("strange").text)


@pytest.mark.parametrize("name", ["-", "a-", "-a", "a--b", "a b", "a_b", "é", "a/b", "a.b", "a\n"])
async def test_bad_names(alice: Client, name: str) -> None:
    code, text = await alice.refusal(NEW_DB, alice.hub.thread(), x_textile_thread_name=name)
    assert code is StatusCode.UNKNOWN
    assert text == (
        "name may only contain alphanumeric characters or non-consecutive hyphens, "
        "and cannot begin or end with a hyphen"
    )


async def test_names_are_unique_for_each_owner_whatever_their_case(alice: Client, bob: Client) -> None:
    hub = alice.hub
    await alice.call(NEW_DB, hub.thread("1"), x_textile_thread_name="hubmail")
    for name in ("hubmail", "HubMail"):
        code, text = await alice.refusal(NEW_DB, hub.thread("2"), x_textile_thread_name=name)
        assert code is StatusCode.UNKNOWN
        assert "E11000 duplicate key error" in text
    await bob.call(NEW_DB, hub.thread("3"), x_textile_thread_name="hubmail")
    for thread in "45":
        await bob.call(NEW_DB, hub.thread(thread))


async def test_of_two_at_once_one_gets_the_name(alice: Client) -> None:
    results = await asyncio.gather(
        *(alice.call(NEW_DB, alice.hub.thread(str(n)), x_textile_thread_name="Name"[:n]) for n in (3, 4, 4)),
        return_exceptions=True,
    )
    assert [result if isinstance(result, str) else type(result).__name__ for result in results] == [
        "done",
        "done",
        "ThreadOwnedError",
    ]


async def test_the_same_thread_twice(alice: Client, bob: Client) -> None:
    thread = alice.hub.thread()
    await alice.call(NEW_DB, thread)
    assert "E11000 duplicate key error" in (await alice.refusal("/threads.net.pb.API/AddThread", thread))[1]
    await bob.call("/threads.pb.API/NewDBFromAddr", thread)
    assert alice.owns(thread)
    assert bob.owns(thread)


async def test_the_quota(alice: Client, bob: Client) -> None:
    hub = alice.hub
    for n in range(3):
        await alice.call(NEW_DB, hub.thread(str(n)))
    code, text = await alice.refusal(NEW_DB, hub.thread("3"))
    assert (code, text) == (StatusCode.UNKNOWN, "number of threads per owner exceeds quota")
    # A client that makes a database that it has already learns that it has it.
    assert "multiple write errors" in (await alice.refusal(NEW_DB, hub.thread("2")))[1]
    await bob.call(NEW_DB, hub.thread("3"))
    await alice.call(DELETE_DB, hub.thread("0"))
    await alice.call(NEW_DB, hub.thread("4"))


@pytest.mark.parametrize("method", sorted(DELETING))
async def test_who_deletes_a_thread_owns_it_no_longer(alice: Client, bob: Client, method: str) -> None:
    thread = alice.hub.thread()
    await alice.call(NEW_DB, thread, x_textile_thread_name="Notes")
    assert await bob.refusal(method, thread) == NOT_OWNER
    assert (await alice.refusal(method, thread, fail))[1] == "the call failed"
    assert alice.owns(thread)
    await alice.call(method, thread)
    assert not alice.owns(thread)
    assert await alice.refusal(method, thread) == NOT_OWNER
    await alice.call(NEW_DB, thread, x_textile_thread_name="Notes")


@pytest.mark.parametrize(
    "method",
    [
        "/threads.pb.API/GetDBInfo",
        "/threads.pb.API/DeleteDB",
        "/threads.pb.API/NewCollection",
        "/threads.pb.API/UpdateCollection",
        "/threads.pb.API/DeleteCollection",
        "/threads.pb.API/GetCollectionInfo",
        "/threads.pb.API/GetCollectionIndexes",
        "/threads.pb.API/ListCollections",
        "/threads.net.pb.API/GetThread",
        "/threads.net.pb.API/PullThread",
        "/threads.net.pb.API/DeleteThread",
        "/threads.net.pb.API/AddReplicator",
        "/threads.net.pb.API/CreateRecord",
        "/threads.net.pb.API/AddRecord",
        "/threads.net.pb.API/GetRecord",
    ],
)
async def test_methods_for_owners(alice: Client, bob: Client, method: str) -> None:
    hub, thread = alice.hub, alice.hub.thread()
    await alice.call(NEW_DB, thread)
    assert await bob.refusal(method, thread) == NOT_OWNER
    assert await bob.refusal(method, hub.thread("nowhere")) == NOT_OWNER
    own = hub.thread("bob's")
    await bob.call(NEW_DB, own)
    assert await bob.refusal(method, own, x_textile_thread=thread.text) == NOT_OWNER
    assert await alice.call(method, thread, x_textile_thread="nonsense") == "done"


@pytest.mark.parametrize("method", ["/api.usersd.pb.APIService/ListThreads", "/api.bucketsd.pb.APIService/List"])
async def test_the_thread_of_the_header_alone(alice: Client, bob: Client, method: str) -> None:
    thread = alice.hub.thread()
    await alice.call(NEW_DB, thread)
    assert await bob.refusal(method, None, x_textile_thread=thread.text) == NOT_OWNER
    assert await alice.call(method, None, x_textile_thread=thread.text) == "done"
    assert await bob.call(method, None) == "done"


@pytest.mark.parametrize("method", sorted(CROSS_USER))
async def test_methods_across_users(alice: Client, bob: Client, method: str) -> None:
    thread = alice.hub.thread()
    await alice.call(NEW_DB, thread)
    assert await bob.call(method, thread) == "done"
    assert await bob.call(method, thread, x_textile_thread=thread.text) == "done"


async def test_a_thread_belongs_to_the_user_key_it_was_made_with(hub: Any, alice: Client) -> None:
    thread = hub.thread()
    await alice.call(NEW_DB, thread)
    elsewhere = Client(hub, "alice", await hub.api_keys.create(hub.owner, KeyKind.USER, secure=False))
    assert await elsewhere.refusal(OWNERS_ONLY, thread) == BAD_KEY
    assert await elsewhere.refusal("/api.bucketsd.pb.APIService/List", None, x_textile_thread=thread.text) == BAD_KEY
    assert await elsewhere.refusal(FIND, thread, x_textile_thread=thread.text) == BAD_KEY
    assert await elsewhere.call(FIND, thread) == "done"


async def test_account_keys_of_one_account_are_alike(hub: Any) -> None:
    thread = hub.thread()
    one, other = [Client(hub, "", await hub.api_keys.create(hub.owner, KeyKind.ACCOUNT)) for _ in range(2)]
    await one.call(NEW_DB, thread)
    assert hub.ownership.get(hub.owner, thread).api_key == one.key.key
    assert await other.call(OWNERS_ONLY, thread) == "done"
    assert await other.call(DELETE_DB, thread) == "done"
    assert hub.ownership.get(hub.owner, thread) is None


async def test_who_is_nobody_owns_nothing(hub: Any) -> None:
    caller = hub.gate.authenticate("/grpc.health.v1.Health/Check", {})
    assert await hub.gate.run(caller, "/grpc.health.v1.Health/Check", None, succeed) == "done"


@pytest.mark.parametrize("works", [True, False])
async def test_a_cancelled_call_leaves_the_table_right(alice: Client, works: bool) -> None:  # noqa: FBT001
    thread = alice.hub.thread()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return await (succeed() if works else fail())

    running = asyncio.ensure_future(alice.call(NEW_DB, thread, slow))
    await begun.wait()
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert alice.owns(thread) is works


async def test_what_a_crash_left_is_swept(hub: Any, alice: Client) -> None:
    kept, lost = hub.thread("kept"), hub.thread("lost")
    for thread in (kept, lost):
        await alice.call(NEW_DB, thread, x_textile_thread_name=f"n{thread.text}")
    assert await hub.ownership.sweep(lambda thread: thread == kept) == 1
    assert alice.owns(kept)
    assert not alice.owns(lost)
    await alice.call(NEW_DB, lost, x_textile_thread_name=f"n{lost.text}")


async def test_threads_are_counted_by_their_key(hub: Any, alice: Client, bob: Client, key: Any) -> None:
    await alice.call(NEW_DB, hub.thread("1"))
    await alice.call(NEW_DB, hub.thread("2"))
    await bob.call(NEW_DB, hub.thread("3"))
    assert hub.ownership.count_by_key() == {key.key: 3}


async def test_a_name_has_an_end(alice: Client) -> None:
    await alice.call(NEW_DB, alice.hub.thread("1"), x_textile_thread_name="n" * 255)
    assert "at most 255" in (await alice.refusal(NEW_DB, alice.hub.thread("2"), x_textile_thread_name="n" * 256))[1]
