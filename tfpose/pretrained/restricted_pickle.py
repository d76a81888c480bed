"""Reads pickles without executing anything in them.

A pickle is a program for a small stack machine. Python's own machine imports and calls whatever the program names. The
machine of this module imports nothing, and calls nothing but the constructors that it is given, by name.
"""

from __future__ import annotations

import dataclasses
import os
import pickletools
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

Constructor = Callable[..., Any]

_NEWEST_PROTOCOL = 5
# Limits of the memory of a pickle's objects: a multiple of the bytes of the file, and bytes that every file may use.
_MOST_GROWTH, _FREE_BYTES = 16, 64 * 2**20
# A place in a list; a list reserves an eighth more places than it uses.
_REFERENCE_BYTES = 9
# An object of a class of this library: itself, its dict and its numbers.
_OBJECT_BYTES = 400
# Repeated hashing of long tuples and arithmetic with long numbers could take very long.
_MOST_KEY_PARTS, _MOST_KEY_BITS = 16, 1024
_IGNORED = ("FRAME",)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
)
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_KEY_TYPES = (str, bytes, int, float, bool, type(None))


class RefusedGlobalError(ValueError):
    """A pickle names a class or function that is not on the list."""


@dataclasses.dataclass(frozen=True)
class Global:
    """Name of a class or function that a pickle refers to."""

    name: str


class PickledObject:
    """Object of a constructor to which the pickle may give a state afterwards."""

    def set_state(self, state: Any) -> None:
        """Accepts the state and ignores it."""


class InertObject(PickledObject):
    """Stand-in for an object whose content is not needed; takes any arguments."""

    def __init__(self, *arguments: Any) -> None:
        del arguments


def read_pickle(
    stream: BinaryIO,
    constructors: Mapping[str, Constructor],
    load_persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Reads one pickle of any protocol; the text of protocol 0 must be ASCII.

    Strings of Python 2 become text with one character per byte (latin-1).

    Args:
        stream: File at the start of the pickle. Afterwards it is at the end of the pickle.
        constructors: Functions that the pickle may call with arguments of its own, by the full name that the pickle
            uses, such as `collections.OrderedDict`. A state (of `__setstate__`) goes to `PickledObject.set_state`; the
            state of a dict is dropped.
        load_persistent: Function that turns a persistent id into an object. None refuses persistent ids.

    Returns:
        The object. It consists of numbers, text, bytes, lists, tuples, sets, dicts, `Global`s and the results of
        constructors.

    Raises:
        RefusedGlobalError: The pickle names a global that is not in `constructors`. Nothing was executed.
        ValueError: The pickle is damaged, cut short, or no pickle at all, or its objects take more than 16 times the
            bytes of the file and more than 64 MiB; the message tells the byte.
    """
    position: int | None = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(position or 0)
    machine = _StackMachine(constructors, load_persistent, max(_MOST_GROWTH * size, _FREE_BYTES))
    try:
        # Text with unknown escapes is text too.
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            for opcode, argument, place in pickletools.genops(stream):
                position = place
                if opcode.name == "STOP":
                    return machine.pop()
                machine.step(opcode.name, argument)
    except RefusedGlobalError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError, RecursionError) as error:
        raise ValueError(f"damaged pickle at byte {position}: {error}") from error
    raise ValueError(f"damaged pickle at byte {position}: it has no end")


class _StackMachine:
    """The machine; it counts the bytes of all objects that it makes, and gives up when they are too many."""

    def __init__(
        self, constructors: Mapping[str, Constructor], load_persistent: Callable | None, most_bytes: int
    ) -> None:
        self._constructors = constructors
        self._load_persistent = load_persistent
        self._most_bytes = self._bytes_left = most_bytes
        self._stack: list[Any] = []
        # Where in the stack the values after each mark begin.
        self._marks: list[int] = []
        self._memo: list[Any] = []
        self._actions = {
            "PROTO": _check_protocol,
            "MARK": lambda _: self._mark(),
            "POP": lambda _: self._pop_value_or_mark(),
            "POP_MARK": lambda _: self._pop_to_mark(),
            "DUP": lambda _: self._push(self._top()),
            "LIST": lambda _: self._push(self._pop_to_mark()),
            "TUPLE": lambda _: self._push_new(tuple(self._pop_to_mark())),
            "DICT": lambda _: self._push_new(_pairs_to_dict(self._pop_to_mark())),
            "FROZENSET": lambda _: self._push_new(frozenset(map(_checked_key, self._pop_to_mark()))),
            "APPEND": lambda _: self._extend([self.pop()]),
            "APPENDS": lambda _: self._extend(self._pop_to_mark()),
            "SETITEM": lambda _: self._update(self._pop_many(2)),
            "SETITEMS": lambda _: self._update(self._pop_to_mark()),
            "ADDITEMS": lambda _: self._add(self._pop_to_mark()),
            "GLOBAL": lambda name: self._push(self._find_global(*name.split(" ", 1))),
            "STACK_GLOBAL": lambda _: self._push(self._find_global(*self._pop_many(2))),
            "REDUCE": lambda _: self._construct(*self._pop_many(2)),
            "NEWOBJ": lambda _: self._construct(*self._pop_many(2)),
            "NEWOBJ_EX": lambda _: self._construct_with_names(*self._pop_many(3)),
            "OBJ": lambda _: self._construct_object(self._pop_to_mark()),
            "INST": lambda name: self._construct(self._find_global(*name.split(" ", 1)), tuple(self._pop_to_mark())),
            "BUILD": lambda _: self._build(self.pop()),
            "PERSID": self._push_persistent,
            "BINPERSID": lambda _: self._push_persistent(self.pop()),
            "MEMOIZE": lambda _: self._remember(len(self._memo)),
        }

    def step(self, name: str, argument: Any) -> None:
        """Carries out one opcode."""
        if name in _LITERALS:
            self._push_new(argument)
        elif name in _CONSTANTS:
            self._push(_CONSTANTS[name])
        elif name in _EMPTY:
            self._push_new(_EMPTY[name]())
        elif name in _SHORT_TUPLES:
            self._push_new(tuple(self._pop_many(_SHORT_TUPLES[name])))
        elif name.endswith("GET"):
            self._push(self._memo[_checked_index(argument)])
        elif name.endswith("PUT"):
            self._remember(argument)
        elif name in self._actions:
            self._actions[name](argument)
        elif name not in _IGNORED:
            raise ValueError(f"opcode {name} is not used by checkpoints")

    def pop(self) -> Any:
        self._top()
        return self._stack.pop()

    def _spend(self, num_bytes: int) -> None:
        self._bytes_left -= num_bytes
        if self._bytes_left < 0:
            raise ValueError(f"its objects take more than {self._most_bytes:,} bytes, far more than the file")

    def _push(self, value: Any) -> None:
        self._spend(_REFERENCE_BYTES)
        self._stack.append(value)

    def _push_new(self, value: Any) -> None:
        self._spend(_own_bytes(value) + _REFERENCE_BYTES)
        self._stack.append(value)

    def _mark(self) -> None:
        self._spend(sys.getsizeof(0) + _REFERENCE_BYTES)
        self._marks.append(len(self._stack))

    def _pop_value_or_mark(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self.pop()

    def _top(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("a value is missing")
        return self._stack[-1]

    def _pop_many(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise ValueError("a mark is missing")
        start = self._marks.pop()
        self._spend(_REFERENCE_BYTES * (len(self._stack) - start))
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _remember(self, index: int) -> None:
        # Python 2 counts from 1.
        if not self._memo and index == 1:
            self._memo.append(None)
        value = self._top()
        if index == len(self._memo):
            self._spend(_REFERENCE_BYTES)
            self._memo.append(value)
        else:
            self._memo[_checked_index(index)] = value

    def _extend(self, values: list[Any]) -> None:
        target = _checked(self._top(), list)
        self._change(target, lambda: target.extend(values))

    def _update(self, keys_and_values: list[Any]) -> None:
        target = _checked(self._top(), dict)
        self._change(target, lambda: target.update(_pairs_to_dict(keys_and_values)))

    def _add(self, values: list[Any]) -> None:
        target = _checked(self._top(), set)
        self._change(target, lambda: target.update(map(_checked_key, values)))

    def _change(self, target: Any, change: Callable[[], None]) -> None:
        before = sys.getsizeof(target)
        change()
        self._spend(max(0, sys.getsizeof(target) - before))

    def _find_global(self, module: Any, name: Any) -> Global:
        full_name = f"{_checked(module, str)}.{_checked(name, str)}"
        if full_name not in self._constructors:
            raise RefusedGlobalError(
                f"it asks for {full_name!r}, which no known kind of checkpoint needs; nothing was executed"
            )
        return Global(full_name)

    def _construct(self, function: Any, arguments: Any) -> None:
        name = _checked(function, Global).name
        self._push_new(self._constructors[name](*_checked(arguments, tuple)))

    def _construct_with_names(self, function: Any, arguments: Any, named_arguments: Any) -> None:
        if named_arguments:
            raise ValueError(f"{_checked(function, Global).name} is given arguments by name")
        self._construct(function, arguments)

    def _construct_object(self, values: list[Any]) -> None:
        self._construct(values[0], tuple(values[1:]))

    def _build(self, state: Any) -> None:
        target = self._top()
        if isinstance(target, PickledObject):
            target.set_state(state)
        elif not isinstance(target, dict):
            raise ValueError(f"a state is given to a {type(target).__name__}")

    def _push_persistent(self, persistent_id: Any) -> None:
        if self._load_persistent is None:
            raise ValueError("it refers to data outside the pickle")
        self._push_new(self._load_persistent(persistent_id))


def _own_bytes(value: Any) -> int:
    """Returns the bytes of an object without the objects that it refers to."""
    is_plain = isinstance(value, (int, float, str, bytes, bytearray, list, tuple, dict, set, frozenset))
    return sys.getsizeof(value) if is_plain else _OBJECT_BYTES


def _checked_index(index: int) -> int:
    if index < 0:
        raise ValueError("a negative place in the memo")
    return index


def _check_protocol(version: int) -> None:
    if version > _NEWEST_PROTOCOL:
        raise ValueError(f"protocol must be at most {_NEWEST_PROTOCOL}, got {version}")


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a value must be a {kind.__name__}, got a {type(value).__name__}")
    return value


def _checked_key(key: Any) -> Any:
    # Hashing nested tuples can take forever.
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) > _MOST_KEY_PARTS:
        raise ValueError(f"a key must have at most {_MOST_KEY_PARTS} parts, got {len(parts)}")
    for part in parts:
        if isinstance(part, int) and part.bit_length() > _MOST_KEY_BITS:
            raise ValueError(f"a key must be a number of at most {_MOST_KEY_BITS} bits, got a longer one")
        if not isinstance(part, _KEY_TYPES):
            raise ValueError(f"a key must be text, bytes or a number, got a {type(part).__name__}")
    return key


def _pairs_to_dict(keys_and_values: list[Any]) -> dict:
    if len(keys_and_values) % 2:
        raise ValueError("a key without a value")
    return {_checked_key(k): v for k, v in zip(keys_and_values[::2], keys_and_values[1::2], strict=True)}


def make_dict(pairs: Iterable[Any] = ()) -> dict:
    """Constructs a dict in place of any kind of dict, from pairs or from a dict."""
    if isinstance(pairs, dict):
        return dict(pairs)
    return {_checked_key(key): value for key, value in pairs}


def make_set(values: Iterable[Any] = ()) -> set:
    """Constructs a set."""
    return {_checked_key(value) for value in values}


PLAIN_CONSTRUCTORS: dict[str, Constructor] = {
    "collections.OrderedDict": make_dict,
    "collections.Counter": make_dict,
    "collections.defaultdict": lambda factory=None, pairs=(): make_dict(pairs),
    "argparse.Namespace": InertObject,
    **{f"{module}.set": make_set for module in ("__builtin__", "builtins")},
    **{f"{module}.frozenset": make_set for module in ("__builtin__", "builtins")},
    **{f"{module}.dict": make_dict for module in ("__builtin__", "builtins")},
    **{f"{module}.list": lambda values=(): list(values) for module in ("__builtin__", "builtins")},
    # Training checkpoints of mmengine hold its logs: objects of these classes, and their methods by getattr.
    **{f"{module}.getattr": InertObject for module in ("__builtin__", "builtins")},
    "mmengine.logging.history_buffer.HistoryBuffer": InertObject,
}
