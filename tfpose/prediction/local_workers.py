"""Watches the worker processes that Apache Beam starts on this machine: Ctrl-C ends them, and a crash is noticed."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import shlex
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from tfpose.json_files import write_text

# Names a folder with a file for each worker, which holds what the worker is at.
_FOLDER_VARIABLE = "TFPOSE_PREDICT_MANY_WORKERS"
# Beam waits for a worker process in a thread of this name, which fails if the process fails.
_BEAM_THREAD = "run_worker"
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 5.0
# Its presence in the folder ends the workers.
_STOP_FILE = "stop"
# Why a worker ends the run.
_ERROR_FILE = "error"


class WorkerCrash(OSError):
    """A worker process ended.

    Attributes:
        tasks: What each process that ended was at, see `note_task`.
    """

    def __init__(self, reason: str, tasks: list[str]) -> None:
        super().__init__(reason)
        self.tasks = tasks


def run_watched(action: Callable[[], None], should_stop: Callable[[], bool]) -> bool:
    """Runs what starts workers, which neither Ctrl-C nor SIGTERM reach; returns whether it came to its end.

    Args:
        action: Starts workers and waits for them.
        should_stop: Function that is called several times a second; True ends all workers.

    Raises:
        ValueError: A worker ended the run, see `end_run`.
        WorkerCrash: A worker process ended; the others are ended too.
        Exception: The error of `action`.
    """
    with tempfile.TemporaryDirectory(prefix="tfpose_workers_", suffix=f"-{os.getpid()}") as name:
        folder = pathlib.Path(name)
        with _environment(name), _deaf_workers(folder), _crashes() as crashes:
            thread = _Action(action)
            thread.start()
            try:
                error_file = folder / _ERROR_FILE
                while thread.is_alive() and not crashes and not error_file.exists() and not should_stop():
                    thread.join(_POLL_SECONDS)
                error = error_file.read_text(encoding="utf-8") if error_file.exists() else ""
                # Those that end below are none of them.
                reasons = list(crashes)
                ended = [path for path in _workers(folder) if not _is_running(path)] if reasons else []
                tasks = [path.read_text(encoding="utf-8") for path in ended]
            finally:
                # Asked before the workers are ended, which may end the action with an error.
                is_finished = not thread.is_alive()
                if not is_finished:
                    # Threads of Beam log the loss of each worker that is ended below.
                    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
                _end_workers(folder)
    if error:
        raise ValueError(error)
    if reasons:
        message = f"a worker process ended, perhaps for lack of memory ({reasons[0]})"
        raise WorkerCrash(message, [task for task in tasks if task])
    if is_finished and thread.error is not None:
        raise thread.error
    return is_finished


class _Action(threading.Thread):
    """Runs a function and keeps its error."""

    def __init__(self, action: Callable[[], None]) -> None:
        # Beam would wait forever for workers that are gone.
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self._action = action

    def run(self) -> None:
        try:
            self._action()
        except BaseException as error:
            self.error = error


@contextlib.contextmanager
def _environment(folder: str) -> Iterator[None]:
    os.environ[_FOLDER_VARIABLE] = folder
    try:
        yield
    finally:
        del os.environ[_FOLDER_VARIABLE]


@contextlib.contextmanager
def _deaf_workers(folder: pathlib.Path) -> Iterator[None]:
    """Within, worker processes ignore Ctrl-C, SIGTERM and SIGHUP, about which only the main process reports.

    Beam starts a worker by a command of the shell that begins with `sys.executable`. The command also leaves a file
    with the number of the process in the folder.
    """
    python = sys.executable
    sys.executable = f"trap '' INT TERM HUP; : > {shlex.quote(str(folder))}/$$; exec {shlex.quote(python)}"
    try:
        yield
    finally:
        sys.executable = python


@contextlib.contextmanager
def _crashes() -> Iterator[list[str]]:
    """Yields a list to which the reason is added when a worker process fails.

    From then on, errors in threads of Beam are not printed: they follow when workers are killed at the end.
    """
    found: list[str] = []
    previous = threading.excepthook
    # Those of an earlier call, which ended their workers, may take until now to fail.
    earlier = set(threading.enumerate())

    def note(failure: threading.ExceptHookArgs) -> None:
        if failure.thread is not None and failure.thread.name == _BEAM_THREAD:
            if failure.thread not in earlier:
                found.append(str(failure.exc_value))
        elif not _is_of_beam(failure.exc_traceback):
            previous(failure)

    threading.excepthook = note
    yield found


def _is_of_beam(trace: TracebackType | None) -> bool:
    while trace is not None:
        if "apache_beam" in trace.tb_frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False


def _is_running(path: pathlib.Path) -> bool:
    try:
        os.kill(int(path.name), 0)
    except OSError:
        return False
    return True


def _workers(folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in sorted(folder.iterdir()) if path.name.isdecimal() and path.name != str(os.getpid())]


def _end_workers(folder: pathlib.Path) -> None:
    """Ends the workers that have not ended, and waits for it."""
    (folder / _STOP_FILE).touch()
    workers = _workers(folder)
    end = time.monotonic() + _GRACE_SECONDS
    while any(map(_is_running, workers)):
        if time.monotonic() > end:
            for path in workers:
                with contextlib.suppress(OSError):
                    os.kill(int(path.name), signal.SIGKILL)
        time.sleep(_POLL_SECONDS / 4)


def join_workers() -> None:
    """Says in a worker that it is one, and ends it when the process that started it on this machine ends or wants so.

    Does nothing in workers on other machines.
    """
    name = os.environ.get(_FOLDER_VARIABLE)
    if not name:
        return
    if not os.path.isdir(name):
        # The run was over before this worker had started.
        os._exit(1)
    note_task("")
    main_process = int(name.rpartition("-")[2])
    if main_process != os.getpid():
        threading.Thread(target=_end_with, args=(main_process, pathlib.Path(name)), daemon=True).start()


def note_task(task: str) -> None:
    """Notes what this worker is at; '' for nothing."""
    folder = os.environ.get(_FOLDER_VARIABLE)
    if folder:
        (pathlib.Path(folder) / str(os.getpid())).write_text(task, encoding="utf-8")


def end_run(message: str) -> None:
    """Ends the run with an error, from a worker. Returns only in workers on other machines and in the main process."""
    name = os.environ.get(_FOLDER_VARIABLE, "")
    if name and int(name.rpartition("-")[2]) != os.getpid():
        with contextlib.suppress(OSError):
            write_text(pathlib.Path(name) / _ERROR_FILE, message)
        # An error here would make Beam print a traceback. The main process ends this one.
        threading.Event().wait()


def _end_with(process: int, folder: pathlib.Path) -> None:
    while not (folder / _STOP_FILE).exists():
        try:
            os.kill(process, 0)
        except OSError:
            break
        time.sleep(_POLL_SECONDS)
    # Without the messages of a shell about a process that was killed.
    os._exit(1)
