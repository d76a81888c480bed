"""Pictures at another size as Pillow's bilinear filter gives them, fast enough for the input pipeline. NumPy only.

Like Pillow it counts in whole numbers, with weights in multiples of 2^-22; the filters are nearly empty matrices, and
only what is in them is multiplied.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

_FRACTION_BITS = 22


def resize_picture(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a picture as `models.keypoint_rcnn.images.resize_images` does.

    Args:
        picture: [H, W, 3] uint8.
        size: (height, width) of the result.

    Returns:
        [height, width, 3] uint8.
    """
    if picture.shape[:2] == tuple(size):
        return picture
    height, width = size
    # Columns first, and rounded after each axis.
    columns = _filter(cv2.transpose(picture), width)
    return _filter(cv2.transpose(columns), height)


def _filter(values: np.ndarray, size: int) -> np.ndarray:
    """Filters the first axis of [N, ...] uint8 to `size`."""
    flat = values.reshape(len(values), -1).astype(np.int32)
    sums = _filter_matrix(len(values), int(size)) @ flat
    sums += 1 << _FRACTION_BITS - 1
    sums >>= _FRACTION_BITS
    return sums.astype(np.uint8).reshape(size, *values.shape[1:])


@functools.lru_cache(maxsize=256)
def _filter_matrix(source_size: int, size: int) -> sparse.csr_matrix:
    """Returns int32 weights [size, source_size] of a triangle as wide as the larger of both pixels, on each side."""
    # Here and not above: prediction imports this module, and does not wait for SciPy.
    from scipy import sparse

    scale = source_size / size
    half_width = max(scale, 1.0)
    centers = (np.arange(size) + 0.5) * scale
    first = np.floor(centers - half_width).astype(np.int64)
    columns = first[:, None] + np.arange(int(np.ceil(2 * half_width)) + 2)
    weights = np.maximum(1 - np.abs(columns + 0.5 - centers[:, None]) / half_width, 0)
    weights[(columns < 0) | (columns >= source_size)] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(size)[:, None], columns.shape)
    whole = np.floor(weights * (1 << _FRACTION_BITS) + 0.5).astype(np.int32)
    is_used = whole > 0
    entries = (whole[is_used], (rows[is_used], columns[is_used]))
    return sparse.csr_matrix(entries, shape=(size, source_size))
