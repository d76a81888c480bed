"""Boxes as [..., 4] arrays of (x1, y1, x2, y2).

NumPy. Functions with an argument `xp` also take tensors, with `keras.ops` as `xp`, in graphs too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# An array of NumPy, or a tensor of whichever library `xp` belongs to.
Array = Any


def xyxy_from_xywh(boxes_xywh: np.ndarray) -> np.ndarray:
    """Converts [..., 4] (x, y, width, height) to [..., 4] (x1, y1, x2, y2)."""
    boxes = np.array(boxes_xywh, np.float64, copy=True)
    boxes[..., 2:] += boxes[..., :2]
    return boxes


def xywh_from_xyxy(boxes: np.ndarray) -> np.ndarray:
    """Converts [..., 4] (x1, y1, x2, y2) to [..., 4] (x, y, width, height)."""
    boxes_xywh = np.array(boxes, np.float64, copy=True)
    boxes_xywh[..., 2:] -= boxes_xywh[..., :2]
    return boxes_xywh


def areas(boxes: Array, xp: Any = np) -> Array:
    """Returns the areas [...] of boxes [..., 4]; boxes with x2 < x1 or y2 < y1 have none."""
    if xp is np:
        # Small whole numbers and those of 16 bits hold no areas.
        boxes = np.asarray(boxes, np.result_type(boxes, np.float32))
    sides = xp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def intersection_over_union(boxes_a: Array, boxes_b: Array, xp: Any = np) -> Array:
    """Returns the overlaps [N, M] of boxes [N, 4] and [M, 4]; that of two empty boxes is 0."""
    top_left = xp.maximum(boxes_a[:, None, :2], boxes_b[None, :, :2])
    bottom_right = xp.minimum(boxes_a[:, None, 2:], boxes_b[None, :, 2:])
    intersection = areas(xp.concatenate([top_left, bottom_right], axis=-1), xp)
    union = areas(boxes_a, xp)[:, None] + areas(boxes_b, xp)[None] - intersection
    # Without a union there is no intersection either: 0 / 1.
    return intersection / xp.where(union > 0, union, xp.ones_like(union))


def clip(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Clips boxes [..., 4] to x from 0 to width and y from 0 to height of an image of (height, width)."""
    height, width = image_size
    return np.clip(boxes, 0, [width, height, width, height])


def around_keypoints(keypoints: Array, is_labeled: Array, relative_margin: float = 0.0, xp: Any = np) -> Array:
    """Returns the extent of each person's labeled joints, grown on every side.

    Args:
        keypoints: [P, J, 2] keypoints in pixels.
        is_labeled: [P, J] bool or numbers; 0 is not labeled.
        relative_margin: Growth on each side, as a share of the width and of the height; PoseTrack 2018 uses 0.15.
        xp: Module of functions for the arrays, `numpy` or `keras.ops`.

    Returns:
        [P, 4] boxes; zeros for a person without a labeled joint.
    """
    counts = xp.not_equal(is_labeled, 0)[..., None]
    # With an initial value Keras accepts arrays without people too.
    low = xp.min(xp.where(counts, keypoints, np.inf), axis=-2, initial=np.inf)
    high = xp.max(xp.where(counts, keypoints, -np.inf), axis=-2, initial=-np.inf)
    has_joint = xp.any(counts, axis=-2)
    low, high = xp.where(has_joint, low, 0.0), xp.where(has_joint, high, 0.0)
    margin = relative_margin * (high - low)
    return xp.concatenate([low - margin, high + margin], axis=-1)
