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


class ExpiredSessionError(ThreaddError):
    """The session was not used for too long."""

    code = StatusCode.UNAUTHENTICATED
    default_text = "Expired session"


class UserNotFoundError(ThreaddError):
    """There is no such developer, or none any more."""

    code = StatusCode.NOT_FOUND
    default_text = "User not found"


class NotMemberError(ThreaddError):
    """The developer is no member of the organisation, which may not even exist."""

    code = StatusCode.PERMISSION_DENIED
    default_text = "User is not an org member"


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


class ThreadOwnedError(DuplicateKeyError):
    """The owner has that thread already.

    The text also has what the hosted Hub's database said by way of an older driver: `@textile/threaddb` looks for it to
    open a database that exists. A name that another thread has is not this error, lest that client take it for its own.

    Args:
        thread: The text of the thread's ID.
    """

    def __init__(self, thread: str) -> None:
        super().__init__(f"threads: thread '{thread}' of this owner (multiple write errors)")


class InvalidApiKeyError(ThreaddError):
    """An API key or secret that is to be imported cannot be one."""

    code = StatusCode.INVALID_ARGUMENT


class UnknownApiKeyError(ThreaddError):
    """No API key has that name.

    The text is that of the hosted Hub's database, which clients look for.
    """

    default_text = "mongo: no documents in result"


class UsernameError(ThreaddError):
    """The text cannot be the name of a developer."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = (
        "username may only contain alphanumeric characters or single hyphens, and cannot begin or end with a hyphen"
    )


class EmailError(ThreaddError):
    """The text is no address of mail. The typo is the hosted Hub's."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "Email address in not valid"


class AccountExistsError(ThreaddError):
    """The name or the address of mail belongs to an account already."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "Account exists"


class NotConfirmedError(ThreaddError):
    """Nobody confirmed the address of mail in time."""

    code = StatusCode.UNAUTHENTICATED
    default_text = "Could not verify email address"


class TooManyWaitingError(ThreaddError):
    """More sign-ups and sign-ins wait to be confirmed than may."""

    code = StatusCode.RESOURCE_EXHAUSTED
    default_text = "too many wait to be confirmed: try again later"


class MailError(ThreaddError):
    """The e-mail with a link could not be sent."""

    code = StatusCode.UNAVAILABLE


class NameTakenError(ThreaddError):
    """Somebody has that name already."""

    code = StatusCode.FAILED_PRECONDITION


class OrganisationNameError(ThreaddError):
    """Nothing of the name is left in a slug."""


class NoSessionError(ThreaddError):
    """There is no session to end: the caller came with an API key."""

    code = StatusCode.NOT_FOUND
    default_text = "session not found"


class AccountTypeError(ThreaddError):
    """Users of a user group key have no account."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "account type not supported"


class DeveloperRequiredError(ThreaddError):
    """The call is for a developer, and an organisation's key made it."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "developer account required"


class OrganisationRequiredError(ThreaddError):
    """The call is about an organisation, and names none."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "organization account required"


class OrganisationToShowRequiredError(OrganisationRequiredError):
    """As `OrganisationRequiredError`, with the code that the hosted Hub gives where an organisation is to be shown."""

    code = StatusCode.FAILED_PRECONDITION


class NotOwnerError(ThreaddError):
    """Only an owner of an organisation may do that."""

    code = StatusCode.PERMISSION_DENIED
    default_text = "User must be an org owner"


class LastOwnerError(ThreaddError):
    """The organisation would have no owner any more."""

    default_text = "an org must have at least one owner"


class AccountNotEmptyError(ThreaddError):
    """The account owns organisations."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "Account not empty (delete orgs first)"


class BuiltInAccountError(ThreaddError):
    """The account that the command line's keys belong to stays."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "the built-in account cannot be destroyed: invalidate its keys and delete its threads instead"


class KeyNotOwnedError(ThreaddError):
    """The API key belongs to somebody else."""

    code = StatusCode.PERMISSION_DENIED
    default_text = "User does not own key"


class InvitationNotFoundError(ThreaddError):
    """There is no such invitation, or none any more."""

    code = StatusCode.NOT_FOUND
    default_text = "invitation not found"


class InvitationExpiredError(ThreaddError):
    """The invitation was not consented to in time."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "this invitation has expired"


class NamedThreadNotFoundError(ThreaddError):
    """The caller has no thread of that name."""

    code = StatusCode.NOT_FOUND
    default_text = "Thread not found"


class MailboxNotFoundError(ThreaddError):
    """The sender or the recipient of a message has no mailbox."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "mail not found"


class MessageSignatureError(ThreaddError):
    """A body of a message was not signed with the sender's key."""

    code = StatusCode.UNAUTHENTICATED
    default_text = "Bad message signature"


class RecipientKeyError(ThreaddError):
    """The text that names a person is no public key."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "Invalid public key"


class BillingDisabledError(ThreaddError):
    """There is no billing here."""

    default_text = "billing is not enabled"


class NoArchivesError(ThreaddError):
    """There is no Filecoin service here."""

    default_text = "no powergate info associated with account"
