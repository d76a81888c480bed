"""Makes settings of JSON objects, with a check of each value against the type of its setting."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from tfpose.json_files import is_number
from tfpose.messages import describe_error, quote
from tfpose.type_rules import Notation, type_rule, words_of_type

Kind = TypeVar("Kind")
_NOTATION = Notation(
    {
        int: ("a whole number", lambda value: type(value) is int and abs(value) < 1 << 31),
        float: ("a number", lambda value: is_number(value) and not isinstance(value, bool)),
        bool: ("true or false", lambda value: isinstance(value, bool)),
        str: ("a text", lambda value: isinstance(value, str)),
        types.NoneType: ("null", lambda value: value is None),
    },
    sequence="a list",
)


def build_typed(kind: Callable[..., Kind], values: Any, section: str) -> Kind:
    """Calls a dataclass or a function with the values of a JSON object; lists become tuples.

    Args:
        kind: A dataclass or a function, with annotated parameters.
        values: The JSON object.
        section: Name of the object, for messages.

    Raises:
        ValueError: The value is not an object, or a setting is unknown, missing or of another type.
    """
    check_types(kind, values, section)
    return kind(**{name: _with_tuples(value) for name, value in values.items()})


def check_types(kind: Callable, values: Any, section: str) -> None:
    """Checks the values of a JSON object as `build_typed` does."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{section} must be an object, got {quote(values)}")
    hints = typing.get_type_hints(kind)
    hints.pop("return", None)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"{section} must have settings among {', '.join(hints)}, got {quote(name)}")
        if rule := type_rule(hints[name], value, _NOTATION):
            raise ValueError(f"{section}.{name} must be {rule}, got {quote(value)}")
    if dataclasses.is_dataclass(kind):
        for field in dataclasses.fields(kind):
            has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            if field.name not in values and not has_default:
                rule = words_of_type(hints[field.name], _NOTATION)
                raise ValueError(f"{section}.{field.name} must be {rule}, got none")


@contextlib.contextmanager
def describing(path: pathlib.Path, what: str) -> Iterator[None]:
    """Within, whatever the content of a file leads to is a ValueError that names the file.

    Args:
        path: Path of the file.
        what: What the file must be, for messages.
    """
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{path}: must be {what}, got no {quote(error.args[0] if error.args else '')}") from error
    except (ValueError, TypeError, AttributeError, ArithmeticError, IndexError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path}: must be {what}, got something else: {describe_error(error)}") from error


def _with_tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
