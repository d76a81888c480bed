"""Poses from the results of other libraries, none of which is imported. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfpose.boxes import around_keypoints
from tfpose.poses import Poses


def poses_from_supervision(keypoints: Any) -> Poses:
    """Reads `supervision.KeyPoints`, or any object with the same attributes.

    Args:
        keypoints: Object with `xy` [P, J, 2] in image pixels. These attributes are read where they are there and not
            None: `keypoint_confidence` [P, J], or else `confidence` [P, J] (its name before supervision 0.29);
            `visible` [P, J] bool; `detection_confidence` [P]; and `data` with `track_id` [P], `person_score` [P] and
            `box` [P, 4], which `Poses.to_supervision_arrays` writes.

    Returns:
        The poses. Without confidences each joint has a score of 1, or 0 at (0, 0), where supervision puts missing
        joints. A joint at NaN has a score of 0. A person without a score has the mean score of the joints that are
        there, one without a box the extent of these joints, and one without an identity -1.

    Raises:
        ValueError: A shape does not fit `xy`; the message names the array and both shapes.
    """
    xy = np.asarray(keypoints.xy, np.float64)
    if xy.ndim != 3 or xy.shape[2] != 2:
        raise ValueError(f"xy must be [people, joints, 2], got {xy.shape}")
    data = getattr(keypoints, "data", None) or {}
    confidence = _first_known(keypoints, "keypoint_confidence", "confidence")
    joint_scores = (xy != 0).any(axis=-1).astype(np.float64) if confidence is None else _numbers(confidence)
    if joint_scores.shape != xy.shape[:2]:
        raise ValueError(f"confidence must be {xy.shape[:2]} beside xy {xy.shape}, got {joint_scores.shape}")
    visible = _first_known(keypoints, "visible")
    if visible is not None:
        joint_scores = np.where(visible, joint_scores, 0.0)
    # Other libraries also put missing joints at NaN.
    joint_scores = np.where(np.isfinite(xy).all(axis=-1), joint_scores, 0.0)
    scores = _first_known(keypoints, "detection_confidence")
    scores = data.get("person_score") if scores is None else scores
    boxes, track_ids = data.get("box"), data.get("track_id")
    is_joint = joint_scores > 0
    mean = np.where(is_joint, joint_scores, 0.0).sum(axis=1) / np.maximum(is_joint.sum(axis=1), 1)
    return Poses(
        keypoints=xy,
        joint_scores=joint_scores,
        scores=mean if scores is None else _numbers(scores),
        boxes=around_keypoints(xy, is_joint) if boxes is None else _numbers(boxes),
        track_ids=np.full(len(xy), -1) if track_ids is None else np.asarray(track_ids),
    )


def _first_known(keypoints: Any, *names: str) -> Any:
    """Returns the first of these attributes that is there and not None; None without one."""
    # One after the other: newer versions of supervision warn where the older name is read.
    for name in names:
        value = getattr(keypoints, name, None)
        if value is not None:
            return value
    return None


def _numbers(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)
