"""Nothing secret reaches a log, whoever else can read files of the daemon cannot, and tokens can be taken back."""

import asyncio
import base64
import hashlib
import io
import json
import logging
import os
import stat

import grpc
import pytest
from actors import SCHEMA, Door, Mailer

from net import multibase
from net.keys import PrivateKey
from proto import bucketsd_pb2, hubd_pb2, threads_pb2
from store import accounts, threads
from store.copies import open_to_read
from threadd.logs import set_up

pytestmark = pytest.mark.timeout(300)

NO_TOKEN = grpc.StatusCode.UNKNOWN
"""What the reference answers to a token that it did not issue."""

_HUB = "/api.hubd.pb.APIService/"


def spellings(secret):
    """The ways in which bytes or a text might be written."""
    data = secret.encode() if isinstance(secret, str) else secret
    found = {
        data,
        data.hex().encode(),
        base64.b64encode(data).rstrip(b"="),
        base64.urlsafe_b64encode(data).rstrip(b"="),
    }
    found |= {multibase.encode(data).encode()[1:], multibase.encode_base58(data).encode(), repr(data)[2:-1].encode()}
    return found


async def hub_call(door, method, **fields):
    request, reply = getattr(hubd_pb2, f"{method}Request"), getattr(hubd_pb2, f"{method}Response")
    call = door.channel.unary_unary(_HUB + method, request.SerializeToString, reply.FromString)
    return await call(request(**fields), metadata=door.metadata)


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_no_log_holds_a_secret(start_daemon):
    daemon = start_daemon("--log-level", "debug", "--log-format", "json", "--confirm-secret", "all-of-them-9f3a")
    secrets = {"all-of-them-9f3a"}
    secure = json.loads(daemon.run("keys", "create", "--type", "user", "--json"))
    open_key = json.loads(daemon.run("keys", "create", "--type", "user", "--insecure", "--json"))
    secrets |= {secure["secret"], open_key["secret"], multibase.decode(secure["secret"])}
    imported = multibase.encode(os.urandom(20))
    daemon.run("keys", "import", "--key", "bimported", "--secret", imported, "--type", "account")
    secrets |= {imported, multibase.decode(imported)}
    async with Door(daemon.hub_api) as door:
        signing = asyncio.ensure_future(hub_call(door, "Signup", username="jane", email="jane@example.org"))
        while not json.loads(await asyncio.to_thread(daemon.run, "confirm", "--list", "--json")):
            assert not signing.done()
        daemon.run("confirm")
        person = await signing
        secrets.add(person.session)
        door.metadata = [("x-textile-session", person.session)]
        await hub_call(door, "GetSessionInfo")
        made = await hub_call(door, "CreateKey", type=hubd_pb2.KEY_TYPE_ACCOUNT, secure=True)
        secrets |= {made.key_info.secret}
        door.metadata = [("x-textile-session", "bwrong-session-77aa")]
        assert await refused(hub_call(door, "GetSessionInfo")) is grpc.StatusCode.UNAUTHENTICATED
        secrets.add("bwrong-session-77aa")
    mailer = Mailer(open_key["key"])
    async with Door(daemon.hub_api) as door:
        for _ in range(3):
            await mailer.step(door)
        door.metadata[1] = ("authorization", f"bearer {mailer.token}x")
        assert await refused(door.users("ListThreads")) is NO_TOKEN
    secrets |= {mailer.token, mailer.identity.text, mailer.identity.bytes}
    async with Door(daemon.threads_api) as door:
        key = os.urandom(64)
        thread = b"\x01\x55" + os.urandom(32)
        collection = threads_pb2.CollectionConfig(
            name="note", schema=SCHEMA, writeValidator="throw new Error('no: ' + JSON.stringify(instance))"
        )
        await door.threads("NewDB", dbID=thread, key=key, collections=[collection])
        secrets |= {key[:32], key[32:]}
        hidden = b'{"_id":"hidden-0b7c"}'
        assert await refused(door.threads("Create", dbID=thread, collectionName="note", instances=[hidden]))
        assert await refused(door.threads("NewDB", dbID=b"\x01\x55" + b"x" * 32, key=key[:63]))
        door.metadata = [("x-textile-thread", multibase.encode(thread))]
        bucket = await door.buckets("Create", name="files", private=True)
        secrets.add(bucket.seed)
        request = bucketsd_pb2.PushPathRequest
        header = request(header=request.Header(key=bucket.root.key, path="a"))
        pushed = door.stream(
            "/api.bucketsd.pb.APIService/PushPath",
            request,
            bucketsd_pb2.PushPathResponse,
            iter([header, request(chunk=b"the content of the file")]),
        )
        assert [one async for one in pushed]
    daemon.run("backup", str(daemon.folder / "copy"))
    daemon.run("tokens", "revoke", mailer.identity.public.text)
    daemon.stop()
    secrets |= kept_secrets(daemon.repo)
    said = b"".join(path.read_bytes() for path in daemon.folder.glob("*.log"))
    assert len(said.splitlines()) > 10
    assert b'"event": "ready"' in said
    for secret in secrets - {b"", ""}:
        for spelling in spellings(secret):
            assert spelling not in said, spelling
    assert b"hidden-0b7c" not in said
    assert b"the content of the file" not in said


def test_debugging_is_for_our_own_packages():
    kept = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        set_up("debug", "json", io.StringIO())
        assert all(logging.getLogger(f"{name}.x").isEnabledFor(logging.DEBUG) for name in ("threadd", "store", "net"))
        for library in ("hpack", "h2", "websockets", "libp2p", "asyncio", "uvicorn"):
            assert not logging.getLogger(library).isEnabledFor(logging.DEBUG)
            # Once it is loaded, libp2p is kept to what is critical.
            assert library == "libp2p" or logging.getLogger(library).isEnabledFor(logging.WARNING)
    finally:
        set_up("warning", "auto")
        logging.getLogger().handlers[:], level = kept
        logging.getLogger().setLevel(level)


def kept_secrets(repo):
    """Every key that is kept, and the host's."""
    host = (repo / "host.key").read_bytes()
    found = {host, host[4:36], hashlib.sha512(host[4:36]).digest()[:32]}
    with open_to_read(repo) as (reader, _):
        for thread in threads.list_threads(reader):
            found |= {thread.service_key, thread.read_key}
            found |= {log.private_key[4:36] for log in threads.logs_of(reader, thread.number)}
        found |= {key.secret for key in accounts.list_all_api_keys(reader)}
        found |= {accounts.get_account(reader, key.owner).private_key for key in accounts.list_all_api_keys(reader)}
    return found


def test_only_the_owner_can_read_what_is_kept(start_daemon):
    before = os.umask(0)
    try:
        daemon = start_daemon()
        daemon.run("certs")
    finally:
        os.umask(before)
    seen = set()
    for path in (daemon.repo, *daemon.repo.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        seen.add(path.name)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path.name} has mode {mode:o}"
    assert {"host.key", "data.mdb", "lock.mdb", "control.sock", "lock"} <= seen


async def test_tokens_and_sessions_are_revoked(start_daemon):
    daemon = start_daemon("--confirm", "auto")
    key = json.loads(daemon.run("keys", "create", "--type", "user", "--insecure", "--json"))["key"]
    jane, john = PrivateKey(os.urandom(32)), PrivateKey(os.urandom(32))
    async with Door(daemon.hub_api) as hub, Door(daemon.threads_api) as plain:
        hub.metadata = [("x-textile-api-key", key)]
        tokens = {name: await hub.token(one) for name, one in (("jane", jane), ("john", john))}

        async def outcome(door, token, *, at_hub=True):
            door.metadata = [("x-textile-api-key", key), ("authorization", f"bearer {token}")]
            try:
                await (door.users("ListThreads") if at_hub else door.threads("ListDBs"))
            except grpc.aio.AioRpcError as error:
                return error.code()
            return "taken"

        doors = ((hub, True), (plain, False))
        for door, at_hub in doors:
            outcomes = [await outcome(door, token, at_hub=at_hub) for token in tokens.values()]
            assert outcomes == ["taken", "taken"]
        assert json.loads(daemon.run("tokens", "revoke", jane.public.text, "--json"))["sessions"] == 0
        for door, at_hub in doors:
            assert await outcome(door, tokens["jane"], at_hub=at_hub) is NO_TOKEN
            assert await outcome(door, tokens["john"], at_hub=at_hub) == "taken"
        hub.metadata = [("x-textile-api-key", key)]
        fresh = await hub.token(jane)
        assert await outcome(hub, fresh) == "taken"
    daemon.stop()
    daemon.start()
    async with Door(daemon.hub_api) as hub:
        assert await outcome(hub, tokens["jane"]) is NO_TOKEN
        assert await outcome(hub, fresh) == "taken"
        hub.metadata = []
        person = await hub_call(hub, "Signup", username="jane", email="jane@example.org")
        hub.metadata = [("x-textile-session", person.session)]
        await hub_call(hub, "GetSessionInfo")
        owner = "b" + multibase.encode(person.key)[1:]
        assert json.loads(daemon.run("tokens", "revoke", owner, "--json"))["sessions"] == 1
        assert await refused(hub_call(hub, "GetSessionInfo")) is grpc.StatusCode.UNAUTHENTICATED
    daemon.stop()
