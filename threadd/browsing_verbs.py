"""What the console and the command line show of what is kept, as it travels between the two; see `threadd.verbs`."""

from typing import TypeAlias

import msgspec


class ListCollections(msgspec.Struct, frozen=True, tag_field="verb", tag="list_collections"):
    """List the collections of a database; answered with a list of `CollectionSummary`.

    Args:
        db: The text of its thread's ID.
    """

    db: str


class FindDocuments(msgspec.Struct, frozen=True, tag_field="verb", tag="find_documents"):
    """Find instances, whatever a read filter hides; answered with a `FoundDocuments`.

    Args:
        db: The text of the thread's ID.
        collection: The name of the collection.
        query: A query as clients of the Hub send it, JSON.
    """

    db: str
    collection: str
    query: str = "{}"


class CountDocuments(msgspec.Struct, frozen=True, tag_field="verb", tag="count_documents"):
    """Count what a query gives; answered with a `Counted`; arguments as `FindDocuments`."""

    db: str
    collection: str
    query: str = "{}"


class SaveDocument(msgspec.Struct, frozen=True, tag_field="verb", tag="save_document"):
    """Create or replace an instance, in the daemon's own name; answered with a `SavedDocument`.

    Args:
        db: The text of the thread's ID.
        collection: The name of the collection.
        document: JSON; one without ``_id`` is created and gets one.
    """

    db: str
    collection: str
    document: str


class DeleteDocuments(msgspec.Struct, frozen=True, tag_field="verb", tag="delete_documents"):
    """Delete instances, in the daemon's own name; answered with a `Counted` of those that were there.

    Args:
        db: The text of the thread's ID.
        collection: The name of the collection.
        ids: Their IDs.
    """

    db: str
    collection: str
    ids: list[str]


class ShowLog(msgspec.Struct, frozen=True, tag_field="verb", tag="show_log"):
    """Show the last records of each log of a thread; answered with a list of `RecordSummary`, the newest first.

    Args:
        db: The text of the thread's ID.
        limit: The most records of each log.
    """

    db: str
    limit: int = 50


class ListAccounts(msgspec.Struct, frozen=True, tag_field="verb", tag="list_accounts"):
    """List developers, organisations and users; answered with a list of `AccountSummary`."""


class ListSizes(msgspec.Struct, frozen=True, tag_field="verb", tag="list_sizes"):
    """Measure all databases; answered with a list of `SizeSummary`, the largest first."""


class ConsoleLink(msgspec.Struct, frozen=True, tag_field="verb", tag="console_link"):
    """Make a link that opens the console in a browser once; answered with a `Link`. Only a daemon that runs has one."""


class MakeToken(msgspec.Struct, frozen=True, tag_field="verb", tag="make_token"):
    """Make an operator token; answered with an `OperatorToken`. Only a daemon that runs has one."""


class ShowStatus(msgspec.Struct, frozen=True, tag_field="verb", tag="show_status"):
    """Tell how a daemon that runs is doing; answered with a `StatusSummary`."""


class CheckHealth(msgspec.Struct, frozen=True, tag_field="verb", tag="check_health"):
    """Tell whether work is taken; answered with a `HealthSummary`. Only a daemon that runs has one."""


LiveRequest: TypeAlias = ConsoleLink | MakeToken | ShowStatus | CheckHealth

BrowseRequest: TypeAlias = (
    ListCollections
    | FindDocuments
    | CountDocuments
    | SaveDocument
    | DeleteDocuments
    | ShowLog
    | ListAccounts
    | ListSizes
)


class CollectionSummary(msgspec.Struct, frozen=True):
    """A collection.

    Args:
        name: Its name.
        documents: How many instances it has.
        indexes: The paths of its indexes; a unique one ends in ``!``.
        has_validator: Whether a write validator decides.
        has_filter: Whether a read filter decides.
        schema: Its JSON Schema, as text.
    """

    name: str
    documents: int
    indexes: list[str]
    has_validator: bool
    has_filter: bool
    schema: str


class FoundDocuments(msgspec.Struct, frozen=True):
    """What a query gives, and how.

    Args:
        documents: The instances.
        indexes: The paths of the indexes that were read; none for a scan.
        ordered: Whether nothing had to be sorted.
        rows_read: How many instances were looked at.
        microseconds: How long it took.
    """

    documents: list[msgspec.Raw]
    indexes: list[str]
    ordered: bool
    rows_read: int
    microseconds: int


class Counted(msgspec.Struct, frozen=True):
    """A number.

    Args:
        count: The number.
    """

    count: int


class SavedDocument(msgspec.Struct, frozen=True):
    """An instance that was written.

    Args:
        id: Its ID.
    """

    id: str


class PatchSummary(msgspec.Struct, frozen=True):
    """What a record does to an instance.

    Args:
        action: ``create``, ``save`` or ``delete``.
        collection: The name of the collection.
        id: The instance.
        time: Nanoseconds since 1970.
        patch: The document or the merge patch, as text; empty for a delete.
    """

    action: str
    collection: str
    id: str
    time: int
    patch: str


class RecordSummary(msgspec.Struct, frozen=True):
    """A record.

    Args:
        log: The ID of its log.
        position: Its place there, from 1.
        cid: Its CID.
        author: The public key of whoever wrote it; empty where it cannot be opened.
        refused: Why its patches are not applied, or nothing.
        patches: What it does; none where it holds something else.
    """

    log: str
    position: int
    cid: str
    author: str
    refused: str
    patches: list[PatchSummary]


class MailSummary(msgspec.Struct, frozen=True):
    """What is in a mailbox.

    Args:
        received: How many messages came and were not deleted.
        unread: How many of them were not marked as read.
        sent: How many went out, and were not deleted from the sentbox.
    """

    received: int
    unread: int
    sent: int


class AccountSummary(msgspec.Struct, frozen=True):
    """Somebody who owns something here.

    Args:
        name: Empty for a user.
        kind: ``developer``, ``organisation`` or ``user``.
        key: The text of the public key.
        email: Empty for none.
        created: Nanoseconds since 1970; 0 where that is not known.
        keys: How many API keys.
        threads: How many threads.
        members: The names of an organisation's members.
        mail: What is in the mailbox; None where there is none.
    """

    name: str
    kind: str
    key: str
    email: str
    created: int
    keys: int
    threads: int
    members: list[str]
    mail: MailSummary | None = None


class SizeSummary(msgspec.Struct, frozen=True):
    """How much a database holds.

    Args:
        id: The text of its thread's ID.
        name: Its name.
        records: How many records.
        size: The bytes of all that is kept of it, records, documents and indexes; None where it is not measured yet.
    """

    id: str
    name: str
    records: int
    size: int | None


class Link(msgspec.Struct, frozen=True):
    """A link.

    Args:
        url: Where it leads.
    """

    url: str


class OperatorToken(msgspec.Struct, frozen=True):
    """What programs of the operator show: ``Authorization: Bearer TOKEN``.

    Args:
        token: The token.
        seconds: How long it is good for, unless the daemon ends before.
    """

    token: str
    seconds: int


class CallSummary(msgspec.Struct, frozen=True):
    """The calls of a method that ended.

    Args:
        door: ``hub`` or ``threads``.
        method: Its full name.
        ended: How many ended well.
        failed: How many did not.
        mean: How long they took on average, in seconds.
        longest: How long the longest took, in seconds.
    """

    door: str
    method: str
    ended: int
    failed: int
    mean: float
    longest: float


class TrafficSummary(msgspec.Struct, frozen=True):
    """What clients did in ten seconds.

    Args:
        time: When these ended, in seconds since 1970.
        reads: Calls that read instances, a second.
        writes: Calls that write them, a second.
    """

    time: float
    reads: float
    writes: float


class HealthSummary(msgspec.Struct, frozen=True):
    """Whether a daemon takes work.

    Args:
        fault: Why it takes none, for a person to read; empty where it does.
    """

    fault: str = ""


class StatusSummary(msgspec.Struct, frozen=True):
    """How a daemon is doing.

    Args:
        version: Its version.
        ready: Whether work is taken.
        uptime: How long it has run, in seconds.
        databases: How many there are.
        listeners: How many follow them.
        open_calls: How many calls run now.
        batches: How many commits went to the disk.
        commits: How many transactions were in them.
        loop_delay: How late the event loop was at most, in seconds.
        disk: The bytes on the disk, by the part of the repository.
        calls: What was called.
        traffic: The last hour, the oldest first.
        log: The last lines of the log.
    """

    version: str
    ready: bool
    uptime: float
    databases: int
    listeners: int
    open_calls: int
    batches: int
    commits: int
    loop_delay: float
    disk: dict[str, int]
    calls: list[CallSummary]
    traffic: list[TrafficSummary]
    log: list[str]


BrowseResult: TypeAlias = (
    list[CollectionSummary]
    | FoundDocuments
    | Counted
    | SavedDocument
    | list[RecordSummary]
    | list[AccountSummary]
    | list[SizeSummary]
)
