"""Runs the command-line programs: each parses flags of its own, and bad input ends with one line, not with a traceback.

A program is a module with these functions, so that it can be called from a shell and from Python alike:

    def define_flags(values: ProgramFlags) -> None: ...
    def run(values: ProgramFlags, inputs: Sequence[str]) -> int | None: ...

    PROGRAM = Program("tfpose example", __doc__, define_flags, run)

    def main(arguments: Sequence[str] | None = None) -> int:
        return run_program(PROGRAM, arguments)
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from absl import flags
from absl import logging as absl_logging
from absl.logging import converter

from tfpose.flags.flag_errors import FLAG_ERRORS, describe_flag_error
from tfpose.flags.help_text import render_help
from tfpose.flags.program_flags import ProgramFlags
from tfpose.messages import describe_error, is_tensorflow_error, printable
from tfpose.running_command import announce_command
from tfpose.stderr_filter import UnheardStream

# Files can hold numbers, depths and sizes that no check foresees; TensorFlow's errors are expected too.
EXPECTED_ERRORS = (ValueError, OSError, ArithmeticError, IndexError, RecursionError, MemoryError)
BROKEN_PIPE_CODE = 141
INTERRUPTED_CODE = 130
_HELP = {"--help", "-help", "-h", "--helpshort", "-helpshort", "-?", "--helpfull", "-helpfull"}
_SHARED_FLAGS = ("verbosity", "only_check_args")


@dataclasses.dataclass(frozen=True)
class Program:
    """A command-line program.

    Attributes:
        name: What messages call the program, such as "tfpose score".
        description: The docstring of the module, which --help prints above the flags.
        define_flags: Defines the flags of the program.
        run: Does what the parsed flags and the other arguments ask for; its result is the exit code, None means 0.
        takes_inputs: Whether there may be arguments that are not flags.
        interruption: The message after Ctrl-C.
        unused_flags: Returns the names of the flags that the help leaves out, from the words of the command line.
    """

    name: str
    description: str | None
    define_flags: Callable[[ProgramFlags], None]
    run: Callable[[ProgramFlags, Sequence[str]], int | None]
    takes_inputs: bool = False
    interruption: str = "interrupted"
    unused_flags: Callable[[Sequence[str]], Iterable[str]] = lambda words: ()


def run_program(program: Program, arguments: Sequence[str] | None = None) -> int:
    """Runs a program; an error that its user can fix is one line on stderr.

    Neither the flags of absl nor those of an earlier call are read or changed.

    Args:
        program: The program.
        arguments: The words of the command line, without the name of the program; None takes those of this process.

    Returns:
        The exit code: that of the program, 1 after an error, 130 after Ctrl-C, 141 if nobody reads stdout any more.
    """
    words = tuple(sys.argv[1:] if arguments is None else map(str, arguments))
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names are not always UTF-8; stderr does the same.
        sys.stdout.reconfigure(errors="backslashreplace")
    return until_stdout_is_closed(functools.partial(_parse_and_run, program, words))


def until_stdout_is_closed(action: Callable[[], int]) -> int:
    """Runs what prints, and ends it without a traceback if nobody reads stdout any more, as after `| head`.

    Where nobody reads stderr any more, as after a lost connection, the action goes on: it may have worked for hours.

    Args:
        action: Prints, and returns an exit code.

    Returns:
        That exit code, or 141, which a shell reports for a program that ends at a closed pipe.
    """
    _open_closed_streams()
    unheard: Any = UnheardStream(sys.stderr)
    try:
        with contextlib.redirect_stderr(unheard):
            code = action()
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        return BROKEN_PIPE_CODE
    return code


def _parse_and_run(program: Program, words: Sequence[str]) -> int:
    values = ProgramFlags(words)
    try:
        define_all_flags(program, values)
    except flags.Error as error:
        return _fail(describe_flag_error(error, program.name, values))
    asked = _HELP.intersection(words[: words.index("--")] if "--" in words else words)
    if asked:
        is_full = any(word.endswith("helpfull") for word in asked)
        left_out = () if is_full else (*_SHARED_FLAGS, *program.unused_flags(words))
        print(render_help(program.description or "", values, left_out))
        return 0
    try:
        inputs = parse_arguments(program, values)
    except FLAG_ERRORS as error:
        return _fail(describe_flag_error(error, program.name, values))
    if values.only_check_args:
        return 0
    with _logging(values.verbosity), announce_command(program.name, words):
        return _run(program, values, inputs)


def define_all_flags(program: Program, values: ProgramFlags) -> None:
    """Defines the flags of a program and those that every program has.

    Raises:
        flags.Error: A file that --flagfile names cannot be read.
    """
    program.define_flags(values)
    flags.DEFINE_integer(
        "verbosity",
        absl_logging.WARNING,
        "Log messages to show: -2 shows errors, -1 warnings too, 0 information too, 1 everything.",
        short_name="v",
        flag_values=values,
    )
    values.define_bool("only_check_args", False, "Check the arguments, then stop.")
    values.begin_section("Flags of every program (--flagfile=FILE reads further flags from a file)", "verbosity")


def parse_arguments(program: Program, values: ProgramFlags) -> list[str]:
    """Parses the arguments of `values`; returns those that are not flags.

    Raises:
        ValueError: An argument is not a flag though the program takes flags only. Or one of `FLAG_ERRORS`.
    """
    _, *inputs = values(["program", *values.arguments])
    if inputs and not program.takes_inputs:
        raise ValueError(f"unexpected argument {inputs[0]!r}; flags have the form --name=value")
    return inputs


def _run(program: Program, values: ProgramFlags, inputs: Sequence[str]) -> int:
    try:
        return program.run(values, inputs) or 0
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        return _fail(program.interruption, INTERRUPTED_CODE)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except Exception as error:
        if not isinstance(error, EXPECTED_ERRORS) and not is_tensorflow_error(error):
            raise
        return _fail(describe_error(error))


def _fail(message: str, code: int = 1) -> int:
    print(f"error: {printable(message)}", file=sys.stderr)
    return code


def _open_closed_streams() -> None:
    """Opens the standard streams that the process was started without; other files would get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number is that of the stream.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _discard_stdout() -> None:
    """Sends what is still in the buffer of stdout nowhere; Python would complain about it when it ends."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


class _OneLine(absl_logging.PythonFormatter):
    """A message may hold what a file said."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return line if record.exc_info else printable(line)


@contextlib.contextmanager
def _logging(verbosity: int) -> Iterator[None]:
    """Sends messages of absl's logger from this level on to stderr, in the format of absl, within the context."""
    level = converter.absl_to_standard(verbosity)
    root, absl_logger = logging.getLogger(), absl_logging.get_absl_logger()
    # TensorFlow logs each sum over several devices and each file of a SavedModel; warnings stay.
    loggers = {root: level, absl_logger: logging.NOTSET, logging.getLogger("tensorflow"): logging.WARNING}
    before = {logger: logger.level for logger in loggers}
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    is_configured = root.hasHandlers()
    if not is_configured:
        root.addHandler(handler)
    for logger, new_level in loggers.items():
        logger.setLevel(new_level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for logger, old_level in before.items():
            logger.setLevel(old_level)
