"""`api.usersd.pb.APIService`: a caller's threads and mail.

Each method reads the request, calls one verb of `threadd.hub` and writes the reply; the rules are there.
"""

import datetime as dt
from collections.abc import AsyncGenerator, Callable
from typing import NoReturn

from net.errors import InvalidKeyError
from net.keys import PublicKey
from net.thread_id import ThreadID
from proto import billingd_pb2
from proto import usersd_pb2 as pb
from store.accounts import OwnedThreadRow
from threadd.api.dispatcher import Call
from threadd.hub.callers import CallerKind
from threadd.hub.errors import NamedThreadNotFoundError, NoArchivesError, RecipientKeyError, UserNotFoundError
from threadd.hub.hub import Hub
from threadd.hub.mailboxes import Letter, Message, Page

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["APIService"]

_USER = 2
# What the `hub` program shows of an account where nothing is metered.
_ACCOUNT_STATUS = "not metered"
_SUBSCRIPTION_STATUS = "none"
_PRODUCTS = {
    "stored_data": "Stored data",
    "network_egress": "Network egress",
    "instance_reads": "ThreadDB reads",
    "instance_writes": "ThreadDB writes",
}
# All is free: the largest number that a client in JavaScript reads exactly.
_FREE = 2**53 - 1


class UsersService:
    """The servicer.

    Args:
        hub: Knows the Hub's rules.
        clock: Nanoseconds since 1970.
    """

    def __init__(self, hub: Hub, clock: Callable[[], int]) -> None:
        self._hub = hub
        self._clock = clock

    async def get_thread(self, call: Call, request: pb.GetThreadRequest) -> pb.GetThreadResponse:
        """Find one of the caller's threads by its name."""
        found = self._hub.ownership.find(call.identity.bytes, request.name)
        if found is None:
            raise NamedThreadNotFoundError
        return _thread(*found)

    async def list_threads(self, call: Call, _request: pb.ListThreadsRequest) -> pb.ListThreadsResponse:
        """List the caller's threads."""
        threads = self._hub.ownership.of(call.identity.bytes)
        return pb.ListThreadsResponse(list=[_thread(thread, row) for thread, row in threads])

    async def setup_mailbox(self, call: Call, _request: pb.SetupMailboxRequest) -> pb.SetupMailboxResponse:
        """Make the caller's mailbox unless it is there."""
        api_key = call.caller.api_key.key if call.caller.api_key is not None else ""
        thread = await self._hub.mailboxes.set_up(call.identity, api_key)
        return pb.SetupMailboxResponse(mailbox_id=thread.bytes)

    async def send_message(self, call: Call, request: pb.SendMessageRequest) -> pb.SendMessageResponse:
        """Send a message."""
        letter = Letter(
            to=request.to,
            to_body=request.to_body,
            to_signature=request.to_signature,
            from_body=request.from_body,
            from_signature=request.from_signature,
        )
        message_id, created_at = await self._hub.mailboxes.send(call.identity, letter)
        return pb.SendMessageResponse(id=message_id, created_at=created_at)

    async def list_inbox_messages(
        self, call: Call, request: pb.ListInboxMessagesRequest
    ) -> pb.ListInboxMessagesResponse:
        """List what the caller received."""
        page = Page(request.seek, request.limit, request.ascending, request.status)
        messages = await self._hub.mailboxes.inbox(call.identity, page)
        return pb.ListInboxMessagesResponse(messages=map(_message, messages))

    async def list_sentbox_messages(
        self, call: Call, request: pb.ListSentboxMessagesRequest
    ) -> pb.ListSentboxMessagesResponse:
        """List what the caller sent."""
        page = Page(request.seek, request.limit, request.ascending)
        messages = await self._hub.mailboxes.sentbox(call.identity, page)
        return pb.ListSentboxMessagesResponse(messages=map(_message, messages))

    async def read_inbox_message(self, call: Call, request: pb.ReadInboxMessageRequest) -> pb.ReadInboxMessageResponse:
        """Mark a received message as read."""
        return pb.ReadInboxMessageResponse(read_at=await self._hub.mailboxes.read(call.identity, request.id))

    async def delete_inbox_message(
        self, call: Call, request: pb.DeleteInboxMessageRequest
    ) -> pb.DeleteInboxMessageResponse:
        """Delete a received message."""
        await self._hub.mailboxes.delete_received(call.identity, request.id)
        return pb.DeleteInboxMessageResponse()

    async def delete_sentbox_message(
        self, call: Call, request: pb.DeleteSentboxMessageRequest
    ) -> pb.DeleteSentboxMessageResponse:
        """Delete a sent message."""
        await self._hub.mailboxes.delete_sent(call.identity, request.id)
        return pb.DeleteSentboxMessageResponse()

    async def get_usage(self, call: Call, request: pb.GetUsageRequest) -> pb.GetUsageResponse:
        """Tell what the caller, or a user of the caller's keys, has used: nothing is metered here, and all is free.

        The `hub` program reads the period of each entry and divides by the sum of what is used and what is free. The
        days' usage has no entries: the JS suite of the Hub expects numbers of whatever is there.
        """
        key, parent = call.identity, None
        if request.key:
            try:
                key, parent = PublicKey.from_text(request.key), call.identity
            except InvalidKeyError as error:
                raise RecipientKeyError from error
            if not self._is_user_of(key, call.identity):
                raise UserNotFoundError
        account = self._hub.accounts.get(key.bytes)
        is_user = account is None and (call.caller.kind is CallerKind.USER or parent is not None)
        customer = billingd_pb2.GetCustomerResponse(
            key=key.text,
            parent_key=parent.text if parent is not None else "",
            email=account.email if account is not None else "",
            account_type=_USER if is_user else account.kind if account is not None else 0,
            account_status=_ACCOUNT_STATUS,
            subscription_status=_SUBSCRIPTION_STATUS,
        )
        return pb.GetUsageResponse(customer=customer, usage=_usage(self._clock()))

    async def archives_ls(self, _call: Call, _request: pb.ArchivesLsRequest) -> NoReturn:
        """There are no archives."""
        raise NoArchivesError

    async def archives_import(self, _call: Call, _request: pb.ArchivesImportRequest) -> NoReturn:
        """There are no archives."""
        raise NoArchivesError

    async def archive_retrieval_ls(
        self, _call: Call, _request: pb.ArchiveRetrievalLsRequest
    ) -> pb.ArchiveRetrievalLsResponse:
        """There are no retrievals."""
        return pb.ArchiveRetrievalLsResponse()

    async def archive_retrieval_logs(
        self, _call: Call, _request: pb.ArchiveRetrievalLogsRequest
    ) -> AsyncGenerator[pb.ArchiveRetrievalLogsResponse, None]:
        """There are no archives."""
        for reply in list[pb.ArchiveRetrievalLogsResponse]():
            yield reply
        raise NoArchivesError

    def _is_user_of(self, key: PublicKey, account: PublicKey) -> bool:
        """Whether somebody owns a thread that was made with a key of an account."""
        keys = {row.key for row in self._hub.api_keys.list(account.bytes)}
        return any(row.api_key in keys for _, row in self._hub.ownership.of(key.bytes))


def _thread(thread: ThreadID, row: OwnedThreadRow) -> pb.GetThreadResponse:
    return pb.GetThreadResponse(id=thread.bytes, name=row.name, is_db=row.is_db)


def _usage(now: int) -> billingd_pb2.GetCustomerUsageResponse:
    """The usage of the month, as months are in UTC."""
    start = dt.datetime.fromtimestamp(now // 1_000_000_000, dt.UTC).replace(day=1, hour=0, minute=0, second=0)
    end = (start + dt.timedelta(days=31)).replace(day=1)
    period = billingd_pb2.Period(unix_start=int(start.timestamp()), unix_end=int(end.timestamp()))
    return billingd_pb2.GetCustomerUsageResponse(
        usage={
            name: billingd_pb2.Usage(description=text, free=_FREE, grace=_FREE, period=period)
            for name, text in _PRODUCTS.items()
        }
    )


def _message(message: Message) -> pb.Message:
    return pb.Message(
        id=message.id,
        to=message.to,
        body=message.body,
        signature=message.signature,
        created_at=message.created_at,
        read_at=message.read_at,
        **{"from": message.sender},
    )
