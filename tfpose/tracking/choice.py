"""The choice of a tracker: named settings, and the settings that differ from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from tfpose.tracking.settings import SmoothingSettings, TrackerSettings, find_named_settings, replace_settings
from tfpose.tracking.similarity import SIMILARITIES

# Settings of a tracker are written --tracker.NAME=VALUE on a command line.
PREFIX = "tracker."


@dataclasses.dataclass(frozen=True)
class TrackerChoice:
    """Named settings of a tracker, and the settings that differ from them.

    Attributes:
        name: A key of `NAMED_SETTINGS`.
        changes: The settings that differ, by name.

    Raises:
        ValueError: The name is unknown or a setting breaks its rule; the message names the flag, the rule and the
            value.
    """

    name: str = "payer2017"
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self.settings()
        except ValueError as error:
            raise ValueError(f"--{PREFIX}{error}") from error

    def settings(self) -> tuple[TrackerSettings, SmoothingSettings]:
        """Returns all settings of the tracker and of the repairs after it."""
        return replace_settings(*find_named_settings(self.name), self.changes)

    def with_changes(self, changes: Mapping[str, Any]) -> TrackerChoice:
        """Returns the choice with more settings changed."""
        return TrackerChoice(self.name, {**self.changes, **changes})

    def to_flags(self) -> str:
        """Returns the choice as flags that can be pasted into a command, without settings that have no effect."""
        pairs = {"settings": self.name, **self.changes}
        return " ".join(f"--{PREFIX}{name}={_as_text(value)}" for name, value in pairs.items() if self.has_effect(name))

    def has_effect(self, name: str) -> bool:
        """Returns whether a setting has an effect beside the others."""
        required = _required_setting(name)
        return required is None or required.allows(self.to_dict()[required.name])

    def to_dict(self) -> dict[str, Any]:
        """Returns all settings by name, ready for JSON."""
        values = {name: value for part in self.settings() for name, value in dataclasses.asdict(part).items()}
        return {"name": self.name} | {name: json_setting(value) for name, value in values.items()}


def check_effects(names: Iterable[str], choice: TrackerChoice, searched: Mapping[str, Collection[Any]]) -> None:
    """Checks that settings have an effect beside the others.

    Args:
        names: Settings that the user gave.
        choice: The tracker.
        searched: Values that a search tries in place of those of the tracker, by setting.

    Raises:
        ValueError: A setting has no effect; the message names it, and the setting that it requires.
    """
    for name in names:
        required = _required_setting(name)
        if required is not None and not any(
            map(required.allows, (choice.to_dict()[required.name], *searched.get(required.name, ())))
        ):
            raise ValueError(f"--{PREFIX}{name} requires {required.rule}, got {choice.to_dict()[required.name]}")


@dataclasses.dataclass(frozen=True)
class _RequiredSetting:
    """A setting that decides whether another one has an effect.

    Attributes:
        name: The setting.
        rule: The values with which the other has an effect, for messages.
        allows: Function of a value that returns whether the other has an effect.
    """

    name: str
    rule: str
    allows: Callable[[Any], bool]


def _required_setting(name: str) -> _RequiredSetting | None:
    """Returns the setting that decides whether another has an effect; None if there is none."""
    if name == "jump_window_frames":
        return _RequiredSetting("max_jump", f"a finite --{PREFIX}max_jump", lambda value: math.isfinite(float(value)))
    words = [word for word, similarity in SIMILARITIES.items() if similarity.threshold == name]
    other = "similarity"
    if name in ("velocity_memory", "max_prediction_frames"):
        other, words = "motion", ["velocity"]
    rule = f"--{PREFIX}{other}={' or '.join(words)}"
    return _RequiredSetting(other, rule, words.__contains__) if words else None


def choice_from_settings(values: Mapping[str, Any]) -> TrackerChoice:
    """Returns the tracker with these settings; those that are left out are the paper's."""
    default = TrackerChoice()
    named = {name: value for part in default.settings() for name, value in dataclasses.asdict(part).items()}
    return default.with_changes({name: value for name, value in values.items() if value != named.get(name)})


def json_setting(value: Any) -> Any:
    """Returns a setting as JSON can hold it: infinity becomes text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
