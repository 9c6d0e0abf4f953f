"""Every public method by its full name and kind, which fields have presence, and that drift is noticed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proto import bucketsd_pb2, hubd_pb2, net_pb2, threads_pb2, threadsnet_pb2, usersd_pb2

PROTO = Path(__file__).parents[2] / "proto"

# By the full name of a service its methods; `<` marks a stream of requests, `>` a stream of replies.
METHODS = {
    "threads.pb.API": """
        <GetToken> NewDB NewDBFromAddr ListDBs GetDBInfo DeleteDB NewCollection UpdateCollection DeleteCollection
        GetCollectionInfo GetCollectionIndexes ListCollections Create Verify Save Delete Has Find FindByID
        <ReadTransaction> <WriteTransaction> Listen>
    """,
    "threads.net.pb.API": """
        GetHostID <GetToken> CreateThread AddThread GetThread PullThread DeleteThread AddReplicator CreateRecord
        AddRecord GetRecord Subscribe>
    """,
    "net.pb.Service": "GetLogs PushLog GetRecords PushRecord ExchangeEdges",
    "api.hubd.pb.APIService": """
        BuildInfo Signup Signin Signout GetSessionInfo GetIdentity CreateKey ListKeys InvalidateKey CreateOrg GetOrg
        ListOrgs RemoveOrg InviteToOrg LeaveOrg SetupBilling GetBillingSession ListBillingUsers IsUsernameAvailable
        IsOrgNameAvailable DestroyAccount
    """,
    "api.usersd.pb.APIService": """
        GetThread ListThreads SetupMailbox SendMessage ListInboxMessages ListSentboxMessages ReadInboxMessage
        DeleteInboxMessage DeleteSentboxMessage GetUsage ArchivesLs ArchivesImport ArchiveRetrievalLs
        ArchiveRetrievalLogs>
    """,
    "api.bucketsd.pb.APIService": """
        List Create Root Links ListPath ListIpfsPath <PushPath> <PushPaths> PullPath> PullIpfsPath> SetPath MovePath
        Remove RemovePath PushPathAccessRoles PullPathAccessRoles DefaultArchiveConfig SetDefaultArchiveConfig
        Archive Archives ArchiveWatch>
    """,
}

MODULES = (threads_pb2, threadsnet_pb2, net_pb2, hubd_pb2, usersd_pb2, bucketsd_pb2)

# Requests and replies whose names do not follow from the method's.
ODD_TYPES = {
    "threads.pb.API.NewDBFromAddr": ("NewDBFromAddrRequest", "NewDBReply"),
    "threads.net.pb.API.CreateThread": ("CreateThreadRequest", "ThreadInfoReply"),
    "threads.net.pb.API.AddThread": ("AddThreadRequest", "ThreadInfoReply"),
    "threads.net.pb.API.GetThread": ("GetThreadRequest", "ThreadInfoReply"),
    "threads.net.pb.API.CreateRecord": ("CreateRecordRequest", "NewRecordReply"),
    "threads.net.pb.API.Subscribe": ("SubscribeRequest", "NewRecordReply"),
}

PRESENT = {
    "net.pb.Log": {"ID", "pubKey", "head"},
    "net.pb.GetLogsRequest.Body": {"threadID", "serviceKey"},
    "net.pb.PushLogRequest.Body": {"threadID", "serviceKey", "readKey"},
    "net.pb.GetRecordsRequest.Body": {"threadID", "serviceKey"},
    "net.pb.GetRecordsRequest.Body.LogEntry": {"logID", "offset"},
    "net.pb.GetRecordsReply.LogEntry": {"logID"},
    "net.pb.PushRecordRequest.Body": {"threadID", "logID"},
    "net.pb.ExchangeEdgesRequest.Body.ThreadEntry": {"threadID"},
    "net.pb.ExchangeEdgesReply.ThreadEdges": {"threadID"},
}


def services():
    return {service.full_name: service for module in MODULES for service in module.DESCRIPTOR.services_by_name.values()}


def messages(container):
    """Every message below a file or a message."""
    below = getattr(container, "message_types_by_name", None) or getattr(container, "nested_types_by_name", {})
    for message in below.values():
        yield message
        yield from messages(message)


def marked(method):
    return "<" * method.client_streaming + method.name + ">" * method.server_streaming


def test_there_are_no_other_services():
    assert set(services()) == set(METHODS)


@pytest.mark.parametrize("service", METHODS)
def test_methods_have_their_public_names_and_kinds(service):
    assert [marked(method) for method in services()[service].methods] == METHODS[service].split()


@pytest.mark.parametrize("service", METHODS)
def test_methods_take_and_give_the_messages_that_clients_send_and_expect(service):
    reply = "Response" if service.startswith("api.") else "Reply"
    package = service.rpartition(".")[0]
    for method in services()[service].methods:
        names = ODD_TYPES.get(method.full_name, (f"{method.name}Request", f"{method.name}{reply}"))
        expected = tuple(f"{package}.{name}" for name in names)
        assert (method.input_type.full_name, method.output_type.full_name) == expected


def test_exactly_the_fields_that_peers_tell_from_empty_have_presence():
    found = {}
    for module in MODULES:
        for message in messages(module.DESCRIPTOR):
            # A real oneof has a name of its own; that of an optional field is its name behind an underscore.
            names = {
                field.name
                for field in message.fields
                if field.containing_oneof is not None and field.containing_oneof.name == f"_{field.name}"
            }
            if names:
                found[message.full_name] = names
    assert found == PRESENT


@pytest.mark.parametrize(
    ("enum", "numbers"),
    [
        (threads_pb2.ListenRequest.Filter.Action, {"ALL": 0, "CREATE": 1, "SAVE": 2, "DELETE": 3}),
        (threads_pb2.ListenReply.Action, {"CREATE": 0, "SAVE": 1, "DELETE": 2}),
        (hubd_pb2.KeyType, {"KEY_TYPE_UNSPECIFIED": 0, "KEY_TYPE_ACCOUNT": 1, "KEY_TYPE_USER": 2}),
        (
            usersd_pb2.ListInboxMessagesRequest.Status,
            {"STATUS_UNSPECIFIED": 0, "STATUS_ALL": 1, "STATUS_READ": 2, "STATUS_UNREAD": 3},
        ),
        (
            bucketsd_pb2.PathAccessRole,
            {
                "PATH_ACCESS_ROLE_UNSPECIFIED": 0,
                "PATH_ACCESS_ROLE_READER": 1,
                "PATH_ACCESS_ROLE_WRITER": 2,
                "PATH_ACCESS_ROLE_ADMIN": 3,
            },
        ),
    ],
)
def test_enums_have_their_public_numbers(enum, numbers):
    assert dict(enum.items()) == numbers


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (
            threads_pb2.NewDBRequest,
            {"dbID": 1, "collections": 2, "name": 3, "block": 5, "key": 6, "logKey": 7},
        ),
        (
            threads_pb2.NewDBFromAddrRequest,
            {"addr": 1, "key": 2, "collections": 3, "name": 4, "block": 5, "threadKey": 6, "logKey": 7},
        ),
        (
            threads_pb2.WriteTransactionRequest,
            {
                "startTransactionRequest": 1,
                "createRequest": 2,
                "saveRequest": 3,
                "deleteRequest": 4,
                "hasRequest": 5,
                "findRequest": 6,
                "findByIDRequest": 7,
                "verifyRequest": 8,
                "discardRequest": 9,
            },
        ),
        (
            threads_pb2.WriteTransactionReply,
            {
                "createReply": 1,
                "saveReply": 2,
                "deleteReply": 3,
                "hasReply": 4,
                "findReply": 5,
                "findByIDReply": 6,
                "verifyReply": 7,
                "discardReply": 8,
            },
        ),
        (bucketsd_pb2.Metadata, {"roles": 1, "updated_at": 2, "key": 3}),
        (
            bucketsd_pb2.PathItem,
            {"cid": 1, "name": 2, "path": 3, "size": 4, "is_dir": 5, "items": 6, "items_count": 7, "metadata": 9},
        ),
    ],
)
def test_messages_with_numbers_out_of_order_have_exactly_these(message, fields):
    assert {field.name: field.number for field in message.DESCRIPTOR.fields} == fields


def checked(folder):
    return subprocess.run(
        [sys.executable, folder / "generate.py", "--check"], capture_output=True, text=True, check=False
    )


def test_a_changed_file_is_named_as_drift(tmp_path):
    folder = shutil.copytree(PROTO, tmp_path / "proto")
    source = folder / "net.proto"
    source.write_text(source.read_text().replace("bytes bodyNode = 4", "bytes bodyNode = 5"))
    result = checked(folder)
    assert result.returncode == 1
    assert "run `make proto`: net_pb2.py" in result.stderr


def test_a_generated_file_without_its_source_is_named_as_drift(tmp_path):
    folder = shutil.copytree(PROTO, tmp_path / "proto")
    (folder / "gone_pb2.py").touch()
    result = checked(folder)
    assert result.returncode == 1
    assert "gone_pb2.py" in result.stderr
