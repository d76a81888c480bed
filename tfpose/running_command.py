"""The command that this process runs, for the provenance of the files that it writes."""

from __future__ import annotations

import contextlib
import contextvars
import shlex
from collections.abc import Iterator, Sequence

_COMMAND: contextvars.ContextVar[str] = contextvars.ContextVar("command", default="")


@contextlib.contextmanager
def announce_command(name: str, words: Sequence[str]) -> Iterator[None]:
    """Makes a command known to `running_command` inside the `with` block.

    Args:
        name: What users type to start the program, such as "tfpose score".
        words: The arguments of the program.
    """
    token = _COMMAND.set(f"{name} {shlex.join(words)}".rstrip())
    try:
        yield
    finally:
        _COMMAND.reset(token)


def running_command() -> str:
    """Returns the command line as a shell takes it; empty where no program of tfpose runs, as in a notebook.

    Example:
        >>> with announce_command("tfpose score", ["--output_dir=my results"]):
        ...     running_command()
        "tfpose score '--output_dir=my results'"
    """
    return _COMMAND.get()
