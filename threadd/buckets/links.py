"""Addresses of buckets at the gateway (hub-protocol.md, section 5, "Calls")."""

from dataclasses import dataclass
from urllib.parse import quote

from net.thread_id import ThreadID
from threadd.buckets.instances import Actor
from threadd.buckets.model import Bucket


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of a bucket or a path in it.

    Args:
        url: In its thread.
        www: As a website; empty where there is no domain for those.
        ipns: By its name.
    """

    url: str
    www: str
    ipns: str


def addresses(gateway: str, domain: str, thread: ThreadID, actor: Actor, bucket: Bucket, path: str) -> Links:
    """The addresses of a bucket or of what is at a path in it.

    Args:
        gateway: Where links begin.
        domain: The domain under which each bucket is a website; empty for none.
        thread: The bucket's thread.
        actor: Whose token opens what is private.
        bucket: The bucket.
        path: The cleaned path; empty for the root.
    """
    end = "/" + quote(path, safe="/") if path else ""
    if bucket.is_private:
        end += f"?token={actor.token}"
    scheme = gateway.partition("://")[0]
    return Links(
        url=f"{gateway}/thread/{thread.text}/buckets/{bucket.id}{end}",
        www=f"{scheme}://{bucket.id}.{domain}{end}" if domain else "",
        ipns=f"{gateway}/ipns/{bucket.id}{end}",
    )
