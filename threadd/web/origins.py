"""Which pages and host names a web endpoint that asks for no key answers.

Any page that is open in a browser of this machine can reach an endpoint on loopback, so what a browser says of the page
decides: `Origin` (the Fetch standard, 3.2), which no page can leave out of a POST or a websocket's handshake, and
`Sec-Fetch-Site` (Fetch Metadata). `Host` decides as well: a page whose own name leads to this machine (DNS rebinding)
is a page of the endpoint's own origin to its browser. Programs send neither of the first two, and need nothing.

Where a header is missing, is there twice, or is not written as browsers write it, the answer is no.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Final

from store.errors import StatusCode, ThreaddError
from threadd.web.hosts import MalformedHostError, SeveralOriginsError, host_of, origin_of, parse_origin

ANY: Final = "*"
"""The value of --web-origin that lets pages of every origin call."""

NO_ORIGIN: Final = "null"
"""What browsers write for a page without an origin: one of a file, and every sandboxed one, whoever wrote it."""

_PAGE_SCHEMES: Final = frozenset({"http", "https"})
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_NOT_CROSS_SITE: Final = frozenset({b"same-origin", b"none"})

# How much of a refused name is repeated, in characters.
_SHOWN: Final = 120


class OriginError(ThreaddError):
    """A page, or a request to a foreign host name, calls an endpoint that does not answer it."""

    code: ClassVar[StatusCode] = StatusCode.PERMISSION_DENIED


@dataclasses.dataclass(frozen=True, slots=True)
class OriginRule:
    """What an endpoint answers.

    Args:
        origins: Origins of pages that may call beside those of this machine, as browsers write them; or `ANY`.
        hosts: Host names that it is reached by beside this machine's, as `Host.name` has them.
        foreign_ports: Ports of this machine whose pages may be written by strangers: the gateway's.
        is_open: Whether it listens to other machines on purpose: then any IP address may be its host. An address is
            nothing that a page could have led here by DNS.
    """

    origins: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    foreign_ports: frozenset[int] = frozenset()
    is_open: bool = False

    def check(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Refuse a request that this endpoint does not answer.

        Args:
            headers: All headers of the request or of the websocket's handshake, with names in lower case, as ASGI has
                them.

        Raises:
            OriginError: It is one; the text names the setting that would let it in.
        """
        self._check_host(headers)
        try:
            origin = origin_of(headers)
        except SeveralOriginsError as error:
            raise OriginError(error.text) from error
        if origin is not None:
            self._check_origin(origin)
        elif not _NOT_CROSS_SITE.issuperset(value for name, value in headers if name == b"sec-fetch-site"):
            raise OriginError(
                "a browser marks this request as one of another site, without the origin of its page: this endpoint "
                "asks for no key and answers pages by their origin only (--web-origin)"
            )

    def _check_host(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        try:
            host = host_of(headers)
        except MalformedHostError as error:
            raise OriginError(error.text) from error
        if host is None:
            raise OriginError(
                "the request has no Host header: this endpoint asks for no key and answers under its name"
            )
        is_own = host.is_loopback or (self.is_open and host.is_address)
        if host.name != "localhost" and host.name not in self.hosts and not is_own:
            raise OriginError(
                f"this endpoint asks for no key and does not answer under the foreign host name {host.name[:_SHOWN]}: "
                f"if it is yours, start the daemon with --web-host {host.name[:_SHOWN]}"
            )

    def _check_origin(self, origin: str) -> None:
        if ANY in self.origins or origin in self.origins or self._is_local_page(origin):
            return
        if origin == NO_ORIGIN:
            raise OriginError(
                "this endpoint asks for no key and does not answer pages without an origin of their own (null), such "
                "as files, sandboxed frames and pages of buckets: serve the page from http://localhost:PORT, or start "
                "the daemon with --web-origin null if any such page, by any author, may read and write everything here"
            )
        if not origin:
            raise OriginError("the Origin header is empty: this endpoint answers pages by their origin (--web-origin)")
        shown = origin[:_SHOWN]
        raise OriginError(
            f"this endpoint asks for no key and does not answer pages of the origin {shown}: "
            f"if they may read and write everything here, start the daemon with --web-origin {shown}"
        )

    def _is_local_page(self, text: str) -> bool:
        origin = parse_origin(text)
        if origin is None or str(origin) != text:
            return False
        is_local = origin.scheme in _PAGE_SCHEMES and origin.host.name in _LOOPBACK_NAMES
        return is_local and bool(origin.port) and origin.port not in self.foreign_ports
