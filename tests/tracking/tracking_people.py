"""Small frames for the tests of tracking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfpose.poses import Poses

# A square body of 20 pixels and its center.
BODY = np.array([[0.0, 0.0], [20.0, 0.0], [20.0, 20.0], [0.0, 20.0], [10.0, 10.0]])


def people_at(corners: Sequence[tuple[float, float]], scores: Sequence[float] | None = None) -> Poses:
    """People of the same shape whose first joint is at these places, in pixels."""
    keypoints = np.asarray(corners, np.float64).reshape(-1, 1, 2) + BODY
    person_scores = np.ones(len(keypoints)) if scores is None else np.asarray(scores, np.float64)
    return poses_from_keypoints(keypoints, np.ones(keypoints.shape[:2]), person_scores)


def poses_from_keypoints(
    keypoints: np.ndarray,
    joint_scores: np.ndarray,
    scores: np.ndarray | None = None,
    track_ids: Sequence[int] | None = None,
) -> Poses:
    """Poses with boxes around all joints."""
    num_people = len(keypoints)
    return Poses(
        keypoints=keypoints,
        joint_scores=joint_scores,
        scores=np.ones(num_people) if scores is None else scores,
        boxes=np.concatenate([keypoints.min(axis=1), keypoints.max(axis=1)], axis=-1).reshape(-1, 4),
        track_ids=np.full(num_people, -1) if track_ids is None else np.asarray(track_ids, np.int64),
    )


def ids_over_time(tracker, frames: Sequence[Poses]) -> list[list[int]]:
    """What a tracker says of each frame."""
    return [tracker.update(poses).track_ids.tolist() for poses in frames]
