"""`api.bucketsd.pb.APIService`: folders of files in threads.

Each method reads the request, calls one verb of `threadd.buckets` and writes the reply; the rules are there. Archives
answer as those of a Hub without a Filecoin service.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Final, NoReturn

import msgspec

from net import cid as cids
from net import tokens
from net.keys import PrivateKey
from net.thread_id import ThreadID
from proto import bucketsd_pb2 as pb
from store.errors import StoreFullError, ThreaddError
from threadd.api.dispatcher import Call
from threadd.api.statuses import InvalidRequestError
from threadd.buckets import paths
from threadd.buckets.buckets import Buckets
from threadd.buckets.errors import (
    ArchivesDisabledError,
    IncompleteRootError,
    NeverArchivedError,
    NonFastForwardError,
    StorageQuotaError,
    ThreadRequiredError,
)
from threadd.buckets.files import File
from threadd.buckets.instances import Actor
from threadd.buckets.items import Item
from threadd.buckets.links import Links
from threadd.buckets.model import Archives, Bucket, Metadata, path_of
from threadd.buckets.pushes import Push, PushedFile

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["APIService"]

PROGRESS_BYTES: Final = 262_144
"""After how many bytes that are kept an upload of one file is told its progress."""

REPLY_BYTES: Final = 32_768
"""How much of a file one reply holds."""

MAX_OPEN_FILES: Final = 256
"""How many files of one upload may be sent at the same time: each holds up to a chunk in memory."""

_SECOND: Final = 1_000_000_000


class TooManyFilesError(ThreaddError):
    """An upload has begun more files at the same time than it may."""

    code = StoreFullError.code
    default_text = f"more than {MAX_OPEN_FILES} files are open in this upload: end some of them before others are begun"


class BucketsService:
    """The servicer.

    Args:
        buckets: All buckets.
        host_key: The daemon's key, which signs the tokens of links.
        clock: Nanoseconds since 1970.
    """

    def __init__(self, buckets: Buckets, host_key: PrivateKey, clock: Callable[[], int]) -> None:
        self._buckets = buckets
        self._host_key = host_key
        self._clock = clock

    async def list(self, call: Call, _request: pb.ListRequest) -> pb.ListResponse:
        """Tell of all buckets of a thread."""
        thread = _thread(call)
        found = await self._buckets.list_buckets(thread, self._actor(call))
        return pb.ListResponse(roots=[_root(thread, bucket) for bucket in found])

    async def create(self, call: Call, request: pb.CreateRequest) -> pb.CreateResponse:
        """Make a bucket."""
        thread = _thread(call)
        if request.unfreeze:
            raise ArchivesDisabledError
        created = await self._buckets.create(
            thread,
            self._actor(call),
            name=request.name,
            private=request.private,
            bootstrap=request.bootstrap_cid,
        )
        return pb.CreateResponse(
            root=_root(thread, created.bucket),
            links=_links(created.links),
            seed=created.seed,
            seed_cid=cids.text(created.seed_cid),
            pinned=created.pinned,
        )

    async def root(self, call: Call, request: pb.RootRequest) -> pb.RootResponse:
        """Tell of a bucket."""
        thread = _thread(call)
        bucket = await self._bucket(call, request.key)
        return pb.RootResponse(root=await asyncio.to_thread(_root, thread, bucket))

    async def links(self, call: Call, request: pb.LinksRequest) -> pb.LinksResponse:
        """Give the addresses of a bucket, or of a path in it."""
        bucket = await self._bucket(call, request.key)
        return _links(await self._buckets.links(_thread(call), self._actor(call), bucket, request.path))

    async def list_path(self, call: Call, request: pb.ListPathRequest) -> pb.ListPathResponse:
        """Tell what is at a path."""
        bucket = await self._bucket(call, request.key)
        item = await self._buckets.contents.item(bucket, request.path)
        return await asyncio.to_thread(_path_reply, _thread(call), bucket, item)

    async def list_ipfs_path(self, _call: Call, request: pb.ListIpfsPathRequest) -> pb.ListIpfsPathResponse:
        """Tell what is at a path of any node that is here."""
        return pb.ListIpfsPathResponse(item=_item(await self._buckets.contents.ipfs_item(request.path)))

    async def push_path(
        self, call: Call, requests: AsyncIterator[pb.PushPathRequest]
    ) -> AsyncGenerator[pb.PushPathResponse, None]:
        """Take one file."""
        thread = _thread(call)
        first = await anext(requests, None)
        if first is None:
            return
        if not first.HasField("header"):
            raise InvalidRequestError("push bucket path header is required")
        header = first.header
        path = paths.clean_writable(header.path)
        async with self._buckets.pushing(thread, self._actor(call), header.key, header.root) as push:
            file = await push.begin(path)
            told = 0
            async for request in requests:
                if not request.HasField("chunk"):
                    raise InvalidRequestError("invalid request")
                await file.add(request.chunk)
                while file.writer.size - told >= PROGRESS_BYTES:
                    told += PROGRESS_BYTES
                    yield pb.PushPathResponse(event=pb.PushPathResponse.Event(bytes=told))
            link = await push.finish(file)
            yield pb.PushPathResponse(event=pb.PushPathResponse.Event(bytes=file.writer.size))
            bucket = await push.save()
            yield pb.PushPathResponse(
                event=pb.PushPathResponse.Event(
                    path=path_of(link.cid),
                    size=str(link.size),
                    root=_root(thread, bucket),
                    pinned=push.grown,
                )
            )

    async def push_paths(
        self, call: Call, requests: AsyncIterator[pb.PushPathsRequest]
    ) -> AsyncGenerator[pb.PushPathsResponse, None]:
        """Take many files; the bucket is saved once, at the end or with what had come before an error."""
        thread = _thread(call)
        first = await anext(requests, None)
        if first is None:
            return
        if not first.HasField("header"):
            raise InvalidRequestError("push bucket path header is required")
        header = first.header
        announced = [paths.clean_writable(path) for path in header.paths]
        async with self._buckets.pushing(thread, self._actor(call), header.key, header.root) as push:
            if announced:
                await push.verify_announced(announced)
            files: dict[str, PushedFile] = {}
            try:
                async for request in requests:
                    done = await _take_chunk(push, files, request)
                    if done is not None:
                        link = await push.finish(done)
                        yield pb.PushPathsResponse(
                            path=done.path,
                            cid=cids.text(link.cid),
                            size=link.size,
                            root=_brief_root(thread, push.current(), done.path),
                            pinned=push.grown,
                        )
                _check_ended(files)
            except BaseException:
                # Clients were told of roots that are to be found again.
                await _save_if_possible(push)
                raise
            if push.has_changes:
                await push.save()

    async def pull_path(self, call: Call, request: pb.PullPathRequest) -> AsyncGenerator[pb.PullPathResponse, None]:
        """Give a file."""
        bucket = await self._bucket(call, request.key)
        async for chunk in _chunks(await self._buckets.contents.file(bucket, request.path)):
            yield pb.PullPathResponse(chunk=chunk)

    async def pull_ipfs_path(
        self, _call: Call, request: pb.PullIpfsPathRequest
    ) -> AsyncGenerator[pb.PullIpfsPathResponse, None]:
        """Give a file of any node that is here."""
        async for chunk in _chunks(await self._buckets.contents.ipfs_file(request.path)):
            yield pb.PullIpfsPathResponse(chunk=chunk)

    async def set_path(self, call: Call, request: pb.SetPathRequest) -> pb.SetPathResponse:
        """Put a node at a path."""
        pinned = await self._buckets.set_path(_thread(call), self._actor(call), request.key, request.path, request.cid)
        return pb.SetPathResponse(pinned=pinned)

    async def move_path(self, call: Call, request: pb.MovePathRequest) -> pb.MovePathResponse:
        """Move what is at a path."""
        await self._buckets.move(_thread(call), self._actor(call), request.key, request.from_path, request.to_path)
        return pb.MovePathResponse()

    async def remove(self, call: Call, request: pb.RemoveRequest) -> pb.RemoveResponse:
        """Delete a bucket."""
        return pb.RemoveResponse(pinned=await self._buckets.remove(_thread(call), self._actor(call), request.key))

    async def remove_path(self, call: Call, request: pb.RemovePathRequest) -> pb.RemovePathResponse:
        """Delete what is at a path."""
        thread = _thread(call)
        bucket, pinned = await self._buckets.remove_path(
            thread, self._actor(call), request.key, request.path, request.root
        )
        return pb.RemovePathResponse(root=_root(thread, bucket), pinned=pinned)

    async def push_path_access_roles(
        self, call: Call, request: pb.PushPathAccessRolesRequest
    ) -> pb.PushPathAccessRolesResponse:
        """Say who may do what with a path."""
        pinned = await self._buckets.push_roles(
            _thread(call), self._actor(call), request.key, request.path, dict(request.roles)
        )
        return pb.PushPathAccessRolesResponse(pinned=pinned)

    async def pull_path_access_roles(
        self, call: Call, request: pb.PullPathAccessRolesRequest
    ) -> pb.PullPathAccessRolesResponse:
        """Tell who may do what with a path."""
        bucket = await self._bucket(call, request.key)
        return pb.PullPathAccessRolesResponse(roles=_roles(await self._buckets.contents.roles(bucket, request.path)))

    async def default_archive_config(self, _call: Call, _request: pb.DefaultArchiveConfigRequest) -> NoReturn:
        """There are no archives."""
        raise ArchivesDisabledError

    async def set_default_archive_config(self, _call: Call, _request: pb.SetDefaultArchiveConfigRequest) -> NoReturn:
        """There are no archives."""
        raise ArchivesDisabledError

    async def archive(self, _call: Call, _request: pb.ArchiveRequest) -> NoReturn:
        """There are no archives."""
        raise ArchivesDisabledError

    async def archives(self, call: Call, request: pb.ArchivesRequest) -> pb.ArchivesResponse:
        """There are no archives."""
        await self._bucket(call, request.key)
        return pb.ArchivesResponse()

    async def archive_watch(
        self, call: Call, request: pb.ArchiveWatchRequest
    ) -> AsyncGenerator[pb.ArchiveWatchResponse, None]:
        """There are no archives."""
        await self._bucket(call, request.key)
        for reply in tuple[pb.ArchiveWatchResponse, ...]():
            yield reply
        raise NeverArchivedError

    async def _bucket(self, call: Call, key: str) -> Bucket:
        return await self._buckets.get(_thread(call), self._actor(call), key)

    def _actor(self, call: Call) -> Actor:
        if call.identity == self._host_key.public:
            return Actor(call.identity, named=False)
        token = tokens.issue(self._host_key, call.identity, self._clock() // _SECOND)
        return Actor(call.identity, token=token)


def _thread(call: Call) -> ThreadID:
    """The thread that a call is about.

    Raises:
        ThreadRequiredError: It names none, or none that can be read.
    """
    values = call.metadata.get("x-textile-thread")
    if not values:
        raise ThreadRequiredError
    try:
        return ThreadID.from_text(values[0])
    except ThreaddError as error:
        raise ThreadRequiredError from error


async def _take_chunk(push: Push, files: dict[str, PushedFile], request: pb.PushPathsRequest) -> PushedFile | None:
    """Take a piece of one of the files of an upload; returns the file that it ended, if it did."""
    if not request.HasField("chunk"):
        raise InvalidRequestError("invalid request")
    path = paths.clean_writable(request.chunk.path)
    file = files.get(path)
    if file is None:
        if len(files) == MAX_OPEN_FILES:
            raise TooManyFilesError
        file = files[path] = await push.begin(path)
    if not request.chunk.data:
        return files.pop(path)
    await file.add(request.chunk.data)
    return None


def _check_ended(files: Mapping[str, PushedFile]) -> None:
    if files:
        raise InvalidRequestError(f"the upload ended in the middle of '{next(iter(files))}'")


async def _save_if_possible(push: Push) -> None:
    """Save what an upload that failed has done; where that fails too, the bucket is as it was before."""
    push.abandon()
    if push.has_changes:
        try:
            await push.save()
        except (StoreFullError, StorageQuotaError, NonFastForwardError, IncompleteRootError):
            return


async def _chunks(file: File) -> AsyncIterator[bytes]:
    async for piece in file.read():
        for start in range(0, len(piece), REPLY_BYTES):
            yield piece[start : start + REPLY_BYTES]


def _root(thread: ThreadID, bucket: Bucket) -> pb.Root:
    metadata = {path: _metadata(entry) for path, entry in bucket.metadata.items()}
    return pb.Root(
        key=bucket.id,
        name=bucket.name,
        path=bucket.path,
        created_at=bucket.created_at,
        updated_at=bucket.updated_at,
        thread=thread.text,
        owner=bucket.owner,
        version=bucket.version,
        metadata=metadata.get(""),
        link_key=bucket.link_key,
        path_metadata=metadata,
        archives=_archives(bucket.archives),
    )


def _path_reply(thread: ThreadID, bucket: Bucket, item: Item) -> pb.ListPathResponse:
    """What `ListPath` answers; for a bucket of many files this takes longer than the event loop can wait."""
    return pb.ListPathResponse(item=_item(item), root=_root(thread, bucket))


def _brief_root(thread: ThreadID, bucket: Bucket, path: str) -> pb.Root:
    """The root of a bucket with the metadata of one path, so that an upload of many files stays linear."""
    metadata = {at: bucket.metadata[at] for at in ("", path) if at in bucket.metadata}
    return _root(thread, msgspec.structs.replace(bucket, metadata=metadata))


def _metadata(entry: Metadata) -> pb.Metadata:
    return pb.Metadata(roles=_roles(entry.roles), updated_at=entry.updated_at, key=entry.key)


def _roles(roles: Mapping[str, int]) -> dict[str, pb.PathAccessRole.ValueType]:
    return {who: pb.PathAccessRole.ValueType(role) for who, role in roles.items()}


def _archives(archives: Archives) -> pb.Archives:
    current, *history = (
        pb.Archive(
            cid=archive.cid,
            deal_info=[pb.DealInfo(proposal_cid=deal.proposal_cid, miner=deal.miner) for deal in archive.deals],
        )
        for archive in (archives.current, *archives.history)
    )
    return pb.Archives(current=current, history=history)


def _links(links: Links) -> pb.LinksResponse:
    return pb.LinksResponse(url=links.url, www=links.www, ipns=links.ipns)


def _item(item: Item) -> pb.PathItem:
    return pb.PathItem(
        cid=item.cid,
        name=item.name,
        path=item.path,
        size=item.size,
        is_dir=item.is_directory,
        items=[_item(inner) for inner in item.items],
        items_count=item.count,
        metadata=None if item.metadata is None else _metadata(item.metadata),
    )
