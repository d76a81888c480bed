"""Starts a process with PyTorch that answers requests for times, see `torch_answers`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path


class TorchSide:
    """A process of another interpreter that runs one of the `*_torch.py` scripts.

    Attributes:
        description: Version and number of threads of PyTorch.
        peak_bytes: Peak memory of the process up to its last answer.
    """

    def __init__(self, python: str, script: Path, single_thread: bool) -> None:
        command = [python, str(script), *["--single_thread"] * single_thread]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.description = json.loads(self._process.stdout.readline())
        self.peak_bytes = 0

    def run(self, **request: str | int) -> float:
        """Seconds of one run of the requested part."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        self.peak_bytes = answer["peak_bytes"]
        return answer["seconds"]

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def start_torch(python: str, script: Path, single_thread: bool) -> TorchSide | None:
    """Starts the process; prints a line and returns None if the interpreter cannot import torch."""
    has_torch = subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0
    if not has_torch:
        print(f"{python} cannot import torch; PyTorch is left out.")
        return None
    return TorchSide(python, script, single_thread)
