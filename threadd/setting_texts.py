"""What the text of a setting may be, and what it stands for.

Each ``parse_...`` takes the text as somebody wrote it and raises `ValueError` where it cannot be one; the error says
what is wrong, to be read after the name of the setting.
"""

import dataclasses
import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from net.errors import InvalidAddressError
from net.multiaddr import Multiaddr
from threadd.db.queries import MAX_QUERY_DEPTH
from threadd.folders import parse_folder

_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_MAX_PORT = 65_535
_OFF = "off"
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


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
        address = self._address
        return self.host == "localhost" or (address is not None and address.is_loopback)

    @property
    def local(self) -> "Endpoint":
        """Where programs of this machine reach it: at the loopback address if it listens on all addresses."""
        address = self._address
        if address is None or not address.is_unspecified:
            return self
        return Endpoint("127.0.0.1" if address.version == 4 else "::1", self.port)  # noqa: PLR2004

    @property
    def _address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


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


def parse_host_addr(text: str) -> Multiaddr | None:
    """Read a multiaddr to listen on, or ``off``."""
    return None if text.lower() == _OFF else parse_listen(text)


def parse_announce(text: str) -> tuple[Multiaddr, ...]:
    """Read multiaddrs joined by commas, or ``off``."""
    if text.lower() == _OFF:
        return ()
    return tuple(parse_listen(part.strip()) for part in text.split(",") if part.strip())


def parse_listen(text: str) -> Multiaddr:
    """Read a multiaddr of an IP address and a TCP port."""
    try:
        address = Multiaddr.from_text(text)
    except InvalidAddressError as error:
        raise ValueError(
            f"is not an address to listen on ({error.text}); write for example /ip4/0.0.0.0/tcp/4006"
        ) from None
    match address.parts:
        case (("ip4" | "ip6" | "dns4" | "dns6" | "dns", _), ("tcp", _)):
            return address
        case _:
            raise ValueError("is not an IP address and a TCP port; write for example /ip4/0.0.0.0/tcp/4006")


def parse_file(text: str) -> Path | None:
    """Read the path of a file, or ``off``."""
    return None if text.lower() == _OFF else parse_folder(text)


def parse_bool(text: str) -> bool:
    """Read true or false, in any of their words."""
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("is neither true nor false")
    return word in _TRUE


def parse_domain(text: str) -> str:
    """Read a domain, or ``off``."""
    if text.lower() == _OFF:
        return ""
    if not _HOSTNAME.fullmatch(text):
        raise ValueError("is not a domain; write for example buckets.localhost")
    return text.lower()


# As browsers write an origin, but that a slash at the end is forgiven. Apps and extensions have schemes of their own.
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?", re.ASCII)
_WHOLE_ORIGINS = frozenset({"*", "null", "file://"})
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def parse_web_origins(text: str) -> frozenset[str]:
    """Read the origins of pages, joined by commas, or ``off``; returns them as browsers write them."""
    if text.lower() == _OFF:
        return frozenset()
    return frozenset(_web_origin(part.strip().lower()) for part in text.split(",") if part.strip())


def _web_origin(text: str) -> str:
    if text in _WHOLE_ORIGINS:
        return text
    matched = _ORIGIN.fullmatch(text)
    if matched is None:
        raise ValueError(
            "is not the origin of a page; write what its browser sends as Origin, such as https://app.example, "
            "http://app.localhost:8080, null, file:// or capacitor://localhost, or * for all"
        )
    scheme, host, port = matched.groups()
    return f"{scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS.get(scheme) else "")


def parse_web_hosts(text: str) -> frozenset[str]:
    """Read host names, joined by commas, or ``off``; returns them in lower case."""
    if text.lower() == _OFF:
        return frozenset()
    return frozenset(_web_host(part.strip().lower()) for part in text.split(",") if part.strip())


def _web_host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            raise ValueError("has no IPv6 address between its brackets; write for example [fd00::1]") from None
    if not _HOSTNAME.fullmatch(text):
        raise ValueError("is not a host name; write it without scheme and port, for example threads.example.org")
    return text


def parse_networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Read IP addresses and networks, joined by commas, or ``off``."""
    if text.lower() == _OFF:
        return ()
    try:
        return tuple(_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(
            f"is not a list of addresses and networks ({error}); write for example 10.0.0.2,fd00::/8"
        ) from None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        # Connections are never from there: an address of IPv4 is looked up as one, however it is written.
        raise ValueError(f"{text} is of IPv4, so write it in that way")
    return network


def parse_count(text: str) -> int:
    """Read a whole number of zero or more."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("is not a whole number of zero or more")
    return int(text)


def parse_positive(text: str) -> int:
    """Read a whole number of one or more."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError("is not a whole number of one or more")
    return int(text)


def parse_depth(text: str) -> int:
    """Read how deep queries may nest."""
    depth = parse_positive(text)
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


def parse_smtp(text: str) -> SmtpServer | None:
    """Read the URL of a server of e-mail, or ``off``."""
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
        super().__init__("is not a mail server; write for example smtp://user:password@host:587?from=hub@example.org")


def parse_secret(text: str) -> str:
    """Read a secret, or ``off``."""
    if not _SECRET.fullmatch(text):
        raise ValueError("is not 1 to 128 letters, digits, hyphens or underscores")
    return "" if text.lower() == _OFF else text


def parse_word(words: tuple[str, ...]) -> Callable[[str], str]:
    """Make what reads one of some words, in either case."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"is not one of {', '.join(words)}")
        return text.lower()

    return parse


def parse_confirm(words: tuple[str, ...]) -> Callable[[str], str]:
    """Make what reads one of the words for confirmations, and says what has taken the place of an earlier one."""
    parse = parse_word(words)

    def parse_or_explain(text: str) -> str:
        if text.lower() == "loopback":
            raise ValueError(
                "is no longer a choice: it let every program of this machine, and everybody behind a proxy on it, sign "
                "in as the owner of the keys; leave it out to confirm each with threadd confirm, or write auto to "
                "confirm sign-ups and invitations without asking"
            )
        return parse(text)

    return parse_or_explain
