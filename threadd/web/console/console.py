"""The pages of the console: each reads a request, asks the rooms below, and fills a template."""

import datetime as dt
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from importlib.metadata import version
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode

import jinja2
import msgspec
import structlog
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from store.errors import StatusCode, ThreaddError
from threadd import logs
from threadd.browsing_verbs import FoundDocuments
from threadd.db.documents import ID_FIELD, MODIFIED_FIELD
from threadd.operator import RequestError
from threadd.rooms import Rooms
from threadd.verbs import CreateKey
from threadd.web.console import charts, events, forms
from threadd.web.console.snippets import snippet
from threadd.web.measuring import Measures
from threadd.web.operator_access import SESSION_SECONDS, Access

BASE: Final = "/_"
PAGE_ROWS: Final = 50

_BARS: Final = 20
_MEASURED_SECONDS: Final = 0.3
"""How long a page waits for sizes that are not known yet."""

_POSITION: Final = re.compile(r"[0-9]{1,18}")
_MAX_FORM_BYTES: Final = 16 * 2**20

_Page: TypeAlias = Callable[[Request], Awaitable[Response]]

_STATUSES: Final = {StatusCode.NOT_FOUND: 404, StatusCode.INVALID_ARGUMENT: 400, StatusCode.UNAVAILABLE: 503}

_log = structlog.get_logger(__name__)


class Console:
    """The pages; `threadd.web.console.guard` stands in front of them.

    Args:
        rooms: What they show.
        measures: What is counted.
        access: Who may see them.
        gateway_port: Where the gateway listens; None where it is off.
        is_secure: Whether its endpoint speaks TLS, so that cookies need not travel without.
    """

    def __init__(
        self, rooms: Rooms, measures: Measures, access: Access, gateway_port: int | None, *, is_secure: bool
    ) -> None:
        self._rooms = rooms
        self._browser = rooms.browser
        self._measures = measures
        self._access = access
        self._gateway_port = gateway_port
        self._is_secure = is_secure
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("threadd.web.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"when": _when, "url": _url, "size": _size}
        self._templates.globals |= {"base": BASE, "version": version("threadd")}

    def routes(self) -> list[BaseRoute]:
        """The routes, to be mounted at the root."""
        db, collection = f"{BASE}/db/{{db}}", f"{BASE}/db/{{db}}/collection/{{collection}}"
        pages: list[tuple[str, _Page, list[str]]] = [
            (f"{BASE}/", self._overview, ["GET"]),
            (db, self._database, ["GET"]),
            (f"{db}/live", self._live, ["GET"]),
            (f"{db}/events", self._events, ["GET"]),
            (f"{db}/log", self._thread_log, ["GET"]),
            (collection, self._documents, ["GET"]),
            (f"{collection}/edit", self._edit, ["GET"]),
            (f"{collection}/edit", self._save, ["POST"]),
            (f"{collection}/delete", self._delete, ["POST"]),
            (f"{BASE}/accounts", self._accounts, ["GET"]),
            (f"{BASE}/keys", self._keys, ["GET"]),
            (f"{BASE}/keys", self._change_keys, ["POST"]),
            (f"{BASE}/buckets", self._buckets, ["GET"]),
            (f"{BASE}/buckets/{{key}}", self._upload, ["POST"]),
            (f"{BASE}/peers", self._peers, ["GET"]),
            (f"{BASE}/status", self._status, ["GET"]),
            (f"{BASE}/leave", self._leave, ["POST"]),
        ]
        static = StaticFiles(packages=[("threadd.web.console", "static")])
        return [
            Route(BASE, lambda _request: RedirectResponse(f"{BASE}/", 302)),
            Route(f"{BASE}/open/{{link}}", self._open),
            *(Route(path, self._guarded(page), methods=methods) for path, page, methods in pages),
            Mount(f"{BASE}/static", static),
        ]

    def _guarded(self, page: _Page) -> _Page:
        async def answer(request: Request) -> Response:
            if not self._access.has_session(request):
                return self._render(request, "closed.html", code=401)
            try:
                return await page(request)
            except ThreaddError as error:
                return self._render(request, "error.html", code=_STATUSES.get(error.code, 400), text=error.text)

        return answer

    def _render(self, request: Request, template: str, code: int = 200, **values: Any) -> Response:
        db = request.path_params.get("db", "")
        text = self._templates.get_template(template).render(
            path=request.url.path, db=db, collection=request.path_params.get("collection", ""), **values
        )
        return HTMLResponse(text, code)

    async def _open(self, request: Request) -> Response:
        session = self._access.open_session(request.path_params["link"])
        answer = RedirectResponse(f"{BASE}/", 303)
        if session is None:
            # A link that was used, opened again in the browser that used it.
            return answer if self._access.has_session(request) else self._render(request, "closed.html", code=401)
        answer.set_cookie(
            self._access.cookie,
            session,
            max_age=int(SESSION_SECONDS),
            path=BASE,
            httponly=True,
            samesite="strict",
            secure=self._is_secure,
        )
        return answer

    async def _leave(self, request: Request) -> Response:
        self._access.end_session(request)
        answer = RedirectResponse(f"{BASE}/", 303)
        answer.delete_cookie(self._access.cookie, path=BASE)
        return answer

    async def _overview(self, request: Request) -> Response:
        dbs = self._rooms.operator.list_dbs()
        sizes = await self._browser.sizes(_MEASURED_SECONDS)
        measured = [(one.name, float(one.size), _size(one.size)) for one in sizes if one.size is not None]
        return self._render(
            request,
            "overview.html",
            dbs=dbs,
            sizes={one.id: one for one in sizes},
            size_chart=charts.bars("Size by database", measured[:_BARS]),
            is_measured=len(measured) == len(sizes),
            traffic_chart=self._traffic(),
        )

    def _traffic(self) -> Markup:
        samples = list(self._measures.samples)
        series = [
            ("reads", [sample.reads for sample in samples]),
            ("writes", [sample.writes for sample in samples]),
        ]
        return charts.lines("Reads and writes in the last hour", series, "a second")

    async def _database(self, request: Request) -> Response:
        db = request.path_params["db"]
        collections = await self._browser.collections(db)
        rows = [(found.name, float(found.documents), f"{found.documents:,}") for found in collections]
        database = self._browser.database(db)
        thread = self._rooms.network.get_thread(database.thread_id)
        return self._render(
            request,
            "database.html",
            name=database.name,
            collections=collections,
            records=sum(log.counter for log in thread.logs),
            chart=charts.bars("Documents by collection", rows),
        )

    async def _documents(self, request: Request) -> Response:
        db, collection = request.path_params["db"], request.path_params["collection"]
        query = request.query_params.get("query", "").strip() or "{}"
        start = request.query_params.get("from", "")
        found, error, status = None, "", 200
        try:
            found = await self._browser.find(db, collection, _paged(query, start))
        except ThreaddError as refusal:
            if refusal.code is StatusCode.NOT_FOUND:
                raise
            error, status = refusal.text, 400
        values: dict[str, Any] = {
            "query": query,
            "found": found,
            "error": error,
            "rows": [],
            "next": "",
            "js": "",
            "go": "",
        }
        if found is not None:
            rows = [_row(bytes(text)) for text in found.documents]
            sent = json.loads(query)
            more = rows[PAGE_ROWS:] if not sent.get("sort") and not sent.get("limit") else []
            values |= {
                "rows": rows[:PAGE_ROWS] if more else rows,
                "next": f"?{urlencode({'query': query, 'from': more[0]['id']})}" if more else "",
                "js": snippet(sent, "js"),
                "go": snippet(sent, "go"),
                "way": _way(found),
            }
        return self._render(request, "documents.html", code=status, **values)

    async def _edit(self, request: Request) -> Response:
        instance_id = request.query_params.get("id", "")
        schema = self._schema(request)
        shown: dict[str, str] = {}
        modified = ""
        if instance_id:
            text = await self._stored(request, instance_id)
            if text is None:
                return self._render(request, "error.html", code=404, text="There is no such document.")
            shown = forms.shown_of(schema, text)
            modified = _modified(text)
        return self._form(request, schema, shown, {}, instance_id, modified)

    async def _save(self, request: Request) -> Response:
        sent = await _sent(request)
        schema = self._schema(request)
        db, collection = request.path_params["db"], request.path_params["collection"]
        instance_id, modified = sent.get("id", "").strip(), sent.get("modified", "")
        try:
            document = forms.document_of(schema, sent, instance_id)
            if modified and _modified(await self._stored(request, instance_id) or b"{}") != modified:
                raise forms.FormError("", "this document has been changed meanwhile: open it again")
            saved = await self._browser.save(db, collection, document)
        except ThreaddError as error:
            shown = {field.name: sent.get(field.input, "") for field in forms.fields(schema, {}, {})}
            errors = forms.errors_of(schema, error)
            return self._form(request, schema, shown, errors, instance_id, modified)
        _log.info("a document was written in the console", db=db, collection=collection, instance_id=saved.id)
        return RedirectResponse(_place(db, collection), 303)

    async def _delete(self, request: Request) -> Response:
        db, collection = request.path_params["db"], request.path_params["collection"]
        instance_id = (await _sent(request)).get("id", "")
        await self._browser.delete(db, collection, [instance_id])
        _log.info("a document was deleted in the console", db=db, collection=collection, instance_id=instance_id)
        return RedirectResponse(_place(db, collection), 303)

    def _form(
        self,
        request: Request,
        schema: Mapping[str, Any],
        shown: Mapping[str, str],
        errors: Mapping[str, str],
        instance_id: str,
        modified: str,
    ) -> Response:
        return self._render(
            request,
            "edit.html",
            code=400 if errors else 200,
            fields=forms.fields(schema, shown, errors),
            error=errors.get("", ""),
            error_count=len(errors),
            id=instance_id,
            modified=modified,
        )

    def _schema(self, request: Request) -> dict[str, Any]:
        database = self._browser.database(request.path_params["db"])
        schema: dict[str, Any] = json.loads(database.collection(request.path_params["collection"]).schema)
        return schema

    async def _stored(self, request: Request, instance_id: str) -> bytes | None:
        """The JSON text of a document, or None."""
        query = {"seek": instance_id, "limit": 1}
        db, collection = request.path_params["db"], request.path_params["collection"]
        found = await self._browser.find(db, collection, json.dumps(query))
        texts = [bytes(text) for text in found.documents]
        return texts[0] if texts and json.loads(texts[0])[ID_FIELD] == instance_id else None

    async def _live(self, request: Request) -> Response:
        name = self._browser.database(request.path_params["db"]).name
        return self._render(request, "live.html", name=name)

    async def _events(self, request: Request) -> Response:
        database = self._browser.database(request.path_params["db"])
        position = request.headers.get("last-event-id", "")
        after = int(position) if _POSITION.fullmatch(position) else None
        stream = events.stream(database, self._browser.operator, after)
        return StreamingResponse(self._while_open(request, stream), media_type="text/event-stream")

    async def _while_open(self, request: Request, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """What a stream gives until the session of its request has ended."""
        async with aclosing(stream) as coming:
            async for piece in coming:
                if not self._access.has_session(request):
                    return
                yield piece

    async def _thread_log(self, request: Request) -> Response:
        db = request.path_params["db"]
        name = self._browser.database(db).name
        return self._render(request, "log.html", name=name, records=self._browser.log(db, PAGE_ROWS))

    async def _accounts(self, request: Request) -> Response:
        return self._render(request, "accounts.html", accounts=await self._browser.accounts())

    async def _keys(self, request: Request, made: Any = None) -> Response:
        return self._render(request, "keys.html", keys=self._rooms.operator.list_keys(), made=made)

    async def _change_keys(self, request: Request) -> Response:
        sent = await _sent(request)
        if key := sent.get("invalidate", ""):
            await self._rooms.operator.invalidate_key(key)
            return RedirectResponse(f"{BASE}/keys", 303)
        made = await self._rooms.operator.handle(CreateKey(sent.get("type", "user")))
        return await self._keys(request, made)

    async def _buckets(self, request: Request) -> Response:
        gateway = ""
        if self._gateway_port is not None:
            gateway = str(request.url.replace(port=self._gateway_port, path="", query="", fragment=""))
        found = await self._rooms.bucket_files.list_buckets()
        return self._render(request, "buckets.html", buckets=found, gateway=gateway)

    async def _upload(self, request: Request) -> Response:
        key = request.path_params["key"]
        path = request.query_params.get("path", "")
        taken = await self._rooms.bucket_files.take(key, path, request.stream())
        _log.info("a file was uploaded in the console", bucket=key, path=taken.path, size=taken.size)
        return JSONResponse({"size": taken.size})

    async def _peers(self, request: Request) -> Response:
        return self._render(request, "peers.html", peers=self._rooms.operator.list_peers())

    async def _status(self, request: Request) -> Response:
        status = self._measures.status()
        return self._render(
            request, "status.html", status=status, lines=list(logs.recent.lines), traffic_chart=self._traffic()
        )


async def _sent(request: Request) -> dict[str, str]:
    """What a form sent.

    Raises:
        RequestError: It is too much.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_FORM_BYTES:
            raise RequestError("this is more than the console takes: use a client")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _paged(query: str, start: str) -> str:
    """A query with what bounds a page; one that is none is left for the daemon to refuse."""
    try:
        sent = json.loads(query)
    except ValueError:
        return query
    if not isinstance(sent, dict) or sent.get("limit"):
        return query
    return json.dumps(sent | {"limit": PAGE_ROWS + 1} | ({"seek": start} if start else {}))


def _row(text: bytes) -> dict[str, str]:
    document = msgspec.json.decode(text)
    return {"id": document[ID_FIELD], "text": forms.readable(text)}


def _modified(text: bytes) -> str:
    return str(json.loads(text).get(MODIFIED_FIELD, ""))


def _way(found: FoundDocuments) -> str:
    way = f"index on {', '.join(found.indexes)}" if found.indexes else "scan of the collection"
    order = "in order" if found.ordered else "sorted afterwards"
    return f"{way}, {order}; {found.rows_read} rows read in {found.microseconds / 1000:.1f} ms"


def _place(db: str, collection: str) -> str:
    return f"{BASE}/db/{quote(db, safe='')}/collection/{quote(collection, safe='')}"


def _url(text: str) -> str:
    return quote(text, safe="")


def _when(nanoseconds: int) -> str:
    if not nanoseconds:
        return ""
    return dt.datetime.fromtimestamp(nanoseconds // 1_000_000_000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:  # noqa: PLR2004  the step of the units
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
