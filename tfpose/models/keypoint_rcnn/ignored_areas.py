"""The share of a box that lies in ignored regions. TensorFlow only, as the sampling is.

The regions of an image are given as a summed-area table (Crow, "Summed-area tables for texture mapping", 1984), so that
a box of any size takes four look-ups.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Pixels of the resized image along each side of a cell.
IGNORED_STRIDE = 4


def sum_ignored_cells(is_ignored: np.ndarray) -> np.ndarray:
    """Computes the summed-area table of an image.

    Args:
        is_ignored: [h, w], whether a cell of `IGNORED_STRIDE` pixels lies in a region.

    Returns:
        [h + 1, w + 1] float32: the ignored cells above and to the left of each corner of a cell.
    """
    sums = np.zeros((is_ignored.shape[0] + 1, is_ignored.shape[1] + 1), np.float32)
    sums[1:, 1:] = np.cumsum(np.cumsum(is_ignored, axis=0, dtype=np.float64), axis=1)
    return sums


def ignored_shares(boxes: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
    """Computes the share of each box that lies in regions, for the part inside the table; 0 for an empty box.

    Args:
        boxes: [N, 4] xyxy in pixels of the resized image.
        sums: [h + 1, w + 1], from `sum_ignored_cells`.

    Returns:
        [N] in 0..1.
    """
    shape = tf.cast(tf.shape(sums) - 1, tf.float32)
    limits = tf.stack([shape[1], shape[0], shape[1], shape[0]])
    x1, y1, x2, y2 = tf.unstack(tf.clip_by_value(boxes / IGNORED_STRIDE, 0.0, limits), axis=1)
    inside = _look_up(sums, y2, x2) - _look_up(sums, y1, x2) - _look_up(sums, y2, x1) + _look_up(sums, y1, x1)
    return tf.math.divide_no_nan(inside, (x2 - x1) * (y2 - y1))


def _look_up(sums: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Reads the table at corners [N], bilinear in a cell, which is exact: the area grows along each axis."""
    row, column = (tf.minimum(tf.floor(v), tf.cast(tf.shape(sums)[i] - 2, tf.float32)) for i, v in ((0, y), (1, x)))
    y, x = y - row, x - column
    row, column = tf.cast(row, tf.int32), tf.cast(column, tf.int32)
    corners = [[tf.gather_nd(sums, tf.stack([row + i, column + j], axis=1)) for j in (0, 1)] for i in (0, 1)]
    top, bottom = ((1 - x) * left + x * right for left, right in corners)
    return (1 - y) * top + y * bottom
