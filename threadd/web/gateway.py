"""The gateway: buckets over HTTP, for whoever has a link (hub-protocol.md, section 6).

A directory that holds a file `index.html` is shown as that, any other as a listing. Private content wants a token with
each request. Documents, and the private buckets that nobody owns, are shown to users with a token and to the operator.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from net import cid as cids
from net.errors import InvalidThreadIDError
from net.keys import PublicKey
from net.thread_id import ThreadID
from store.errors import StatusCode, ThreaddError
from threadd.buckets.access import COLLECTION
from threadd.buckets.buckets import Buckets
from threadd.buckets.errors import InvalidBucketCidError, InvalidPathError
from threadd.buckets.files import File
from threadd.buckets.instances import Actor
from threadd.buckets.items import Item
from threadd.buckets.model import Bucket
from threadd.db.manager import Manager
from threadd.hub.errors import InvitationExpiredError, InvitationNotFoundError
from threadd.hub.hub import Hub
from threadd.web import pages
from threadd.web.content_types import SNIFFED_BYTES, content_type
from threadd.web.health import health_response
from threadd.web.hosts import host_of
from threadd.web.operator_access import TOKEN_HINT, Access
from threadd.web.pages import Row, address
from threadd.web.ranges import UnsatisfiableRangeError, has_tag, parse_range

INDEX: Final = "index.html"

_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_FOREVER: Final = "public, max-age=29030400, immutable"
_ASK: Final = "no-cache"
_PRIVATE: Final = "private, no-cache"
_NOT_THERE: Final = (
    "There is nothing here, or nothing that this link opens. What is private needs a user's token (?token=...) or, if "
    f"it has no owner, the operator's: {TOKEN_HINT}"
)
_JSON: Final = "application/json"
_METRICS_MOVED: Final = "metrics are at /metrics of the console's endpoint (--console, by default 127.0.0.1:8007)\n"
_CONSOLE_MOVED: Final = "the console has an endpoint of its own (--console); threadd console prints a link to it\n"

_HEADERS: Final = {
    # Pages of any site may read what is here, as at the hosted Hub. Browsers hold that to requests without credentials
    # of their own, so nothing is shown for a cookie; a token in the URL is shown by those who have it.
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "Content-Length, Content-Range, ETag",
    # Tokens stay out of what other sites are sent, and types are those that are named.
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""What every answer has, whatever it is."""

_SANDBOX: Final = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"
_ISOLATED: Final = {"content-security-policy": f"{_SANDBOX}; frame-ancestors 'none'", "x-frame-options": "DENY"}
"""What keeps pages apart, unless a route says otherwise: no frame shows an answer, and it has no origin's rights."""

_BY_PATH: Final = {"content-security-policy": _SANDBOX}
"""For content by path: it shares this address with all other content, so each page gets an origin of its own."""

_BY_NAME: Final[Mapping[str, str]] = {}
"""For a website under the domain: its name is an origin of its own."""

log = structlog.get_logger(__name__)


class HiddenError(ThreaddError):
    """A private bucket is not shown to this caller, who is not to learn that it exists."""

    code = StatusCode.NOT_FOUND


class TokenRequiredError(ThreaddError):
    """Documents and lists of buckets are not shown to a caller without a token, whether they exist or not."""

    code = StatusCode.UNAUTHENTICATED
    default_text = (
        f"documents and lists of buckets are shown to users with a token (?token=...) and to the operator: {TOKEN_HINT}"
    )


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """What the operator says of the gateway.

    Args:
        domain: The domain under which each bucket is a website; empty for none.
        shows_documents: Whether documents are shown to anybody.
    """

    domain: str = ""
    shows_documents: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """Something that is shown, and where its parts are.

    Args:
        item: Looks up what is at a path of it.
        file: Opens a file of it.
        base: The parts of the URL of its root.
        title: What it is called.
        token: The token that its links need; empty for none.
        caching: What caches may do with its files.
        isolation: The headers that keep it apart from other content.
    """

    item: Callable[[str], Awaitable[Item]]
    file: Callable[[str], Awaitable[File]]
    base: tuple[str, ...]
    title: str
    token: str
    caching: str
    isolation: Mapping[str, str]

    def address(self, path: str, *, is_directory: bool) -> str:
        """The URL of a path of it."""
        parts = path.split("/") if path else []
        return address(*self.base, *parts, token=self.token, is_directory=is_directory)


class Gateway:
    """The pages.

    Args:
        buckets: All buckets.
        databases: All databases.
        hub: Accounts, for links that confirm.
        host: The daemon's public key, in whose name what anybody may see is read.
        verify: Whom a token names; raises an error for one that does not count.
        access: Who is the operator.
        options: What the operator says.
        is_ready: Whether the daemon takes work.
    """

    def __init__(
        self,
        buckets: Buckets,
        databases: Manager,
        hub: Hub,
        host: PublicKey,
        verify: Callable[[str], PublicKey],
        access: Access,
        options: GatewayOptions,
        is_ready: Callable[[], bool],
    ) -> None:
        self._buckets = buckets
        self._databases = databases
        self._hub = hub
        self._host = host
        self._verify = verify
        self._access = access
        self._options = options
        self._is_ready = is_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; this is an ASGI application."""
        request = Request(scope, receive)
        request.state.isolation = _ISOLATED
        try:
            response = await self._answer(request)
        except Exception:
            log.exception("a page could not be made", path=_logged_path(request))
            text = "The gateway failed at this; its log says why."
            response = HTMLResponse(pages.message("500 Server error", text), 500)
        response.headers.update(_HEADERS | request.state.isolation)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in _METHODS:
            return _not_allowed(_METHODS)
        if request.method == "OPTIONS":
            methods = {
                "access-control-allow-methods": "GET, HEAD",
                "access-control-allow-headers": "Range, Authorization",
            }
            return Response(status_code=204, headers=methods)
        try:
            return await self._route(request)
        except ThreaddError as error:
            return _refusal(request, error)

    async def _route(self, request: Request) -> Response:
        host = host_of(request.scope["headers"])
        key = None if host is None else host.below(self._options.domain)
        parts = [part for part in request.scope["path"].split("/") if part]
        below = "/".join(parts[2:])
        if key is not None:
            return await self._website(request, key, "/".join(parts))
        match parts:
            case ["ipfs", cid, *_]:
                return await self._ipfs(request, cid, below)
            case ["ipns", name, *_]:
                return await self._ipns(request, name, below)
            case ["thread", thread, *rest]:
                return await self._thread(request, ThreadID.from_text(thread), rest)
            case ["confirm" | "consent" as purpose, secret]:
                return await self._follow(request, purpose, secret)
            case _:
                return self._about(parts)

    def _about(self, parts: list[str]) -> Response:
        """What the gateway says of the daemon."""
        match parts:
            case []:
                return HTMLResponse(pages.message("threadd", "This is the gateway of a threadd daemon."))
            case ["health"]:
                return PlainTextResponse("ok\n")
            case ["healthz" | "readyz" as name]:
                return health_response(f"/{name}", self._is_ready)
            case ["metrics"]:
                return PlainTextResponse(_METRICS_MOVED, 410)
            case ["_", *_]:
                return PlainTextResponse(_CONSOLE_MOVED, 410)
            case _:
                return _not_found()

    async def _ipfs(self, request: Request, cid: str, path: str) -> Response:
        root = "/ipfs/" + cid
        place = _Place(
            item=lambda below: self._buckets.contents.ipfs_item(f"{root}/{below}"),
            file=lambda below: self._buckets.contents.ipfs_file(f"{root}/{below}"),
            base=("ipfs", cid),
            title=root,
            token="",
            caching=_FOREVER,
            isolation=_BY_PATH,
        )
        return await _show(request, place, path)

    async def _ipns(self, request: Request, name: str, path: str) -> Response:
        thread = self._buckets.thread_of(name)
        if thread is None:
            return _not_found()
        return await self._bucket(request, thread, name, path, ("ipns", name))

    async def _website(self, request: Request, key: str, path: str) -> Response:
        thread = self._buckets.thread_of(key)
        if thread is None:
            return _not_found()
        bucket, actor = await self._opened(request, thread, key)
        place = self._place(bucket, actor, ())
        item = await place.item(path)
        if item.is_directory and not _has_index(item):
            text = "an index.html file was not found in this bucket"
            return HTMLResponse(pages.message("404 Not found", text), 404)
        return await _show(request, place, path)

    async def _thread(self, request: Request, thread: ThreadID, rest: list[str]) -> Response:
        as_json = request.query_params.get("json") == "true"
        match rest:
            case [collection]:
                if collection == COLLECTION and not as_json:
                    return await self._bucket_list(request, thread)
                return await self._documents(request, thread, collection)
            case [collection, key] if collection != COLLECTION or as_json:
                return await self._document(request, thread, collection, key)
            case [collection, key, *below] if collection == COLLECTION and not as_json:
                base = ("thread", thread.text, COLLECTION, key)
                return await self._bucket(request, thread, key, "/".join(below), base)
        return _not_found()

    async def _bucket(self, request: Request, thread: ThreadID, key: str, path: str, base: tuple[str, ...]) -> Response:
        bucket, actor = await self._opened(request, thread, key)
        return await _show(request, self._place(bucket, actor, base), path)

    async def _opened(self, request: Request, thread: ThreadID, key: str) -> tuple[Bucket, Actor]:
        """A bucket that a request may see, and on whose behalf it is seen."""
        actor = self._actor(request)
        bucket = await self._buckets.get(thread, actor, key)
        if bucket.is_private and not bucket.owner and not actor.named and not self._access.has_token(request):
            # A private bucket without an owner is the operator's.
            raise HiddenError
        return bucket, actor

    def _place(self, bucket: Bucket, actor: Actor, base: tuple[str, ...]) -> _Place:
        return _Place(
            item=lambda path: self._buckets.contents.item(bucket, path),
            file=lambda path: self._buckets.contents.file(bucket, path),
            base=base,
            title=bucket.name or bucket.id,
            token=actor.token,
            caching=_PRIVATE if bucket.is_private or actor.token else _ASK,
            isolation=_BY_PATH if base else _BY_NAME,
        )

    async def _bucket_list(self, request: Request, thread: ThreadID) -> Response:
        actor = self._reader(request)
        found = await self._buckets.list_buckets(thread, actor)
        rows = [
            Row(
                bucket.name or bucket.id,
                address("thread", thread.text, COLLECTION, bucket.id, token=actor.token, is_directory=True),
                is_directory=True,
            )
            for bucket in found
        ]
        return HTMLResponse(pages.listing("Buckets", f"/thread/{thread.text}/{COLLECTION}", "", rows))

    async def _documents(self, request: Request, thread: ThreadID, collection: str) -> Response:
        actor = self._reader(request)
        texts = await self._databases.get(thread).find(collection, b"{}", actor.identity)
        return Response(b"[" + b",".join(texts) + b"]", media_type=_JSON)

    async def _document(self, request: Request, thread: ThreadID, collection: str, instance_id: str) -> Response:
        actor = self._reader(request)
        text = await self._databases.get(thread).find_by_id(collection, instance_id, actor.identity)
        return Response(text, media_type=_JSON)

    def _actor(self, request: Request) -> Actor:
        """On whose behalf a request is answered.

        Raises:
            InvalidTokenError, TokenNotFoundError: Its token does not count.
        """
        token = request.query_params.get("token", "")
        if not token:
            return Actor(self._host, named=False)
        return Actor(self._verify(token), token=token)

    def _reader(self, request: Request) -> Actor:
        """On whose behalf documents are shown.

        Raises:
            TokenRequiredError: They are not shown to this caller.
            InvalidTokenError, TokenNotFoundError: As `_actor`.
        """
        actor = self._actor(request)
        if not (actor.named or self._options.shows_documents or self._access.has_token(request)):
            raise TokenRequiredError
        return actor

    async def _follow(self, request: Request, purpose: str, secret: str) -> Response:
        """Do what a link does."""
        if request.method != "GET":
            # What only looks whether a link leads anywhere, as filters of e-mail do, confirms nothing.
            return _not_allowed(("GET", "OPTIONS"))
        return self._confirm(secret) if purpose == "confirm" else await self._consent(secret)

    def _confirm(self, secret: str) -> Response:
        confirmed = self._hub.confirmations.confirm(secret)
        if not confirmed:
            return _not_found("Nothing waits for this confirmation. It may have been used, or be too old.")
        what = ", ".join(f"the {one.purpose} of {one.name}" for one in confirmed)
        return HTMLResponse(pages.message("Confirmed", f"You confirmed {what}. You can close this page."))

    async def _consent(self, token: str) -> Response:
        try:
            organisation, email = await self._hub.invitations.consent(token)
        except InvitationExpiredError as error:
            return HTMLResponse(pages.message("Too late", error.text), 412)
        except InvitationNotFoundError:
            return _not_found("There is no such invitation.")
        return HTMLResponse(pages.message("Welcome", f"{email} may now join {organisation}."))


async def _show(request: Request, place: _Place, path: str) -> Response:
    """A file, a directory's page, or its listing."""
    request.state.isolation = place.isolation
    item = await place.item(path)
    if not item.is_directory:
        return await _send(request, await place.file(path), item, place.caching)
    if _has_index(item):
        if not request.url.path.endswith("/"):
            return RedirectResponse(place.address(path, is_directory=True), 302)
        path = f"{path}/{INDEX}" if path else INDEX
        return await _send(request, await place.file(path), await place.item(path), place.caching)
    rows = [
        Row(
            inner.name,
            place.address(f"{path}/{inner.name}" if path else inner.name, is_directory=inner.is_directory),
            inner.size,
            inner.is_directory,
        )
        for inner in item.items
    ]
    back = place.address(path.rpartition("/")[0], is_directory=True) if path else ""
    title = f"Index of {place.title}{'/' + path if path else ''}"
    return HTMLResponse(pages.listing(title, item.path, back, rows), headers={"cache-control": place.caching})


def _has_index(item: Item) -> bool:
    return any(inner.name == INDEX and not inner.is_directory for inner in item.items)


async def _send(request: Request, file: File, item: Item, caching: str) -> Response:
    """A file, or what of it was asked for."""
    tag = f'"{cids.text(file.cid)}"'
    headers = {"etag": tag, "accept-ranges": "bytes", "cache-control": caching}
    if has_tag(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    # A range is defined for GET alone: RFC 9110, section 14.2.
    is_partial = request.method == "GET" and request.headers.get("if-range", tag) == tag
    wanted = request.headers.get("range") if is_partial else None
    try:
        part = parse_range(wanted, file.size)
    except UnsatisfiableRangeError:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{file.size}"})
    head = b"".join([piece async for piece in file.read(0, SNIFFED_BYTES)])
    start, stop = part or (0, file.size)
    headers["content-type"] = content_type(item.name, head)
    headers["content-length"] = str(stop - start)
    if part is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{file.size}"
    if request.method == "HEAD":
        return Response(status_code=200, headers=headers)
    body: AsyncIterator[bytes] = file.read(start, stop)
    return StreamingResponse(body, 200 if part is None else 206, headers)


def _logged_path(request: Request) -> str:
    """The path of a request without the secret of a link that confirms."""
    path: str = request.scope["path"]
    match [part for part in path.split("/") if part]:
        case ["confirm" | "consent" as purpose, *_]:
            return f"/{purpose}/(hidden)"
    return path


def _not_allowed(methods: Sequence[str]) -> Response:
    page = pages.message("405 Method not allowed", "The gateway only shows what there is.")
    return HTMLResponse(page, 405, {"allow": ", ".join(methods)})


def _not_found(text: str = _NOT_THERE) -> Response:
    return HTMLResponse(pages.message("404 Not found", text), 404)


def _refusal(request: Request, error: ThreaddError) -> Response:
    """The page for an error."""
    if isinstance(error, InvalidThreadIDError | InvalidBucketCidError | InvalidPathError):
        return HTMLResponse(pages.message("400 Bad request", error.text), 400)
    if isinstance(error, TokenRequiredError):
        page = pages.message("401 Unauthorized", error.text)
        return HTMLResponse(page, 401, {"www-authenticate": "Bearer"})
    if error.code in (StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED, StatusCode.DATA_LOSS):
        log.warning("a page could not be made", path=_logged_path(request), reason=error.text)
        return HTMLResponse(pages.message("500 Server error", error.text), 500)
    return _not_found()
