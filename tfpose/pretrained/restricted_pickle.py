"""Reads pickles without executing anything in them.

A pickle is a program for a small stack machine. Python's own machine imports and calls what the program names; this one
only ever calls the constructors that it is given, by name, and imports nothing.
"""

from __future__ import annotations

import dataclasses
import pickletools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

Constructor = Callable[..., Any]

_NEWEST_PROTOCOL = 5
# Every opcode makes an object of some dozens of bytes; the largest honest files have some hundred thousand.
_MOST_OPCODES = 10_000_000
_MARK = object()
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
    """A class or function that a pickle names: the name, not the thing."""

    name: str


class PickledObject:
    """What a constructor returns when the pickle may hand it a state afterwards."""

    def set_state(self, state: Any) -> None:
        """Takes the state; here it is dropped."""


class InertObject(PickledObject):
    """Stands for an object whose content is of no interest; takes any arguments."""

    def __init__(self, *arguments: Any) -> None:
        del arguments


def read_pickle(
    stream: BinaryIO,
    constructors: Mapping[str, Constructor],
    load_persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Reads one pickle, of any protocol but with the text of protocol 0 in ASCII only.

    Strings of Python 2 become text with one character per byte (latin-1).

    Args:
        stream: positioned at the start; afterwards behind the end of the pickle.
        constructors: by full name such as `collections.OrderedDict`: what may be called, with the pickle's arguments.
            A state (as of `__setstate__`) goes to `PickledObject.set_state`; of a dict it is dropped.
        load_persistent: what becomes of a persistent id; None refuses them.

    Returns:
        The object: numbers, text, bytes, lists, tuples, sets, dicts, `Global`s and what constructors returned.

    Raises:
        RefusedGlobalError: it names a global that is not in `constructors`; nothing was executed.
        ValueError: it is damaged, cut short or no pickle; says at which byte.
    """
    machine = _StackMachine(constructors, load_persistent)
    position = stream.tell()
    try:
        for count, instruction in enumerate(pickletools.genops(stream)):
            opcode, argument, position = instruction
            if count > _MOST_OPCODES:
                raise ValueError(f"more than {_MOST_OPCODES:,} steps")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except RefusedGlobalError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, MemoryError) as error:
        raise ValueError(f"damaged pickle at byte {position}: {error}") from error
    raise ValueError(f"damaged pickle at byte {position}: it has no end")


class _StackMachine:
    def __init__(self, constructors: Mapping[str, Constructor], load_persistent: Callable | None) -> None:
        self._constructors = constructors
        self._load_persistent = load_persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._actions = {
            "PROTO": _check_protocol,
            "MARK": lambda _: self._push(_MARK),
            "POP": lambda _: self._stack.pop(),
            "POP_MARK": lambda _: self._pop_to_mark(),
            "DUP": lambda _: self._push(self._top()),
            "LIST": lambda _: self._push(self._pop_to_mark()),
            "TUPLE": lambda _: self._push(tuple(self._pop_to_mark())),
            "DICT": lambda _: self._push(_pairs_to_dict(self._pop_to_mark())),
            "FROZENSET": lambda _: self._push(frozenset(map(_checked_key, self._pop_to_mark()))),
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
            self._push(argument)
        elif name in _CONSTANTS:
            self._push(_CONSTANTS[name])
        elif name in _EMPTY:
            self._push(_EMPTY[name]())
        elif name in _SHORT_TUPLES:
            self._push(tuple(self._pop_many(_SHORT_TUPLES[name])))
        elif name.endswith("GET"):
            self._push(self._memo[argument])
        elif name.endswith("PUT"):
            self._remember(argument)
        elif name in self._actions:
            self._actions[name](argument)
        elif name not in _IGNORED:
            raise ValueError(f"opcode {name} has no place in a checkpoint")

    def pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a value is missing")
        return value

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise ValueError("a value is missing")
        return self._stack[-1]

    def _pop_many(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def _pop_to_mark(self) -> list[Any]:
        values = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _remember(self, index: int) -> None:
        self._memo[index] = self._top()

    def _extend(self, values: list[Any]) -> None:
        _checked(self._top(), list).extend(values)

    def _update(self, keys_and_values: list[Any]) -> None:
        _checked(self._top(), dict).update(_pairs_to_dict(keys_and_values))

    def _add(self, values: list[Any]) -> None:
        _checked(self._top(), set).update(map(_checked_key, values))

    def _find_global(self, module: Any, name: Any) -> Global:
        full_name = f"{_checked(module, str)}.{_checked(name, str)}"
        if full_name not in self._constructors:
            raise RefusedGlobalError(
                f"it asks for {full_name!r}, which no checkpoint of a known kind needs; nothing was executed"
            )
        return Global(full_name)

    def _construct(self, function: Any, arguments: Any) -> None:
        name = _checked(function, Global).name
        self._push(self._constructors[name](*_checked(arguments, tuple)))

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
        self._push(self._load_persistent(persistent_id))


def _check_protocol(version: int) -> None:
    if version > _NEWEST_PROTOCOL:
        raise ValueError(f"protocol {version}, expected at most {_NEWEST_PROTOCOL}")


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"expected a {kind.__name__}, found a {type(value).__name__}")
    return value


def _checked_key(key: Any) -> Any:
    # The hash of tuples within tuples can take for ever.
    parts = key if isinstance(key, tuple) else (key,)
    for part in parts:
        if not isinstance(part, _KEY_TYPES):
            raise ValueError(f"a {type(part).__name__} as a key")
    return key


def _pairs_to_dict(keys_and_values: list[Any]) -> dict:
    if len(keys_and_values) % 2:
        raise ValueError("a key without a value")
    return {_checked_key(k): v for k, v in zip(keys_and_values[::2], keys_and_values[1::2], strict=True)}


def make_dict(pairs: Iterable[Any] = ()) -> dict:
    """A constructor for ordered and other dicts: of pairs, or of a dict."""
    if isinstance(pairs, dict):
        return dict(pairs)
    return {_checked_key(key): value for key, value in pairs}


def make_set(values: Iterable[Any] = ()) -> set:
    """A constructor for sets."""
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
    # Training checkpoints of mmengine hold its logs: these classes, and methods of theirs by getattr.
    **{f"{module}.getattr": InertObject for module in ("__builtin__", "builtins")},
    "mmengine.logging.history_buffer.HistoryBuffer": InertObject,
}
