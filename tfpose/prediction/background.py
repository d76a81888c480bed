"""Runs the stages of a pipeline at the same time, each in its own thread and a few items ahead of the next."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")
# Time between two checks whether the next stage has stopped.
_SECONDS = 0.1


class _End:
    """Marks the end of the items."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Background(Generic[Item]):
    """Iterates over items in a thread, within a `with` statement.

    An error in the thread is raised by the iteration over this object. The end of the `with` statement stops the thread
    after its current item.

    Example:
        >>> with Background(range(3), 2) as items:
        ...     list(items)
        [0, 1, 2]
    """

    def __init__(self, items: Iterable[Item], max_waiting: int) -> None:
        """Starts the thread.

        Args:
            items: Items to iterate over in the thread.
            max_waiting: Largest number of items that wait to be taken.
        """
        self._items = items
        self._queue: queue.Queue[Item | _End] = queue.Queue(max_waiting)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        error: BaseException | None = None
        iterator = iter(self._items)
        try:
            for item in iterator:
                if not self._put(item):
                    break
        except BaseException as raised:  # The iteration raises it again.
            error = raised
        finally:
            if hasattr(iterator, "close"):
                iterator.close()
        self._put(_End(error))

    def _put(self, item: Item | _End) -> bool:
        while not self._is_closed.is_set():
            try:
                self._queue.put(item, timeout=_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[Item]:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                # Another iteration ends at once.
                self._queue.put(_End(None))
                if item.error is not None:
                    raise item.error
                return
            yield item

    def __enter__(self) -> Background[Item]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed.set()
        self._thread.join()
