"""From pictures to the network's input: resized, normalised, padded.

Rules of Detectron2's keypoint configurations: the shorter side gets a given length unless the longer one would exceed
its own limit; bilinear filter of Pillow, which widens where it shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from tfpose.models.keypoint_rcnn.settings import SIZE_MULTIPLE, KeypointRcnnSettings

Tensor = Any  # of the Keras backend in use

# Pillow rounds the weights of its filters for uint8 to multiples of this.
_WEIGHT_STEP = 1.0 / (1 << 22)


def resized_size(image_size: Tensor, shortest_edge: int, longest_edge: int) -> Tensor:
    """The size that an image is resized to.

    Args:
        image_size: [..., 2] (height, width) in pixels.
        shortest_edge: length of the shorter side in pixels.
        longest_edge: the longer side is no longer; the aspect ratio stays.

    Returns:
        [..., 2] int32.
    """
    size = ops.cast(image_size, "float64")
    size = size * (shortest_edge / ops.min(size, axis=-1, keepdims=True))
    longest = ops.max(size, axis=-1, keepdims=True)
    size = ops.where(longest > longest_edge, size * (longest_edge / longest), size)
    return ops.cast(ops.floor(size + 0.5), "int32")


def resize_images(images: Tensor, size: Tensor) -> Tensor:
    """Resizes as Pillow does with its bilinear filter: columns first, and rounded after each axis.

    Args:
        images: [B, H, W, 3] uint8 or float in 0..255.
        size: [2] int32 (height, width) of the result.

    Returns:
        [B, height, width, 3] float32, whole numbers in 0..255.
    """
    shape = ops.shape(images)
    # Double precision: sums of products near a half round as in Pillow's whole numbers, also on GPUs.
    x = ops.transpose(ops.cast(images, "float64"), (2, 0, 1, 3))  # [W, B, H, 3]
    x = _resample(x, size[1])
    x = _resample(ops.transpose(x, (2, 1, 0, 3)), size[0])  # [H, B, W, 3]
    x = ops.transpose(x, (1, 0, 2, 3))
    return ops.reshape(ops.cast(x, "float32"), (shape[0], size[0], size[1], shape[3]))


def _resample(x: Tensor, size: Tensor) -> Tensor:
    """Filters the first axis of [N, ...] to `size` and rounds."""
    shape = ops.shape(x)
    weights = _filter_weights(shape[0], size)
    flat = ops.matmul(weights, ops.reshape(x, (shape[0], -1)))
    return ops.reshape(ops.floor(flat + 0.5), (size, *shape[1:]))


def _filter_weights(source_size: Tensor, size: Tensor) -> Tensor:
    """[size, source_size] of a triangle as wide as the larger of the two pixels, on both sides."""
    scale = ops.cast(source_size, "float64") / ops.cast(size, "float64")
    half_width = ops.maximum(scale, ops.ones_like(scale))
    centers = (ops.cast(ops.arange(size), "float64") + 0.5) * scale
    positions = ops.cast(ops.arange(source_size), "float64") + 0.5
    weights = ops.maximum(1.0 - ops.abs(positions - centers[:, None]) / half_width, 0.0)
    weights = weights / ops.sum(weights, axis=1, keepdims=True)
    return ops.floor(weights / _WEIGHT_STEP + 0.5) * _WEIGHT_STEP


def normalize_images(images: Tensor, settings: KeypointRcnnSettings) -> Tensor:
    """[..., 3] red, green, blue in 0..255 -> [..., 3] float32 blue, green, red, without mean and scale."""
    images = ops.flip(ops.cast(images, "float32"), axis=-1)
    mean, std = (ops.convert_to_tensor(values, "float32") for values in (settings.pixel_mean, settings.pixel_std))
    return (images - mean) / std


def pad_images(images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """One batch of normalised images, with zeros to the right and below.

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
    """Images of one size as the network takes them.

    Args:
        images: [B, H, W, 3] uint8, red, green, blue.
        settings: of the network.

    Returns:
        As `pad_images`.
    """
    shape = ops.shape(images)
    size = resized_size(ops.stack(shape[1:3]), settings.shortest_edge, settings.longest_edge)
    normalized = normalize_images(resize_images(images, size), settings)
    return _pad_image(normalized, size), ops.repeat(size[None], shape[0], axis=0)


def _pad_image(images: Tensor, size: Tensor) -> Tensor:
    """[B, H, W, 3] to `size` rounded up."""
    shape = ops.shape(images)
    padded = -(-size // SIZE_MULTIPLE) * SIZE_MULTIPLE
    return ops.pad(images, [[0, 0], [0, padded[0] - shape[1]], [0, padded[1] - shape[2]], [0, 0]])
