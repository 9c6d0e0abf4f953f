"""What an operator may ask about buckets; see `threadd.verbs`."""

from typing import TypeAlias

import msgspec


class ListBuckets(msgspec.Struct, frozen=True, tag_field="verb", tag="list_buckets"):
    """List all buckets, whoever owns them; answered with a list of `BucketSummary`."""


class ExportBucket(msgspec.Struct, frozen=True, tag_field="verb", tag="export_bucket"):
    """Write the blocks of a public bucket to a CAR file; answered with a `MovedBucket`.

    Args:
        key: The bucket.
        file: The path of the file; there must be none.
    """

    key: str
    file: str


class ImportBucket(msgspec.Struct, frozen=True, tag_field="verb", tag="import_bucket"):
    """Make a bucket of a CAR file; answered with a `MovedBucket`. It belongs to the built-in account.

    Args:
        file: The path of the file.
        thread: The text of the ID of the thread that it is made in.
        name: What it is called.
        private: Whether its content is encrypted.
    """

    file: str
    thread: str
    name: str = ""
    private: bool = False


class PushFile(msgspec.Struct, frozen=True, tag_field="verb", tag="push_file"):
    """Put a file into a bucket, in the name of the built-in account; answered with a `MovedFile`.

    Args:
        key: The bucket.
        path: Where it goes.
        file: The path of the file on this machine.
    """

    key: str
    path: str
    file: str


class PullFile(msgspec.Struct, frozen=True, tag_field="verb", tag="pull_file"):
    """Write a file of a bucket, whoever owns it, to this machine; answered with a `MovedFile`.

    Args:
        key: The bucket.
        path: Where it is in the bucket.
        file: The path of the file on this machine; there must be none.
    """

    key: str
    path: str
    file: str


BucketRequest: TypeAlias = ListBuckets | ExportBucket | ImportBucket | PushFile | PullFile


class BucketSummary(msgspec.Struct, frozen=True):
    """A bucket.

    Args:
        key: Its key.
        name: What it is called.
        thread: The text of its thread's ID.
        owner: Text of its owner's public key; empty for none.
        private: Whether its content is encrypted.
        path: Its root.
        size: How many bytes its blocks take, as far as known.
    """

    key: str
    name: str
    thread: str
    owner: str
    private: bool
    path: str
    size: int


class MovedBucket(msgspec.Struct, frozen=True):
    """What was exported or imported.

    Args:
        key: The bucket.
        path: Its root.
        blocks: How many blocks were written or read.
    """

    key: str
    path: str
    blocks: int


class MovedFile(msgspec.Struct, frozen=True):
    """A file that was put into a bucket, or taken out of it.

    Args:
        key: The bucket.
        path: Where it is in the bucket.
        size: How many bytes it has.
        root: The bucket's root.
    """

    key: str
    path: str
    size: int
    root: str


BucketResult: TypeAlias = list[BucketSummary] | MovedBucket | MovedFile
