"""Head positions: the center of the head box, or of the head joints if a dataset has no head boxes. NumPy only.

The head is where the single network looks for a person or an animal. `anchor_joints` puts it elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfpose.messages import quote
from tfpose.skeletons import Skeleton, joint_words

# Words in the names of head joints, such as head_top and eyeL.
HEAD_WORDS = frozenset(("head", "nose", "eye", "ear"))
# In place of the names of joints: all joints.
ALL_JOINTS = "*"


def find_head_centers(
    people: dict[str, np.ndarray], skeleton: Skeleton, anchor_joints: Sequence[str] = ()
) -> np.ndarray:
    """Finds the head positions of people as records hold them.

    Payer et al. 2017 take the center of the head box. Without a head box (COCO has none) it is the middle of the extent
    of the labeled head joints; crowds and people without any labeled head joint have no head. A skeleton without head
    joints, such as that of a hand, takes the middle of all labeled joints.

    Args:
        people: Columns `head_box`, `keypoints`, `visibility` and `is_crowd` of `records.PERSON_FIELDS`.
        skeleton: Skeleton of the keypoints.
        anchor_joints: Joints whose labeled ones have the head in the middle of their extent, whatever head boxes say;
            `("*",)` stands for all joints. Without any, the head is found as described above.

    Returns:
        [P, 2] float64 in image pixels, NaN where there is none.

    Raises:
        ValueError: The skeleton lacks one of the anchor joints.
    """
    if anchor_joints:
        centers = _middles(people, anchor_indices(skeleton, anchor_joints))
        centers[people["is_crowd"] > 0] = np.nan
        return centers
    boxes = people["head_box"].astype(np.float64)
    has_box = np.all(np.isfinite(boxes), axis=1) & np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    of_boxes = (boxes[:, :2] + boxes[:, 2:]) / 2
    centers = np.where(has_box[:, None], of_boxes, _middles(people, head_joints(skeleton)))
    centers[people["is_crowd"] > 0] = np.nan
    return centers


def head_joints(skeleton: Skeleton) -> list[int]:
    """Returns the positions of the joints of the head by their names; those of all joints if none is of a head."""
    found = [index for index, joint in enumerate(skeleton.joints) if not HEAD_WORDS.isdisjoint(joint_words(joint))]
    return found or list(range(skeleton.num_joints))


def anchor_indices(skeleton: Skeleton, anchor_joints: Sequence[str]) -> list[int]:
    """Returns the positions of anchor joints; those of all joints for `("*",)`.

    Raises:
        ValueError: The skeleton lacks one of them, or one is named twice.
    """
    if tuple(anchor_joints) == (ALL_JOINTS,):
        return list(range(skeleton.num_joints))
    wrong = [joint for joint in anchor_joints if joint not in skeleton.joints]
    if wrong or len(set(anchor_joints)) != len(anchor_joints):
        rule = f"distinct joints among {', '.join(skeleton.joints)}, or ('{ALL_JOINTS}',) for all"
        raise ValueError(f"anchor_joints must be {rule}, got {quote(wrong[0] if wrong else tuple(anchor_joints))}")
    return [skeleton.joints.index(joint) for joint in anchor_joints]


def mirrored_anchor_joints(skeleton: Skeleton, anchor_joints: Sequence[str]) -> tuple[str, ...]:
    """Returns the joints that a mirrored image shows where the anchor joints were: left ones for right ones."""
    if tuple(anchor_joints) == (ALL_JOINTS,):
        return (ALL_JOINTS,)
    return tuple(skeleton.joints[skeleton.flip_order[index]] for index in anchor_indices(skeleton, anchor_joints))


def _middles(people: dict[str, np.ndarray], indices: Sequence[int]) -> np.ndarray:
    """Returns the middle [P, 2] of the extent of the labeled joints among `indices`, NaN where none is labeled."""
    is_labeled = people["visibility"][:, indices, None] > 0
    joints = people["keypoints"][:, indices].astype(np.float64)
    low = np.min(np.where(is_labeled, joints, np.inf), axis=1, initial=np.inf)
    high = np.max(np.where(is_labeled, joints, -np.inf), axis=1, initial=-np.inf)
    has_joint = is_labeled.any(axis=1)
    return np.where(has_joint, (np.where(has_joint, low, 0) + np.where(has_joint, high, 0)) / 2, np.nan)
