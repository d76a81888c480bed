"""Settings of trackers on the command line: --tracker.max_age_frames=5, --tune=max_age_frames=5,10."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from absl import flags

from tfpose.tracking.choice import PREFIX, TrackerChoice
from tfpose.tracking.settings import (
    NAMED_SETTINGS,
    SmoothingSettings,
    TrackerSettings,
    replace_settings,
    setting_types,
)

NAME_FLAG = f"{PREFIX}settings"
_PARSERS = {bool: flags.BooleanParser, int: flags.IntegerParser, float: flags.FloatParser}
_RULES = {bool: "true or false", int: "a whole number", float: "a number"}


def define_tracker_flags() -> None:
    """Defines one flag per setting, and one for the named settings to begin with."""
    flags.DEFINE_enum(NAME_FLAG, "payer2017", list(NAMED_SETTINGS), "Named settings; the other flags change them.")
    descriptions = _describe(TrackerSettings) | _describe(SmoothingSettings)
    for name, kind in setting_types().items():
        what = descriptions.get(name, name)
        if kind is bool:
            flags.DEFINE_bool(PREFIX + name, None, what)
        else:
            flags.DEFINE(_parser(kind), PREFIX + name, None, what)


def _describe(settings: type) -> dict[str, str]:
    """The attributes of a class in the words of its docstring."""
    _, _, attributes = textwrap.dedent(settings.__doc__ or "").partition("Attributes:\n")
    attributes = attributes.partition("\n\n")[0]
    entries = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _parser(kind: Any) -> flags.ArgumentParser:
    return _PARSERS[kind]() if kind in _PARSERS else flags.EnumParser(list(get_args(kind)))


def tracker_from_flags(values: flags.FlagValues) -> TrackerChoice:
    """The tracker that the flags ask for.

    Raises:
        ValueError: naming the flag, its rule and the value.
    """
    given = {name: values[PREFIX + name].value for name in setting_types()}
    return TrackerChoice(values[NAME_FLAG].value, {name: value for name, value in given.items() if value is not None})


def parse_choices(texts: Sequence[str], base: TrackerChoice) -> dict[str, list[Any]]:
    """The values to try by setting, from texts such as `max_age_frames=5,10,20`.

    Args:
        texts: one per setting.
        base: the values are changes of.

    Raises:
        ValueError: naming the flag, its rule and what was found.
    """
    return {
        name: [parse_choice(text, name, value, base) for value in values]
        for text, name, values in split_choices(texts, tuple(setting_types()))
    }


def split_choices(texts: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Each text NAME=VALUE,VALUE,... with its name and its values, as they are written.

    Raises:
        ValueError: a name is not among `names`, or given twice.
    """
    seen = set()
    for text in texts:
        name, separator, values = text.partition("=")
        if name not in names or not separator:
            raise ValueError(f"--tune={text}: should be NAME=VALUE,VALUE,... with a NAME among {', '.join(names)}")
        if name in seen:
            raise ValueError(f"--tune={text}: {name} should be given once, found it twice")
        seen.add(name)
        yield text, name, values.split(",")


def parse_choice(text: str, name: str, value: str, base: TrackerChoice) -> Any:
    """A value of a tracker's setting.

    Raises:
        ValueError: naming the flag, its rule and what was found.
    """
    parsed = _parse_value(text, name, value)
    _check_value(text, base, name, parsed)
    return parsed


def _parse_value(text: str, name: str, value: str) -> Any:
    kind = setting_types()[name]
    try:
        return _parser(kind).parse(value)
    except (TypeError, ValueError) as error:
        rule = _RULES.get(kind) or f"one of {', '.join(get_args(kind))}"
        raise ValueError(f"--tune={text}: each value of {name} should be {rule}, found {value!r}") from error


def _check_value(text: str, base: TrackerChoice, name: str, value: Any) -> None:
    try:
        replace_settings(*base.settings(), {name: value})
    except ValueError as error:
        raise ValueError(f"--tune={text}: {error}") from error
