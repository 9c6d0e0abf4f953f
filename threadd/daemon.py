"""The composition root: opens the rooms and the doors, waits for the signal to stop, and drains."""

import asyncio
import dataclasses
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import TextIO

import structlog

from net import tokens
from net.multiaddr import Multiaddr
from store import background
from store.accounts import ApiKeyRow
from threadd.api.budgets import Budgets
from threadd.api.dispatcher import Dispatcher
from threadd.api.doors import Services, hub_dispatcher, threads_dispatcher
from threadd.api.health_service import Health
from threadd.api.limits import Limits
from threadd.buckets.buckets import Options
from threadd.config import Settings
from threadd.control import ControlServer
from threadd.hub.api_keys import KeyKind
from threadd.hub.confirmations import UNASKED, ConfirmationOptions, Purpose
from threadd.hub.smtp import SmtpMailer
from threadd.peers import open_host
from threadd.rooms import Rooms, open_rooms
from threadd.setting_texts import Endpoint
from threadd.tls import Tls
from threadd.web.door import WebDoor
from threadd.web.gateway import Gateway, GatewayOptions
from threadd.web.gateway_door import GatewayDoor
from threadd.web.grpc_door import GrpcDoor
from threadd.web.measuring import Measures
from threadd.web.operator_access import Access
from threadd.web.operator_pages import OperatorPages
from threadd.web.origins import ANY, NO_ORIGIN, OriginRule
from threadd.web.proxies import TrustedProxies
from threadd.web.turns import Turns

# How long calls in flight may take to end, in seconds; the whole drain stays below ten.
_GRACE = 5.0

_SNIPPET = """
ctx := common.NewAPIKeyContext(context.Background(), "{key}")
ctx, _ = common.CreateAPISigContext(ctx, time.Now().Add(time.Hour), "{secret}")
threads, _ := client.NewClient("{address}", {transport}, grpc.WithPerRPCCredentials(common.Credentials{{}}))
token, _ := threads.GetToken(ctx, thread.NewLibp2pIdentity(privateKey))
err := threads.NewDB(thread.NewTokenContext(ctx, token), thread.NewIDV1(thread.Raw, 32))
"""

# Named in the addresses of threads by a daemon that talks to no other.
_UNHEARD = Multiaddr.from_text("/ip4/0.0.0.0/tcp/4006")

# The settings of endpoints that show what strangers wrote: their pages may not call the threads grpc-web door.
_FOREIGN_PAGES = ("gateway", "console")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def run(settings: Settings, output: TextIO | None = None) -> None:
    """Run a daemon until SIGTERM or SIGINT.

    Args:
        settings: All settings.
        output: Where to say where it listens; standard output when left out. A terminal is shown an API key as well.

    Raises:
        ThreaddError: The repository or a door cannot be opened.
    """
    output = output or sys.stdout
    stop = asyncio.Event()
    background.watch_process(asyncio.get_running_loop())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        opening = open_rooms(
            settings.repo,
            threads_per_owner=settings.threads_per_owner,
            confirmation=_confirmation(settings),
            bucket_options=Options(settings.gateway_url, settings.gateway_domain, settings.bytes_per_owner),
            transaction_seconds=settings.max_transaction_time,
            query_seconds=settings.max_query_time,
        )
        rooms = await stack.enter_async_context(opening)
        peers = await stack.enter_async_context(open_host(rooms, settings))
        doors = _Doors(settings, rooms, peers)
        stack.push_async_callback(doors.measures.close)
        stack.push_async_callback(doors.close)
        await doors.open()
        control = ControlServer(settings.repo, rooms.operator.handle_json)
        stack.push_async_callback(control.close)
        await control.start()
        print(await _announcement(settings, rooms, doors, peers, with_key=output.isatty()), file=output, flush=True)
        log.info("ready", peer_id=rooms.host_key.public.peer_id_text, repo=str(settings.repo))
        await stop.wait()
        log.info("draining")
    log.info("stopped")


def _limits(settings: Settings) -> Limits:
    return Limits(
        instances=settings.max_instances,
        schema_bytes=settings.max_schema,
        streams=settings.max_streams,
        query_depth=settings.max_query_depth,
    )


def _confirmation(settings: Settings) -> ConfirmationOptions:
    smtp = settings.smtp
    mailer = None if smtp is None else SmtpMailer(**dataclasses.asdict(smtp))
    unasked = UNASKED[settings.confirm]
    if unasked:
        log.warning("sign-ups and invitations are confirmed without asking", confirm=settings.confirm)
    if Purpose.SIGN_IN in unasked:
        log.warning("anybody who reaches the Hub can sign in to every account", confirm=settings.confirm)
    if settings.confirm_secret:
        log.warning("anybody who knows the secret of --confirm-secret can sign in to every account")
    return ConfirmationOptions(unasked, settings.confirm_secret, settings.gateway_url, mailer)


class _Doors:
    """The doors that the settings ask for.

    Args:
        settings: All settings.
        rooms: What the doors stand on.
        peers: Where the host listens, if it does.
    """

    def __init__(self, settings: Settings, rooms: Rooms, peers: Multiaddr | None) -> None:
        self._health = Health(lambda: rooms.engine.is_sound)
        self._doors: list[GrpcDoor | WebDoor | GatewayDoor] = []
        self._settings = settings
        self._proxies = TrustedProxies(settings.trusted_proxy)
        self._turns = Turns()
        self._rooms = rooms
        self._peers = peers
        self.measures = Measures(
            rooms.engine, rooms.databases, settings.repo, rooms.operator.peer_lags, lambda: self._health.ready
        )
        self._access = Access(settings.operator_token, rooms.host_key.public.raw)
        self.pages = OperatorPages(
            rooms,
            self.measures,
            self._access,
            settings.console_names,
            is_secure=settings.tls_cert is not None,
        )
        rooms.operator.live = self.pages
        self.listening: dict[str, Endpoint] = {}
        """Where each open door listens, by the name of its setting."""

    async def open(self) -> None:
        """Open them.

        Raises:
            DoorError: One cannot be opened.
            TlsError: There is no certificate where the settings say.
        """
        settings = self._settings
        hub, threads = self._dispatchers()
        self.measures.start()
        tls = Tls.load(settings.tls_cert, settings.tls_key) if settings.tls_cert and settings.tls_key else None
        await self._open_grpc("hub_api", settings.hub_api, hub, tls)
        await self._open_grpc("threads_api", settings.threads_api, threads, tls)
        await self._open_web("hub_web", settings.hub_web, hub, tls)
        if settings.gateway is not None:
            await self._open_one("gateway", settings.gateway, self._gateway(settings.gateway, tls))
        if settings.console is not None:
            await self._open_one("console", settings.console, self._console(settings.console, tls))
            self.pages.url = f"{'https' if tls else 'http'}://{self.listening['console'].local}"
        # After the gateway and the console, whose ports the rule of origins has to know.
        await self._open_web("threads_web", settings.threads_web, threads, tls, self._origin_rule())
        self._health.set_ready(ready=True)

    def _dispatchers(self) -> tuple[Dispatcher, Dispatcher]:
        """Make what answers the calls of the Hub's doors, and of the threads doors."""
        services = Services.build(
            manager=self._rooms.databases,
            network=self._rooms.network,
            buckets=self._rooms.buckets,
            host_key=self._rooms.host_key,
            replication=self._rooms.peering.replication,
            listen=self._peers or _UNHEARD,
            announce=self._settings.announce,
            randomness=os.urandom,
            clock=time.time_ns,
            health=self._health,
            revoked=self._rooms.hub.revocations.until,
        )
        calls = self.measures.calls
        limits, size = _limits(self._settings), self._settings.max_message
        budgets = Budgets.of(size, limits.streams)
        hub = hub_dispatcher(
            services,
            self._rooms.hub,
            max_message_bytes=size,
            observer=calls["hub"],
            limits=limits,
            budgets=budgets,
        )
        threads = threads_dispatcher(
            services, max_message_bytes=size, observer=calls["threads"], limits=limits, budgets=budgets
        )
        for dispatcher in (hub, threads):
            self._rooms.hub.hear_of_withdrawals(dispatcher.look_again)
        return hub, threads

    def _origin_rule(self) -> OriginRule | None:
        """Which pages and host names the threads grpc-web door answers; None where it is off."""
        endpoint, settings = self._settings.threads_web, self._settings
        if endpoint is None:
            return None
        if ANY in settings.web_origin:
            log.warning("pages of every origin may read and write all threads of this daemon", web_origin=ANY)
        elif NO_ORIGIN in settings.web_origin:
            # Such as those of buckets by path, which are sandboxed.
            log.warning(
                "pages without an origin may read and write all threads of this daemon, and any page can be one: a "
                "sandboxed frame has none",
                web_origin=NO_ORIGIN,
            )
        foreign = [self.listening[name].port for name in _FOREIGN_PAGES if name in self.listening]
        return OriginRule(
            origins=settings.web_origin,
            hosts=settings.web_host | {endpoint.host.lower()},
            foreign_ports=frozenset(foreign),
            is_open=not endpoint.is_loopback,
        )

    def _gateway(self, endpoint: Endpoint, tls: Tls | None) -> GatewayDoor:
        options = GatewayOptions(self._settings.gateway_domain, self._settings.gateway_documents)
        rooms = self._rooms
        host = rooms.host_key.public
        gateway = Gateway(
            rooms.buckets,
            rooms.databases,
            rooms.hub,
            host,
            lambda token: tokens.verify(token, host, rooms.hub.revocations.until),
            self._access,
            options,
            lambda: self._health.ready,
        )
        return GatewayDoor(gateway, endpoint.host, endpoint.port, tls, self._turns)

    def _console(self, endpoint: Endpoint, tls: Tls | None) -> GatewayDoor:
        gateway = self.listening.get("gateway")
        app = self.pages.app(gateway.port if gateway else None)
        return GatewayDoor(app, endpoint.host, endpoint.port, tls, self._turns)

    async def _open_grpc(self, name: str, endpoint: Endpoint | None, dispatcher: Dispatcher, tls: Tls | None) -> None:
        if endpoint is not None:
            door = GrpcDoor(dispatcher, endpoint.host, endpoint.port, tls, self._proxies, self._turns)
            await self._open_one(name, endpoint, door)

    async def _open_web(
        self,
        name: str,
        endpoint: Endpoint | None,
        dispatcher: Dispatcher,
        tls: Tls | None,
        rule: OriginRule | None = None,
    ) -> None:
        if endpoint is not None:
            door = WebDoor(dispatcher, endpoint.host, endpoint.port, tls, rule, self._proxies, self._turns)
            await self._open_one(name, endpoint, door)

    async def _open_one(self, name: str, endpoint: Endpoint, door: GrpcDoor | WebDoor | GatewayDoor) -> None:
        port = await door.open()
        self._doors.append(door)
        self.listening[name] = Endpoint(endpoint.host, port)

    async def close(self) -> None:
        """Take no more calls and let those that run finish; what follows a feed would never, so it is ended."""
        self._health.close()
        self._rooms.databases.end_listeners()
        self._rooms.network.end_subscriptions()
        await asyncio.gather(*(door.close(_GRACE) for door in self._doors))


async def _announcement(
    settings: Settings, rooms: Rooms, doors: _Doors, peers: Multiaddr | None, *, with_key: bool
) -> str:
    """Write what is said at the start; its last line begins with ``ready``."""
    hub = doors.listening.get("hub_api")
    tls = "with TLS" if settings.tls_cert else "without TLS"
    kinds = (
        ("hub", "hub_api", f"gRPC {tls}; API keys and user tokens decide"),
        ("hub web", "hub_web", f"grpc-web {tls}; API keys and user tokens decide"),
        ("threads", "threads_api", f"gRPC {tls}; as a plain threads daemon, no keys"),
        ("threads web", "threads_web", f"grpc-web {tls}; as a plain threads daemon, no keys"),
        ("gateway", "gateway", f"HTTP {tls}; buckets, for anyone with a link"),
        ("console", "console", f"HTTP {tls}; the operator's pages and metrics"),
    )
    lines = [
        f"threadd {version('threadd')}",
        f"  repository   {settings.repo}",
        f"  peer ID      {rooms.host_key.public.peer_id_text}",
    ]
    for name, setting, what in kinds:
        place = doors.listening.get(setting)
        lines.append(f"  {name:<12} {f'{place} ({what})' if place else 'off'}")
    lines.append(f"  {'peers':<12} {peers or 'off'}")
    if with_key and hub is not None:
        key = await _shown_key(rooms)
        lines += ["", f"A user group key, the same on every start:\n  key     {key.key}\n  secret  {key.secret}"]
        lines += ["With it, in Go:"]
        transport = "grpc.WithInsecure()"
        if settings.tls_cert:
            transport = "grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{}))"
        snippet = _SNIPPET.format(key=key.key, secret=key.secret, address=hub, transport=transport)
        lines += ["  " + line for line in snippet.split("\n") if line]
        lines += [""]
    # The link is a secret: whoever reads the log must not find it there.
    if with_key and (link := doors.pages.link()):
        lines += ["The console, opened once by this link (threadd console makes another):", f"  {link}", ""]
    open_doors = " ".join(f"{name.replace('_', '-')}={place}" for name, place in doors.listening.items())
    open_doors += f" peers={peers}" if peers else ""
    lines.append(f"ready {open_doors} peer-id={rooms.host_key.public.peer_id_text}")
    return "\n".join(lines)


async def _shown_key(rooms: Rooms) -> ApiKeyRow:
    """Give the oldest valid user group key of the built-in account, made if there is none."""
    owner = rooms.accounts.local().public_key
    for row in rooms.api_keys.list(owner):
        if row.kind == KeyKind.USER and row.secure and row.valid:
            return row
    return await rooms.api_keys.create(owner, KeyKind.USER)
