"""How much is kept under the number of a thread."""

from dataclasses import dataclass, field

from store import tables
from store.engine import Reader


@dataclass(slots=True)
class Measuring:
    """A count on its way. It may stop between any two rows and go on with a later state.

    Args:
        thread_number: The thread.

    Attributes:
        size: The bytes of keys and values so far, without what the pages that hold them need beside.
    """

    thread_number: int
    size: int = 0
    _left: list[tables.Range] = field(init=False)

    def __post_init__(self) -> None:
        self._left = list(tables.whole_thread(self.thread_number))

    def go_on(self, reader: Reader, rows: int) -> bool:
        """Count more.

        Args:
            reader: The state.
            rows: The most rows to count.

        Returns:
            Whether that was all.
        """
        while self._left:
            start, stop = self._left[0]
            for key, value in reader.scan(start, stop):
                self.size += len(key) + len(value)
                rows -= 1
                if rows == 0:
                    self._left[0] = (key + b"\0", stop)
                    return False
            del self._left[0]
        return True
