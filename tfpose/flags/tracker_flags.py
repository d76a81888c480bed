"""Settings of trackers on the command line: --tracker.max_age_frames=5."""

from __future__ import annotations

import re
import textwrap
from typing import Any, get_args

from absl import flags

from tfpose.flags.program_flags import ProgramFlags
from tfpose.tracking.choice import PREFIX, TrackerChoice
from tfpose.tracking.settings import (
    NAMED_SETTINGS,
    SmoothingSettings,
    TrackerSettings,
    setting_types,
)

NAME_FLAG = f"{PREFIX}settings"
_PARSERS = {bool: flags.BooleanParser, int: flags.IntegerParser, float: flags.FloatParser}


def define_tracker_flags(values: ProgramFlags) -> None:
    """Defines one flag per setting, and one for the named settings to begin with."""
    values.begin_section("Flags of the tracker", NAME_FLAG)
    values.define_enum(NAME_FLAG, "payer2017", list(NAMED_SETTINGS), "Named settings; the other flags change them.")
    descriptions = _describe(TrackerSettings) | _describe(SmoothingSettings)
    for name, kind in setting_types().items():
        what = descriptions.get(name, name)
        if kind is bool:
            values.define_bool(PREFIX + name, None, what)
        else:
            flags.DEFINE(setting_parser(kind), PREFIX + name, None, what, flag_values=values)


def _describe(settings: type) -> dict[str, str]:
    """The attributes of a class in the words of its docstring."""
    _, _, attributes = textwrap.dedent(settings.__doc__ or "").partition("Attributes:\n")
    attributes = attributes.partition("\n\n")[0]
    entries = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def setting_parser(kind: Any) -> flags.ArgumentParser:
    """Returns the parser for a setting's type: bool, int, float or a Literal of words."""
    return _PARSERS[kind]() if kind in _PARSERS else flags.EnumParser(list(get_args(kind)))


def tracker_from_flags(values: flags.FlagValues) -> TrackerChoice:
    """The tracker that the flags ask for.

    Raises:
        ValueError: naming the flag, its rule and the value.
    """
    given = {name: values[PREFIX + name].value for name in setting_types()}
    return TrackerChoice(values[NAME_FLAG].value, {name: value for name, value in given.items() if value is not None})
