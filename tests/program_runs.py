"""The command-line programs as a user runs them: in this process, or in processes of their own."""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import logging
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator

import numpy as np

PROJECT = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(PROJECT)}
# A package is a program by its module __main__.
_PACKAGES = ("tfpose", "tfpose.pretrained", "tfpose.report")


def run(
    *arguments: object, timeout: float = 300, folder: pathlib.Path = PROJECT, separate_process: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs a program.

    TensorFlow takes seconds to start, so the program is called in this process.

    Args:
        arguments: As behind `python`: a file such as "train_main.py", or "-m" and a module; then the program's own.
        timeout: Seconds, for a process.
        folder: The working directory.
        separate_process: For what must not share a process: signals, environment variables, what is imported.
    """
    words = [str(argument) for argument in arguments]
    if not separate_process:
        module, own = (words[1], words[2:]) if words[0] == "-m" else (words[0].removesuffix(".py"), words[1:])
        return _call(f"{module}.__main__" if module in _PACKAGES else module, own, folder)
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False
    )


def assert_one_line(result, *words):
    """Exit code 1 or 2 and one line of error, no traceback."""
    assert result.returncode in (1, 2), result.stderr[-3000:]
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, result.stderr[-3000:]
    for word in words:
        assert word in lines[0]


def _call(module: str, arguments: list[str], folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Calls the program; like a process it has a traceback on stderr and exit code 1 after a defect."""
    with _kept_state(folder), _captured() as files, warnings.catch_warnings():
        _show_warnings()
        try:
            code = importlib.import_module(module).main(arguments)
        except BaseException:
            traceback.print_exc()
            code = 1
    return subprocess.CompletedProcess([module, *arguments], code, *(_read(file) for file in files))


def _show_warnings() -> None:
    """Makes Python write warnings to stderr as in a new process, where pytest collects them otherwise."""

    def show(message, category, filename, lineno, file=None, line=None):
        print(warnings.formatwarning(message, category, filename, lineno, line), file=sys.stderr)

    warnings.showwarning = show
    warnings.simplefilter("default")
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)


def _read(file: io.BufferedRandom) -> str:
    with file:
        file.seek(0)
        return file.read().decode()


@contextlib.contextmanager
def _captured() -> Iterator[list[io.BufferedRandom]]:
    """Within, what is written to stdout and stderr, by C++ too, goes to two files; they are left open."""
    streams = sys.stdout, sys.stderr
    for stream in streams:
        stream.flush()
    own = [os.dup(number) for number in (1, 2)]
    files = [_redirect(number) for number in (1, 2)]
    with open(1, "w", closefd=False) as sys.stdout, open(2, "w", buffering=1, closefd=False) as sys.stderr:
        try:
            yield files
        finally:
            sys.stdout.flush()
            sys.stdout, sys.stderr = streams
            for number, descriptor in zip((1, 2), own, strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)


def _redirect(number: int) -> io.BufferedRandom:
    """Points a file descriptor at a new file."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    os.dup2(file.fileno(), number)
    return file


@contextlib.contextmanager
def _kept_state(working_directory: pathlib.Path) -> Iterator[None]:
    """Puts back what a program changes in its process, and collects its networks."""
    import keras

    folder, environment, policy = os.getcwd(), dict(os.environ), keras.config.dtype_policy()
    states, levels = (random.getstate(), np.random.get_state()), _levels()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    root_handlers = logging.root.handlers[:]
    # The handlers of pytest would take what a program shows.
    logging.root.handlers.clear()
    os.chdir(working_directory)
    try:
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        keras.config.set_dtype_policy(policy)
        random.setstate(states[0])
        np.random.set_state(states[1])
        for number, handler in handlers.items():
            signal.signal(number, handler)
        logging.root.handlers[:] = root_handlers
        for name, level in levels.items():
            logging.getLogger(name or None).setLevel(level)
        gc.collect()


def _levels() -> dict[str, int]:
    return {name: logging.getLogger(name or None).level for name in ("", "absl", "tensorflow")}
