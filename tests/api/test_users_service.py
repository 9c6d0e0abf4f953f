"""`api.usersd.pb.APIService` end to end: threads by name, and mail."""

import asyncio
import base64
import datetime as dt
import json

import grpc
import pytest
from grpc import StatusCode

from net.keys import PrivateKey
from net.thread_id import ThreadID
from proto import threads_pb2
from store.errors import StoreFullError
from threadd.api import network_service, threads_service
from threadd.hub.api_keys import KeyKind

ALICE, BOB, CAROL = (PrivateKey(letter * 32) for letter in (b"a", b"b", b"c"))
THREAD = bytes([1, 0x55]) + b"t" * 32
PLAIN = bytes([1, 0x55]) + b"p" * 32
NO_MAILBOX = (StatusCode.FAILED_PRECONDITION, "mail not found")
BAD_SIGNATURE = (StatusCode.UNAUTHENTICATED, "Bad message signature")


@pytest.fixture
async def key(house):
    return await house.rooms.api_keys.create(house.rooms.accounts.local().public_key, KeyKind.USER)


@pytest.fixture
def user(house, users_door, key):
    """Stubs of a user by his key."""
    return lambda identity, api_key=key: users_door.using(house.hub_metadata(api_key, house.token(identity)))


@pytest.fixture
def alice(user):
    return user(ALICE)


@pytest.fixture
def bob(user):
    return user(BOB)


def letter(sender, to, body=b"hello", copy=b"copy"):
    return {
        "to": to.public.text,
        "to_body": body,
        "to_signature": sender.sign(body),
        "from_body": copy,
        "from_signature": sender.sign(copy),
    }


async def mailboxes(*stubs):
    return [ThreadID((await one("SetupMailbox")).mailbox_id) for one in stubs]


async def instances(house, thread, collection):
    found = await house.rooms.databases.get(thread).find(collection, b"{}", ALICE.public)
    return [json.loads(instance) for instance in found]


async def test_threads_by_name(alice, bob):
    assert not (await alice("ListThreads")).list
    for name in ("foo", "", "x" * 5000, "é", "a b", "\0"):
        assert await alice.refused("GetThread", name=name) == (StatusCode.NOT_FOUND, "Thread not found")
    named = alice.using([*alice.metadata, ("x-textile-thread-name", "Foo")])
    await named.of(threads_service.DESCRIPTOR)("NewDB", dbID=THREAD)
    await alice.of(network_service.DESCRIPTOR)("CreateThread", threadID=PLAIN)
    for name in ("Foo", "foo"):
        found = await alice("GetThread", name=name)
        assert (found.id, found.name, found.is_db) == (THREAD, "Foo", True)
    listed = (await alice("ListThreads")).list
    assert [(one.id, one.name, one.is_db) for one in listed] == [(THREAD, "Foo", True), (PLAIN, "", False)]
    assert not (await bob("ListThreads")).list
    assert await bob.refused("GetThread", name="Foo") == (StatusCode.NOT_FOUND, "Thread not found")


async def test_a_mailbox_is_an_ordinary_database(house, alice, key):
    ids = await asyncio.gather(*(alice("SetupMailbox") for _ in range(8)))
    assert len({reply.mailbox_id for reply in ids}) == 1
    (box,) = await mailboxes(alice)
    found = await alice("GetThread", name="hubmail")
    assert (found.id, found.name, found.is_db) == (box.bytes, "hubmail", True)
    threads = alice.of(threads_service.DESCRIPTOR)
    info = await threads("GetDBInfo", dbID=box.bytes)
    assert info.name == "hubmail"
    collections = (await threads("ListCollections", dbID=box.bytes)).collections
    indexes = {one.name: [index.path for index in one.indexes] for one in collections}
    assert indexes == {"inbox": ["from", "to", "created_at", "read_at"], "sentbox": ["from", "to", "created_at"]}
    assert house.rooms.hub.ownership.count_by_key() == {key.key: 1}


async def test_a_message(house, alice, bob):
    mine, theirs = await mailboxes(alice, bob)
    sent = await alice("SendMessage", **letter(ALICE, BOB, b"sealed\0\xff", b""))
    (received,) = (await bob("ListInboxMessages")).messages
    (kept,) = (await alice("ListSentboxMessages")).messages
    for message in (received, kept):
        assert (message.id, message.created_at) == (sent.id, sent.created_at)
        assert (getattr(message, "from"), message.to) == (ALICE.public.text, BOB.public.text)
        assert message.read_at == 0
    assert (received.body, received.signature) == (b"sealed\0\xff", ALICE.sign(b"sealed\0\xff"))
    assert (kept.body, kept.signature) == (b"", ALICE.sign(b""))
    assert not (await bob("ListSentboxMessages")).messages
    assert not (await alice("ListInboxMessages")).messages

    (instance,) = await instances(house, theirs, "inbox")
    instance.pop("_mod")
    assert instance == {
        "_id": sent.id,
        "from": ALICE.public.text,
        "to": BOB.public.text,
        "body": base64.b64encode(b"sealed\0\xff").decode(),
        "signature": base64.b64encode(ALICE.sign(b"sealed\0\xff")).decode(),
        "created_at": sent.created_at,
        "read_at": 0,
    }
    (instance,) = await instances(house, mine, "sentbox")
    assert instance.keys() == {"_id", "_mod", "from", "to", "body", "signature", "created_at"}


async def test_mail_to_oneself(alice):
    await mailboxes(alice)
    sent = await alice("SendMessage", **letter(ALICE, ALICE))
    (received,) = (await alice("ListInboxMessages")).messages
    (kept,) = (await alice("ListSentboxMessages")).messages
    assert (received.id, received.body, kept.id, kept.body) == (sent.id, b"hello", sent.id, b"copy")


async def test_who_has_no_mailbox(alice, bob):
    for rpc in ("ListInboxMessages", "ListSentboxMessages", "ReadInboxMessage", "DeleteInboxMessage"):
        assert await alice.refused(rpc) == NO_MAILBOX
    assert await alice.refused("DeleteSentboxMessage") == NO_MAILBOX
    assert await alice.refused("SendMessage", **letter(ALICE, BOB)) == NO_MAILBOX
    await mailboxes(alice)
    assert await alice.refused("SendMessage", **letter(ALICE, BOB)) == NO_MAILBOX
    assert not (await alice("ListSentboxMessages")).messages
    assert await bob.refused("SendMessage", **letter(BOB, ALICE)) == NO_MAILBOX
    assert not (await alice("ListInboxMessages")).messages


async def test_what_is_not_signed_by_the_sender(alice, bob):
    await mailboxes(alice, bob)
    good = letter(ALICE, BOB)
    for change in (
        {"to_signature": BOB.sign(b"hello")},
        {"to_signature": ALICE.sign(b"other")},
        {"from_signature": BOB.sign(b"copy")},
        {"to_signature": b""},
        {"from_signature": b"x"},
        {"to_body": b"changed"},
        {"from_body": b"changed"},
        {"to": "nonsense", "to_signature": b""},
    ):
        assert await alice.refused("SendMessage", **good | change) == BAD_SIGNATURE
    assert await bob.refused("SendMessage", **good) == BAD_SIGNATURE
    for to in ("", "nonsense", "bbaareic", ALICE.text):
        refused = await alice.refused("SendMessage", **good | {"to": to})
        assert refused == (StatusCode.FAILED_PRECONDITION, "Invalid public key")
    assert not (await bob("ListInboxMessages")).messages


async def test_pages(alice, bob):
    await mailboxes(alice, bob)
    ids = [(await alice("SendMessage", **letter(ALICE, BOB, b"%d" % n))).id for n in range(7)]
    assert ids == sorted(ids)

    async def listed(rpc="ListInboxMessages", stubs=bob, **page):
        return [message.id for message in (await stubs(rpc, **page)).messages]

    assert await listed() == ids[::-1]
    assert await listed(ascending=True) == ids
    assert await listed(limit=3) == ids[:3:-1]
    assert await listed(limit=-1) == ids[::-1]
    assert await listed(limit=1_000_000) == ids[::-1]
    assert await listed(seek=ids[3]) == ids[3::-1]
    assert await listed(seek=ids[3], ascending=True, limit=2) == ids[3:5]
    assert await listed("ListSentboxMessages", alice, seek=ids[2], limit=2) == [ids[2], ids[1]]
    assert await listed("ListSentboxMessages", alice, ascending=True) == ids

    for read in (ids[1], ids[4]):
        await bob("ReadInboxMessage", id=read)
    assert await listed(status=2) == [ids[4], ids[1]]
    assert await listed(status=3, limit=2) == [ids[6], ids[5]]
    assert await listed(status=3, seek=ids[4]) == [ids[3], ids[2], ids[0]]
    assert await listed(status=0) == await listed(status=1) == ids[::-1]
    refused = await bob.refused("ListInboxMessages", status=7)
    assert refused == (StatusCode.UNKNOWN, "unknown message status: 7")


async def test_a_page_has_a_hundred_unless_more_are_asked_for(alice, bob):
    await mailboxes(alice, bob)
    await asyncio.gather(*(alice("SendMessage", **letter(ALICE, BOB)) for _ in range(103)))
    newest = [message.id for message in (await bob("ListInboxMessages")).messages]
    everything = [message.id for message in (await bob("ListInboxMessages", limit=103)).messages]
    assert (len(newest), len(everything)) == (100, 103)
    assert newest == everything[:100] == sorted(newest, reverse=True)


async def test_reading_and_deleting(alice, bob):
    await mailboxes(alice, bob)
    message_id = (await alice("SendMessage", **letter(ALICE, BOB))).id
    first = (await bob("ReadInboxMessage", id=message_id)).read_at
    second = (await bob("ReadInboxMessage", id=message_id)).read_at
    assert first < second
    (message,) = (await bob("ListInboxMessages")).messages
    assert (message.read_at, message.body) == (second, b"hello")
    for unknown in ("", "01h", "x" * 1000):
        assert await bob.refused("ReadInboxMessage", id=unknown) == (StatusCode.UNKNOWN, "instance not found")
        await bob("DeleteInboxMessage", id=unknown)
        await alice("DeleteSentboxMessage", id=unknown)
    # What others received is out of reach.
    assert await alice.refused("ReadInboxMessage", id=message_id) == (StatusCode.UNKNOWN, "instance not found")
    await alice("DeleteInboxMessage", id=message_id)
    await bob("DeleteSentboxMessage", id=message_id)
    assert len((await bob("ListInboxMessages")).messages) == 1
    await bob("DeleteInboxMessage", id=message_id)
    assert not (await bob("ListInboxMessages")).messages
    assert len((await alice("ListSentboxMessages")).messages) == 1
    await alice("DeleteSentboxMessage", id=message_id)
    assert not (await alice("ListSentboxMessages")).messages


async def test_a_body_of_five_megabytes(house, alice, bob):
    await mailboxes(alice, bob)
    body = bytes(range(256)) * (5 * 4096)
    await alice("SendMessage", **letter(ALICE, BOB, body))
    unlimited = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{house.ports['hub']}", options=unlimited) as channel:
        patient = type(bob)(channel, bob.service, bob.metadata)
        (message,) = (await patient("ListInboxMessages")).messages
    assert message.body == body


async def test_both_copies_or_none(house, alice, bob):
    mine, theirs = await mailboxes(alice, bob)
    await alice("SendMessage", **letter(ALICE, BOB))

    # The recipient's box refuses: the sender's copy is not kept either, and the other way round.
    refusing = threads_pb2.CollectionConfig(
        name="inbox", schema=b'{"properties": {"_id": {"type": "string"}, "never": {}}, "required": ["never"]}'
    )
    before = await instances(house, mine, "sentbox")
    await bob.of(threads_service.DESCRIPTOR)("UpdateCollection", dbID=theirs.bytes, config=refusing)
    code, text = await alice.refused("SendMessage", **letter(ALICE, BOB))
    assert code is StatusCode.UNKNOWN
    assert "instance doesn't correspond to schema" in text
    assert await instances(house, mine, "sentbox") == before
    await bob.of(threads_service.DESCRIPTOR)("DeleteCollection", dbID=theirs.bytes, name="inbox")
    assert await alice.refused("SendMessage", **letter(ALICE, BOB)) == (StatusCode.NOT_FOUND, "collection not found")
    assert await instances(house, mine, "sentbox") == before

    validator = threads_pb2.CollectionConfig(
        name="sentbox", schema=b'{"properties": {"_id": {"type": "string"}}}', writeValidator="return false"
    )
    await bob.of(threads_service.DESCRIPTOR)("UpdateCollection", dbID=theirs.bytes, config=validator)
    received = await instances(house, mine, "inbox")
    code, text = await bob.refused("SendMessage", **letter(BOB, ALICE))
    assert "app denied net record body" in text
    assert await instances(house, mine, "inbox") == received


async def test_a_disk_that_does_not_take_it(house, alice, bob, monkeypatch):
    mine, theirs = await mailboxes(alice, bob)
    engine = house.rooms.engine
    commit = type(engine).commit
    commits = []

    def failing(self, transaction):
        commits.append(transaction)
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(StoreFullError())
        return failed

    monkeypatch.setattr(type(engine), "commit", failing)
    code, _ = await alice.refused("SendMessage", **letter(ALICE, BOB))
    assert code is StatusCode.RESOURCE_EXHAUSTED
    assert len(commits) == 1, "both copies go to the disk in one commit"
    monkeypatch.setattr(type(engine), "commit", commit)
    assert await instances(house, mine, "sentbox") == []
    assert await instances(house, theirs, "inbox") == []
    await alice("SendMessage", **letter(ALICE, BOB))
    assert len(await instances(house, mine, "sentbox")) == len(await instances(house, theirs, "inbox")) == 1


async def test_everybody_writes_to_everybody_at_once(house, user):
    people = (ALICE, BOB, CAROL)
    boxes = await mailboxes(*map(user, people))
    pairs = [(one, other) for one in people for other in people] * 4
    async with asyncio.timeout(30):
        await asyncio.gather(*(user(one)("SendMessage", **letter(one, other)) for one, other in pairs))
    for box in boxes:
        assert len(await instances(house, box, "inbox")) == len(await instances(house, box, "sentbox")) == 12


async def test_what_is_no_message_does_not_hide_the_others(house, alice, bob):
    _, theirs = await mailboxes(alice, bob)
    await alice("SendMessage", **letter(ALICE, BOB))
    junk = {"_id": "zz", "from": "", "to": "", "body": "?", "signature": "", "created_at": 0, "read_at": 0}
    threads = alice.of(threads_service.DESCRIPTOR)
    await threads("Create", dbID=theirs.bytes, collectionName="inbox", instances=[json.dumps(junk).encode()])
    assert len((await bob("ListInboxMessages")).messages) == 1


async def test_a_mailbox_counts_as_a_thread(open_house, tmp_path, users_door):
    async with (
        open_house(tmp_path / "small", threads_per_owner=1) as house,
        grpc.aio.insecure_channel(f"127.0.0.1:{house.ports['hub']}") as channel,
    ):
        key = await house.rooms.api_keys.create(house.rooms.accounts.local().public_key, KeyKind.USER)
        alice = type(users_door)(channel, users_door.service, house.hub_metadata(key, house.token(ALICE)))
        await alice.of(threads_service.DESCRIPTOR)("NewDB", dbID=THREAD)
        refused = await alice.refused("SetupMailbox")
        assert refused == (StatusCode.UNKNOWN, "number of threads per owner exceeds quota")


async def test_usage(house, users_door, user, sign_up):
    jane = await sign_up("jane")
    stubs = jane.accounts.of(users_door.service)
    usage = await stubs("GetUsage")
    assert (usage.customer.email, usage.customer.account_type) == ("jane@example.org", 0)
    assert set(usage.usage.usage) == {"stored_data", "network_egress", "instance_reads", "instance_writes"}
    for one in usage.usage.usage.values():
        # The `hub` program divides by the sum of total and free, and reads the period without looking for it.
        assert (one.units, one.total, one.cost, one.free) == (0, 0, 0, 2**53 - 1)
        start, end = (dt.datetime.fromtimestamp(at, dt.UTC) for at in (one.period.unix_start, one.period.unix_end))
        assert start <= dt.datetime.now(dt.UTC) < end
        assert (start.day, start.hour, end.day, end.hour) == (1, 0, 1, 0)
    # The JS suite of the Hub expects numbers of every entry that is there.
    assert usage.customer.daily_usage == {}
    assert (await user(ALICE)("GetUsage")).customer.account_type == 2

    assert await stubs.refused("GetUsage", key="?") == (StatusCode.FAILED_PRECONDITION, "Invalid public key")
    unknown = (StatusCode.NOT_FOUND, "User not found")
    assert await stubs.refused("GetUsage", key=ALICE.public.text) == unknown
    info = (await jane.accounts("CreateKey", type=2)).key_info
    await user(ALICE, house.rooms.api_keys.get(info.key)).of(threads_service.DESCRIPTOR)("NewDB", dbID=THREAD)
    found = (await stubs("GetUsage", key=ALICE.public.text)).customer
    assert (found.key, PrivateKey(b"a" * 32).public.text) == (ALICE.public.text, found.key)
    assert (found.account_type, found.email) == (2, "")
    john = await sign_up("john")
    assert await john.accounts.of(users_door.service).refused("GetUsage", key=ALICE.public.text) == unknown


async def test_archives(users_door, alice):
    no_archives = (StatusCode.UNKNOWN, "no powergate info associated with account")
    assert await alice.refused("ArchivesLs") == no_archives
    assert await alice.refused("ArchivesImport", cid="x") == no_archives
    assert not (await alice("ArchiveRetrievalLs")).retrievals
    stub = alice.channel.unary_stream("/api.usersd.pb.APIService/ArchiveRetrievalLogs")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub(b"", metadata=alice.metadata, timeout=10).read()
    assert (caught.value.code(), caught.value.details()) == no_archives
