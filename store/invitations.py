"""Invitations to organisations."""

from collections.abc import Iterator

import msgspec

from store import tables
from store.engine import Reader, Transaction
from store.values import RowCodec


class InvitationRow(msgspec.Struct, array_like=True, frozen=True):
    """An invitation.

    Args:
        token: What whoever was invited shows.
        organisation: The organisation's public key, in libp2p's protobuf form.
        sender: The public key of the developer who invites.
        email: To whom it was sent.
        expires: In ns since 1970.
        accepted: Whether it was consented to.
    """

    token: str
    organisation: bytes
    sender: bytes
    email: str
    expires: int
    accepted: bool = False


_invitations = RowCodec(InvitationRow)


def get_invitation(reader: Reader, token: str) -> InvitationRow | None:
    """An invitation, expired or not."""
    return _invitations.decode_optional(reader.get(tables.invitation(token)))


def list_invitations(reader: Reader) -> Iterator[InvitationRow]:
    """All invitations."""
    for _, value in reader.scan(*tables.invitations()):
        yield _invitations.decode(value)


def put_invitation(transaction: Transaction, row: InvitationRow) -> None:
    """Keep an invitation."""
    transaction.put(tables.invitation(row.token), _invitations.encode(row))


def delete_invitation(transaction: Transaction, token: str) -> None:
    """Forget an invitation."""
    transaction.delete(tables.invitation(token))
