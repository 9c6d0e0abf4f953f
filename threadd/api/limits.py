"""What one call and one caller may ask for at most; each limit has a setting and an error of its own.

They hold at every door alike, since the dispatcher keeps them. What is not here is limited where it is: how deep
documents nest, how long IDs and names are, how much waits for a listener (docs/reliability.md).
"""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from google.protobuf.descriptor import Descriptor

from store.errors import StatusCode, ThreaddError
from threadd.api.principals import Holder
from threadd.db.queries import parse_query

_MANY: Final = ("instances", "instanceIDs")
_SCHEMAS: Final = ("collections", "config")
_QUERY: Final = "queryJSON"

Check = Callable[[Any], None]


class LimitError(ThreaddError):
    """A call or a caller asks for more than this daemon gives."""

    code: ClassVar[StatusCode] = StatusCode.RESOURCE_EXHAUSTED


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits.

    Args:
        instances: How many instances or IDs one message may hold.
        schema_bytes: How large the schema of a collection may be.
        streams: How many calls with a stream of replies, listeners and transactions among them, one identity may have
            open at a door; where a caller has proved none, one address, within an API key.
        query_depth: How deep the alternatives of a query may nest.
    """

    instances: int = 100_000
    schema_bytes: int = 2**20
    streams: int = 4_096
    query_depth: int = 32

    def check_of(self, message: Descriptor, *, is_part: bool = False) -> Check | None:
        """What requests of a type are checked by; None for a type that no limit is about.

        The check raises `LimitError`, or `InvalidQueryError` for a query that nests too deep.

        Args:
            message: The type.
            is_part: Whether it is a part of another message, and its own parts do not count.
        """
        names = message.fields_by_name
        many = [name for name in _MANY if name in names]
        is_query = _QUERY in names
        schemas = [name for name in _SCHEMAS if name in names and _holds_schema(names[name].message_type)]
        parts = {
            name: check
            for name, part in names.items()
            if not is_part
            and part.containing_oneof is not None
            and part.message_type is not None
            and (check := self.check_of(part.message_type, is_part=True)) is not None
        }
        if not (many or schemas or parts or is_query):
            return None

        def check_all(request: Any) -> None:
            for name in many:
                self._check_count(len(getattr(request, name)))
            for name in schemas:
                value = getattr(request, name)
                for config in value if name == "collections" else (value,):
                    self._check_schema(len(config.schema))
            if is_query:
                self._check_query(request.queryJSON)
            for name, check in parts.items():
                if request.HasField(name):
                    check(getattr(request, name))

        return check_all

    def _check_count(self, count: int) -> None:
        if count > self.instances:
            raise LimitError(
                f"{count} instances in one call, and at most {self.instances} are taken: send several calls"
            )

    def _check_query(self, query: bytes) -> None:
        # Each level has an array of its own: nearly every query has fewer, and is read once only.
        if query.count(b"[") > self.query_depth:
            parse_query(query, self.query_depth)

    def _check_schema(self, size: int) -> None:
        if size > self.schema_bytes:
            raise LimitError(f"the schema has {size} bytes, and at most {self.schema_bytes} are taken")


DEFAULTS: Final = Limits()


@dataclass(slots=True)
class OpenStreams:
    """The streams that are open at a door, by holder.

    Args:
        most: How many one holder may have.
    """

    most: int
    _count: Counter[Holder] = field(default_factory=Counter)

    @contextmanager
    def one_more(self, holder: Holder) -> Generator[None, None, None]:
        """Count a stream for as long as the body runs.

        Args:
            holder: Whose share it comes out of.

        Raises:
            LimitError: There are as many as there may be.
        """
        if self._count[holder] >= self.most:
            raise LimitError(f"{self.most} streams are open already: end one of them first")
        self._count[holder] += 1
        try:
            yield
        finally:
            self._count[holder] -= 1
            if not self._count[holder]:
                del self._count[holder]


def _holds_schema(message: Descriptor | None) -> bool:
    return message is not None and "schema" in message.fields_by_name
