"""What the command-line programs share: bad input ends with one line, not with a traceback."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence

from absl import app, flags
from absl import logging as absl_logging

EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError)


def run_program(main: Callable[[Sequence[str]], None]) -> None:
    """Runs an absl program; an error that its user can mend is one line on stderr and exit code 1."""

    def guarded_main(argv: Sequence[str]) -> None:
        if not flags.FLAGS["verbosity"].present:
            absl_logging.set_verbosity(absl_logging.WARNING)
        if len(argv) > 1:
            _fail(f"unexpected argument {argv[1]!r}; flags have the form --name=value")
        try:
            main(argv)
        except KeyboardInterrupt:
            _fail("interrupted", code=130)
        except EXPECTED_ERRORS as error:
            _fail(describe_error(error))

    # TensorFlow tells of each sum over several devices and of each file of a SavedModel; warnings stay.
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    try:
        app.run(guarded_main)
    except (AttributeError, KeyError, TypeError, *EXPECTED_ERRORS) as error:
        # config_flags raises these while it applies --config.key=value; inside main they are defects.
        if _comes_from_main(error, guarded_main):
            raise
        _fail(_describe_flag_error(error))


def describe_error(error: Exception) -> str:
    """An exception as one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    # config_flags tells of a config file that it cannot load only when the config is asked for.
    missing = re.match(r"Configuration is not available .*No such file or directory: '([^']*)'", text)
    return f"--config={missing[1]}: there is no such file" if missing else text


def _describe_flag_error(error: Exception) -> str:
    """The error of a flag --config.key=value."""
    text = describe_error(error)
    if not isinstance(error, (AttributeError, KeyError)):
        return text
    # The text is that of a KeyError of a KeyError: a literal of a literal of the name, and a suggestion behind it.
    name, *suggestion = text.replace("\\n", " ").replace("\\", "").strip("\"'").split(" ", 1)
    return " ".join([f"the config has no value {name.strip(chr(39))!r}.", *suggestion])


def _comes_from_main(error: BaseException, main: Callable) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is main.__code__:
            return True
        trace = trace.tb_next
    return False


def _fail(message: str, code: int = 1) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
