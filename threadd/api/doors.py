"""The two doors put together: which services stand behind each, and by which policy.

Whoever composes a daemon does this, on the event loop that shall serve the calls:

    health = Health(works=...)
    services = Services.build(manager=..., network=..., replication=..., ...)
    threads = GrpcDoor(threads_dispatcher(services), "127.0.0.1", 6006)
    hub = GrpcDoor(hub_dispatcher(services, hub), "127.0.0.1", 3006)
    port = await threads.open()            # raises DoorError
    health.set_ready(ready=True)           # once all doors are open
    ...
    health.close()                         # NOT_SERVING; ends what watches
    await threads.close(grace=5.0)         # seconds for running calls; then they are cancelled

Another transport takes the same dispatchers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from google.protobuf.descriptor import ServiceDescriptor

from net.crypto import Randomness
from net.keys import PrivateKey, PublicKey
from net.multiaddr import Multiaddr
from net.network import Network
from net.replication import Replication
from net.tokens import NONE_REVOKED
from threadd.api import (
    accounts_service,
    buckets_service,
    health_service,
    network_service,
    own_service,
    reflection_service,
    threads_service,
    users_service,
)
from threadd.api.accounts_service import AccountsService
from threadd.api.addresses import HostAddresses
from threadd.api.authentication import HubDoorPolicy, ThreadsDoorPolicy
from threadd.api.buckets_service import BucketsService
from threadd.api.budgets import Budgets
from threadd.api.dispatcher import MAX_MESSAGE_BYTES, Dispatcher
from threadd.api.health_service import Health, HealthService
from threadd.api.limits import DEFAULTS, Limits
from threadd.api.network_service import NetworkService
from threadd.api.observing import Observer
from threadd.api.own_service import OwnService
from threadd.api.reflection_service import ReflectionService
from threadd.api.threads_service import ThreadsService
from threadd.api.token_flow import TokenFlow
from threadd.api.users_service import UsersService
from threadd.buckets.buckets import Buckets
from threadd.db.joining import Joining
from threadd.db.manager import Manager
from threadd.hub.hub import Hub


@dataclass(frozen=True, slots=True)
class Services:
    """The servicers that both doors share.

    Args:
        host: The daemon's public key.
        threads: Databases.
        network: Threads.
        buckets: Folders of files.
        own: What goes beyond the Hub.
        health: The state that health checks tell.
        revoked: Up to which second the tokens of an identity do not count.
        clock: Nanoseconds since 1970.
    """

    host: PublicKey
    threads: ThreadsService
    network: NetworkService
    buckets: BucketsService
    own: OwnService
    health: Health
    revoked: Mapping[PublicKey, int]
    clock: Callable[[], int]

    @classmethod
    def build(
        cls,
        *,
        manager: Manager,
        network: Network,
        replication: Replication,
        buckets: Buckets,
        host_key: PrivateKey,
        listen: Multiaddr,
        announce: Sequence[Multiaddr] = (),
        randomness: Randomness,
        clock: Callable[[], int],
        health: Health,
        revoked: Mapping[PublicKey, int] = NONE_REVOKED,
    ) -> Self:
        """Make them.

        Args:
            manager: All databases.
            network: All threads.
            replication: What goes on between this host and others.
            buckets: All buckets.
            host_key: The daemon's key, which signs tokens.
            listen: Where peers reach this daemon, such as `/ip4/0.0.0.0/tcp/4006`.
            announce: What peers are told to dial instead of the addresses of this machine.
            randomness: `os.urandom` outside of tests.
            clock: Nanoseconds since 1970.
            health: The state that health checks tell.
            revoked: Up to which second the tokens of an identity do not count.
        """
        token_flow = TokenFlow(host_key, randomness, clock, revoked=revoked)
        addresses = HostAddresses(listen, host_key.public.peer_id, announce=announce)
        threads = ThreadsService(manager, Joining(manager, replication), token_flow, addresses)
        network_service = NetworkService(network, replication, token_flow, addresses)
        folders = BucketsService(buckets, host_key, clock)
        return cls(host_key.public, threads, network_service, folders, OwnService(manager), health, revoked, clock)


def threads_dispatcher(
    services: Services,
    *,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    observer: Observer | None = None,
    limits: Limits = DEFAULTS,
    budgets: Budgets | None = None,
) -> Dispatcher:
    """What a plain threads daemon and a plain buckets daemon answer.

    Args:
        services: The servicers.
        max_message_bytes: The limit of one request message.
        observer: Hears of every call.
        limits: What else a call and a caller may ask for.
        budgets: What all calls of the daemon may make it keep; None for budgets of this dispatcher alone.
    """
    policy = ThreadsDoorPolicy(services.host, services.revoked)
    size = max_message_bytes
    made = Dispatcher(policy, max_message_bytes=size, observer=observer, limits=limits, budgets=budgets)
    return _dispatcher(services, {}, made)


def hub_dispatcher(
    services: Services,
    hub: Hub,
    *,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    observer: Observer | None = None,
    limits: Limits = DEFAULTS,
    budgets: Budgets | None = None,
) -> Dispatcher:
    """What the Hub answers.

    Args:
        services: The servicers.
        hub: The Hub's rules.
        max_message_bytes: The limit of one request message.
        observer: Hears of every call.
        limits: What else a call and a caller may ask for.
        budgets: What all calls of the daemon may make it keep; None for budgets of this dispatcher alone.
    """
    own: dict[ServiceDescriptor, object] = {
        accounts_service.DESCRIPTOR: AccountsService(hub),
        users_service.DESCRIPTOR: UsersService(hub, services.clock),
    }
    policy = HubDoorPolicy(hub.gate)
    size = max_message_bytes
    made = Dispatcher(policy, max_message_bytes=size, observer=observer, limits=limits, budgets=budgets)
    return _dispatcher(services, own, made)


def _dispatcher(services: Services, own: dict[ServiceDescriptor, object], dispatcher: Dispatcher) -> Dispatcher:
    """Register what stands behind both doors, and what stands behind one."""
    servicers = {
        threads_service.DESCRIPTOR: services.threads,
        network_service.DESCRIPTOR: services.network,
        buckets_service.DESCRIPTOR: services.buckets,
        own_service.DESCRIPTOR: services.own,
        **own,
    }
    for service, servicer in servicers.items():
        dispatcher.register(service, servicer)
    names = [service.full_name for service in servicers]
    dispatcher.register(health_service.DESCRIPTOR, HealthService(services.health, names))
    told = [*names, health_service.DESCRIPTOR.full_name, reflection_service.DESCRIPTOR.full_name]
    dispatcher.register(reflection_service.DESCRIPTOR, ReflectionService(told))
    return dispatcher
