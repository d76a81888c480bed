"""The settings of a Keypoint R-CNN in the work folder of its weights."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from tfpose.json_files import read_json, write_json
from tfpose.models.keypoint_rcnn.settings import DetectionSettings, KeypointRcnnSettings, ProposalSettings

KEYPOINT_RCNN_FILE = "keypoint_rcnn.json"
_PARTS = {
    "proposals": ProposalSettings,
    "training_proposals": ProposalSettings,
    "detections": DetectionSettings,
}


def write_keypoint_rcnn_settings(workdir: str | pathlib.Path, settings: KeypointRcnnSettings) -> None:
    """Leaves in a work folder what is needed to use its weights."""
    write_json(pathlib.Path(workdir) / KEYPOINT_RCNN_FILE, dataclasses.asdict(settings), indent=2)


def read_keypoint_rcnn_settings(workdir: str | pathlib.Path) -> KeypointRcnnSettings:
    """The settings that the weights in a work folder belong to.

    Raises:
        FileNotFoundError: the folder is not that of a Keypoint R-CNN.
        ValueError: its description is damaged.
    """
    path = pathlib.Path(workdir) / KEYPOINT_RCNN_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found; expected the work folder of a Keypoint R-CNN")
    try:
        return keypoint_rcnn_settings(read_json(path))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: not the description of a Keypoint R-CNN: {error}") from error


def keypoint_rcnn_settings(values: Mapping[str, Any]) -> KeypointRcnnSettings:
    """The settings from what a config or a description says; what it does not say has the defaults.

    Raises:
        ValueError, TypeError: a value is out of range, or there is no such setting.
    """
    values = {name: _with_tuples(value) for name, value in values.items()}
    parts = {name: kind(**values.pop(name)) for name, kind in _PARTS.items() if name in values}
    return KeypointRcnnSettings(**values, **parts)


def _with_tuples(value: Any) -> Any:
    # JSON has no tuples.
    return tuple(value) if isinstance(value, list) else value
