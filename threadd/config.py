"""The settings of a daemon and where they come from.

Each setting has one name. A flag (``--hub-api``) beats the environment (``THREADD_HUB_API``), which beats the TOML file
(``hub-api`` or ``hub_api``), which beats the default.
"""

import dataclasses
import difflib
import ipaddress
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import platformdirs

from net.multiaddr import Multiaddr
from store.errors import StatusCode, ThreaddError
from threadd.db.queries import MAX_QUERY_DEPTH
from threadd.folders import parse_folder
from threadd.setting_texts import (
    Endpoint,
    SmtpServer,
    parse_announce,
    parse_bool,
    parse_confirm,
    parse_count,
    parse_depth,
    parse_domain,
    parse_endpoint,
    parse_file,
    parse_host_addr,
    parse_networks,
    parse_positive,
    parse_secret,
    parse_smtp,
    parse_web_hosts,
    parse_web_origins,
    parse_word,
)

CONFIRM_WORDS = ("ask", "auto", "auto-signin")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("auto", "human", "json")


class SettingError(ThreaddError):
    """A setting has a value that it cannot have, or a name that is not one."""

    code: ClassVar[StatusCode] = StatusCode.INVALID_ARGUMENT


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Args:
        name: As an identifier, such as ``hub_api``.
        default: As a text.
        parse: Makes the value of a text; raises ValueError with a text that follows the quoted value.
        meaning: One line for the help.
        metavar: What to write in the place of the value; empty for a switch.
        is_secret: Whether no error repeats the value.
    """

    name: str
    default: str
    parse: Callable[[str], Any]
    meaning: str
    metavar: str
    is_secret: bool = False

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "THREADD_" + self.name.upper()


def default_repo() -> Path:
    """Tell the folder that holds everything when none is named: in the user's data folder."""
    return platformdirs.user_data_path("threadd", appauthor=False)


def default_config_file() -> Path:
    """Tell the TOML file that is read when none is named and it exists: in the user's configuration folder."""
    return platformdirs.user_config_path("threadd", appauthor=False) / "threadd.toml"


_ADDRESS = "HOST:PORT|off"
_FILE = "FILE|off"

SETTINGS: tuple[Setting, ...] = (
    Setting("repo", "", parse_folder, "The folder that holds everything.", "FOLDER"),
    Setting("hub_api", "127.0.0.1:3006", parse_endpoint, "The Hub's gRPC door.", _ADDRESS),
    Setting("hub_web", "127.0.0.1:3007", parse_endpoint, "The Hub's grpc-web door.", _ADDRESS),
    Setting("threads_api", "127.0.0.1:6006", parse_endpoint, "The gRPC door of a plain threads daemon.", _ADDRESS),
    Setting("threads_web", "127.0.0.1:6007", parse_endpoint, "The grpc-web door of a plain threads daemon.", _ADDRESS),
    Setting("gateway", "127.0.0.1:8006", parse_endpoint, "The HTTP gateway.", _ADDRESS),
    Setting(
        "gateway_domain",
        "off",
        parse_domain,
        "A domain whose names all lead to the gateway: each bucket is a website at its key there.",
        "DOMAIN|off",
    ),
    Setting(
        "gateway_documents",
        "false",
        parse_bool,
        "Let the gateway show documents to anybody who knows their thread, not only to users and the operator.",
        "",
    ),
    Setting(
        "console",
        "127.0.0.1:8007",
        parse_endpoint,
        "The operator's HTTP endpoint: the console, metrics and health.",
        _ADDRESS,
    ),
    Setting(
        "console_host",
        "off",
        parse_web_hosts,
        "Host names that the console is reached by, besides IP addresses, localhost and the host of --console.",
        "NAME,..|off",
    ),
    Setting(
        "operator_token",
        "off",
        parse_secret,
        "A token of the operator's programs that stays (Authorization: Bearer SECRET); threadd token makes others.",
        "SECRET|off",
        is_secret=True,
    ),
    Setting(
        "host_addr", "/ip4/0.0.0.0/tcp/4006", parse_host_addr, "Where peers reach this daemon, or off.", "MULTIADDR"
    ),
    Setting(
        "announce",
        "off",
        parse_announce,
        "Where peers are told to dial this daemon; off for the addresses of this machine.",
        "MULTIADDR,..",
    ),
    Setting(
        "pubsub",
        "false",
        parse_bool,
        "Bring records to peers by GossipSub as well, as go-threads daemons do that have it enabled.",
        "",
    ),
    Setting(
        "threads_open",
        "false",
        parse_bool,
        "Let the threads doors, which ask for no key, listen beyond this machine.",
        "",
    ),
    Setting(
        "web_origin",
        "off",
        parse_web_origins,
        "Origins whose pages may call the threads grpc-web door, besides pages of this machine: such as "
        "https://app.example, file:// or capacitor://localhost; * for all, and null for pages without one, as any page "
        "can make itself.",
        "ORIGIN,..|off",
    ),
    Setting(
        "web_host",
        "off",
        parse_web_hosts,
        "Host names that the threads grpc-web door is reached by, besides those of this machine.",
        "NAME,..|off",
    ),
    Setting(
        "trusted_proxy",
        "off",
        parse_networks,
        "Proxies that are trusted to say where their clients are: by X-Forwarded-For at the grpc-web doors, by the "
        "PROXY protocol at the gRPC doors. It serves logs and limits by address; an address grants nothing.",
        "ADDRESS[/BITS],..|off",
    ),
    Setting("tls_cert", "off", parse_file, "Speak TLS at every door, with this certificate (PEM).", _FILE),
    Setting("tls_key", "off", parse_file, "The key of --tls-cert (PEM).", _FILE),
    Setting(
        "threads_per_owner", "100", parse_count, "Threads one owner may have through the Hub; 0 for no limit.", "COUNT"
    ),
    Setting(
        "bytes_per_owner", "0", parse_count, "How large one owner's buckets may be together; 0 for no limit.", "BYTES"
    ),
    Setting("max_message", "16777216", parse_positive, "How large one request message may be.", "BYTES"),
    Setting("max_instances", "100000", parse_positive, "How many instances one message may hold.", "COUNT"),
    Setting("max_schema", "1048576", parse_positive, "How large the schema of a collection may be.", "BYTES"),
    Setting(
        "max_streams",
        "4096",
        parse_positive,
        "How many listeners and other streams one identity, or one address without any, may have open at an endpoint.",
        "COUNT",
    ),
    Setting(
        "max_query_depth",
        "32",
        parse_depth,
        f"How deep the alternatives (ors) of a query may nest; {MAX_QUERY_DEPTH} at most.",
        "COUNT",
    ),
    Setting("max_query_time", "120", parse_positive, "How long one query may take.", "SECONDS"),
    Setting("max_transaction_time", "30", parse_positive, "How long a client may hold a transaction.", "SECONDS"),
    Setting(
        "confirm",
        "ask",
        parse_confirm(CONFIRM_WORDS),
        "Sign-ups, sign-ins and invitations: with ask each waits for threadd confirm, or for the link in the log or an "
        "e-mail; auto confirms sign-ups and invitations at once; auto-signin also lets anybody sign in to any account.",
        "|".join(CONFIRM_WORDS),
    ),
    Setting(
        "confirm_secret",
        "off",
        parse_secret,
        "What confirms all that waits, for test suites only: everybody who knows it can sign in as anybody.",
        "SECRET|off",
        is_secret=True,
    ),
    Setting(
        "smtp",
        "off",
        parse_smtp,
        "Where links to confirm are sent by e-mail: smtp://user:password@host:587?from=ADDRESS, or smtps.",
        "URL|off",
        is_secret=True,
    ),
    Setting("log_level", "info", parse_word(LOG_LEVELS), "What to log.", "|".join(LOG_LEVELS)),
    Setting(
        "log_format", "auto", parse_word(LOG_FORMATS), "auto: human to a terminal, else json.", "|".join(LOG_FORMATS)
    ),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its value; None for what is off."""

    repo: Path
    hub_api: Endpoint | None
    hub_web: Endpoint | None
    threads_api: Endpoint | None
    threads_web: Endpoint | None
    gateway: Endpoint | None
    gateway_domain: str
    gateway_documents: bool
    console: Endpoint | None
    console_host: frozenset[str]
    operator_token: str = dataclasses.field(repr=False)
    host_addr: Multiaddr | None
    announce: tuple[Multiaddr, ...]
    pubsub: bool
    threads_open: bool
    web_origin: frozenset[str]
    web_host: frozenset[str]
    trusted_proxy: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    tls_cert: Path | None
    tls_key: Path | None
    threads_per_owner: int
    bytes_per_owner: int
    max_message: int
    max_instances: int
    max_schema: int
    max_streams: int
    max_query_depth: int
    max_query_time: int
    max_transaction_time: int
    confirm: str
    confirm_secret: str = dataclasses.field(repr=False)
    smtp: SmtpServer | None
    log_level: str
    log_format: str

    @property
    def console_names(self) -> frozenset[str]:
        """The host names that the console is reached by."""
        return self.console_host | ({self.console.host.lower()} if self.console else set())

    @property
    def gateway_url(self) -> str:
        """Where links to the gateway begin; empty where it is off."""
        if self.gateway is None:
            return ""
        return f"{'https' if self.tls_cert else 'http'}://{self.gateway.local}"


def _value(setting: Setting, text: str, source: str) -> Any:
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = "the value" if setting.is_secret else f"'{text}'"
        raise SettingError(f"{source}: {shown} {error}") from None


def _read_file(path: Path) -> Mapping[str, str]:
    """Read the TOML file; returns texts by the names of settings."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} is not TOML: {error}") from error
    found: dict[str, str] = {}
    for key, value in document.items():
        name = key.replace("-", "_")
        if name not in _BY_NAME:
            near = difflib.get_close_matches(name, _BY_NAME, n=1)
            hint = f"did you mean {near[0].replace('_', '-')}?" if near else f"known are {', '.join(_file_names())}"
            raise SettingError(f"{path} has the unknown key '{key}'; {hint}")
        if name in found:
            raise SettingError(f"{path} gives {name.replace('_', '-')} twice")
        if not isinstance(value, str | int):
            raise SettingError(
                f"{key} in {path} is not a string, an integer, true or false; where several values may be given, write "
                "them as one string with commas between them"
            )
        found[name] = str(value)
    return found


def _file_names() -> list[str]:
    return [setting.name.replace("_", "-") for setting in SETTINGS]


def load(flags: Mapping[str, str | None], environment: Mapping[str, str], config_file: Path | None = None) -> Settings:
    """Join all sources of settings.

    Args:
        flags: Values of the command line by the names of settings; None for a flag that was not given.
        environment: The environment's variables. An empty value counts as none.
        config_file: The TOML file that the command line names; otherwise ``THREADD_CONFIG`` names it, and otherwise
            the one in the user's configuration folder is read if it exists.

    Returns:
        The settings, all of them valid.

    Raises:
        SettingError: A value or a name is wrong, or the file cannot be read. The text names the place and says what to
            write instead.
    """
    path = config_file
    if path is None and environment.get("THREADD_CONFIG"):
        path = Path(environment["THREADD_CONFIG"])
    if path is None and default_config_file().is_file():
        path = default_config_file()
    file = _read_file(path) if path is not None else {}

    values: dict[str, Any] = {}
    for setting in SETTINGS:
        flag, variable = flags.get(setting.name), environment.get(setting.variable)
        if flag is not None:
            values[setting.name] = _value(setting, flag, setting.flag)
        elif variable:
            values[setting.name] = _value(setting, variable, setting.variable)
        elif setting.name in file:
            source = f"{setting.name.replace('_', '-')} in {path}"
            values[setting.name] = _value(setting, file[setting.name], source)
        else:
            values[setting.name] = setting.parse(setting.default or str(default_repo()))
    settings = Settings(**values)
    _check_threads_doors(settings)
    _check_websites(settings)
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingError("--tls-cert and --tls-key belong together: give both, or none for doors in plain text")
    return settings


def _check_threads_doors(settings: Settings) -> None:
    """Refuse to open a door without keys to a network unless that was asked for."""
    if settings.threads_open:
        return
    for name in ("threads_api", "threads_web"):
        endpoint: Endpoint | None = getattr(settings, name)
        if endpoint is not None and not endpoint.is_loopback:
            raise SettingError(
                f"{_BY_NAME[name].flag}: {endpoint} can be reached from other machines, and this door asks for no key; "
                f"use 127.0.0.1:{endpoint.port}, or add --threads-open if everybody who can reach it may read and write"
            )


def _check_websites(settings: Settings) -> None:
    """Refuse to serve strangers' websites under a domain that the console is reached by.

    Websites of `*.DOMAIN` are of the same site as each name in it and may set cookies there, and for each name that the
    domain is in (RFC 6265, 5.1.3). A name without a dot, such as `localhost`, is a public suffix to browsers: no cookie
    can be set for it.
    """
    domain = settings.gateway_domain
    if not domain:
        return
    for name in sorted(settings.console_names):
        is_above = "." in name and f".{domain}".endswith(f".{name}")
        if is_above or name.endswith(f".{domain}"):
            raise SettingError(
                f"--gateway-domain: the websites under {domain} would share cookies with the console at {name}; "
                "give the buckets a domain of their own"
            )
