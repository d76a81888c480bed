"""Object keypoint similarity (OKS): how alike two poses are.

NumPy; also takes tensors, with `keras.ops` as `xp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def object_keypoint_similarity(
    keypoints_a: Any,
    keypoints_b: Any,
    areas_a: Any,
    areas_b: Any,
    sigmas: np.ndarray,
    is_counted: Any | None = None,
    xp: Any = np,
) -> Any:
    """Returns the similarity of every pose of one set to every pose of another set, in [0, 1].

    It is the mean over joints of exp(-d^2 / (2 s^2 k^2)) with k = 2 sigma, from the COCO keypoint evaluation
    (cocodataset.org/#keypoints-eval), with the mean of the two people's areas as s^2.

    Args:
        keypoints_a: [A, J, 2] keypoints in image pixels.
        keypoints_b: [B, J, 2] keypoints in image pixels.
        areas_a: [A] areas of the people in square pixels.
        areas_b: [B] areas of the people in square pixels.
        sigmas: [J] constants of the skeleton (`Skeleton.sigmas`).
        is_counted: Bool, broadcasts to [A, B, J]: which joints the mean includes; None includes all.
        xp: Module of functions for the arrays, `numpy` or `keras.ops`.

    Returns:
        [A, B] similarities; 0 where no joint is counted.

    Example:
        >>> pose = np.zeros((1, 17, 2))
        >>> object_keypoint_similarity(pose, pose, np.ones(1), np.ones(1), np.full(17, 0.05))
        array([[1.]])
    """
    if xp is np:
        # Differences and squares of pixels in small whole numbers would have no meaning.
        keypoints_a, keypoints_b = (np.asarray(k, np.result_type(k, np.float32)) for k in (keypoints_a, keypoints_b))
        areas_a, areas_b = (np.asarray(a, np.result_type(a, np.float32)) for a in (areas_a, areas_b))
    squares = xp.sum(xp.square(keypoints_a[:, None] - keypoints_b[None]), axis=-1)  # [A, B, J]
    areas = (areas_a[:, None] + areas_b[None]) / 2 + np.spacing(1.0)
    similarities = xp.exp(-squares / np.square(2 * np.asarray(sigmas)) / areas[..., None] / 2)
    if is_counted is None:
        return xp.mean(similarities, axis=-1)
    is_counted = xp.broadcast_to(is_counted, similarities.shape)
    totals = xp.sum(xp.where(is_counted, similarities, 0.0), axis=-1)
    return totals / xp.maximum(xp.sum(is_counted, axis=-1), 1)
