"""Makes settings of JSON objects, with a check of each value against the type of its setting."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from tfpose.json_files import is_number
from tfpose.messages import describe_error, quote

Kind = TypeVar("Kind")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


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
        if not _is_of_type(value, hints[name]):
            raise ValueError(f"{section}.{name} must be {_in_words(hints[name])}, got {quote(value)}")
    if dataclasses.is_dataclass(kind):
        for field in dataclasses.fields(kind):
            has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            if field.name not in values and not has_default:
                raise ValueError(f"{section}.{field.name} must be {_in_words(hints[field.name])}, got none")


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


def _is_of_type(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_is_of_type(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return False
        if arguments[-1] is Ellipsis:
            return all(_is_of_type(entry, arguments[0]) for entry in value)
        return len(value) == len(arguments) and all(map(_is_of_type, value, arguments))
    if origin in (list, Sequence):
        return isinstance(value, (list, tuple)) and all(_is_of_type(entry, arguments[0]) for entry in value)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(_is_of_type(entry, arguments[1]) for entry in value.values())
    return _is_scalar_of_type(value, hint)


def _is_scalar_of_type(value: Any, hint: Any) -> bool:
    if hint is int:
        return type(value) is int and abs(value) < 1 << 31
    if hint is float:
        return is_number(value) and not isinstance(value, bool)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _in_words(hint: Any) -> str:
    if hint in _WORDS:
        return _WORDS[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if kind is type(None) else _in_words(kind) for kind in arguments)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f" of {len(arguments)}"
        return f"a list{count} ({_in_words(arguments[0])} each)"
    return "a list" if origin in (list, Sequence) else "an object"


def _with_tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
