"""Every method of every service on the Hub's door, for callers without the right to it.

Missing, malformed, expired and unknown credentials: exact code and text, everywhere. Good credentials of somebody else:
the exact refusal where a method names a thing that is not theirs, and nothing of anybody else's in any answer.
"""

from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2

from net import multibase, tokens
from net.keys import PrivateKey
from net.thread_id import ThreadID
from proto import bucketsd_pb2, hubd_pb2, threads_pb2, threadsnet_pb2, usersd_pb2
from store.engine import Transaction
from store.sessions import SessionRow, put_session
from threadd.api import accounts_service, buckets_service, threads_service, users_service
from threadd.api.dispatcher import Method
from threadd.hub.api_keys import KeyKind
from threadd.hub.methods import BLOCKED, CROSS_USER, GET_TOKEN, UNCHECKED
from threadd.hub.signatures import sign

OWNER, STRANGER = PrivateKey(b"o" * 32), PrivateKey(b"s" * 32)
LATER, EARLIER = "2999-01-01T00:00:00Z", "1999-01-01T00:00:00Z"

METHODS = {
    method.full_name: method
    for module in (threads_pb2, threadsnet_pb2, bucketsd_pb2, hubd_pb2, usersd_pb2, health_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in map(Method.of, service.methods)
}
CHECKED = sorted(set(METHODS) - UNCHECKED - BLOCKED)

REQUIRED = (StatusCode.UNAUTHENTICATED, "Session or API key required")
NO_KEY = (StatusCode.NOT_FOUND, "API key not found or is invalid")
NO_SIGNATURE = (StatusCode.UNAUTHENTICATED, "API key signature required")
BAD_SIGNATURE = (StatusCode.UNAUTHENTICATED, "Bad API key signature")
NO_TOKEN = (StatusCode.UNAUTHENTICATED, "Token required")
BAD_TOKEN = (StatusCode.PERMISSION_DENIED, "Bad authorization")
FOREIGN_TOKEN = (StatusCode.UNKNOWN, "invalid thread token")
BAD_STRING = (StatusCode.UNAUTHENTICATED, "Bad authorization string")
NO_SESSION = (StatusCode.UNAUTHENTICATED, "Invalid session")
OLD_SESSION = (StatusCode.UNAUTHENTICATED, "Expired session")
NO_MEMBER = (StatusCode.PERMISSION_DENIED, "User is not an org member")
NO_USER = (StatusCode.NOT_FOUND, "User not found")
NO_ACCOUNT = (StatusCode.NOT_FOUND, "Account not found")
NOT_OWNED = (StatusCode.PERMISSION_DENIED, "User does not own thread")
WRONG_KEY = (StatusCode.PERMISSION_DENIED, "Bad API key")


async def outcome(channel, method, request, metadata):
    """The code and text of a call, and the bytes of its first reply."""
    reply = b""
    try:
        if method.is_unary:
            reply = await channel.unary_unary(method.full_name)(request, metadata=metadata, timeout=20)
        else:
            # A feed has no end of its own; what it refuses, it refuses at once.
            answer = await channel.unary_stream(method.full_name)(request, metadata=metadata, timeout=1).read()
            reply = b"" if answer is grpc.aio.EOF else answer
    except grpc.aio.AioRpcError as error:
        return (error.code(), error.details()), b""
    return (StatusCode.OK, ""), reply


@dataclass
class Victim:
    """Somebody with one of everything.

    Args:
        thread: The ID of a database.
        message: The ID of a message in his mailbox.
        key: The account key.
        group: The user group key, with which a user made the thread.
        slug: Of his organisation.
        stubs: Of his session.
        secrets: What nobody else may see.
    """

    thread: bytes
    message: str
    key: Any
    group: Any
    slug: str
    stubs: Any
    secrets: list[bytes]


@pytest.fixture
async def victim(house, sign_up, accounts_door):
    jane = await sign_up("jane")
    await jane.accounts("CreateOrg", name="Acme Secret")
    key = (await jane.accounts("CreateKey", type=1)).key_info
    group = (await jane.accounts("CreateKey", type=2)).key_info
    shared = (await jane.of("Acme-Secret")("CreateKey", type=1)).key_info
    invitation = await jane.of("Acme-Secret")("InviteToOrg", email="other@example.org")
    row = house.rooms.api_keys.get(group.key)
    user = accounts_door.using(house.hub_metadata(row, house.token(OWNER))).of(users_service.DESCRIPTOR)
    named = user.using([*user.metadata, ("x-textile-thread-name", "hidden")])
    thread = bytes([1, 0x55]) + b"v" * 32
    people = threads_pb2.CollectionConfig(name="people", schema=b'{"properties": {"_id": {"type": "string"}}}')
    await named.of(threads_service.DESCRIPTOR)("NewDB", dbID=thread, name="hidden", collections=[people])
    box = (await user("SetupMailbox")).mailbox_id
    body = b"a letter"
    signature = OWNER.sign(body)
    message = await user(
        "SendMessage",
        to=OWNER.public.text,
        to_body=body,
        to_signature=signature,
        from_body=body,
        from_signature=signature,
    )
    secrets = [thread, ThreadID(thread).text.encode(), box, message.id.encode(), body, b"hidden", b"jane@example.org"]
    secrets += [one.encode() for info in (key, group, shared) for one in (info.key, info.secret)]
    secrets += [jane.session.encode(), invitation.token.encode(), (await jane.accounts("GetIdentity")).identity]
    return Victim(thread, message.id, key, group, "Acme-Secret", jane.accounts, secrets)


@pytest.fixture
async def no_rights(house, victim, sign_up):
    """Metadata without any right to anything, each with what it is refused with."""
    rooms = house.rooms
    group = await rooms.api_keys.create(rooms.accounts.local().public_key, KeyKind.USER)
    ended = await rooms.api_keys.create(rooms.accounts.local().public_key, KeyKind.ACCOUNT, secure=False)
    await rooms.api_keys.invalidate(ended.key)
    orphan = await rooms.api_keys.create(STRANGER.public.bytes, KeyKind.ACCOUNT, secure=False)
    secure = await rooms.api_keys.create(rooms.accounts.local().public_key, KeyKind.ACCOUNT)

    expired, lost = SessionRow("bexpired", rooms.accounts.local().public_key, 1), SessionRow("blost", b"gone", 2**62)
    transaction = Transaction()
    put_session(transaction, expired)
    put_session(transaction, lost)
    await rooms.engine.commit(transaction)
    signed_out = await sign_up("gone")
    await signed_out.accounts("Signout")
    john = await sign_up("john")

    def signature(date, secret=None):
        made = multibase.encode(sign(multibase.decode(secret or secure.secret), date))
        return [("x-textile-api-sig", made), ("x-textile-api-sig-msg", date)]

    key = [("x-textile-api-key", secure.key)]
    user = house.hub_metadata(group)
    foreign = tokens.issue(PrivateKey(b"x" * 32), STRANGER.public, 1)
    return {
        "nothing": ([], REQUIRED),
        "a token alone": ([("authorization", f"bearer {house.token(STRANGER)}")], REQUIRED),
        "an organisation alone": ([("x-textile-org", victim.slug)], REQUIRED),
        "a malformed authorization": ([("authorization", "nonsense")], BAD_STRING),
        "a malformed authorization with a key": ([*user, ("authorization", "nonsense")], BAD_STRING),
        "an unknown key": ([("x-textile-api-key", "bunknown")], NO_KEY),
        "a key that cannot be one": ([("x-textile-api-key", "b" * 2000)], NO_KEY),
        "an ended key": ([("x-textile-api-key", ended.key)], NO_KEY),
        "a key of nobody": ([("x-textile-api-key", orphan.key)], NO_ACCOUNT),
        "a key without signature": (key, NO_SIGNATURE),
        "a malformed signature": ([*key, ("x-textile-api-sig", "?"), ("x-textile-api-sig-msg", LATER)], NO_SIGNATURE),
        "a late signature": ([*key, *signature(EARLIER)], BAD_SIGNATURE),
        "a date that is none": ([*key, *signature("tomorrow")], BAD_SIGNATURE),
        "a signature of another key": ([*key, *signature(LATER, group.secret)], BAD_SIGNATURE),
        "a group key without token": (user, NO_TOKEN),
        "a malformed token": ([*user, ("authorization", "bearer a.b.c")], BAD_TOKEN),
        "a token of another daemon": ([*user, ("authorization", f"bearer {foreign}")], FOREIGN_TOKEN),
        "an unknown session": ([("x-textile-session", "bunknown")], NO_SESSION),
        "a session that cannot be one": ([("x-textile-session", "b" * 2000)], NO_SESSION),
        "a session that ended": ([("x-textile-session", signed_out.session)], NO_SESSION),
        "an expired session": ([("x-textile-session", "bexpired")], OLD_SESSION),
        "a session of nobody": ([("x-textile-session", "blost")], NO_USER),
        "another's organisation": ([*john.accounts.metadata, ("x-textile-org", victim.slug)], NO_MEMBER),
        "no organisation": ([*john.accounts.metadata, ("x-textile-org", "nowhere")], NO_MEMBER),
        "a long organisation": ([*john.accounts.metadata, ("x-textile-org", "x" * 2000)], NO_MEMBER),
    }


# What is asked for only where a user acts, so not of somebody who asks for a token first.
FOR_USERS = {"a group key without token", "a token of another daemon"}


async def test_without_rights_every_method_refuses_with_its_reason(house, channels, no_rights):
    before = house.rows()
    for name in CHECKED:
        for case, (metadata, expected) in no_rights.items():
            if name in GET_TOKEN and case in FOR_USERS:
                continue
            found, _ = await outcome(channels["hub"], METHODS[name], b"", metadata)
            assert found == expected, (name, case)
    assert house.rows() == before


async def test_blocked_methods_are_blocked_for_everybody(house, channels, victim, no_rights):
    everybody = [metadata for metadata, _ in no_rights.values()] + [victim.stubs.metadata]
    for name in sorted(BLOCKED):
        for metadata in everybody:
            found, _ = await outcome(channels["hub"], METHODS[name], b"", metadata)
            assert found == (StatusCode.PERMISSION_DENIED, "Method is not accessible"), name


def naming(method, victim):
    """A request that names the victim's things wherever it can."""
    values = {
        "dbID": victim.thread,
        "threadID": victim.thread,
        "key": victim.group.key if method.full_name.startswith("/api.hubd") else "",
        "id": victim.message,
        "name": "hidden" if method.full_name.startswith("/api.usersd") else "acme secret",
        "collectionName": "people",
        "seek": victim.message,
        "email": "stranger@example.org",
    }
    fields = method.request_type.DESCRIPTOR.fields_by_name
    chosen = {name: value for name, value in values.items() if name in fields}
    if "config" in fields:
        chosen["config"] = threads_pb2.CollectionConfig(name="people", schema=b"{}")
    return method.request_type(**{name: value for name, value in chosen.items() if value}).SerializeToString()


# What a method answers to a stranger with good credentials of another account. Whatever is not named here succeeds
# with nothing of the victim's, or says that the caller has none of his own.
ACCOUNTS, USERS = f"/{accounts_service.DESCRIPTOR.full_name}/", f"/{users_service.DESCRIPTOR.full_name}/"
NO_MAILBOX = (StatusCode.FAILED_PRECONDITION, "mail not found")
DEVELOPERS_ANSWERS = {
    "InvalidateKey": (StatusCode.PERMISSION_DENIED, "User does not own key"),
    "GetOrg": (StatusCode.FAILED_PRECONDITION, "organization account required"),
    "RemoveOrg": (StatusCode.INVALID_ARGUMENT, "organization account required"),
    "InviteToOrg": (StatusCode.INVALID_ARGUMENT, "organization account required"),
    "LeaveOrg": (StatusCode.INVALID_ARGUMENT, "organization account required"),
    "CreateOrg": (StatusCode.UNKNOWN, "E11000 duplicate key error: accounts: username 'acme-secret'"),
    "IsOrgNameAvailable": (StatusCode.FAILED_PRECONDITION, "the name 'acme secret' is already taken"),
    "SetupBilling": (StatusCode.UNKNOWN, "billing is not enabled"),
    "GetBillingSession": (StatusCode.UNKNOWN, "billing is not enabled"),
    "ListBillingUsers": (StatusCode.UNKNOWN, "billing is not enabled"),
}
USERS_ANSWERS = {
    "BuildInfo": (StatusCode.OK, ""),
    "IsOrgNameAvailable": DEVELOPERS_ANSWERS["IsOrgNameAvailable"],
    **{rpc: answer for rpc, answer in DEVELOPERS_ANSWERS.items() if "Billing" in rpc},
}
EVERYBODYS_ANSWERS = {
    "GetThread": (StatusCode.NOT_FOUND, "Thread not found"),
    "SendMessage": (StatusCode.UNAUTHENTICATED, "Bad message signature"),
    "ListInboxMessages": NO_MAILBOX,
    "ListSentboxMessages": NO_MAILBOX,
    "ReadInboxMessage": NO_MAILBOX,
    "DeleteInboxMessage": NO_MAILBOX,
    "DeleteSentboxMessage": NO_MAILBOX,
    "ArchivesLs": (StatusCode.UNKNOWN, "no powergate info associated with account"),
    "ArchivesImport": (StatusCode.UNKNOWN, "no powergate info associated with account"),
    "ArchiveRetrievalLogs": (StatusCode.UNKNOWN, "no powergate info associated with account"),
}
OK = (StatusCode.OK, "")
ENDING = [USERS + "SetupMailbox", ACCOUNTS + "DestroyAccount"]
"""What changes the stranger himself comes last."""


def expected_answer(method, *, developer):
    service, _, rpc = method.full_name.rpartition("/")
    if service + "/" == USERS:
        return EVERYBODYS_ANSWERS.get(rpc, OK)
    if service + "/" != ACCOUNTS:
        return None
    if developer:
        return DEVELOPERS_ANSWERS.get(rpc, OK)
    return USERS_ANSWERS.get(rpc, (StatusCode.INVALID_ARGUMENT, "account type not supported"))


@pytest.mark.parametrize("who", ["a developer", "a user", "a user of the same group key"])
async def test_a_stranger_gets_nothing_of_anybody_else(house, channels, victim, sign_up, who):
    developer = who == "a developer"
    if developer:
        metadata = (await sign_up("john")).accounts.metadata
    else:
        owner = house.rooms.accounts.local().public_key
        own = await house.rooms.api_keys.create(owner, KeyKind.USER)
        row = house.rooms.api_keys.get(victim.group.key) if who.endswith("same group key") else own
        metadata = house.hub_metadata(row, house.token(STRANGER))
    mine = {row.key.encode() for row in house.rooms.api_keys.list(house.rooms.accounts.local().public_key)}
    names = sorted(
        set(METHODS) - BLOCKED - CROSS_USER - GET_TOKEN,
        key=lambda name: ([*ENDING, name].index(name) if name in ENDING else -1, name),
    )
    for name in names:
        method = METHODS[name]
        if name in UNCHECKED | {ACCOUNTS + "Signout"} or not name.startswith(("/threads", ACCOUNTS, USERS)):
            continue
        found, reply = await outcome(channels["hub"], method, naming(method, victim), metadata)
        expected = expected_answer(method, developer=developer)
        if expected is not None:
            assert found == expected, name
        for secret in victim.secrets:
            assert secret not in reply, (name, secret)
            if secret != victim.thread and found[1]:
                assert secret.decode("latin-1") not in found[1], (name, secret)
    assert mine <= {row.key.encode() for row in house.rooms.api_keys.list(house.rooms.accounts.local().public_key)}

    listed = await victim.stubs("ListKeys")
    assert [(info.key, info.valid) for info in listed.list] == [(victim.key.key, True), (victim.group.key, True)]
    assert ThreadID(victim.thread) in {db.thread_id for db in house.rooms.databases.list_dbs()}
    assert [org.slug for org in (await victim.stubs("ListOrgs")).list] == [victim.slug]


async def test_a_stranger_does_not_own_the_threads_of_others(house, channels, victim, sign_up):
    john = (await sign_up("john")).accounts.metadata
    same_group = house.hub_metadata(house.rooms.api_keys.get(victim.group.key), house.token(STRANGER))
    other = await house.rooms.api_keys.create(house.rooms.accounts.local().public_key, KeyKind.USER)
    other_group = house.hub_metadata(other, house.token(OWNER))
    named = {
        name: method
        for name, method in METHODS.items()
        if method.is_unary
        and name not in CROSS_USER | BLOCKED | UNCHECKED
        and {"dbID", "threadID"} & set(method.request_type.DESCRIPTOR.fields_by_name)
        and not name.endswith(("/NewDB", "/CreateThread"))
    }
    assert len(named) >= 14
    for name, method in named.items():
        request = naming(method, victim)
        for metadata in (john, same_group):
            found, _ = await outcome(channels["hub"], method, request, metadata)
            assert found == NOT_OWNED, name
        # The owner himself, by a key of another group.
        found, _ = await outcome(channels["hub"], method, request, other_group)
        assert found == WRONG_KEY, name


async def test_the_thread_of_the_header_must_be_the_callers_own(house, channels, victim, sign_up):
    header = ("x-textile-thread", ThreadID(victim.thread).text)
    john = (await sign_up("john")).accounts.metadata
    for name, method in sorted(METHODS.items()):
        if method.is_unary and name not in CROSS_USER | BLOCKED | UNCHECKED and name.startswith((ACCOUNTS, USERS)):
            found, _ = await outcome(channels["hub"], method, b"", [*john, header])
            assert found == NOT_OWNED, name


BUCKETS = f"/{buckets_service.DESCRIPTOR.full_name}/"


async def test_the_thread_of_the_header_must_be_the_callers_own_in_buckets(house, channels, victim, sign_up):
    header = ("x-textile-thread", ThreadID(victim.thread).text)
    john = (await sign_up("john")).accounts.metadata
    same_group = house.hub_metadata(house.rooms.api_keys.get(victim.group.key), house.token(STRANGER))
    # As on the Hub, only unary calls are asked for the thread's owner.
    named = {
        name: method
        for name, method in METHODS.items()
        if name.startswith(BUCKETS) and name not in CROSS_USER and method.is_unary
    }
    assert len(named) == 8
    before = house.rows()
    for name, method in named.items():
        for metadata in (john, same_group):
            found, reply = await outcome(channels["hub"], method, b"", [*metadata, header])
            assert (found, reply) == (NOT_OWNED, b""), name
    assert house.rows() == before


async def test_what_is_private_in_a_bucket_is_so_where_others_may_call(house, channels, accounts_door, victim):
    header = ("x-textile-thread", ThreadID(victim.thread).text)
    row = house.rooms.api_keys.get(victim.group.key)
    owner, stranger = (
        accounts_door.using([*house.hub_metadata(row, house.token(identity)), header]).of(buckets_service.DESCRIPTOR)
        for identity in (OWNER, STRANGER)
    )
    made = await owner("Create", name="safe", private=True)
    key, letter = made.root.key, {"path": "letter"}
    push = channels["hub"].stream_stream(BUCKETS + "PushPath")(metadata=owner.metadata, timeout=20)
    for part in ({"header": {"key": key, **letter}}, {"chunk": b"a letter"}):
        await push.write(bucketsd_pb2.PushPathRequest(**part).SerializeToString())
    await push.done_writing()
    assert [reply async for reply in push]
    requests = {
        "Root": {},
        "Links": {},
        "ListPath": letter,
        "PullPath": letter,
        "PushPath": {"header": {"key": key, "path": "new"}},
        "PushPaths": {"header": {"key": key, "paths": ["new"]}},
        "ArchiveWatch": {},
        "SetPath": {"path": "new", "cid": made.seed_cid},
        "MovePath": {"from_path": "letter", "to_path": "moved"},
        "RemovePath": letter,
        "PullPathAccessRoles": letter,
        "PushPathAccessRoles": {**letter, "roles": {STRANGER.public.text: 3}},
    }
    assert {BUCKETS + rpc for rpc in requests} >= {name for name in CROSS_USER if name.startswith(BUCKETS)}
    before = house.rows()
    found = {}
    for rpc, fields in requests.items():
        method = METHODS[BUCKETS + rpc]
        request = method.request_type(**(fields if "header" in fields else {"key": key, **fields}))
        found[rpc], reply = await outcome(channels["hub"], method, request.SerializeToString(), stranger.metadata)
        if rpc == "Root":
            root = bucketsd_pb2.RootResponse.FromString(reply).root
    assert (root.key, root.metadata.key, root.link_key, dict(root.path_metadata)) == (key, "", "", {})
    no_path = (StatusCode.NOT_FOUND, "could not resolve path: letter")
    denied = "app denied net record body: permission denied"
    assert found == {
        "Root": OK,
        "Links": (StatusCode.NOT_FOUND, "could not resolve path: "),
        "ListPath": (StatusCode.NOT_FOUND, f'no link named "letter" under {root.path.removeprefix("/ipfs/")}'),
        "PullPath": no_path,
        "PullPathAccessRoles": no_path,
        "ArchiveWatch": (StatusCode.UNKNOWN, "the bucket was never archived"),
        "PushPaths": (StatusCode.PERMISSION_DENIED, f"verifying bucket update: {denied}"),
        **dict.fromkeys(
            ("PushPath", "SetPath", "MovePath", "RemovePath", "PushPathAccessRoles"), (StatusCode.UNKNOWN, denied)
        ),
    }
    assert house.rows() == before
