"""The description of a Keypoint R-CNN in the work folder of its weights."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from tfpose.json_files import read_json, write_json
from tfpose.models.keypoint_rcnn.settings import DetectionSettings, KeypointRcnnSettings, ProposalSettings
from tfpose.typed_json import build_typed, describing

KEYPOINT_RCNN_FILE = "keypoint_rcnn.json"
_PARTS = {
    "proposals": ProposalSettings,
    "training_proposals": ProposalSettings,
    "detections": DetectionSettings,
}


def write_keypoint_rcnn_settings(workdir: str | pathlib.Path, settings: KeypointRcnnSettings) -> None:
    """Writes the description of a network into a work folder, which makes its weights usable."""
    write_json(pathlib.Path(workdir) / KEYPOINT_RCNN_FILE, dataclasses.asdict(settings), indent=2)


def read_keypoint_rcnn_settings(workdir: str | pathlib.Path) -> KeypointRcnnSettings:
    """Reads the settings of the network that the weights in a work folder belong to.

    Raises:
        FileNotFoundError: The folder is not the work folder of a Keypoint R-CNN.
        ValueError: Its description is damaged.
    """
    path = pathlib.Path(workdir) / KEYPOINT_RCNN_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found; expected the work folder of a Keypoint R-CNN")
    values = read_json(path)
    with describing(path, "the description of a Keypoint R-CNN"):
        return keypoint_rcnn_settings(values)


def keypoint_rcnn_settings(values: Mapping[str, Any]) -> KeypointRcnnSettings:
    """Builds the settings from a config or a description; settings that it leaves out have their defaults.

    Raises:
        ValueError: A value is out of range or of another type, or there is no such setting.
    """
    parts = {name: build_typed(kind, values[name], name) for name, kind in _PARTS.items() if name in values}
    return build_typed(KeypointRcnnSettings, {**values, **parts}, "the network")
