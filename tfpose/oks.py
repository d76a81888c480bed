"""Object keypoint similarity (OKS): how alike two poses are. NumPy only."""

from __future__ import annotations

import numpy as np


def object_keypoint_similarity(
    keypoints_a: np.ndarray,
    keypoints_b: np.ndarray,
    areas_a: np.ndarray,
    areas_b: np.ndarray,
    sigmas: np.ndarray,
    is_counted: np.ndarray | None = None,
) -> np.ndarray:
    """Similarity of every pose of one set to every pose of another, in [0, 1].

    The mean over joints of exp(-d^2 / (2 s^2 k^2)) with k = 2 sigma, from the COCO keypoint
    evaluation (cocodataset.org/#keypoints-eval), with the mean of the two people's areas as s^2.

    Args:
        keypoints_a: [A, J, 2] in image pixels.
        keypoints_b: [B, J, 2] in image pixels.
        areas_a: [A] in square pixels.
        areas_b: [B] in square pixels.
        sigmas: [J] constants of the skeleton (`Skeleton.sigmas`).
        is_counted: broadcasts to [A, B, J]: the joints that the mean is taken over; None counts
            all.

    Returns:
        [A, B]; 0 where no joint is counted.

    Example:
        >>> pose = np.zeros((1, 17, 2))
        >>> object_keypoint_similarity(pose, pose, np.ones(1), np.ones(1), np.full(17, 0.05))
        array([[1.]])
    """
    squares = np.square(keypoints_a[:, None] - keypoints_b[None]).sum(axis=-1)  # [A, B, J]
    areas = (areas_a[:, None] + areas_b[None]) / 2 + np.spacing(1.0)
    similarities = np.exp(-squares / np.square(2 * np.asarray(sigmas)) / areas[..., None] / 2)
    if is_counted is None:
        return similarities.mean(axis=-1)
    is_counted = np.broadcast_to(is_counted, similarities.shape)
    totals = np.where(is_counted, similarities, 0.0).sum(axis=-1)
    return totals / np.maximum(is_counted.sum(axis=-1), 1)
