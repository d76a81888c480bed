"""Boxes as [..., 4] arrays of (x1, y1, x2, y2).

NumPy; `areas` and `intersection_over_union` also take tensors, with `keras.ops` as `xp`, whichever they belong to.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def xyxy_from_xywh(boxes_xywh: np.ndarray) -> np.ndarray:
    """[..., 4] (x, y, width, height) -> [..., 4] (x1, y1, x2, y2)."""
    boxes = np.array(boxes_xywh, np.float64, copy=True)
    boxes[..., 2:] += boxes[..., :2]
    return boxes


def xywh_from_xyxy(boxes: np.ndarray) -> np.ndarray:
    """[..., 4] (x1, y1, x2, y2) -> [..., 4] (x, y, width, height)."""
    boxes_xywh = np.array(boxes, np.float64, copy=True)
    boxes_xywh[..., 2:] -= boxes_xywh[..., :2]
    return boxes_xywh


def areas(boxes: Any, xp: Any = np) -> Any:
    """[..., 4] -> [...] areas; boxes turned inside out have none."""
    sides = xp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def intersection_over_union(boxes_a: Any, boxes_b: Any, xp: Any = np) -> Any:
    """[N, 4], [M, 4] -> [N, M]; two empty boxes have an overlap of 0."""
    top_left = xp.maximum(boxes_a[:, None, :2], boxes_b[None, :, :2])
    bottom_right = xp.minimum(boxes_a[:, None, 2:], boxes_b[None, :, 2:])
    intersection = areas(xp.concatenate([top_left, bottom_right], axis=-1), xp)
    union = areas(boxes_a, xp)[:, None] + areas(boxes_b, xp)[None] - intersection
    # Without a union there is no intersection either: 0 / 1.
    return intersection / xp.where(union > 0, union, xp.ones_like(union))


def enlarge(boxes: np.ndarray, margin: float | np.ndarray) -> np.ndarray:
    """Moves every side outwards by `margin` pixels."""
    return np.asarray(boxes, np.float64) + np.multiply.outer(margin, [-1.0, -1.0, 1.0, 1.0])


def clip(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Cuts boxes at the borders of an image of (height, width)."""
    height, width = image_size
    return np.clip(boxes, 0, [width, height, width, height])


def around_keypoints(keypoints: np.ndarray, is_labeled: np.ndarray, relative_margin: float = 0.0) -> np.ndarray:
    """The extent of the labelled joints of each person, grown on every side.

    PoseTrack 2018 boxes are this extent grown by 15 % (`relative_margin=0.15`) of each side's length.

    Args:
        keypoints: [P, J, 2] in pixels.
        is_labeled: [P, J].
        relative_margin: of the width and the height.

    Returns:
        [P, 4]; zeros for a person with no labelled joint.
    """
    weight = np.asarray(is_labeled, bool)[..., None]
    low = np.min(np.where(weight, keypoints, np.inf), axis=-2)
    high = np.max(np.where(weight, keypoints, -np.inf), axis=-2)
    has_joint = weight.any(axis=-2)
    low, high = np.where(has_joint, low, 0.0), np.where(has_joint, high, 0.0)
    margin = relative_margin * (high - low)
    return np.concatenate([low - margin, high + margin], axis=-1)
