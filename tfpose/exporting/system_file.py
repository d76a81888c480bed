"""Joint names and limbs, which the signatures of a SavedModel do not say: a small JSON file in it. No TensorFlow."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from tfpose import __version__
from tfpose.json_files import is_number, read_json
from tfpose.skeletons import Skeleton, skeleton_from_dict

# The place in a SavedModel for what users add; TensorFlow leaves it alone.
EXTRA_FOLDER = "assets.extra"
SYSTEM_FILE = "tfpose_system.json"


@dataclasses.dataclass(frozen=True)
class SystemDescription:
    """What `describe_system` wrote.

    Attributes:
        system: 'single_network' or 'two_stage'.
        skeleton: of the keypoints.
        joint_threshold: joints with a lower score count as not found.
    """

    system: str
    skeleton: Skeleton
    joint_threshold: float


def describe_system(system: str, skeleton: Skeleton, joint_threshold: float) -> dict[str, Any]:
    """The content of `SYSTEM_FILE`; arguments as in `SystemDescription`."""
    return {
        "system": system,
        "skeleton": skeleton.to_dict(),
        "joint_threshold": float(joint_threshold),
        "version": __version__,
    }


def read_system_description(saved_model: pathlib.Path) -> SystemDescription | None:
    """The description of a SavedModel, in it or beside its files; None where there is none.

    Raises:
        ValueError: it is damaged; names the file.
    """
    places = (saved_model / folder / SYSTEM_FILE for folder in (EXTRA_FOLDER, "assets", "."))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return None
    try:
        values = read_json(path)
        threshold = values.get("joint_threshold", 0.0)
        if not is_number(threshold):
            raise ValueError(f"'joint_threshold' should be a number, found {threshold!r}")
        skeleton = skeleton_from_dict(values["skeleton"])
        return SystemDescription(str(values.get("system", "")), skeleton, float(threshold))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{path}: not the description of a pose system: {error}") from error
