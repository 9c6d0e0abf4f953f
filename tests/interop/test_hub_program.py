"""The real `hub` program, at a terminal in a home of its own, against real daemons."""

import json
import re
import threading
from contextlib import contextmanager

import grpc
import pytest
from daemons import DaemonError, environment, free_ports
from terminal import Answer, run

from proto import threads_pb2

# The first build downloads the compiler and the modules.
pytestmark = pytest.mark.timeout(900)

THREAD = bytes([1, 0x55]) + b"t" * 32


class Home:
    """A user's home with the `hub` program in it.

    Args:
        program: The program.
        folder: The home.
        daemon: The Hub.
    """

    def __init__(self, program, folder, daemon):
        self.program = program
        self.folder = folder
        self.environment = environment() | {"HOME": str(folder), "HUB_API": daemon.hub_api, "TERM": "xterm"}

    def hub(self, *arguments, answers=(), status=0):
        """Run a command; returns what it said."""
        ran = run([self.program, *arguments], self.environment, [Answer(*answer) for answer in answers])
        assert ran.status == status, ran.said
        return ran.said

    def session(self):
        """The session that the program keeps."""
        (found,) = re.findall(r"^session: (\S+)$", (self.folder / ".textile" / "auth.yml").read_text(), re.MULTILINE)
        return found

    def init(self, name):
        said = self.hub("init", answers=[("Choose a username", name), ("Enter your email", f"{name}@example.org")])
        assert "Email confirmed" in said
        assert "Welcome to the Hub" in said

    def login(self, name):
        assert "You are now logged in" in self.hub("login", answers=[("Enter your username or email", name)])


@pytest.fixture
def home(hub_program, tmp_path):
    """A function that gives a home of a daemon's user."""

    def made(daemon, name="home"):
        folder = tmp_path / name
        folder.mkdir()
        return Home(hub_program, folder, daemon)

    return made


@contextmanager
def confirmed_by_the_operator(daemon):
    """While the body runs, one thing waits and `threadd confirm` confirms it; gives a list of it, filled in the end."""
    found, failures = [], []

    def confirm():
        try:
            for _ in range(600):
                found[:] = json.loads(daemon.run("confirm", "--list", "--json"))
                if found:
                    assert daemon.run("confirm").startswith(f"confirmed the {found[0]['purpose']} of ")
                    return
            failures.append("nothing waits")
        except (AssertionError, DaemonError) as error:
            failures.append(error)

    operator = threading.Thread(target=confirm)
    operator.start()
    yield found
    operator.join(60)
    assert failures == []


def test_an_account_from_its_beginning_to_its_end(start_daemon, home):
    daemon = start_daemon("--confirm", "auto-signin")
    jane = home(daemon)
    jane.init("jane")
    assert "You are jane" in jane.hub("whoami")
    taken = jane.hub("init", answers=[("Choose a username", "jane")], status=1)
    assert "Error! Username 'jane' is not available" in taken

    assert "Found 0 keys" in jane.hub("keys", "ls")
    created = jane.hub("keys", "create", answers=[("Select API key type", ""), ("Signature Authentication", "y")])
    assert "Created new API key and secret" in created
    (key,) = re.findall(r"\bb[a-z2-7]{26}\b", created)
    listed = jane.hub("keys", "ls")
    assert re.search(rf"{key}\s+b[a-z2-7]{{39}}\s+account\s+true\s+true\s+0", listed), listed
    assert "Invalidated key" in jane.hub("keys", "invalidate", answers=[("Invalidate key", "")])
    assert re.search(rf"{key}\s.*true\s+false\s+0", jane.hub("keys", "ls"))

    assert "Found 0 orgs" in jane.hub("orgs", "ls")
    said = jane.hub("orgs", "create", answers=[("Choose an org name", "My Org!"), ("Please confirm", "y")])
    assert "Created new org My Org!" in said
    assert re.search(r"My Org!\s+\S*/My-Org\s+b\w+\s+1", jane.hub("orgs", "ls"))
    assert re.search(r"jane\s+b\w+", jane.hub("orgs", "members", answers=[("Select org", "")]))
    said = jane.hub("orgs", "leave", answers=[("Leave org", "")], status=1)
    assert "Error! An org must have at least one owner" in said

    assert "Found 0 threads" in jane.hub("threads", "ls")
    with grpc.insecure_channel(daemon.hub_api) as channel:
        metadata = [("x-textile-session", jane.session()), ("x-textile-thread-name", "notes")]
        request = threads_pb2.NewDBRequest(dbID=THREAD).SerializeToString()
        channel.unary_unary("/threads.pb.API/NewDB")(request, metadata=metadata, timeout=20)
    assert re.search(r"notes\s+db", jane.hub("threads", "ls"))

    assert "Bye" in jane.hub("logout")
    assert "Unauthorized" in jane.hub("whoami", status=1)
    assert "User not found" in jane.hub("login", answers=[("username or email", "john")], status=1)
    jane.login("jane@example.org")
    assert "You are jane" in jane.hub("whoami")

    typed = [("Please type 'jane'", "jane")]
    assert "Account not empty (delete orgs first)" in jane.hub("destroy", answers=typed, status=1)
    gone = jane.hub("orgs", "destroy", answers=[("Destroy org", ""), ("Please type 'My Org!'", "My Org!")])
    assert "has been deleted" in gone
    assert "Your account has been deleted" in jane.hub("destroy", answers=typed)
    assert json.loads(daemon.run("dbs", "ls", "--json")) == []
    assert "User not found" in jane.hub("login", answers=[("username or email", "jane")], status=1)
    daemon.stop()


def test_usage_where_nothing_is_metered(start_daemon, home):
    daemon = start_daemon("--confirm", "auto")
    jane = home(daemon)
    jane.init("jane")
    said = jane.hub("billing", "usage")
    for shown in ("Account status: not metered", "Account balance: $0.00", "Subscription status: none"):
        assert shown in said
    for product, free in (("ThreadDB reads", str(2**53 - 1)), ("Stored data", "9.0 PB")):
        assert re.search(rf"{product}\s+0( B)?\s+{free} \(100%\)\s+\$0\.0000\s+01-", said), said
    assert "Invalid public key" in jane.hub("billing", "usage", "--user", "jane", status=1)
    for command in ("users", "setup", "portal"):
        assert "Billing is not enabled" in jane.hub("billing", command, status=1)
    daemon.stop()


def test_two_developers_and_their_organisation(start_daemon, home):
    daemon = start_daemon("--confirm", "auto")
    jane, john = home(daemon, "jane"), home(daemon, "john")
    jane.init("jane")
    john.init("john")
    jane.hub("orgs", "create", answers=[("Choose an org name", "Acme"), ("Please confirm", "y")])
    invite = [("Select org", ""), ("Enter email to invite", "john@example.org")]
    assert "an invitation to the Acme org" in jane.hub("orgs", "invite", answers=invite)
    assert re.search(r"Acme\s+\S*/Acme\s+b\w+\s+2", john.hub("orgs", "ls"))
    said = john.hub("orgs", "destroy", answers=[("Destroy org", ""), ("Please type 'Acme'", "Acme")], status=1)
    assert "User must be an org owner" in said
    john.hub("--org", "Acme", "keys", "create", answers=[("API key type", ""), ("Signature Authentication", "n")])
    assert "Found 1 keys" in jane.hub("--org", "acme", "keys", "ls")
    assert "Found 0 keys" in jane.hub("keys", "ls")
    assert "Left org Acme" in john.hub("orgs", "leave", answers=[("Leave org", "")])
    assert "User is not an org member" in john.hub("--org", "Acme", "keys", "ls", status=1)
    daemon.stop()


def test_the_built_in_account_sees_the_keys_of_the_command_line(start_daemon, home):
    daemon = start_daemon()
    key = json.loads(daemon.run("keys", "create", "--type", "user", "--json"))
    local = home(daemon)
    with confirmed_by_the_operator(daemon) as waiting:
        local.login("local")
    assert [(one["purpose"], one["name"]) for one in waiting] == [("sign-in", "local")]
    assert "You are local" in local.hub("whoami")
    assert re.search(rf"{key['key']}\s+{key['secret']}\s+user group\s+true\s+true", local.hub("keys", "ls"))
    daemon.stop()
    daemon.restart()
    assert "You are local" in local.hub("whoami"), "a session outlives the daemon"
    daemon.stop()


def test_the_operator_confirms_with_the_command_line(start_daemon, home):
    (gateway,) = free_ports(1)
    daemon = start_daemon("--gateway", f"127.0.0.1:{gateway}")
    jane = home(daemon)
    with confirmed_by_the_operator(daemon) as waiting:
        jane.init("jane")
    (one,) = waiting
    assert (one["purpose"], one["name"], one["email"]) == ("sign-up", "jane", "jane@example.org")
    assert one["link"] == f"http://127.0.0.1:{gateway}/confirm/{one['secret']}"
    assert one["link"] in daemon.said(), "the log shows the link"
    assert "You are jane" in jane.hub("whoami")
    assert jane.session() not in daemon.said()
    daemon.stop()


def test_the_program_may_be_told_where_the_hub_is(start_daemon, home):
    daemon = start_daemon("--confirm", "auto")
    somebody = home(daemon)
    del somebody.environment["HUB_API"]
    answers = [("Choose a username", "jane"), ("Enter your email", "jane@example.org")]
    assert "Email confirmed" in somebody.hub("--api", daemon.hub_api, "init", answers=answers)
    daemon.stop()
