"""Half-body crops: the box of a person around the joints of the upper or of the lower body only. NumPy only."""

from __future__ import annotations

import numpy as np

from tfpose.data.augmentation import Augmentation
from tfpose.messages import quote
from tfpose.skeletons import LOWER_BODY_PARTS, Skeleton, lower_body_joints

# A half with fewer labeled joints has no box.
FEWEST_JOINTS = 3


def find_upper_body(settings: Augmentation, skeleton: Skeleton) -> np.ndarray:
    """Returns which joints [J] bool are the upper body; all other joints are the lower body.

    Raises:
        ValueError: `settings.upper_body_joints` names an unknown joint or all joints; or it is empty, and the joint
            names do not say which joints are the lower body; or no person can have `settings.half_body_min_joints`.
    """
    named, joints = settings.upper_body_joints, skeleton.joints
    if settings.half_body_min_joints > len(joints):
        raise ValueError(
            f"augmentation: half_body_min_joints must be at most {len(joints)}, the number of joints of skeleton "
            f"{skeleton.name}, got {settings.half_body_min_joints}; or set half_body_probability to 0"
        )
    if named and not set(named) < set(joints):
        raise ValueError(
            f"augmentation: upper_body_joints must be some but not all joints of skeleton {skeleton.name} "
            f"({', '.join(joints)}), got {quote(named)}"
        )
    is_upper = np.isin(joints, named) if named else ~np.isin(joints, lower_body_joints(skeleton))
    if is_upper.all() or not is_upper.any():
        raise ValueError(
            f"augmentation: half_body_probability must be 0 for skeleton {skeleton.name}, whose joint names do not say "
            f"which joints are the lower body ({', '.join(LOWER_BODY_PARTS)}), got {settings.half_body_probability}; "
            "or set upper_body_joints"
        )
    return is_upper


def half_body_boxes(
    settings: Augmentation,
    is_upper: np.ndarray,
    boxes: np.ndarray,
    keypoints: np.ndarray,
    is_labeled: np.ndarray,
    drawn: dict[str, np.ndarray],
) -> np.ndarray:
    """Returns the boxes of people, with those of half-body crops in place of their own.

    As in the public code of HRNet (Sun et al., 2019), the center of the box is the mean of the labeled joints of the
    half, and the sides of the box are the extent of these joints times `settings.half_body_scale`. If the drawn half
    has fewer than `FEWEST_JOINTS` labeled joints, the crop shows the other half. People with fewer labeled joints than
    `settings.half_body_min_joints`, and people with too few joints in both halves, keep their box. Both halves have the
    same probability; in the public code the upper body has a probability of 0.69.

    Args:
        settings: Settings of the augmentation.
        is_upper: [J] from `find_upper_body`.
        boxes: [P, 4] xyxy in image pixels.
        keypoints: [P, J, 2] in image pixels.
        is_labeled: [P, J].
        drawn: is_half_body [P] and is_upper_body [P] from `draw_augmentation`.

    Returns:
        [P, 4] float64.
    """
    is_wanted = np.where(drawn["is_upper_body"][:, None], is_upper, ~is_upper)
    has_few = (is_wanted & is_labeled).sum(axis=1) < FEWEST_JOINTS
    is_shown = (is_wanted ^ has_few[:, None]) & is_labeled
    is_half = drawn["is_half_body"] & (is_labeled.sum(axis=1) >= settings.half_body_min_joints)
    rows = np.flatnonzero(is_half & (is_shown.sum(axis=1) >= FEWEST_JOINTS))
    result = np.array(boxes, np.float64)
    for row in rows:
        points = np.asarray(keypoints[row, is_shown[row]], np.float64)
        center, half_sides = points.mean(axis=0), np.ptp(points, axis=0) * settings.half_body_scale / 2
        result[row] = [*(center - half_sides), *(center + half_sides)]
    return result
