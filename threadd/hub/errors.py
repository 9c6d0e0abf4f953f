"""What the Hub refuses, with its codes and the texts that clients match on.

Codes and texts are those of the hosted Hub (reference: hub-protocol, sections 2, 3 and 7).
"""

from store.errors import StatusCode, ThreaddError


class MethodBlockedError(ThreaddError):
    """The method would show one caller what belongs to others; nobody may call it through the Hub's door."""

    code = StatusCode.PERMISSION_DENIED
    default_text = "Method is not accessible"


class InvalidSessionError(ThreaddError):
    """No session has that ID."""

    code = StatusCode.UNAUTHENTICATED
    default_text = "Invalid session"


class ApiKeyNotFoundError(ThreaddError):
    """No API key has that name, or the one that has was invalidated."""

    code = StatusCode.NOT_FOUND
    default_text = "API key not found or is invalid"


class AccountNotFoundError(ThreaddError):
    """The account that an API key belongs to is gone."""

    code = StatusCode.NOT_FOUND
    default_text = "Account not found"


class SignatureRequiredError(ThreaddError):
    """A secure API key came without a signature that can be read."""

    code = StatusCode.UNAUTHENTICATED
    default_text = "API key signature required"


class BadSignatureError(ThreaddError):
    """The signature was not made with the API key's secret, or its date has passed."""

    code = StatusCode.UNAUTHENTICATED
    default_text = "Bad API key signature"


class TokenRequiredError(ThreaddError):
    """A user group key alone names no user."""

    code = StatusCode.UNAUTHENTICATED
    default_text = "Token required"


class BadAuthorizationError(ThreaddError):
    """The user token cannot be read."""

    code = StatusCode.PERMISSION_DENIED
    default_text = "Bad authorization"


class CredentialsRequiredError(ThreaddError):
    """The call carries neither a session nor an API key."""

    code = StatusCode.UNAUTHENTICATED
    default_text = "Session or API key required"


class ThreadNotOwnedError(ThreaddError):
    """The thread belongs to somebody else, and the method is for owners only."""

    code = StatusCode.PERMISSION_DENIED
    default_text = "User does not own thread"


class WrongApiKeyError(ThreaddError):
    """The thread is the caller's own, but it was made with another user group key."""

    code = StatusCode.PERMISSION_DENIED
    default_text = "Bad API key"


class ThreadNameError(ThreaddError):
    """The name given to a thread breaks the rule for names."""

    default_text = (
        "name may only contain alphanumeric characters or non-consecutive hyphens, "
        "and cannot begin or end with a hyphen"
    )


class ThreadQuotaError(ThreaddError):
    """The owner has as many threads as it may have."""

    default_text = "number of threads per owner exceeds quota"


class DuplicateKeyError(ThreaddError):
    """What is to be made exists already.

    The text begins as that of the hosted Hub's database does, because clients look for that part of it.

    Args:
        what: The table and what in it is taken, such as ``threads: name 'notes'``.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"E11000 duplicate key error: {what}")


class InvalidApiKeyError(ThreaddError):
    """An API key or secret that is to be imported cannot be one."""

    code = StatusCode.INVALID_ARGUMENT


class UnknownApiKeyError(ThreaddError):
    """No API key has that name.

    The text is that of the hosted Hub's database, which clients look for.
    """

    default_text = "mongo: no documents in result"
