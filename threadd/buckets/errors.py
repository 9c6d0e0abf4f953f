"""What buckets refuse, with the texts that clients match on (hub-protocol.md, sections 5 and 7)."""

from store.errors import StatusCode, ThreaddError


class ThreadRequiredError(ThreaddError):
    """The call names no thread."""

    default_text = "db required"


class BucketNotFoundError(ThreaddError):
    """The thread has no such bucket, or it cannot be seen."""

    code = StatusCode.NOT_FOUND

    @classmethod
    def of(cls, key: str) -> "BucketNotFoundError":
        """The error for a key; people pass names now and then."""
        return cls(
            f"instance not found: no bucket of this thread has the key '{key}' (not its name; list shows both)",
        )


class InvalidNodeError(ThreaddError):
    """A block is no node of a kind that buckets are made of."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "invalid node type"


class BlockNotFoundError(ThreaddError):
    """A block is not kept here, and no network is asked for it."""

    code = StatusCode.NOT_FOUND


class InvalidPathError(ThreaddError):
    """A path cannot be one of a bucket."""

    code = StatusCode.INVALID_ARGUMENT


class SeedPathError(InvalidPathError):
    """A path holds the name that is kept for the seed."""

    default_text = "paths containing .textileseed are not allowed"


class PathNotFoundError(ThreaddError):
    """There is nothing at a path, or it cannot be seen."""

    code = StatusCode.NOT_FOUND


class LinkNotFoundError(PathNotFoundError):
    """There is nothing at the path that is to be removed; the `buck` program passes over errors that end so."""

    default_text = "no link by that name"


class IsDirectoryError(ThreaddError):
    """A file is asked for, and there is a directory."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "node is a directory"


class NotDirectoryError(ThreaddError):
    """A directory is needed, and there is a file."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "not a directory"


class SourceIsRootError(ThreaddError):
    """The root of a bucket cannot be moved."""

    code = StatusCode.INVALID_ARGUMENT
    default_text = "source is root directory"


class NonFastForwardError(ThreaddError):
    """The bucket has changed since the client last saw it."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "update is non-fast-forward"


class IncompleteRootError(ThreaddError):
    """The newest root of a bucket is not complete here, so that no change can be built on it."""

    code = StatusCode.FAILED_PRECONDITION

    @classmethod
    def of(cls, path: str, missing: str, *, is_served: bool = True) -> "IncompleteRootError":
        """The error for a root.

        Args:
            path: Its path.
            missing: A block that it lacks.
            is_served: Whether the bucket is served at an earlier root.
        """
        rest = (
            "Until its blocks are here the bucket is served at its last complete root and not changed"
            if is_served
            else "Bring its blocks (threadd buckets export and import do that of a public bucket), or set the root to "
            "a node that is here"
        )
        return cls(
            f"the newest root of this bucket, {path}, was written elsewhere and is not complete here: block {missing} "
            f"is missing. {rest}"
        )


class StorageQuotaError(ThreaddError):
    """The owner's buckets would become larger than they may."""

    code = StatusCode.RESOURCE_EXHAUSTED
    default_text = "storage quota exhausted"


class SealError(ThreaddError):
    """Encrypted content is damaged, or was encrypted with another key."""

    code = StatusCode.DATA_LOSS
    default_text = "encrypted content cannot be opened: it is damaged, or its key is another one"


class InvalidBucketCidError(ThreaddError):
    """The text that names a node is no CID."""

    code = StatusCode.INVALID_ARGUMENT


class RoleKeyError(ThreaddError):
    """A role is given to something that is no public key."""

    code = StatusCode.INVALID_ARGUMENT


class VerificationError(ThreaddError):
    """The rules of the bucket refuse the paths of an upload."""

    code = StatusCode.PERMISSION_DENIED


class ArchivesDisabledError(ThreaddError):
    """There is no Filecoin service here."""

    default_text = "archiving feature is disabled"


class NeverArchivedError(ThreaddError):
    """There is no archive to watch."""

    default_text = "the bucket was never archived"


class LastBucketsError(ThreaddError):
    """A database is to be deleted that has buckets."""

    code = StatusCode.FAILED_PRECONDITION
    default_text = "DB not empty (delete buckets first)"
