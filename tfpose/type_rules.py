"""What a value must be for a type hint, in the words of the place where the value is written."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Notation:
    """How values are written in one place, such as JSON files or configs.

    Attributes:
        scalars: Words for each simple type, such as "a whole number", and whether a value is of that type.
        sequence: Words for a list or tuple.
    """

    scalars: Mapping[type, tuple[str, Callable[[Any], bool]]]
    sequence: str


def type_rule(hint: Any, value: Any, notation: Notation) -> str:
    """Returns what a value of a type must be, for "X must be RULE"; empty if the value is of that type.

    Args:
        hint: The type: a class, a union, a Literal, or a tuple, sequence or mapping of these.
        value: The value. Lists and tuples are the same.
        notation: How the value is written.
    """
    return "" if _is_of_type(value, hint, notation) else words_of_type(hint, notation)


def words_of_type(hint: Any, notation: Notation) -> str:
    """Returns what any value of a type must be; the arguments are those of `type_rule`."""
    if hint in notation.scalars:
        return notation.scalars[hint][0]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(words_of_type(kind, notation) for kind in arguments)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if _has_fixed_length(hint):
        return f"{notation.sequence} ({', '.join(words_of_type(kind, notation) for kind in arguments)})"
    if origin in (tuple, list, Sequence):
        return f"{notation.sequence}, each {words_of_type(arguments[0], notation)}"
    return "an object"


def _is_of_type(value: Any, hint: Any, notation: Notation) -> bool:
    if hint in notation.scalars:
        return notation.scalars[hint][1](value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_is_of_type(value, kind, notation) for kind in arguments)
    if origin is typing.Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if origin in (tuple, list, Sequence):
        if not isinstance(value, (list, tuple)):
            return False
        kinds = arguments if _has_fixed_length(hint) else arguments[:1] * len(value)
        return len(value) == len(kinds) and all(_is_of_type(*pair, notation) for pair in zip(value, kinds, strict=True))
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(_is_of_type(item, arguments[1], notation) for item in value.values())
    return hint is Any or not isinstance(hint, type) or isinstance(value, hint)


def _has_fixed_length(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple and Ellipsis not in typing.get_args(hint)
