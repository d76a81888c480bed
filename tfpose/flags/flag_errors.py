"""Errors in the flags of a command line, as one line that names the flag, its rule and the value."""

from __future__ import annotations

import difflib
import re

from absl import flags

from tfpose.flags.program_flags import ProgramFlags

# ml_collections raises the last four while it applies --config.name=value.
FLAG_ERRORS = (flags.Error, ValueError, OSError, AttributeError, KeyError, TypeError)


def describe_flag_error(error: Exception, program: str, values: ProgramFlags) -> str:
    """Describes one of `FLAG_ERRORS`.

    Args:
        error: What the parsing of `values` raised.
        program: The name of the program.
        values: The flags of the program.
    """
    # Here and not above: most programs have no config, and the import takes as long as all other modules of flags.
    from ml_collections.config_flags.config_flags import FlagOrderError

    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, flags.UnrecognizedFlagError):
        return f"{program} has no flag --{error.flagname}{_suggestion(error.flagname, values)}"
    if isinstance(error, flags.IllegalFlagValueError):
        match = re.match(r"flag --([^=]*)=(.*?): (.*)", text)
        return _describe_value(match[1], match[2], match[3], values) if match else text
    if isinstance(error, FlagOrderError):
        return "--config must be given in front of --config.NAME=VALUE, and once"
    if isinstance(error, flags.CantOpenFlagFileError):
        return text.removeprefix("ERROR:: ")
    if isinstance(error, (AttributeError, KeyError)):
        # The text is that of a KeyError of a KeyError: a literal of a literal of the name, and a suggestion behind it.
        name, *suggestion = text.replace("\\n", " ").replace("\\", "").strip("\"'").split(" ", 1)
        return " ".join([f"the config has no value {name.strip(chr(39))!r}.", *suggestion])
    return text


def _suggestion(name: str, values: ProgramFlags) -> str:
    if name.startswith("config.") and "config" in values:
        return "; --config must be given in front of it"
    close = difflib.get_close_matches(name, list(values), n=1)
    return f"; did you mean --{close[0]}?" if close else ""


def _describe_value(name: str, value: str, text: str, values: ProgramFlags) -> str:
    if text.endswith("must have a value other than None."):
        return f"--{name} must be given, got nothing"
    rule = _rule(values[name].parser) if name in values else ""
    return f"--{name} must be {rule}, got {value!r}" if rule else f"--{name}={value}: {text}"


def _rule(parser: flags.ArgumentParser) -> str:
    """Returns the rule for the values of a flag; an empty text if only the parser knows the rule."""
    if isinstance(parser, flags.EnumParser):
        return f"one of {', '.join(parser.enum_values)}"
    if isinstance(parser, flags.BooleanParser):
        return "true or false"
    if isinstance(parser, flags.ListParser):
        return "entries separated by commas, none of them empty"
    return parser.syntactic_help if isinstance(parser, (flags.IntegerParser, flags.FloatParser)) else ""
