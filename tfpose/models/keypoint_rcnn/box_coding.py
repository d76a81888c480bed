"""Boxes as offsets from other boxes, and back.

Girshick et al., "Rich feature hierarchies for accurate object detection and semantic segmentation", 2014, appendix C:
the center moves by (dx, dy) of the box's size, the size changes by the factors exp(dw), exp(dh). Each offset is
multiplied by a weight when encoded. Boxes are xyxy in pixels, and their width is x2 - x1.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

Tensor = Any  # of the Keras backend in use
Weights = tuple[float, float, float, float]

ANCHOR_WEIGHTS: Weights = (1.0, 1.0, 1.0, 1.0)
PROPOSAL_WEIGHTS: Weights = (10.0, 10.0, 5.0, 5.0)
# A box grows 62.5 times at most, 16 pixels to 1000, so that no size overflows.
MAX_LOG_SCALE = math.log(1000.0 / 16.0)


def encode_boxes(boxes: Tensor, references: Tensor, weights: Weights) -> Tensor:
    """Computes the offsets of boxes from their references.

    Args:
        boxes: [..., 4].
        references: [..., 4], with areas.
        weights: Weights of dx, dy, dw, dh.

    Returns:
        [..., 4] (dx, dy, dw, dh).
    """
    centers, sizes = _centers_and_sizes(boxes)
    reference_centers, reference_sizes = _centers_and_sizes(references)
    shifts = (centers - reference_centers) / reference_sizes
    return ops.concatenate([shifts, ops.log(sizes / reference_sizes)], axis=-1) * ops.convert_to_tensor(weights)


def decode_boxes(deltas: Tensor, references: Tensor, weights: Weights) -> Tensor:
    """Computes boxes from their offsets.

    Args:
        deltas: [..., 4] (dx, dy, dw, dh).
        references: [..., 4], or a shape that broadcasts to it.
        weights: Weights of dx, dy, dw, dh.

    Returns:
        [..., 4], not clipped.
    """
    centers, sizes = _centers_and_sizes(references)
    deltas = deltas / ops.convert_to_tensor(weights)
    centers = centers + deltas[..., :2] * sizes
    halves = ops.exp(ops.minimum(deltas[..., 2:], MAX_LOG_SCALE)) * sizes / 2
    return ops.concatenate([centers - halves, centers + halves], axis=-1)


def clip_boxes(boxes: Tensor, image_sizes: Tensor, min_size: float = 0.0) -> Tensor:
    """Cuts boxes at the borders of their images.

    Args:
        boxes: [..., 4].
        image_sizes: [..., 2] (height, width), broadcast against the boxes.
        min_size: Length in pixels that remains, along each axis, of a box beyond the border.
    """
    height, width = (ops.cast(image_sizes[..., axis], "float32") for axis in (0, 1))
    limits = ops.stack([width, height, width, height], axis=-1)
    low = ops.convert_to_tensor([0.0, 0.0, min_size, min_size])
    return ops.minimum(ops.maximum(boxes, low), limits - ops.flip(low, axis=-1))


def has_area(boxes: Tensor) -> Tensor:
    """Returns whether both sides of each box [..., 4] are longer than 0, [...] bool."""
    return ops.all(boxes[..., 2:] > boxes[..., :2], axis=-1)


def _centers_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor]:
    sizes = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + sizes / 2, sizes
