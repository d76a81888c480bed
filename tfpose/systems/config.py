"""Configs that are complete: each section has exactly the fields of what receives it.

A config file calls `build_config` with the name of a system and, by section, the values that make the experiment. What
a file leaves out has the default of its receiver, so that every value can be set by flag (--config.SECTION.NAME=VALUE)
and no file can lack a field or hold a field that nothing reads.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder

from tfpose.training.optimization import OptimizationSettings
from tfpose.training.session import RunSettings

Values = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a config.

    Attributes:
        receiver: Dataclass or function whose parameters are the fields of the section.
        also: Further receivers, whose parameters are fields as well.
        without: Parameters that no config sets.
        extra: Further fields with their values, such as the name that chose the receiver.
    """

    receiver: Callable[..., Any]
    also: tuple[Callable[..., Any], ...] = ()
    without: tuple[str, ...] = ()
    extra: Values = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """The records of an experiment.

    Attributes:
        directory: Folder of a dataset that tfpose build wrote.
        train_split: Split to train on.
        validation_split: Split to evaluate on.
    """

    directory: str
    train_split: str = "train"
    validation_split: str = "val"


@dataclasses.dataclass(frozen=True)
class ExperimentSettings:
    """The values of a config that are in no section.

    Attributes:
        batch_size: Examples per step of all replicas together.
        system: Name of the system, see `tfpose.systems.SYSTEMS`.
        seed: Seed of the initial weights, the order of the data and the augmentation.
        skeleton: Name of a known skeleton; empty for the skeleton of the data.
        strategy: How devices share a step: "auto", "single", "mirrored", "multi_worker" or "cpu_cores".
    """

    batch_size: int
    system: str
    seed: int = 0
    skeleton: str = ""
    strategy: str = "auto"


COMMON_SECTIONS = {
    "data": Section(DataSettings),
    "optimization": Section(OptimizationSettings, without=("build_optimizer",)),
    "run": Section(RunSettings, without=("seed",)),
}


def complete_config(sections: Mapping[str, Section], values: Values) -> ml_collections.ConfigDict:
    """Builds a config from the values that are given and the defaults of the receivers.

    Args:
        sections: Sections of the system besides `COMMON_SECTIONS`, by name.
        values: Values that are in no section, and a mapping for each section.

    Raises:
        ValueError: A section or field is unknown, or a field without a default is missing; names it.
    """
    sections = COMMON_SECTIONS | dict(sections)
    top = {name: value for name, value in values.items() if name not in sections}
    known = [*_fields(Section(ExperimentSettings)), *sections]
    for name in top:
        if name not in known:
            raise ValueError(f"config: unknown section or value {name!r}{_suggest(name, known)}")
    config = _complete("config", Section(ExperimentSettings), top)
    for name, section in sections.items():
        config[name] = _complete(f"config.{name}", section, values.get(name, {}))
    return ml_collections.ConfigDict(config)


def _complete(place: str, section: Section, given: Values) -> dict[str, Any]:
    fields = _fields(section)
    known = [*section.extra, *fields]
    for name in given:
        if name not in known:
            raise ValueError(f"{place}: unknown field {name!r}{_suggest(name, known)}")
    values = dict(section.extra)
    for name, field in fields.items():
        if name not in given and field.default is inspect.Parameter.empty:
            raise ValueError(f"{place}.{name} must be given, because it has no default")
        values[name] = field.value(f"{place}.{name}", given.get(name, field.default))
    return values


@dataclasses.dataclass(frozen=True)
class _Field:
    """A field of a section: its type, without None, whether None is allowed, and its default."""

    kind: Any
    is_optional: bool
    default: Any

    def value(self, place: str, value: Any) -> Any:
        """Returns the value as a config holds it: with its type, even if the value is None now."""
        if dataclasses.is_dataclass(self.default) and not isinstance(self.default, type):
            changes = value if isinstance(value, Mapping) else {}
            return _complete(place, Section(type(self.default)), dataclasses.asdict(self.default) | dict(changes))
        if self.kind is float and type(value) is int:
            value = float(value)
        if not self.is_optional:
            return value
        reference = placeholder(self.kind)
        reference.set(value)
        return reference


def _fields(section: Section) -> dict[str, _Field]:
    fields = {}
    for receiver in (section.receiver, *section.also):
        hints = typing.get_type_hints(receiver if not inspect.isclass(receiver) else receiver.__init__)
        for name, parameter in inspect.signature(receiver).parameters.items():
            if name not in section.without:
                kinds = typing.get_args(hints[name]) if _is_union(hints[name]) else (hints[name],)
                kind = next(kind for kind in kinds if kind is not types.NoneType)
                fields[name] = _Field(_plain_type(kind), types.NoneType in kinds, parameter.default)
    return fields


def list_fields(receiver: Callable[..., Any]) -> list[str]:
    """Returns the names of the fields of a receiver."""
    return list(_fields(Section(receiver)))


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _plain_type(hint: Any) -> Any:
    """Returns the class of the values of a type hint: str for a Literal of words, tuple for tuple[int, int]."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return type(typing.get_args(hint)[0])
    return origin or hint


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; expected one of {', '.join(known)}"
