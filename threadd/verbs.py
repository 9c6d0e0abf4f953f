"""What an operator may ask of a daemon, as it travels between the command line and whoever carries it out.

A request names its verb and holds its arguments. `threadd.operator` carries it out.
"""

from typing import TypeAlias

import msgspec


class CreateKey(msgspec.Struct, frozen=True, tag_field="verb", tag="create_key"):
    """Make an API key; answered with an `ApiKey`.

    Args:
        type: ``user`` or ``account``.
        secure: Whether its callers must sign.
    """

    type: str
    secure: bool = True


class ImportKey(msgspec.Struct, frozen=True, tag_field="verb", tag="import_key"):
    """Take in an API key that an app carries already; answered with an `ApiKey`.

    Args:
        key: The key.
        secret: Its secret.
        type: ``user`` or ``account``.
        secure: Whether its callers must sign.
    """

    key: str
    secret: str
    type: str
    secure: bool = True


class ListKeys(msgspec.Struct, frozen=True, tag_field="verb", tag="list_keys"):
    """List the API keys of the built-in account, without their secrets; answered with a list of `ApiKeySummary`."""


class InvalidateKey(msgspec.Struct, frozen=True, tag_field="verb", tag="invalidate_key"):
    """Make an API key useless for good; answered with an `ApiKeySummary`.

    Args:
        key: The key.
    """

    key: str


class ListDbs(msgspec.Struct, frozen=True, tag_field="verb", tag="list_dbs"):
    """List all databases, whoever owns them; answered with a list of `DbSummary`."""


class ListConfirmations(msgspec.Struct, frozen=True, tag_field="verb", tag="list_confirmations"):
    """List what waits to be confirmed; answered with a list of `PendingConfirmation`."""


class Confirm(msgspec.Struct, frozen=True, tag_field="verb", tag="confirm"):
    """Confirm what waits for a secret: sign-ups, sign-ins, an invitation; answered with a `Confirmed`.

    Args:
        secret: The last part of a link.
    """

    secret: str


Request: TypeAlias = CreateKey | ImportKey | ListKeys | InvalidateKey | ListDbs | ListConfirmations | Confirm


class ApiKeySummary(msgspec.Struct, frozen=True):
    """An API key without its secret.

    Args:
        key: The key.
        type: ``user`` or ``account``.
        secure: Whether its callers must sign.
        valid: Whether it still counts.
        created: Nanoseconds since 1970.
        threads: How many threads were made with it.
    """

    key: str
    type: str
    secure: bool
    valid: bool
    created: int
    threads: int


class ApiKey(msgspec.Struct, frozen=True):
    """An API key with its secret; see `ApiKeySummary`."""

    key: str
    secret: str
    type: str
    secure: bool


class DbSummary(msgspec.Struct, frozen=True):
    """A database.

    Args:
        id: The text of its thread's ID.
        name: Its name.
        collections: How many collections it has.
    """

    id: str
    name: str
    collections: int


class PendingConfirmation(msgspec.Struct, frozen=True):
    """Something that waits to be confirmed.

    Args:
        secret: What confirms it.
        purpose: ``sign-up``, ``sign-in`` or ``invitation``.
        name: The name of the developer, or of the organisation that invites.
        email: To whom it would be sent; may be empty.
        link: What a browser may open instead; empty where there is no gateway.
    """

    secret: str
    purpose: str
    name: str
    email: str
    link: str


class Confirmed(msgspec.Struct, frozen=True):
    """What was confirmed.

    Args:
        text: In words.
    """

    text: str


Result: TypeAlias = (
    ApiKey | ApiKeySummary | list[ApiKeySummary] | list[DbSummary] | list[PendingConfirmation] | Confirmed
)
