"""The best settings of a search, read from tuning.json for use on other data. NumPy only."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from tfpose.inference.frame_peaks import SingleNetworkSettings
from tfpose.json_files import read_json
from tfpose.messages import quote
from tfpose.tracking.choice import TrackerChoice
from tfpose.tracking.settings import NAMED_SETTINGS, setting_types
from tfpose.typed_json import describing

# Settings of the single network that a search changes or that its result depends on.
TUNED_INFERENCE = (
    "head_threshold",
    "head_distance_cells",
    "joint_threshold",
    "person_threshold",
    "refine",
    "use_flip_test",
    "max_people",
)


@dataclasses.dataclass(frozen=True)
class TunedSettings:
    """The best settings of a search.

    Attributes:
        path: Path of the file.
        tracker: Tracker with all its settings.
        inference: Settings of the single network by name; empty after a search over the tracker only.
    """

    path: pathlib.Path
    tracker: TrackerChoice
    inference: Mapping[str, Any]


def read_tuned_settings(path: str | pathlib.Path) -> TunedSettings:
    """Reads the best settings of a tuning.json.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not a tuning.json, or holds an unknown setting or a wrong value.
    """
    path = pathlib.Path(path)
    content = read_json(path)
    best = content.get("best") if isinstance(content, dict) else None
    if not isinstance(best, dict) or not isinstance(best.get("tracker"), dict):
        raise ValueError(f"{path}: must be a tuning.json with the settings best.tracker, got none")
    inference = best.get("inference", {})
    with describing(path, "a tuning.json"):
        return TunedSettings(path, _tracker_from_dict(best["tracker"]), _check_inference(inference))


def _tracker_from_dict(values: Mapping[str, Any]) -> TrackerChoice:
    """Inverts `TrackerChoice.to_dict`; the changes are the values that differ from the named settings."""
    name, types = values.get("name"), setting_types()
    if name not in NAMED_SETTINGS:
        raise ValueError(f"best.tracker.name must be one of {', '.join(NAMED_SETTINGS)}, got {name!r}")
    _check_names("best.tracker", values, ("name", *types))
    named = {key: value for part in NAMED_SETTINGS[name] for key, value in dataclasses.asdict(part).items()}
    given = {key: _as_type(f"best.tracker.{key}", value, types[key]) for key, value in values.items() if key != "name"}
    return TrackerChoice(name, {key: value for key, value in given.items() if value != named[key]})


def _check_inference(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError(f"best.inference must hold settings by name, got {values!r}")
    _check_names("best.inference", values, TUNED_INFERENCE)
    types = {field.name: type(field.default) for field in dataclasses.fields(SingleNetworkSettings)}
    given = {key: _as_type(f"best.inference.{key}", value, types[key]) for key, value in values.items()}
    SingleNetworkSettings(**given)
    return given


def _check_names(where: str, values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ValueError(f"{where}: settings must be some of {', '.join(known)}, got {quote(unknown[0])}")


def _as_type(name: str, value: Any, kind: Any) -> Any:
    """Returns a value of a JSON file, which holds infinity as text, as the type of its setting."""
    if kind is float and not isinstance(value, bool):
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must be a number, got {quote(value)}") from error
    if kind in (bool, int) and type(value) is not kind:
        raise ValueError(f"{name} must be {'true or false' if kind is bool else 'a whole number'}, got {quote(value)}")
    return value
