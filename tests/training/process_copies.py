"""Programs in processes of their own that do not each take seconds to import TensorFlow.

One process imports it and then, for every line of its stdin, runs a program in a copy of itself. The copy is a process
like any other: it has its own signals, devices and servers, and ends as Python does.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

PROJECT = pathlib.Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.02


class ProcessCopy:
    """A running program.

    Attributes:
        pid: Id of the process.
        returncode: Its exit status, negative after a signal, once it was found to have ended; None before.
    """

    def __init__(self, pid: int, status: pathlib.Path, errors: pathlib.Path) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status, self._errors = status, errors

    def poll(self) -> int | None:
        """Returns the exit status, or None while the program runs."""
        if self.returncode is None and self._status.exists():
            self.returncode = int(self._status.read_text())
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Returns the exit status when the program has ended."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(POLL_SECONDS)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal to a program that runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def read_errors(self) -> str:
        """Returns what the program wrote to stderr until now."""
        return self._errors.read_text()

    def read_lines(self) -> Iterator[str]:
        """Yields the lines of stderr as they are written, until the program ends."""
        with self._errors.open() as file:
            line = ""
            while True:
                is_over = self.poll() is not None
                line += file.readline()
                if line.endswith("\n"):
                    yield line
                    line = ""
                elif is_over:
                    return
                else:
                    time.sleep(POLL_SECONDS)


class Launcher:
    """The process that is copied. Its folder takes the stderr and the exit status of every copy."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._started: list[ProcessCopy] = []
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, program: str, *arguments: object, **environment: str) -> ProcessCopy:
        """Starts a program, given as text, with command-line arguments and further environment variables."""
        status, errors = (self._folder / f"{len(self._started)}.{name}" for name in ("status", "errors"))
        values = [program, list(map(str, arguments)), environment, str(status), str(errors)]
        print(json.dumps(values), file=self._process.stdin, flush=True)
        self._started.append(ProcessCopy(int(self._process.stdout.readline()), status, errors))
        return self._started[-1]

    def close(self) -> None:
        """Ends the process that is copied, and the copies that still run."""
        for copy in self._started:
            copy.send_signal(signal.SIGKILL)
        self._process.communicate()


def serve() -> str:
    """Copies this process for each line of stdin; returns in the copies alone, each with its program."""
    waiting = []
    for line in sys.stdin:
        # A process in between waits for the program.
        if child := os.fork():
            waiting.append(child)
            continue
        program, arguments, environment, status, errors = json.loads(line)
        with open(errors, "w") as file:
            pid = os.fork()
            if not pid:
                os.dup2(file.fileno(), sys.stderr.fileno())
                with open(os.devnull, "r+") as null:
                    os.dup2(null.fileno(), sys.stdin.fileno())
                    os.dup2(null.fileno(), sys.stdout.fileno())
                sys.argv[1:] = arguments
                os.environ.update(environment)
                return program
        print(pid, flush=True)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        pathlib.Path(f"{status}.part").write_text(str(code))
        os.replace(f"{status}.part", status)
        os._exit(0)
    for child in waiting:
        os.waitpid(child, 0)
    sys.exit()


if __name__ == "__main__":
    import toy_run  # noqa: F401

    exec(serve())
