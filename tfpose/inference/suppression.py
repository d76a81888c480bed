"""Suppression of poses found twice. NumPy only."""

from __future__ import annotations

import numpy as np

from tfpose.oks import object_keypoint_similarity


def suppress_poses(
    keypoints: np.ndarray, scores: np.ndarray, areas: np.ndarray, sigmas: np.ndarray, threshold: float
) -> np.ndarray:
    """Keeps the best of every group of poses that are alike (greedy, by OKS).

    The criterion of Papandreou et al. 2017, "Towards Accurate Multi-person Pose Estimation in the Wild", as in the
    public code of Xiao et al. 2018. At most P * P similarities are computed, one row at a time.

    Args:
        keypoints: [P, J, 2] in image pixels, the people of one image.
        scores: [P], finite.
        areas: [P] in square pixels, of each person's box.
        sigmas: [J] OKS constants of the skeleton.
        threshold: A pose is dropped if its similarity to a better pose that stays is larger.

    Returns:
        [K] int, positions of the people that stay, best first; of equal scores the first comes first.

    Raises:
        ValueError: An argument's shape does not fit `keypoints`, or a score is not finite.
    """
    _check_people(keypoints, scores, areas, sigmas)
    remaining = np.argsort(-np.asarray(scores), kind="stable")
    kept = []
    while len(remaining):
        best, remaining = remaining[:1], remaining[1:]
        kept.append(best[0])
        similarities = object_keypoint_similarity(
            keypoints[best], keypoints[remaining], areas[best], areas[remaining], sigmas
        )
        remaining = remaining[~(similarities[0] > threshold)]
    return np.array(kept, dtype=np.int64)


def _check_people(keypoints: np.ndarray, scores: np.ndarray, areas: np.ndarray, sigmas: np.ndarray) -> None:
    if np.ndim(keypoints) != 3 or keypoints.shape[2] != 2:
        raise ValueError(f"keypoints must be [people, joints, 2], got {np.shape(keypoints)}")
    people, joints = keypoints.shape[:2]
    expected = {"scores": (scores, (people,)), "areas": (areas, (people,)), "sigmas": (sigmas, (joints,))}
    for name, (values, shape) in expected.items():
        if np.shape(values) != shape:
            raise ValueError(f"{name} must be {shape} beside keypoints {keypoints.shape}, got {np.shape(values)}")
    if not np.all(np.isfinite(scores)):
        raise ValueError(f"scores must be finite, got {np.asarray(scores)}")
