"""Stopping a run politely: SIGTERM and Ctrl-C are noted, and the loop stops after the step."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingInterrupted(SystemExit):
    """A run stopped by a signal after it saved its state; the exit code is 128 + the signal's number.

    That is 143 for SIGTERM and 130 for Ctrl-C.
    """


class SignalWatch:
    """Notes SIGTERM and SIGINT inside a `with` block instead of dying of them.

    A second signal acts as it did before the block, so that a run which hangs can be ended. Outside
    the main thread, where Python allows no handlers, nothing is watched.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, object] = {}

    @property
    def stop_requested(self) -> bool:
        """Whether a signal came."""
        return self.signal_number is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number; where another worker got the signal, that of SIGTERM."""
        return 128 + (signal.SIGTERM if self.signal_number is None else self.signal_number)

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
