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
from net.threads import Threads
from store import repository, tables
from store import threads as thread_rows
from store.engine import Engine
from store.overlay import Overlay
from threadd import hostkey
from threadd.db.manager import Manager
from threadd.hub.accounts import Accounts
from threadd.hub.api_keys import ApiKeys
from threadd.hub.callers import Callers
from threadd.hub.gate import Gate
from threadd.hub.ownership import DEFAULT_QUOTA, Ownership
from threadd.operator import Operator


@dataclass(frozen=True, slots=True)
class Rooms:
    """What doors and commands stand on.

    Args:
        engine: The store.
        host_key: The daemon's own key.
        network: All threads.
        databases: All databases.
        accounts: All accounts.
        api_keys: All API keys.
        gate: The checks of the Hub's door.
        operator: The verbs of the command line.
    """

    engine: Engine
    host_key: PrivateKey
    network: Network
    databases: Manager
    accounts: Accounts
    api_keys: ApiKeys
    gate: Gate
    operator: Operator


@asynccontextmanager
async def open_rooms(
    repo: Path,
    *,
    threads_per_owner: int = DEFAULT_QUOTA,
    randomness: Randomness = os.urandom,
    clock: Callable[[], int] = time.time_ns,
) -> AsyncGenerator[Rooms, None]:
    """Open a repository, made if it is not there, for as long as the body runs.

    Args:
        repo: The repository's folder.
        threads_per_owner: How many threads an owner may have through the Hub; 0 for any number.
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
        databases = Manager(engine, threads, clock)
        stack.push_async_callback(databases.close)
        network = Network(engine, threads, tables.database, databases.app_of)
        stack.push_async_callback(network.close)

        overlay = Overlay(engine)
        accounts = Accounts(overlay, randomness, clock)
        await accounts.open()
        api_keys = ApiKeys(overlay, randomness, clock)
        ownership = Ownership(overlay, clock, threads_per_owner)
        await ownership.sweep(lambda thread: thread_rows.get_thread(engine, thread.bytes) is not None)
        callers = Callers(accounts, api_keys, host_key.public, clock)

        yield Rooms(
            engine=engine,
            host_key=host_key,
            network=network,
            databases=databases,
            accounts=accounts,
            api_keys=api_keys,
            gate=Gate(callers, ownership),
            operator=Operator(accounts, api_keys, ownership, databases),
        )
