"""The signature that a caller puts beside a secure API key.

An HMAC-SHA256 over a date as the client wrote it. The date says until when the signature counts, and it may lie any
time ahead (reference: hub-protocol, section 2, API signature).
"""

import datetime as dt
import hashlib
import hmac
import re

from net import multibase
from threadd.hub.errors import BadSignatureError, SignatureRequiredError

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:[.,](\d+))?(Z|[+-]\d{2}:\d{2})",
    re.ASCII,
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NANOSECONDS = 1_000_000_000


def parse_rfc3339(text: str) -> int | None:
    """Read an RFC 3339 time.

    Args:
        text: Such as ``2030-01-02T03:04:05Z`` or ``2030-01-02T03:04:05.678+01:00``.

    Returns:
        Nanoseconds since 1970, or None when the text is not such a time.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    seconds, fraction, zone = match.groups()
    try:
        moment = dt.datetime.fromisoformat(seconds + zone)
    except ValueError:
        return None
    elapsed = moment - _EPOCH
    nanoseconds = int((fraction or "0")[:9].ljust(9, "0"))
    return (elapsed.days * 86_400 + elapsed.seconds) * _NANOSECONDS + nanoseconds


def sign(secret: bytes, date: str) -> bytes:
    """Make the signature over a date.

    Args:
        secret: The decoded secret of an API key.
        date: The date as it is sent.

    Returns:
        32 bytes.
    """
    return hmac.digest(secret, date.encode(), hashlib.sha256)


def check_signature(secret: str, signature: str, date: str, now: int) -> None:
    """Check the signature that came with a secure API key.

    Args:
        secret: The key's secret, a multibase text.
        signature: The value of ``x-textile-api-sig``, empty when the header is not there.
        date: The value of ``x-textile-api-sig-msg``, empty when the header is not there.
        now: Nanoseconds since 1970.

    Raises:
        SignatureRequiredError: A part is missing, or the signature is not multibase.
        BadSignatureError: The signature is not the secret's, or the date is no date or has passed.
    """
    given = multibase.decode(signature) if signature else None
    if given is None or not date:
        raise SignatureRequiredError
    key = multibase.decode(secret)
    until = parse_rfc3339(date)
    if not key or until is None or until < now:
        raise BadSignatureError
    if not hmac.compare_digest(given, sign(key, date)):
        raise BadSignatureError
