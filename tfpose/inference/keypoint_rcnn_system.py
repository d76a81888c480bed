"""The description of a Keypoint R-CNN in the work folder of its weights."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from tfpose.json_files import read_json, write_json
from tfpose.models.keypoint_rcnn.settings import DetectionSettings, KeypointRcnnSettings, ProposalSettings
from tfpose.skeletons import Skeleton, skeleton_from_dict
from tfpose.typed_json import build_typed, describing

KEYPOINT_RCNN_FILE = "keypoint_rcnn.json"
_SKELETON = "skeleton"
_PARTS = {
    "proposals": ProposalSettings,
    "training_proposals": ProposalSettings,
    "detections": DetectionSettings,
}


def write_keypoint_rcnn_settings(
    workdir: str | pathlib.Path, settings: KeypointRcnnSettings, skeleton: Skeleton | None = None
) -> None:
    """Writes the description of a network into a work folder, which makes its weights usable.

    Args:
        workdir: The work folder.
        settings: Settings of the network.
        skeleton: Skeleton of its keypoints; None if it is not known. A network without keypoints has none.
    """
    values = dataclasses.asdict(settings)
    if settings.has_keypoint_head and skeleton is not None:
        values[_SKELETON] = skeleton.to_dict()
    write_json(pathlib.Path(workdir) / KEYPOINT_RCNN_FILE, values, indent=2)


def read_keypoint_rcnn_settings(workdir: str | pathlib.Path) -> KeypointRcnnSettings:
    """Reads the settings of the network that the weights in a work folder belong to.

    Raises:
        FileNotFoundError: The folder is not the work folder of a Keypoint R-CNN.
        ValueError: Its description is damaged.
    """
    return _read_description(workdir)[0]


def read_keypoint_rcnn_skeleton(workdir: str | pathlib.Path) -> Skeleton | None:
    """Reads the skeleton of the keypoints that the network in a work folder finds.

    Returns:
        The skeleton; None if the network finds none, or an earlier version of tfpose wrote the description.

    Raises:
        FileNotFoundError: The folder is not the work folder of a Keypoint R-CNN.
        ValueError: Its description is damaged.
    """
    settings, skeleton = _read_description(workdir)
    if skeleton is not None and skeleton.num_joints != settings.num_joints:
        path = pathlib.Path(workdir) / KEYPOINT_RCNN_FILE
        raise ValueError(
            f"{path}: 'skeleton' must have the {settings.num_joints} joints of the network, got {skeleton.num_joints}"
        )
    return skeleton


def _read_description(workdir: str | pathlib.Path) -> tuple[KeypointRcnnSettings, Skeleton | None]:
    """Returns the settings of the network in a work folder, and the skeleton of its keypoints where it is known."""
    path = pathlib.Path(workdir) / KEYPOINT_RCNN_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found; expected the work folder of a Keypoint R-CNN")
    values = read_json(path)
    with describing(path, "the description of a Keypoint R-CNN"):
        settings = keypoint_rcnn_settings({name: value for name, value in values.items() if name != _SKELETON})
        return settings, skeleton_from_dict(values[_SKELETON]) if _SKELETON in values else None


def keypoint_rcnn_settings(values: Mapping[str, Any]) -> KeypointRcnnSettings:
    """Builds the settings from a config or a description; settings that it leaves out have their defaults.

    Raises:
        ValueError: A value is out of range or of another type, or there is no such setting.
    """
    parts = {name: build_typed(kind, values[name], name) for name, kind in _PARTS.items() if name in values}
    return build_typed(KeypointRcnnSettings, {**values, **parts}, "the network")
