"""The flags of one call of a program."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from absl import flags


class _NumberParser(flags.FloatParser):
    """Numbers between bounds. absl takes NaN for a number between any bounds."""

    def is_outside_bounds(self, val: float) -> bool:
        """Returns whether the value breaks the rule of the flag."""
        return math.isnan(val) or super().is_outside_bounds(val)


class _ListParser(flags.ListParser):
    """Lists without empty entries: an empty name of a folder would be the current folder."""

    def parse(self, argument: str | list[str]) -> list[str]:
        """Returns the entries of a list."""
        entries = super().parse(argument)
        if not all(entries):
            raise ValueError("an entry is empty")
        return entries


class ProgramFlags(flags.FlagValues):
    """The flags of one call of a program, apart from the flags of every other call and of absl.

    Attributes:
        arguments: The words of the command line, without the name of the program. A value such as ~/results begins with
            the home folder.
        sections: The title of each section of the help text, by the name of the first flag in it.
    """

    arguments: tuple[str, ...]
    sections: dict[str, str]

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        super().__init__()
        # FlagValues takes every other attribute for the value of a flag.
        self.__dict__["arguments"] = tuple(map(_with_home, arguments))
        self.__dict__["sections"] = {}

    def replace_arguments(self, arguments: Sequence[str]) -> None:
        """Replaces the words of the command line, before they are parsed."""
        self.__dict__["arguments"] = tuple(arguments)

    def begin_section(self, title: str, first_flag: str) -> None:
        """Puts a title above `first_flag` in the help text.

        Args:
            title: The title, without a colon.
            first_flag: The name of the flag below it.
        """
        self.sections[first_flag] = title

    def choose(self, name: str, value: str | bool) -> None:
        """Gives a flag the value that a program chooses where the user gave none."""
        flag = self[name]
        flag.value, flag.using_default_value = value, False

    def define_string(self, name: str, default: str | None, help_text: str, *, required: bool = False) -> None:
        """Defines a flag whose value is any text; a required one must not be empty."""
        flags.DEFINE_string(name, default, help_text, flag_values=self, required=required)
        if required:
            # What --output_dir=$RESULTS is, where a shell has no such variable. The text is absl's for a missing value.
            flags.register_validator(name, bool, "must have a value other than None.", flag_values=self)

    def define_enum(self, name: str, default: str | None, choices: Sequence[str], help_text: str) -> None:
        """Defines a flag whose value is one of `choices`."""
        flags.DEFINE_enum(name, default, choices, help_text, flag_values=self)
        # absl puts the choices in front.
        self[name].help = help_text

    def define_list(self, name: str, default: Sequence[str] | None, help_text: str, *, required: bool = False) -> None:
        """Defines a flag whose value is a list of texts with commas between them."""
        default = None if default is None else list(default)
        serializer = flags.CsvListSerializer(",")
        flags.DEFINE(_ListParser(), name, default, help_text, self, serializer, required=required)

    def define_texts(self, name: str, help_text: str, *, required: bool = False) -> None:
        """Defines a flag that may be given several times; its value is the list of texts, or None."""
        flags.DEFINE_multi_string(name, None, help_text, flag_values=self, required=required)
        # absl adds a sentence of its own.
        self[name].help = help_text

    def define_bool(self, name: str, default: bool | None, help_text: str) -> None:
        """Defines a flag that is given as --name or as --noname."""
        flags.DEFINE_bool(name, default, help_text, flag_values=self)

    def define_integer(
        self, name: str, default: int | None, help_text: str, lowest: int | None = None, highest: int | None = None
    ) -> None:
        """Defines a flag whose value is a whole number from `lowest` to `highest`."""
        flags.DEFINE_integer(name, default, help_text, lowest, highest, flag_values=self)

    def define_float(
        self,
        name: str,
        default: float | None,
        help_text: str,
        lowest: float | None = None,
        highest: float | None = None,
    ) -> None:
        """Defines a flag whose value is a number from `lowest` to `highest`."""
        parser = _NumberParser(lowest, highest)
        flags.DEFINE(parser, name, default, help_text, self, flags.ArgumentSerializer())


def _with_home(word: str) -> str:
    """Returns a flag such as --output=~/results with the home folder; shells replace ~ only where a word begins."""
    name, equals, value = word.partition("=")
    if not word.startswith("-") or "~" not in value:
        return word
    return name + equals + ",".join(map(os.path.expanduser, value.split(",")))
