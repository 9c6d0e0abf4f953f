"""For which host a request is, and from which origin: RFC 9110, section 7.2; RFC 3986, section 3.2.2; RFC 6454.

What is malformed is refused where a request comes in (`WellFormedRequests`), so that behind it every host can be read.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from store.errors import StatusCode, ThreaddError

_HOST: Final = re.compile(
    r"(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<name>(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+))"
    r"(?::(?P<port>[0-9]{0,5}))?"
)
_ORIGIN: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[^/?#@]+)")
_MOST_PORTS: Final = 65535
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class MalformedHostError(ThreaddError):
    """A Host header names no host."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "the Host header is malformed: send a host name or an IP address, and a port if there is one"


class SeveralOriginsError(ThreaddError):
    """A request has more than one Origin header, as no browser sends."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "the request has several Origin headers"


@dataclass(frozen=True, slots=True)
class Host:
    """A host, and its port.

    Args:
        name: In lower case; an IPv6 address in its shortest form, without brackets.
        port: The port; None where none is named.
    """

    name: str
    port: int | None = None

    def __str__(self) -> str:
        """As a URL has it."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"

    @property
    def is_address(self) -> bool:
        """Whether it is an IP address, which no DNS answer can lead elsewhere."""
        try:
            ipaddress.ip_address(self.name)
        except ValueError:
            return False
        return True

    @property
    def is_loopback(self) -> bool:
        """Whether it is an IP address of the loopback interface; names are never resolved."""
        try:
            return ipaddress.ip_address(self.name).is_loopback
        except ValueError:
            return False

    def below(self, domain: str) -> str | None:
        """What stands before a domain: `key` of `key.sites.example`.

        Args:
            domain: A name; empty for none.

        Returns:
            The labels, or None where the host is not below the domain.
        """
        end = f".{domain.lower()}"
        return self.name.removesuffix(end) if domain and self.name.endswith(end) else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from.

    Args:
        scheme: In lower case.
        host: Its host.
    """

    scheme: str
    host: Host

    def __str__(self) -> str:
        """As browsers write it: RFC 6454, section 6.2."""
        is_default = self.host.port == _DEFAULT_PORTS.get(self.scheme)
        return f"{self.scheme}://{Host(self.host.name) if is_default else self.host}"

    @property
    def port(self) -> int | None:
        """The port that it is served from; None where neither it nor its scheme names one."""
        return _DEFAULT_PORTS.get(self.scheme) if self.host.port is None else self.host.port


def parse_host(text: str) -> Host:
    """Read the value of a Host header.

    Raises:
        MalformedHostError: It is empty, or no host.
    """
    found = _HOST.fullmatch(text)
    if found is None or int(found["port"] or 0) > _MOST_PORTS:
        raise MalformedHostError
    port = int(found["port"]) if found["port"] else None
    if found["name"]:
        return Host(found["name"].lower(), port)
    try:
        return Host(str(ipaddress.IPv6Address(found["literal"])), port)
    except ValueError as error:
        raise MalformedHostError from error


def parse_origin(text: str) -> Origin | None:
    """Read the value of an Origin header.

    Returns:
        The origin, or None for `null` and for what names no host, such as `file://` or `http://[bad`.
    """
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return None
    try:
        return Origin(found["scheme"].lower(), parse_host(found["host"]))
    except MalformedHostError:
        return None


def host_of(headers: Iterable[tuple[bytes, bytes]]) -> Host | None:
    """For which host a request is.

    Args:
        headers: Its headers, with names in lower case, as ASGI has them.

    Returns:
        The host, or None where there is no Host header: in HTTP/1.0 only.

    Raises:
        MalformedHostError: It is malformed, or there are several.
    """
    found = [value for name, value in headers if name == b"host"]
    if len(found) > 1:
        raise MalformedHostError("a request has one Host header")
    return parse_host(found[0].decode("latin-1")) if found else None


def origin_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """From which page a request is, as its browser says: the Fetch standard, section 3.2.

    Args:
        headers: Its headers, with names in lower case, as ASGI has them.

    Returns:
        The value of its Origin header, or None where there is none.

    Raises:
        SeveralOriginsError: There are several.
    """
    found = [value for name, value in headers if name == b"origin"]
    if len(found) > 1:
        raise SeveralOriginsError
    return found[0].decode("latin-1") if found else None


class WellFormedRequests:
    """Middleware that answers 400 to requests whose Host or target is malformed, before anything reads them.

    Args:
        app: Answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or a websocket's handshake."""
        refusal = _fault(scope) if scope["type"] in ("http", "websocket") else ""
        if refusal:
            await PlainTextResponse(f"{refusal}\n", 400)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _fault(scope: Scope) -> str:
    """What is malformed about a request; empty for nothing."""
    path = scope["path"]
    # A URL is put together of scheme, host and target: without its slash a target would be read as part of the host.
    if not path.startswith("/") and path != "*":
        return "the target of a request is a path, which begins with a slash"
    try:
        host_of(scope["headers"])
    except MalformedHostError as error:
        return error.text
    return ""
