"""Describes the joints of a SavedModel in a small JSON file inside it, without TensorFlow.

The signatures of a SavedModel tell neither the names of joints nor the limbs.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from tfpose import __version__
from tfpose.json_files import is_number, optional_entry, read_json
from tfpose.messages import quote
from tfpose.skeletons import Skeleton, skeleton_from_dict
from tfpose.typed_json import describing

# TensorFlow reserves this folder of a SavedModel for files of users.
EXTRA_FOLDER = "assets.extra"
SYSTEM_FILE = "tfpose_system.json"


@dataclasses.dataclass(frozen=True)
class SystemDescription:
    """Description of a SavedModel.

    Attributes:
        system: Name of the system, 'single_network' or 'two_stage'.
        skeleton: Skeleton of the keypoints.
        joint_threshold: Score below which a joint counts as not found.
    """

    system: str
    skeleton: Skeleton
    joint_threshold: float


def describe_system(
    system: str, skeleton: Skeleton, joint_threshold: float, anchor_joints: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns the content of `SYSTEM_FILE`.

    The arguments are the attributes of `SystemDescription`, and the joints that the single network takes for the head.
    Readers need no anchor joints, since the weights find them; the file tells people.
    """
    return {
        "system": system,
        "skeleton": skeleton.to_dict(),
        "joint_threshold": float(joint_threshold),
        "version": __version__,
        **optional_entry("anchor_joints", list(anchor_joints), bool(anchor_joints)),
    }


def read_system_description(saved_model: pathlib.Path) -> SystemDescription | None:
    """Reads the description of a SavedModel, from `EXTRA_FOLDER` or another of its folders; None if there is none.

    Raises:
        ValueError: The description is damaged; the message names the file.
    """
    places = (saved_model / folder / SYSTEM_FILE for folder in (EXTRA_FOLDER, "assets", "."))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return None
    values = read_json(path)
    with describing(path, "the description of a pose system"):
        threshold = values.get("joint_threshold", 0.0)
        if not is_number(threshold):
            raise ValueError(f"'joint_threshold' must be a number, got {quote(threshold)}")
        skeleton = skeleton_from_dict(values["skeleton"])
        return SystemDescription(str(values.get("system", "")), skeleton, float(threshold))
