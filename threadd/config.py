"""The settings of a daemon and where they come from.

Each setting has one name. A flag (``--hub-api``) beats the environment (``THREADD_HUB_API``), which beats the TOML file
(``hub-api`` or ``hub_api``), which beats the default.
"""

import dataclasses
import difflib
import ipaddress
import re
import tomllib
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import platformdirs

from net.errors import InvalidAddressError
from net.multiaddr import Multiaddr
from store.errors import StatusCode, ThreaddError
from threadd.db.queries import MAX_QUERY_DEPTH

_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_MAX_PORT = 65_535
_OFF = "off"
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})

CONFIRM_WORDS = ("loopback", "auto", "ask")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("auto", "human", "json")


class SettingError(ThreaddError):
    """A setting has a value that it cannot have, or a name that is not one."""

    code: ClassVar[StatusCode] = StatusCode.INVALID_ARGUMENT


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a door listens.

    Args:
        host: An IP address or a host name, an IPv6 address without brackets.
        port: 0 to 65,535; 0 lets the system choose.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_endpoint(text: str) -> Endpoint | None:
    """Read ``HOST:PORT`` or ``off``.

    Args:
        text: Such as ``127.0.0.1:3006``, ``[::1]:3006``, ``localhost:0`` or ``off``.

    Returns:
        The endpoint, or None for ``off``.

    Raises:
        ValueError: The text is neither; it says what is wrong.
    """
    if text.lower() == _OFF:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or "/" in text or not (port.isascii() and port.isdigit()) or int(port) > _MAX_PORT:
        raise ValueError("is not HOST:PORT or off; write for example 127.0.0.1:3006")
    if not host:
        raise ValueError(f"names no host; write 0.0.0.0:{port} to listen on every interface")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError("has no IPv6 address between its brackets; write for example [::1]:3006") from None
    elif ":" in host:
        raise ValueError("has an IPv6 address without brackets; write for example [::1]:3006")
    elif not _HOSTNAME.fullmatch(host):
        raise ValueError("has a host that is neither an IP address nor a host name")
    return Endpoint(host, int(port))


def _parse_host_addr(text: str) -> Multiaddr | None:
    return None if text.lower() == _OFF else _parse_listen(text)


def _parse_announce(text: str) -> tuple[Multiaddr, ...]:
    if text.lower() == _OFF:
        return ()
    return tuple(_parse_listen(part.strip()) for part in text.split(",") if part.strip())


def _parse_listen(text: str) -> Multiaddr:
    try:
        address = Multiaddr.from_text(text)
    except InvalidAddressError as error:
        raise ValueError(
            f"is no address to listen on ({error.text}); write for example /ip4/0.0.0.0/tcp/4006"
        ) from None
    match address.parts:
        case (("ip4" | "ip6" | "dns4" | "dns6" | "dns", _), ("tcp", _)):
            return address
        case _:
            raise ValueError("is not an IP address and a TCP port; write for example /ip4/0.0.0.0/tcp/4006")


def _parse_folder(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _parse_file(text: str) -> Path | None:
    return None if text.lower() == _OFF else _parse_folder(text)


def _parse_bool(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("is neither true nor false")
    return word in _TRUE


def _parse_domain(text: str) -> str:
    if text.lower() == _OFF:
        return ""
    if not _HOSTNAME.fullmatch(text):
        raise ValueError("is no domain; write for example buckets.localhost")
    return text.lower()


def _parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("is not a whole number of zero or more")
    return int(text)


def _parse_positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError("is not a whole number of one or more")
    return int(text)


def _parse_depth(text: str) -> int:
    depth = _parse_positive(text)
    if depth > MAX_QUERY_DEPTH:
        raise ValueError(f"is more than {MAX_QUERY_DEPTH}, which is as deep as JSON can nest them")
    return depth


@dataclasses.dataclass(frozen=True, slots=True)
class SmtpServer:
    """A server that takes e-mail.

    Args:
        host: Its name or address.
        port: Its port.
        sender: The address that mail comes from.
        encrypted: Whether to speak TLS from the first byte; otherwise it is begun where the server offers it.
        username: Empty for none.
        password: Empty for none.
    """

    host: str
    port: int
    sender: str
    encrypted: bool
    username: str = ""
    password: str = dataclasses.field(default="", repr=False)


_SMTP_PORTS = {"smtp": 587, "smtps": 465}


def _parse_smtp(text: str) -> SmtpServer | None:
    if text.lower() == _OFF:
        return None
    try:
        url = urllib.parse.urlsplit(text)
        port = url.port or _SMTP_PORTS.get(url.scheme, 0)
    except ValueError:
        port = 0
    if not port or not url.hostname:
        raise _BadSmtpError
    sender = urllib.parse.parse_qs(url.query).get("from", [""])[0]
    if not sender:
        raise _BadSmtpError
    return SmtpServer(
        host=url.hostname,
        port=port,
        sender=sender,
        encrypted=url.scheme == "smtps",
        username=urllib.parse.unquote(url.username or ""),
        password=urllib.parse.unquote(url.password or ""),
    )


class _BadSmtpError(ValueError):
    def __init__(self) -> None:
        super().__init__("is no server of e-mail; write for example smtp://user:password@host:587?from=hub@example.org")


def _parse_secret(text: str) -> str:
    if not _SECRET.fullmatch(text):
        raise ValueError("is not 1 to 128 letters, digits, hyphens or underscores")
    return "" if text.lower() == _OFF else text


def _parse_word(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"is none of {', '.join(words)}")
        return text.lower()

    return parse


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Args:
        name: As an identifier, such as ``hub_api``.
        default: As a text.
        parse: Makes the value of a text; raises ValueError with a text that follows the quoted value.
        meaning: One line for the help.
        metavar: What to write in the place of the value; empty for a switch.
    """

    name: str
    default: str
    parse: Callable[[str], Any]
    meaning: str
    metavar: str

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
    Setting("repo", "", _parse_folder, "The folder that holds everything.", "FOLDER"),
    Setting("hub_api", "127.0.0.1:3006", parse_endpoint, "The Hub's gRPC door.", _ADDRESS),
    Setting("hub_web", "127.0.0.1:3007", parse_endpoint, "The Hub's grpc-web door.", _ADDRESS),
    Setting("threads_api", "127.0.0.1:6006", parse_endpoint, "The gRPC door of a plain threads daemon.", _ADDRESS),
    Setting("threads_web", "127.0.0.1:6007", parse_endpoint, "The grpc-web door of a plain threads daemon.", _ADDRESS),
    Setting("gateway", "127.0.0.1:8006", parse_endpoint, "The HTTP gateway.", _ADDRESS),
    Setting(
        "gateway_domain",
        _OFF,
        _parse_domain,
        "A domain whose names all lead to the gateway: each bucket is a website at its key there.",
        "DOMAIN|off",
    ),
    Setting(
        "gateway_documents",
        "false",
        _parse_bool,
        "Let the gateway show documents to anybody who knows their thread, not to this machine and tokens only.",
        "",
    ),
    Setting(
        "operator_token",
        _OFF,
        _parse_secret,
        "What programs on other machines show to read metrics and the console (Authorization: Bearer SECRET).",
        "SECRET|off",
    ),
    Setting(
        "host_addr", "/ip4/0.0.0.0/tcp/4006", _parse_host_addr, "Where peers reach this daemon, or off.", "MULTIADDR"
    ),
    Setting(
        "announce",
        _OFF,
        _parse_announce,
        "Where peers are told to dial this daemon; off for the addresses of this machine.",
        "MULTIADDR,..",
    ),
    Setting(
        "pubsub",
        "false",
        _parse_bool,
        "Bring records to peers by GossipSub as well, as go-threads daemons do that have it enabled.",
        "",
    ),
    Setting(
        "threads_open",
        "false",
        _parse_bool,
        "Let the threads doors, which ask for no key, listen beyond this machine.",
        "",
    ),
    Setting("tls_cert", _OFF, _parse_file, "Speak TLS at every door, with this certificate (PEM).", _FILE),
    Setting("tls_key", _OFF, _parse_file, "The key of --tls-cert (PEM).", _FILE),
    Setting("threads_per_owner", "100", _parse_count, "Threads one owner may have through the Hub; 0: any.", "COUNT"),
    Setting("bytes_per_owner", "0", _parse_count, "How large one owner's buckets may be together; 0: any.", "BYTES"),
    Setting("max_message", "16777216", _parse_positive, "How large one request message may be.", "BYTES"),
    Setting("max_instances", "100000", _parse_positive, "How many instances one message may hold.", "COUNT"),
    Setting("max_schema", "1048576", _parse_positive, "How large the schema of a collection may be.", "BYTES"),
    Setting(
        "max_streams",
        "4096",
        _parse_positive,
        "How many listeners and other streams one identity may have open at a door.",
        "COUNT",
    ),
    Setting(
        "max_query_depth",
        "32",
        _parse_depth,
        f"How deep the alternatives (ors) of a query may nest; {MAX_QUERY_DEPTH} at most.",
        "COUNT",
    ),
    Setting("max_query_time", "120", _parse_positive, "How long one query may take.", "SECONDS"),
    Setting("max_transaction_time", "30", _parse_positive, "How long a client may hold a transaction.", "SECONDS"),
    Setting(
        "confirm",
        "loopback",
        _parse_word(CONFIRM_WORDS),
        "Sign-ups, sign-ins and invitations: auto confirms at once, ask waits for the link of the log or for threadd "
        "confirm, loopback is auto if only this machine can reach the Hub's doors and else ask.",
        "|".join(CONFIRM_WORDS),
    ),
    Setting(
        "confirm_secret",
        _OFF,
        _parse_secret,
        "What confirms all that waits, for test suites only: whoever knows it can sign in as anybody.",
        "SECRET|off",
    ),
    Setting(
        "smtp",
        _OFF,
        _parse_smtp,
        "Where links to confirm are sent by e-mail: smtp://user:password@host:587?from=ADDRESS, or smtps.",
        "URL|off",
    ),
    Setting("log_level", "info", _parse_word(LOG_LEVELS), "What to log.", "|".join(LOG_LEVELS)),
    Setting(
        "log_format", "auto", _parse_word(LOG_FORMATS), "auto: human to a terminal, else json.", "|".join(LOG_FORMATS)
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
    operator_token: str = dataclasses.field(repr=False)
    host_addr: Multiaddr | None
    announce: tuple[Multiaddr, ...]
    pubsub: bool
    threads_open: bool
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
    def asks_to_confirm(self) -> bool:
        """Whether somebody has to confirm sign-ups, sign-ins and invitations."""
        doors = [door for door in (self.hub_api, self.hub_web) if door is not None]
        return self.confirm == "ask" or (self.confirm == "loopback" and not all(door.is_loopback for door in doors))

    @property
    def gateway_url(self) -> str:
        """Where links to the gateway begin; empty where it is off."""
        if self.gateway is None:
            return ""
        host = "127.0.0.1" if self.gateway.host == "0.0.0.0" else self.gateway.host
        return f"{'https' if self.tls_cert else 'http'}://{Endpoint(host, self.gateway.port)}"


def _value(setting: Setting, text: str, source: str) -> Any:
    try:
        return setting.parse(text)
    except ValueError as error:
        raise SettingError(f"{source}: '{text}' {error}") from None


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
            raise SettingError(f"{key} in {path} is neither a text nor a number nor true or false")
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
