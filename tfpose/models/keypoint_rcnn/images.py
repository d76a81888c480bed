"""The network's input from pictures: resized, normalized, padded.

Rules of Detectron2's keypoint configurations: the shorter side gets a given length unless the longer one would exceed
its own limit; bilinear filter of Pillow, which widens where it shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from tfpose.models.keypoint_rcnn.settings import SIZE_MULTIPLE, KeypointRcnnSettings

Tensor = Any  # of the Keras backend in use
Array = Any  # a NumPy array or a tensor

# Pillow rounds the weights of its filters for uint8 to multiples of this.
_WEIGHT_STEP = 1.0 / (1 << 22)


def resized_size(image_size: Array, shortest_edge: int, longest_edge: int, xp: Any = ops) -> Array:
    """Returns the size that an image is resized to.

    Args:
        image_size: [..., 2] (height, width) in pixels.
        shortest_edge: Length of the shorter side in pixels.
        longest_edge: Largest length of the longer side in pixels; the aspect ratio stays.
        xp: Module of functions for the arrays, `keras.ops` or `numpy`.

    Returns:
        [..., 2] int32.

    Example:
        >>> import numpy as np
        >>> resized_size(np.array([427, 640]), 800, 1333, np).tolist()
        [800, 1199]
    """
    size = xp.array(image_size, dtype="float64")
    size = size * (shortest_edge / xp.min(size, axis=-1, keepdims=True))
    longest = xp.max(size, axis=-1, keepdims=True)
    size = xp.where(longest > longest_edge, size * (longest_edge / longest), size)
    # A side of a very long image would vanish.
    return xp.maximum(xp.array(xp.floor(size + 0.5), dtype="int32"), 1)


def resize_factor(image_size: Tensor, shortest_edge: int, longest_edge: int) -> Tensor:
    """Returns the factor by which the original Detectron resizes both axes.

    Args:
        image_size: [..., 2] (height, width) in pixels.
        shortest_edge: Length of the shorter side in pixels.
        longest_edge: Largest length of the longer side in pixels; the aspect ratio stays.

    Returns:
        [...] float64.
    """
    size = ops.cast(image_size, "float64")
    longest = ops.max(size, axis=-1)
    factor = shortest_edge / ops.min(size, axis=-1)
    return ops.where(ops.round(factor * longest) > longest_edge, longest_edge / longest, factor)


def resize_images(images: Tensor, size: Tensor) -> Tensor:
    """Resizes as Pillow does with its bilinear filter: columns first, and rounded after each axis.

    Args:
        images: [B, H, W, 3] uint8 or float in 0..255.
        size: [2] int32 (height, width) of the result.

    Returns:
        [B, height, width, 3] float32, whole numbers in 0..255.
    """
    return ops.cast(_filter_axis(_filter_axis(images, size[1], 2), size[0], 1), "float32")


def interpolate_images(images: Tensor, size: Tensor, factor: Tensor) -> Tensor:
    """Resizes by bilinear interpolation without a filter and without rounding, as OpenCV with one factor.

    Args:
        images: [B, H, W, 3] uint8 or float in 0..255.
        size: [2] int32 (height, width) of the result.
        factor: Factor on both axes; `size` is about that of the images times this.

    Returns:
        [B, height, width, 3] float32.
    """
    columns = _interpolate_axis(images, size[1], factor, 2)
    return ops.cast(_interpolate_axis(columns, size[0], factor, 1), "float32")


def _interpolate_axis(images: Tensor, size: Tensor, factor: Tensor, axis: int) -> Tensor:
    """Interpolates an axis of [B, H, W, 3] between the two nearest pixels, float64; the border is repeated."""
    last = ops.shape(images)[axis] - 1
    positions = (ops.cast(ops.arange(size), "float64") + 0.5) / factor - 0.5
    positions = ops.minimum(ops.maximum(positions, 0.0), ops.cast(last, "float64"))
    first = ops.cast(ops.floor(positions), "int32")
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    share = ops.reshape(positions - ops.cast(first, "float64"), shape)

    def take(places: Tensor) -> Tensor:
        return ops.cast(ops.take(images, places, axis=axis), "float64")

    return take(first) * (1.0 - share) + take(ops.minimum(first + 1, last)) * share


def _filter_axis(images: Tensor, size: Tensor, axis: int) -> Tensor:
    """Filters an axis of [B, H, W, 3] to `size`, float64, and rounds."""
    # Double precision: sums of products near a half round as in Pillow's whole numbers, also on GPUs.
    pixels = ops.cast(images, "float64")
    first, weights = _filter_taps(ops.shape(images)[axis], size)
    last = ops.shape(images)[axis] - 1
    shape = [1, 1, 1, 1]
    shape[axis] = -1

    def weigh(tap: Tensor) -> Tensor:
        places = ops.clip(first + tap, 0, last)
        return ops.take(pixels, places, axis=axis) * ops.reshape(ops.take(weights, tap, axis=1), shape)

    sums = ops.fori_loop(1, ops.shape(weights)[1], lambda tap, sums: sums + weigh(tap), weigh(0))
    return ops.floor(sums + 0.5)


def _filter_taps(source_size: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the filter of each new pixel: a triangle as wide as the larger of both pixels, on each side.

    Returns:
        First old pixel [size] int32 of each filter, which can lie outside, and weights [size, taps] of it and those
        after it.
    """
    scale = ops.cast(source_size, "float64") / ops.cast(size, "float64")
    half_width = ops.maximum(scale, ops.ones_like(scale))
    centers = (ops.cast(ops.arange(size), "float64") + 0.5) * scale
    # The centers of at most so many old pixels lie inside the triangle.
    first = ops.floor(centers - half_width + 0.5)
    taps = ops.arange(ops.cast(ops.ceil(2 * half_width), "int32"))
    positions = first[:, None] + ops.cast(taps, "float64")
    weights = ops.maximum(1.0 - ops.abs(positions + 0.5 - centers[:, None]) / half_width, 0.0)
    is_inside = (positions >= 0) & (positions < ops.cast(source_size, "float64"))
    weights = weights * ops.cast(is_inside, "float64")
    weights = weights / ops.sum(weights, axis=1, keepdims=True)
    return ops.cast(first, "int32"), ops.floor(weights / _WEIGHT_STEP + 0.5) * _WEIGHT_STEP


def normalize_images(images: Tensor, settings: KeypointRcnnSettings) -> Tensor:
    """Converts [..., 3] red, green, blue in 0..255 to [..., 3] float32 blue, green, red, without mean and scale."""
    images = ops.flip(ops.cast(images, "float32"), axis=-1)
    mean, std = (ops.convert_to_tensor(values, "float32") for values in (settings.pixel_mean, settings.pixel_std))
    return (images - mean) / std


def pad_images(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Joins normalized images to one batch, with zeros to the right and below.

    Args:
        images: [H, W, 3] each, of different sizes.

    Returns:
        [B, H, W, 3] with the largest height and width, rounded up to multiples of 32; and the sizes without padding,
        [B, 2] int32 (height, width).
    """
    sizes = ops.stack([ops.cast(ops.stack(ops.shape(image)[:2]), "int32") for image in images])
    largest = ops.max(sizes, axis=0)
    padded = [_pad_image(image[None], largest)[0] for image in images]
    return ops.stack(padded), sizes


def prepare_images(images: Tensor, settings: KeypointRcnnSettings) -> tuple[Tensor, Tensor]:
    """Prepares images of one size for the network.

    Args:
        images: [B, H, W, 3] uint8, red, green, blue.
        settings: Settings of the network.

    Returns:
        As `pad_images`.
    """
    shape = ops.shape(images)
    original, edges = ops.stack(shape[1:3]), (settings.shortest_edge, settings.longest_edge)
    if settings.box_conventions.has_filtered_images:
        size = resized_size(original, *edges)
        resized = resize_images(images, size)
    else:
        factor = resize_factor(original, *edges)
        size = ops.maximum(ops.cast(ops.round(ops.cast(original, "float64") * factor), "int32"), 1)
        resized = interpolate_images(images, size, factor)
    return _pad_image(normalize_images(resized, settings), size), ops.repeat(size[None], shape[0], axis=0)


def _pad_image(images: Tensor, size: Tensor) -> Tensor:
    """Pads images [B, H, W, 3] to `size`, rounded up."""
    shape = ops.shape(images)
    padded = -(-size // SIZE_MULTIPLE) * SIZE_MULTIPLE
    return ops.pad(images, [[0, 0], [0, padded[0] - shape[1]], [0, padded[1] - shape[2]], [0, 0]])
