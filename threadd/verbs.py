"""What an operator may ask of a daemon, as it travels between the command line and whoever carries it out.

A request names its verb and holds its arguments. `threadd.operator` carries it out.
"""

from typing import TypeAlias

import msgspec

from threadd.browsing_verbs import (
    BrowseRequest,
    BrowseResult,
    HealthSummary,
    Link,
    LiveRequest,
    OperatorToken,
    StatusSummary,
)
from threadd.bucket_verbs import BucketRequest, BucketResult


class CreateKey(msgspec.Struct, frozen=True, tag_field="verb", tag="create_key"):
    """Make an API key; answered with an `ApiKey`.

    Args:
        type: ``user`` or ``account``.
        secure: Whether its callers must sign.
    """

    type: str
    secure: bool = True


class ImportKey(msgspec.Struct, frozen=True, tag_field="verb", tag="import_key"):
    """Take in an API key that an app carries already; answered with an `ApiKey`.

    Args:
        key: The key.
        secret: Its secret.
        type: ``user`` or ``account``.
        secure: Whether its callers must sign.
    """

    key: str
    secret: str
    type: str
    secure: bool = True


class ListKeys(msgspec.Struct, frozen=True, tag_field="verb", tag="list_keys"):
    """List the API keys of the built-in account, without their secrets; answered with a list of `ApiKeySummary`."""


class InvalidateKey(msgspec.Struct, frozen=True, tag_field="verb", tag="invalidate_key"):
    """Make an API key useless for good; answered with an `ApiKeySummary`.

    Args:
        key: The key.
    """

    key: str


class ListDbs(msgspec.Struct, frozen=True, tag_field="verb", tag="list_dbs"):
    """List all databases, whoever owns them; answered with a list of `DbSummary`."""


class ListConfirmations(msgspec.Struct, frozen=True, tag_field="verb", tag="list_confirmations"):
    """List what waits to be confirmed; answered with a list of `PendingConfirmation`."""


class Confirm(msgspec.Struct, frozen=True, tag_field="verb", tag="confirm"):
    """Confirm what waits for a secret: sign-ups, sign-ins, an invitation; answered with a `Confirmed`.

    Args:
        secret: The last part of a link.
    """

    secret: str


class ListForeignDbs(msgspec.Struct, frozen=True, tag_field="verb", tag="list_foreign_dbs"):
    """List the databases of another daemon; answered with a list of `ForeignDb`.

    Args:
        address: HOST:PORT of its threads door.
    """

    address: str


class JoinDb(msgspec.Struct, frozen=True, tag_field="verb", tag="join_db"):
    """Join a database of another daemon, and wait until all of it is here; answered with a `TakenDb`.

    Args:
        address: HOST:PORT of its threads door.
        id: The text of its thread's ID.
    """

    address: str
    id: str


class ListPeers(msgspec.Struct, frozen=True, tag_field="verb", tag="list_peers"):
    """List the hosts that serve threads here; answered with a list of `PeerSummary`."""


class ThreadStatus(msgspec.Struct, frozen=True, tag_field="verb", tag="thread_status"):
    """Tell how far each host of a thread is; answered with a list of `ThreadPeer`.

    Args:
        id: The text of the thread's ID.
    """

    id: str


class Backup(msgspec.Struct, frozen=True, tag_field="verb", tag="backup"):
    """Copy the repository as it is now; answered with a `BackedUp`.

    Args:
        folder: Where to, a whole path; what is there must be empty.
    """

    folder: str


class ImportDatabase(msgspec.Struct, frozen=True, tag_field="verb", tag="import_database"):
    """Bring in a database that was exported; answered with an `ImportedDb`.

    Args:
        file: A whole path.
    """

    file: str


class RevokeTokens(msgspec.Struct, frozen=True, tag_field="verb", tag="revoke_tokens"):
    """Make all tokens useless that an identity has, and end its sessions; answered with a `Revoked`.

    Args:
        identity: The text of its public key.
    """

    identity: str


Request: TypeAlias = (
    CreateKey
    | ImportKey
    | ListKeys
    | InvalidateKey
    | ListDbs
    | ListConfirmations
    | Confirm
    | ListForeignDbs
    | JoinDb
    | ListPeers
    | ThreadStatus
    | Backup
    | ImportDatabase
    | RevokeTokens
    | BrowseRequest
    | LiveRequest
    | BucketRequest
)


class ApiKeySummary(msgspec.Struct, frozen=True):
    """An API key without its secret.

    Args:
        key: The key.
        type: ``user`` or ``account``.
        secure: Whether its callers must sign.
        valid: Whether it still counts.
        created: Nanoseconds since 1970.
        threads: How many threads were made with it.
    """

    key: str
    type: str
    secure: bool
    valid: bool
    created: int
    threads: int


class ApiKey(msgspec.Struct, frozen=True):
    """An API key with its secret; see `ApiKeySummary`."""

    key: str
    secret: str
    type: str
    secure: bool


class DbSummary(msgspec.Struct, frozen=True):
    """A database.

    Args:
        id: The text of its thread's ID.
        name: Its name.
        collections: How many collections it has.
    """

    id: str
    name: str
    collections: int


class PendingConfirmation(msgspec.Struct, frozen=True):
    """Something that waits to be confirmed.

    Args:
        secret: What confirms it.
        purpose: ``sign-up``, ``sign-in`` or ``invitation``.
        name: The name of the developer, or of the organisation that invites.
        email: To whom it would be sent; may be empty.
        link: What a browser may open instead; empty where there is no gateway.
        peer: Where the call comes from that asks for it; may be empty.
        page: The origin of the page in a browser that asks for it; empty for a program.
    """

    secret: str
    purpose: str
    name: str
    email: str
    link: str
    peer: str = ""
    page: str = ""


class Confirmed(msgspec.Struct, frozen=True):
    """What was confirmed.

    Args:
        text: In words.
    """

    text: str


class ForeignDb(msgspec.Struct, frozen=True):
    """A database of another daemon.

    Args:
        id: The text of its thread's ID.
        name: Its name there.
        is_here: Whether it is here as well.
    """

    id: str
    name: str
    is_here: bool


class TakenDb(msgspec.Struct, frozen=True):
    """A database that is here with all that another daemon has of it.

    Args:
        id: The text of its thread's ID.
        name: Its name there.
        collections: How many collections it has there.
        logs: How many logs it has here.
        records: How many records it has here.
        was_here: Whether it was here before.
        buckets_without_content: The keys of its buckets of whose newest content something is not here: records come
            from peers, the blocks of files do not.
    """

    id: str
    name: str
    collections: int
    logs: int
    records: int
    was_here: bool
    buckets_without_content: tuple[str, ...] = ()


class PeerSummary(msgspec.Struct, frozen=True):
    """A host that serves threads here.

    Args:
        id: The text of its peer ID.
        addresses: Where it may be, the latest first.
        threads: How many threads here it serves.
        behind: How many records of those it is not known to have, as far as anything is known.
        contact: How many seconds ago it last answered; None for never since the start.
        failures: How many times in a row it could not be reached.
        error: What went wrong last, or nothing.
    """

    id: str
    addresses: list[str]
    threads: int
    behind: int
    contact: float | None
    failures: int
    error: str


class ThreadPeer(msgspec.Struct, frozen=True):
    """A host of a thread.

    Args:
        id: The text of its peer ID.
        behind: How many records that are here it is not known to have; None where nothing is known of it.
        contact: How many seconds ago it last answered; None for never since the start.
        error: What went wrong last, or nothing.
    """

    id: str
    behind: int | None
    contact: float | None
    error: str


class BackedUp(msgspec.Struct, frozen=True):
    """A copy that was made.

    Args:
        folder: Where it is.
        size: How many bytes it has.
    """

    folder: str
    size: int


class ImportedDb(msgspec.Struct, frozen=True):
    """A database that was brought in.

    Args:
        id: The text of its thread's ID.
        name: Its name.
        records: How many records it has.
        instances: How many instances it has, those that were deleted among them.
    """

    id: str
    name: str
    records: int
    instances: int


class Revoked(msgspec.Struct, frozen=True):
    """What was revoked.

    Args:
        identity: The text of the identity's public key.
        sessions: How many sessions ended.
    """

    identity: str
    sessions: int


Result: TypeAlias = (
    BackedUp
    | ImportedDb
    | Revoked
    | ApiKey
    | ApiKeySummary
    | list[ApiKeySummary]
    | list[DbSummary]
    | list[PendingConfirmation]
    | Confirmed
    | list[ForeignDb]
    | TakenDb
    | list[PeerSummary]
    | list[ThreadPeer]
    | BrowseResult
    | BucketResult
    | Link
    | OperatorToken
    | HealthSummary
    | StatusSummary
)
