"""The rooms below the doors, built on one repository and joined: what the daemon and the command line share."""

import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from net.crypto import Randomness
from net.keys import PrivateKey
from net.network import Network
from net.peering import Line, Peering
from net.threads import Threads
from store import repository, tables
from store import threads as thread_rows
from store.engine import Engine
from store.file_blocks import FileBlocks
from store.overlay import Overlay
from threadd import hostkey
from threadd.browsing import Browser
from threadd.bucket_files import BucketFiles
from threadd.buckets.buckets import Buckets, Options
from threadd.buckets.instances import Instances
from threadd.db.manager import Manager
from threadd.db.query_time import QUERY_SECONDS
from threadd.db.services import TRANSACTION_SECONDS
from threadd.hub.accounts import Accounts
from threadd.hub.api_keys import ApiKeys
from threadd.hub.confirmations import ConfirmationOptions
from threadd.hub.gate import Gate
from threadd.hub.hub import Hub
from threadd.hub.ownership import DEFAULT_QUOTA
from threadd.operator import Operator
from threadd.takeover import Takeover
from threadd.upkeep import Upkeep


@dataclass(frozen=True, slots=True)
class Rooms:
    """What doors and commands stand on.

    Args:
        engine: The store.
        host_key: The daemon's own key.
        network: All threads.
        line: The way to other hosts, once there is one.
        peering: What goes on with them.
        databases: All databases.
        buckets: All buckets.
        bucket_files: What the operator does with them.
        hub: Accounts and what belongs to them; the next three are parts of it.
        accounts: All accounts.
        api_keys: All API keys.
        gate: The checks of the Hub's door.
        browser: What the operator sees of what is kept.
        operator: The verbs of the command line.
    """

    engine: Engine
    host_key: PrivateKey
    network: Network
    line: Line
    peering: Peering
    databases: Manager
    buckets: Buckets
    bucket_files: BucketFiles
    hub: Hub
    accounts: Accounts
    api_keys: ApiKeys
    gate: Gate
    browser: Browser
    operator: Operator


@asynccontextmanager
async def open_rooms(
    repo: Path,
    *,
    threads_per_owner: int = DEFAULT_QUOTA,
    confirmation: ConfirmationOptions | None = None,
    bucket_options: Options | None = None,
    transaction_seconds: float = TRANSACTION_SECONDS,
    query_seconds: float = QUERY_SECONDS,
    randomness: Randomness = os.urandom,
    clock: Callable[[], int] = time.time_ns,
) -> AsyncGenerator[Rooms, None]:
    """Open a repository, made if it is not there, for as long as the body runs.

    Args:
        repo: The repository's folder.
        threads_per_owner: How many threads an owner may have through the Hub; 0 for any number.
        confirmation: How sign-ups, sign-ins and invitations are confirmed; by the operator when left out.
        bucket_options: Where links to buckets lead and how large they may be; nowhere and any size when left out.
        transaction_seconds: How long a client may hold a transaction open.
        query_seconds: How long one query may take.
        randomness: Gives so many unpredictable bytes.
        clock: Nanoseconds since 1970.

    Yields:
        The rooms.

    Raises:
        RepositoryLockedError: A daemon or a command has it open.
        ThreaddError: It cannot be read.
    """
    async with AsyncExitStack() as stack:
        opened = repository.open_repository(repo)
        stack.push_async_callback(opened.close)
        engine = opened.engine
        host_key = hostkey.load(repo, randomness)

        threads = Threads(engine, host_key, randomness, clock)
        databases = Manager(
            engine, threads, clock, transaction_seconds=transaction_seconds, query_seconds=query_seconds
        )
        stack.push_async_callback(databases.close)
        network = Network(engine, threads, tables.database, databases.app_of)
        stack.push_async_callback(network.close)
        line = Line()
        peering = Peering(engine, threads, network, line, clock)

        blocks = FileBlocks(opened.blocks)
        await blocks.open()
        instances = Instances(databases)
        buckets = Buckets(engine, blocks, instances, bucket_options or Options(), randomness, clock)
        buckets.sweeping.start()
        stack.push_async_callback(buckets.sweeping.close)

        hub = Hub.build(
            Overlay(engine),
            databases,
            network,
            host_key.public,
            threads_per_owner=threads_per_owner,
            confirmation=confirmation or ConfirmationOptions(),
            randomness=randomness,
            clock=clock,
        )
        hub.gate.before_deleting.append(buckets.check_none)
        hub.destruction.before_database.append(buckets.database_ends)
        await hub.accounts.open()
        await hub.ownership.sweep(lambda thread: thread_rows.get_thread(engine, thread.bytes) is not None)

        browser = Browser(engine, threads, databases, hub.ownership)
        bucket_files = BucketFiles(engine, blocks, instances, buckets, hub.accounts)
        yield Rooms(
            engine=engine,
            host_key=host_key,
            network=network,
            line=line,
            peering=peering,
            databases=databases,
            buckets=buckets,
            bucket_files=bucket_files,
            hub=hub,
            accounts=hub.accounts,
            api_keys=hub.api_keys,
            gate=hub.gate,
            browser=browser,
            operator=Operator(
                hub,
                databases,
                Takeover(line, databases, network, peering.replication, host_key.public, buckets.roots),
                peering,
                Upkeep(
                    opened,
                    threads,
                    databases.sweeper,
                    databases.schemas,
                    hub.revocations,
                    buckets.arrivals.database_came,
                ),
                browser,
                bucket_files,
            ),
        )
