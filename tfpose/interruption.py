"""Stops a run after the current step when SIGTERM, Ctrl-C or SIGHUP (a closed terminal) arrives."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


class TrainingInterrupted(SystemExit):
    """Ends a run that a signal stopped, after the run saved its state.

    The exit code is 128 + the signal's number: 143 for SIGTERM, 130 for Ctrl-C, 129 for SIGHUP.
    """


class SignalWatch:
    """Records SIGTERM, SIGINT and SIGHUP inside a `with` block, instead of letting them end the process.

    Signals that the process ignores, such as SIGHUP below nohup, stay ignored. A second signal acts as it did before
    the block, so that a user can end a run that hangs. Outside the main thread, where Python allows no handlers,
    signals are not recorded.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, _Handler] = {}

    @property
    def stop_requested(self) -> bool:
        """Whether a signal arrived."""
        return self.signal_number is not None

    @property
    def exit_code(self) -> int:
        """The exit code: 128 plus the number of the signal, or of SIGTERM if another worker received the signal."""
        return 128 + (signal.SIGTERM if self.signal_number is None else self.signal_number)

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
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
