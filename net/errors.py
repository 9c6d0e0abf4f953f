"""Errors of threads, keys, tokens and records.

Where a client or a peer matches on a text or a code, both are those that a go-threads daemon answers with; a plain
error of Go has the code UNKNOWN there.
"""

from store.errors import StatusCode, ThreaddError


class NetError(ThreaddError):
    """What is common to the errors of this room."""


class InvalidThreadIDError(NetError):
    """Bytes or text that are not a thread ID."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "invalid thread id"


class InvalidThreadKeyError(NetError):
    """Bytes or text that are not a thread key."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "invalid key"


class InvalidKeyError(NetError):
    """Bytes or text that are not an Ed25519 key in libp2p's form."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "invalid key: an Ed25519 key in libp2p's protobuf form is expected"


class InvalidLogKeyError(InvalidKeyError):
    """A log key that is neither a private nor a public key."""

    default_text = "invalid log-key"


class InvalidAddressError(NetError):
    """Bytes or text that are not a multiaddr."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "invalid multiaddr"


class InvalidCIDError(NetError):
    """Bytes or text that are not a CID."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "invalid cid"


class BadAuthorizationError(NetError):
    """An `authorization` value that is not of the form `bearer <token>`."""

    code = StatusCode.UNAUTHENTICATED
    default_text = "Bad authorization string"


class TokenNotFoundError(NetError):
    """What was sent as a token does not have the three parts of a JWT."""

    default_text = "thread token not found"


class InvalidTokenError(NetError):
    """A token that this daemon did not issue, or that was changed since."""

    default_text = "invalid thread token"


class BadChallengeError(NetError):
    """The signature over a challenge is not by the key that asked for a token."""

    default_text = "bad signature"


class DecryptionError(NetError):
    """A ciphertext that the key at hand does not open."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "the data could not be decrypted: it was changed or the key is another one"


class InvalidBlockError(NetError):
    """Bytes that are no DAG-CBOR block."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "invalid dag-cbor block"


class InvalidRecordError(NetError):
    """Blocks that do not form a record."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "invalid record"


class BadSignatureError(NetError):
    """A record that was not signed with the key of its log."""

    code = StatusCode.UNAUTHENTICATED
    default_text = "bad signature"


class InvalidBodyError(NetError):
    """The body of a record is not a list of patches."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "invalid record body"


class DeniedBodyError(NetError):
    """The application of a thread does not accept a body."""

    default_text = "app denied net record body"


class ThreadNotFoundError(NetError):
    """The thread is not known here."""

    code = StatusCode.NOT_FOUND
    default_text = "thread not found"


class ThreadExistsError(NetError):
    """The thread is known here already."""

    default_text = "thread already exists"


class ThreadInUseError(NetError):
    """An application owns the thread; it can be changed only through it.

    The reference says it with the same text and no code of its own.
    """

    code = StatusCode.FAILED_PRECONDITION
    default_text = "thread is in use"


class LogNotFoundError(NetError):
    """The log is not known in its thread."""

    code = StatusCode.NOT_FOUND
    default_text = "log not found"


class LogExistsError(NetError):
    """The log is known in its thread already."""

    default_text = "log already exists"


class KeyMismatchError(NetError):
    """Another key is kept for the thread."""

    default_text = "service-key mismatch"


class MissingKeyError(NetError):
    """A key that the operation needs is not kept here."""

    default_text = "a private-key is required to create records"


class RecordNotFoundError(NetError):
    """The thread has no such record here."""

    code = StatusCode.NOT_FOUND
    default_text = "record not found"


class OutOfOrderError(NetError):
    """A record does not stand directly behind the last one of its log here."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = (
        "the record does not follow the last one of its log here: read the log's head with GetThread, "
        "and add what comes after it, one record after the other"
    )


class SubscriberTooSlowError(NetError):
    """A subscriber did not take its records fast enough."""

    code = StatusCode.RESOURCE_EXHAUSTED
    default_text = "subscriber is too slow: too many records wait for it, so it is ended rather than given a gap"
