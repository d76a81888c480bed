"""Anchors: the boxes that the region proposal network moves and scores.

Ren et al., "Faster R-CNN", 2015, section 3.1; one size for each level of the pyramid as in Lin et al., 2017. Placement
as in Detectron2: around the top left corner of each cell, nothing rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

Tensor = Any  # of the Keras backend in use


def cell_anchors(size: float, ratios: Sequence[float]) -> np.ndarray:
    """Returns the anchors of one cell, around (0, 0).

    Args:
        size: Square root of the area in pixels.
        ratios: Heights over widths.

    Returns:
        [R, 4] float32, xyxy in pixels.

    Example:
        >>> cell_anchors(32.0, [1.0])
        array([[-16., -16.,  16.,  16.]], dtype=float32)
    """
    heights_over_widths = np.asarray(ratios, np.float64)
    widths = np.sqrt(size**2 / heights_over_widths)
    halves = np.stack([widths, heights_over_widths * widths], axis=-1) / 2
    return np.concatenate([-halves, halves], axis=-1).astype(np.float32)


def rounded_cell_anchors(size: float, ratios: Sequence[float], stride: int) -> np.ndarray:
    """Returns the anchors of one cell as the original Detectron makes them, around the middle of the cell's pixels.

    The sides of the anchor that is as large as the cell are rounded, then enlarged.

    Args:
        size: Approximate square root of the area in pixels.
        ratios: Heights over widths.
        stride: Pixels per cell.

    Returns:
        [R, 4] float32, xyxy with the far edges of the last pixels, see `conventions`.

    Example:
        >>> rounded_cell_anchors(128.0, [0.5], 16)
        array([[-84., -40., 100.,  56.]], dtype=float32)
    """
    heights_over_widths = np.asarray(ratios, np.float64)
    widths = np.rint(np.sqrt(stride**2 / heights_over_widths))
    heights = np.rint(widths * heights_over_widths)
    halves = np.stack([widths, heights], axis=-1) * (size / stride) / 2
    return (np.concatenate([-halves, halves], axis=-1) + stride / 2).astype(np.float32)


def grid_anchors(cells: np.ndarray, map_size: tuple[Any, Any], stride: int) -> Tensor:
    """Returns the anchors of one level.

    Args:
        cells: [R, 4], from `cell_anchors`.
        map_size: (height, width) in cells, numbers or scalar tensors.
        stride: Pixels per cell.

    Returns:
        [height * width * R, 4] float32 by row, column and ratio, xyxy in pixels.
    """
    rows, columns = (ops.cast(ops.arange(size), "float32") * stride for size in map_size)
    y, x = ops.meshgrid(rows, columns, indexing="ij")
    shifts = ops.stack([x, y, x, y], axis=-1)  # [H, W, 4]
    return ops.reshape(shifts[:, :, None] + ops.convert_to_tensor(cells), (-1, 4))
