"""What the databases of a daemon share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from net.thread_id import ThreadID
from net.threads import Threads
from store.engine import Engine
from store.numbers import Numbers
from threadd.db.schema_checks import SchemaChecks
from threadd.db.scripts import ScriptRunner
from threadd.db.sweeper import Sweeper
from threadd.db.timestamps import InstanceIDs
from threadd.db.transactions import Change

TRANSACTION_SECONDS = 30.0
"""How long a client may hold a transaction open: its state keeps old pages of the store from being used again."""


ChangeObserver: TypeAlias = Callable[[ThreadID, Sequence[Change]], None]
"""Is given the changes of each transaction of a database once they are on disk. It neither waits nor fails."""


@dataclass(frozen=True, slots=True)
class Services:
    """What databases share.

    Args:
        engine: The store.
        threads: The threads that they live in.
        numbers: Gives numbers to collections.
        clock: The time, in ns since 1970.
        instance_ids: Gives IDs to instances that come without.
        sweeper: Deletes what is hidden.
        scripts: Runs validators and filters.
        schemas: Checks instances.
        transaction_seconds: How long a client may hold a transaction open.
        query_seconds: How long one query may take.
        observers: Are given the changes of every database.
    """

    engine: Engine
    threads: Threads
    numbers: Numbers
    clock: Callable[[], int]
    instance_ids: InstanceIDs
    sweeper: Sweeper
    scripts: ScriptRunner
    schemas: SchemaChecks
    transaction_seconds: float
    query_seconds: float
    observers: list[ChangeObserver] = field(default_factory=list)
