"""Progress bars for work that may take long."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

_SECONDS_BEFORE_BAR = 0.7


class LateProgress:
    """A progress bar on stderr that appears once the work has taken a while.

    tqdm is imported only then: its import takes a tenth of the time that scoring fifty sequences takes.

    Example:
        >>> with LateProgress("scoring", "sequences") as progress:
        ...     progress(1, 1)
    """

    def __init__(self, what: str, unit: str) -> None:
        """Starts the clock.

        Args:
            what: Name of the work, such as 'scoring'.
            unit: Unit of the counts, such as 'sequences'.
        """
        self._what, self._unit = what, unit
        self._start = time.monotonic()
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Shows that `done` of `total` units are finished."""
        if self._bar is None:
            if time.monotonic() - self._start < _SECONDS_BEFORE_BAR or done == total:
                return
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=self._what, unit=f" {self._unit}")
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> LateProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
