"""Mailboxes: a database of each caller in which others may put messages (reference: hub-protocol, section 4).

A message is sealed by its sender twice, for the recipient and for himself; the two copies go into the recipient's inbox
and the sender's sentbox in one commit, or neither does.
"""

import asyncio
import base64
import binascii
import dataclasses
import enum
import json
import weakref
from collections.abc import Callable
from typing import Final

import msgspec

from net.errors import InvalidKeyError
from net.keys import PublicKey
from net.thread_id import ThreadID, Variant
from store.errors import ThreaddError
from threadd.db import documents
from threadd.db.collections import CollectionConfig, Index
from threadd.db.database import Database
from threadd.db.joint import Creation, create_together
from threadd.db.manager import Manager
from threadd.db.slices import Pacer
from threadd.db.timestamps import InstanceIDs
from threadd.hub.errors import MailboxNotFoundError, MessageSignatureError, RecipientKeyError
from threadd.hub.ownership import Ownership
from threadd.hub.tasks import to_the_end

THREAD_NAME: Final = "hubmail"
INBOX: Final = "inbox"
SENTBOX: Final = "sentbox"
DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 10_000

_READ_AT = "read_at"
_INDEXED = ("from", "to", "created_at")
_TYPES = {"_id": "string", "from": "string", "to": "string", "body": "string", "signature": "string"}


UNREAD: Final = b'{"ands": [{"fieldPath": "read_at", "operation": 0, "value": {"float": 0}}]}'
"""The query of an inbox for what was not read."""


class Status(enum.IntEnum):
    """Which received messages are wanted, by its number on the wire; 0 is all, too."""

    ALL = 1
    READ = 2
    UNREAD = 3


class UnknownStatusError(ThreaddError):
    """The number stands for no status."""


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Which messages are wanted.

    Args:
        seek: The ID of the first one (inclusive); empty for the first of all.
        limit: The most to give; `DEFAULT_PAGE` for 0 or less, `MAX_PAGE` at most.
        ascending: Whether the oldest come first.
        status: A number of `Status`, or 0.
    """

    seek: str = ""
    limit: int = 0
    ascending: bool = False
    status: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way.

    Args:
        to: The text of the recipient's public key.
        to_body: The body sealed for the recipient.
        to_signature: The sender's signature over `to_body`.
        from_body: The body sealed for the sender.
        from_signature: The sender's signature over `from_body`.
    """

    to: str
    to_body: bytes
    to_signature: bytes
    from_body: bytes
    from_signature: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A message in a box.

    Args:
        id: Of both copies.
        sender: The text of the sender's public key.
        to: The text of the recipient's public key.
        body: The sealed body.
        signature: The sender's signature over it.
        created_at: Nanoseconds since 1970.
        read_at: Nanoseconds since 1970; 0 for unread, and in a sentbox.
    """

    id: str
    sender: str
    to: str
    body: bytes
    signature: bytes
    created_at: int
    read_at: int


class _Instance(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    sender: str = msgspec.field(name="from")
    to: str
    body: str
    signature: str
    created_at: int
    read_at: int = 0


_instances = msgspec.json.Decoder(_Instance)


class Mailboxes:
    """All mailboxes.

    Args:
        databases: All databases.
        ownership: Who owns which thread.
        randomness: Gives so many unpredictable bytes.
        clock: Nanoseconds since 1970.
    """

    def __init__(
        self, databases: Manager, ownership: Ownership, randomness: Callable[[int], bytes], clock: Callable[[], int]
    ) -> None:
        self._databases = databases
        self._ownership = ownership
        self._randomness = randomness
        self._clock = clock
        self._ids = InstanceIDs(clock, randomness)
        self._set_ups: weakref.WeakValueDictionary[bytes, asyncio.Lock] = weakref.WeakValueDictionary()

    async def set_up(self, owner: PublicKey, api_key: str) -> ThreadID:
        """Make somebody's mailbox unless it is there.

        Args:
            owner: Whose.
            api_key: The API key that it is made with; empty for none.

        Returns:
            Its thread.

        Raises:
            ThreadQuotaError: The owner has as many threads as it may have.
        """
        turn = self._set_ups.setdefault(owner.bytes, asyncio.Lock())
        async with turn:
            known = self._ownership.find(owner.bytes, THREAD_NAME)
            return known[0] if known else await to_the_end(self._make(owner, api_key))

    async def _make(self, owner: PublicKey, api_key: str) -> ThreadID:
        thread = ThreadID.random(Variant.RAW, self._randomness)
        async with self._ownership.making(owner.bytes, thread, name=THREAD_NAME, api_key=api_key, is_db=True):
            await self._databases.new_db(thread, name=THREAD_NAME, collections=_COLLECTIONS, identity=owner)
        return thread

    async def send(self, sender: PublicKey, letter: Letter) -> tuple[str, int]:
        """Put a message into the recipient's inbox and the sender's sentbox: into both or none.

        Args:
            sender: Who sends.
            letter: What.

        Returns:
            Its ID, and when it was sent, in ns since 1970.

        Raises:
            MessageSignatureError: A body is not signed by the sender.
            RecipientKeyError: The recipient is no public key.
            MailboxNotFoundError: One of the two has no mailbox.
            ThreaddError: One of the boxes does not take it; see `create_together`.
        """
        if not (
            sender.verify(letter.to_body, letter.to_signature)
            and sender.verify(letter.from_body, letter.from_signature)
        ):
            raise MessageSignatureError
        try:
            to = PublicKey.from_text(letter.to)
        except InvalidKeyError as error:
            raise RecipientKeyError from error
        inbox, sentbox = self._box(to), self._box(sender)
        message_id, now = self._ids.next(), self._clock()
        common = {"_id": message_id, "from": sender.text, "to": to.text, "created_at": now}
        received = _sealed(letter.to_body, letter.to_signature) | common | {_READ_AT: 0}
        sent = _sealed(letter.from_body, letter.from_signature) | common
        await create_together(
            [
                Creation(inbox, INBOX, documents.to_bytes(received)),
                Creation(sentbox, SENTBOX, documents.to_bytes(sent)),
            ],
            sender,
        )
        return message_id, now

    async def inbox(self, owner: PublicKey, page: Page) -> list[Message]:
        """List what somebody received.

        Args:
            owner: Whose inbox.
            page: Which messages.

        Returns:
            The messages, the newest first unless asked otherwise. What is no message is left out: whoever knows the
            thread can put anything there.

        Raises:
            MailboxNotFoundError: There is no mailbox.
            UnknownStatusError: The status is none.
        """
        return await self._list(owner, INBOX, page)

    async def sentbox(self, owner: PublicKey, page: Page) -> list[Message]:
        """List what somebody sent; see `inbox`. The status of the page has to be 0 or 1."""
        return await self._list(owner, SENTBOX, page)

    async def _list(self, owner: PublicKey, collection: str, page: Page) -> list[Message]:
        found = await self._box(owner).find(collection, _query(page), owner)
        pacer = Pacer()
        messages = []
        for instance in found:
            message = _message(instance)
            if message is not None:
                messages.append(message)
            if pacer.due():
                await pacer.pause()
        return messages

    async def read(self, owner: PublicKey, message_id: str) -> int:
        """Mark a received message as read now, whether or not it was read before.

        Args:
            owner: Whose inbox.
            message_id: Which message.

        Returns:
            When, in ns since 1970.

        Raises:
            MailboxNotFoundError: There is no mailbox.
            InstanceNotFoundError: There is no such message.
        """
        async with self._box(owner).write_transaction(INBOX, owner) as transaction:
            message = documents.parse(await transaction.reads.find_by_id(message_id))
            now = self._clock()
            await transaction.save([documents.to_bytes({**message, _READ_AT: now})])
        return now

    async def delete_received(self, owner: PublicKey, message_id: str) -> None:
        """Delete a message from somebody's inbox; one that is not there is no error.

        Raises:
            MailboxNotFoundError: There is no mailbox.
        """
        await self._box(owner).delete(INBOX, [message_id], owner)

    async def delete_sent(self, owner: PublicKey, message_id: str) -> None:
        """Delete a message from somebody's sentbox; one that is not there is no error.

        Raises:
            MailboxNotFoundError: There is no mailbox.
        """
        await self._box(owner).delete(SENTBOX, [message_id], owner)

    def _box(self, owner: PublicKey) -> Database:
        found = self._ownership.find(owner.bytes, THREAD_NAME)
        if found is None:
            raise MailboxNotFoundError
        return self._databases.get(found[0])


def _collection(name: str, numbers: tuple[str, ...]) -> CollectionConfig:
    types = _TYPES | dict.fromkeys(numbers, "integer")
    schema = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "required": list(types),
        "properties": {field: {"type": kind} for field, kind in types.items()},
        "additionalProperties": False,
    }
    indexed = (*_INDEXED, _READ_AT) if _READ_AT in numbers else _INDEXED
    return CollectionConfig(name, json.dumps(schema).encode(), tuple(Index(path) for path in indexed))


_COLLECTIONS = (_collection(INBOX, ("created_at", _READ_AT)), _collection(SENTBOX, ("created_at",)))


def _sealed(body: bytes, signature: bytes) -> dict[str, object]:
    return {"body": base64.b64encode(body).decode(), "signature": base64.b64encode(signature).decode()}


def _query(page: Page) -> bytes:
    query: dict[str, object] = {
        "sort": {"fieldPath": "_id", "desc": not page.ascending},
        "seek": page.seek,
        "limit": min(page.limit, MAX_PAGE) if page.limit > 0 else DEFAULT_PAGE,
    }
    if page.status not in {0, *Status}:
        raise UnknownStatusError(f"unknown message status: {page.status}")
    if page.status in {Status.READ, Status.UNREAD}:
        operation = 2 if page.status == Status.READ else 0  # greater than, equal
        query["ands"] = [{"fieldPath": _READ_AT, "operation": operation, "value": {"float": 0}}]
    return json.dumps(query).encode()


def _message(instance: bytes) -> Message | None:
    try:
        found = _instances.decode(instance)
        body, signature = (base64.b64decode(text, validate=True) for text in (found.body, found.signature))
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return None
    return Message(found.id, found.sender, found.to, body, signature, found.created_at, found.read_at)
