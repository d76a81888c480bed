"""Head positions: the center of the head box, or of the head joints if a dataset has no head boxes. NumPy only."""

from __future__ import annotations

import numpy as np

from tfpose.skeletons import Skeleton

HEAD_JOINTS = ("head_top", "head_bottom", "nose", "left_eye", "right_eye", "left_ear", "right_ear")


def find_head_centers(people: dict[str, np.ndarray], skeleton: Skeleton) -> np.ndarray:
    """Finds the head positions of people as records hold them.

    Payer et al. 2017 take the center of the head box. Without a head box (COCO has none) it is the middle of the extent
    of the labeled head joints; crowds and people without any labeled head joint have no head.

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


def _middles_of_head_joints(people: dict[str, np.ndarray], skeleton: Skeleton) -> np.ndarray:
    indices = [skeleton.index(joint) for joint in HEAD_JOINTS if joint in skeleton.joints]
    is_labeled = people["visibility"][:, indices, None] > 0
    joints = people["keypoints"][:, indices].astype(np.float64)
    low = np.min(np.where(is_labeled, joints, np.inf), axis=1, initial=np.inf)
    high = np.max(np.where(is_labeled, joints, -np.inf), axis=1, initial=-np.inf)
    has_joint = is_labeled.any(axis=1)
    return np.where(has_joint, (np.where(has_joint, low, 0) + np.where(has_joint, high, 0)) / 2, np.nan)
