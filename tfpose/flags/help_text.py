"""The text that --help prints."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from absl import flags

from tfpose.flags.program_flags import ProgramFlags

_WIDTH = 100


def render_help(description: str, values: ProgramFlags, left_out: Iterable[str] = ()) -> str:
    """Writes the help of a program.

    Args:
        description: What the program does, and examples of its use.
        values: The flags of the program.
        left_out: The names of the flags that the help does not list.
    """
    hidden = set(left_out)
    lines = [textwrap.dedent(description).strip(), "", "Flags:"]
    for name in values:
        flag = values[name]
        # A flag with a short name is there twice.
        if name != flag.name or name in hidden:
            continue
        if name in values.sections:
            lines += ["", f"{values.sections[name]}:"]
        lines += _render_flag(flag)
    return "\n".join(lines)


def _render_flag(flag: flags.Flag) -> Iterator[str]:
    short = f"-{flag.short_name}, " if flag.short_name else ""
    yield f"  {short}--{_usage(flag)}"
    default = _default(flag)
    text = " ".join((flag.help or "").split()) + (f" (default: {default})" if default else "")
    yield from textwrap.wrap(text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False)


def _usage(flag: flags.Flag) -> str:
    """Returns the flag as it is written on a command line."""
    if flag.boolean:
        return f"[no]{flag.name}"
    parser = flag.parser
    if isinstance(parser, flags.EnumParser):
        return f"{flag.name}={'|'.join(parser.enum_values)}"
    kinds = {flags.IntegerParser: "INTEGER", flags.FloatParser: "NUMBER", flags.ListParser: "A,B,..."}
    kind = next((kind for parsers, kind in kinds.items() if isinstance(parser, parsers)), "TEXT")
    return f"{flag.name}={kind}"


def _default(flag: flags.Flag) -> str:
    if flag.default is None or flag.default is False or flag.default in ("", []):
        return ""
    if isinstance(flag.default, list):
        return ", ".join(map(str, flag.default))
    return "true" if flag.default is True else str(flag.default)
