"""Parses command lines by a program's own flags and stops before the program does anything.

    python check_flags.py PROGRAM < COMMANDS

PROGRAM is a file or the name of a module, COMMANDS a JSON list of lists of arguments. Prints a JSON list with, for each
command, an empty text if the program takes it, else what it said.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from absl import app

_run = app.run
_commands = json.load(sys.stdin)


def parse(main: Callable[..., Any], arguments: Sequence[str]) -> str:
    """What the program says to these arguments, in a process of its own: flags can be parsed once."""
    with tempfile.TemporaryFile() as said:
        process = os.fork()
        if not process:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            sys.argv = [sys.argv[0], *arguments, "--only_check_args"]
            code = 1
            with contextlib.suppress(BaseException):
                try:
                    _run(main)
                except SystemExit as error:
                    code = error.code or 0
                except Exception as error:
                    print(repr(error), file=sys.stderr)
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        said.seek(0)
        return said.read().decode() or f"exit code {code}" if code else ""


def check(main: Callable[..., Any], *_: Any, **__: Any) -> None:
    """In place of `app.run`."""
    print(json.dumps([parse(main, arguments) for arguments in _commands]))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    app.run = check
    program = sys.argv[1]
    sys.argv = [program]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
