"""The command-line programs in processes of their own, as a user runs them."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(PROJECT)}


def run(*arguments, timeout=300):
    """Python with these arguments, in the project's folder."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout, check=False
    )


def assert_one_line(result, *words):
    """Exit code 1 or 2 and one line of error, no traceback."""
    assert result.returncode in (1, 2), result.stderr[-3000:]
    assert "Traceback" not in result.stderr
    # absl begins its own lines with FATAL.
    lines = [line for line in result.stderr.splitlines() if line.startswith(("error:", "FATAL"))]
    assert len(lines) == 1, result.stderr[-3000:]
    for word in words:
        assert word in lines[0]
