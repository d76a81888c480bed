"""A named tracker and the settings that differ from it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tfpose.tracking.settings import NAMED_SETTINGS, SmoothingSettings, TrackerSettings, replace_settings

# Its settings stand on a command line as --tracker.NAME=VALUE.
PREFIX = "tracker."


@dataclasses.dataclass(frozen=True)
class TrackerChoice:
    """A named tracker and what differs from it.

    Attributes:
        name: of `NAMED_SETTINGS`.
        changes: settings by name.

    Raises:
        ValueError: naming the flag, its rule and the value.
    """

    name: str = "payer2017"
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self.settings()
        except ValueError as error:
            raise ValueError(f"--{PREFIX}{error}") from error

    def settings(self) -> tuple[TrackerSettings, SmoothingSettings]:
        """What the tracker and the repairs after it are told."""
        return replace_settings(*NAMED_SETTINGS[self.name], self.changes)

    def with_changes(self, changes: Mapping[str, Any]) -> TrackerChoice:
        """The same with some more settings changed."""
        return TrackerChoice(self.name, {**self.changes, **changes})

    def to_flags(self) -> str:
        """The choice as flags to paste."""
        pairs = {"settings": self.name, **self.changes}
        return " ".join(f"--{PREFIX}{name}={_as_text(value)}" for name, value in pairs.items())

    def to_dict(self) -> dict[str, Any]:
        """All settings, ready for JSON, which has no infinity."""
        values = {name: value for part in self.settings() for name, value in dataclasses.asdict(part).items()}
        return {"name": self.name} | {name: json_setting(value) for name, value in values.items()}


def json_setting(value: Any) -> Any:
    """A setting as JSON can hold it: infinity becomes text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
