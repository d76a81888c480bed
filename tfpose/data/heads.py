"""Head positions: the center of the head box, or of the head joints if a dataset has no head boxes. NumPy only."""

from __future__ import annotations

import numpy as np

from tfpose.skeletons import Skeleton, joint_words

# Words in the names of head joints, such as head_top and eyeL.
HEAD_WORDS = frozenset(("head", "nose", "eye", "ear"))


def find_head_centers(people: dict[str, np.ndarray], skeleton: Skeleton) -> np.ndarray:
    """Finds the head positions of people as records hold them.

    Payer et al. 2017 take the center of the head box. Without a head box (COCO has none) it is the middle of the extent
    of the labeled head joints; crowds and people without any labeled head joint have no head. A skeleton without head
    joints, such as that of a hand, takes the middle of all labeled joints.

    Args:
        people: Columns `head_box`, `keypoints`, `visibility` and `is_crowd` of `records.PERSON_FIELDS`.
        skeleton: Skeleton of the keypoints.

    Returns:
        [P, 2] float64 in image pixels, NaN where there is none.
    """
    boxes = people["head_box"].astype(np.float64)
    has_box = np.all(np.isfinite(boxes), axis=1) & np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    of_boxes = (boxes[:, :2] + boxes[:, 2:]) / 2
    centers = np.where(has_box[:, None], of_boxes, _middles_of_head_joints(people, skeleton))
    centers[people["is_crowd"] > 0] = np.nan
    return centers


def head_joints(skeleton: Skeleton) -> list[int]:
    """Returns the positions of the joints of the head by their names; those of all joints if none is of a head."""
    found = [index for index, joint in enumerate(skeleton.joints) if not HEAD_WORDS.isdisjoint(joint_words(joint))]
    return found or list(range(skeleton.num_joints))


def _middles_of_head_joints(people: dict[str, np.ndarray], skeleton: Skeleton) -> np.ndarray:
    indices = head_joints(skeleton)
    is_labeled = people["visibility"][:, indices, None] > 0
    joints = people["keypoints"][:, indices].astype(np.float64)
    low = np.min(np.where(is_labeled, joints, np.inf), axis=1, initial=np.inf)
    high = np.max(np.where(is_labeled, joints, -np.inf), axis=1, initial=-np.inf)
    has_joint = is_labeled.any(axis=1)
    return np.where(has_joint, (np.where(has_joint, low, 0) + np.where(has_joint, high, 0)) / 2, np.nan)
