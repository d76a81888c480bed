"""Stops a run after the current step when SIGTERM or Ctrl-C arrives, or when the connection of the terminal is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from types import FrameType, TracebackType
from typing import Any, NoReturn

# Windows has no SIGHUP, which tells that the connection of the terminal is lost.
_HANGUP = getattr(signal, "SIGHUP", None)
_SIGNALS = (signal.SIGTERM, signal.SIGINT, *([_HANGUP] if _HANGUP else []))
_OUTPUTS = (1, 2)
_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


class TrainingInterrupted(SystemExit):
    """Ends a run that a signal stopped, after the run saved its state.

    The exit code is 128 + the signal's number: 143 for SIGTERM, 130 for Ctrl-C, 129 for a lost connection.
    """


class SignalWatch:
    """Records SIGTERM, SIGINT and SIGHUP inside a `with` block, instead of letting them end the process.

    A second signal acts as it did before the block, so that a user can end a run that hangs. Only SIGHUP, which a shell
    and the system both send, does not. It stays ignored under nohup; otherwise nothing is written any more to the
    terminal that is gone. Outside the main thread, where Python allows no handlers, signals are not recorded.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, _Handler] = {}
        self._terminals: list[int] = []

    @property
    def stop_requested(self) -> bool:
        """Whether a signal arrived."""
        return self.signal_number is not None

    @property
    def exit_code(self) -> int:
        """The exit code: 128 plus the number of the signal, or of SIGTERM if another worker received the signal."""
        return 128 + (signal.SIGTERM if self.signal_number is None else self.signal_number)

    def __enter__(self) -> SignalWatch:
        # A terminal that is gone is none any more.
        self._terminals = [descriptor for descriptor in _OUTPUTS if os.isatty(descriptor)]
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if number != _HANGUP or signal.getsignal(number) != signal.SIG_IGN:
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
        if number == _HANGUP:
            _silence(self._terminals)
        self._restore({_HANGUP})

    def _restore(self, kept: Collection[int | None] = ()) -> None:
        for number in set(self._previous) - set(kept):
            signal.signal(number, self._previous.pop(number))


def _silence(descriptors: list[int]) -> None:
    """Sends what is written to these files nowhere; an error of the terminal would end what is still to be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP interrupt the program as Ctrl-C does, so that it removes what is not complete."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in _SIGNALS if number != signal.SIGINT and signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
