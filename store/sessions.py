"""Sessions of developers."""

from collections.abc import Iterator

import msgspec

from store import tables
from store.engine import Reader, Transaction
from store.values import RowCodec


class SessionRow(msgspec.Struct, array_like=True, frozen=True):
    """A session.

    Args:
        id: What callers send.
        owner: The developer's public key, in libp2p's protobuf form.
        expires: In ns since 1970.
    """

    id: str
    owner: bytes
    expires: int


_sessions = RowCodec(SessionRow)


def get_session(reader: Reader, session_id: str) -> SessionRow | None:
    """A session, expired or not."""
    return _sessions.decode_optional(reader.get(tables.session(session_id)))


def list_sessions(reader: Reader, owner: bytes) -> Iterator[SessionRow]:
    """The sessions of a developer."""
    for _, value in reader.scan(*tables.sessions()):
        row = _sessions.decode(value)
        if row.owner == owner:
            yield row


def put_session(transaction: Transaction, row: SessionRow) -> None:
    """Keep a session."""
    transaction.put(tables.session(row.id), _sessions.encode(row))


def delete_session(transaction: Transaction, session_id: str) -> None:
    """Forget a session."""
    transaction.delete(tables.session(session_id))
