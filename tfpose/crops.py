"""Crops: the map from a person's box to the normalized picture that the network sees.

One affine matrix per person carries margin, aspect ratio, scale, rotation and mirroring, for training, evaluation
and serving alike. `decode_reduction` and `source_windows` say which part of an encoded picture it needs, at which
scale. Conventions: geometry.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from keras import backend, ops

from tfpose import geometry

Array = Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Scales at which a JPEG can be decoded directly (libjpeg's DCT scaling).
DECODE_REDUCTIONS = (1, 2, 4, 8)


@dataclasses.dataclass(frozen=True)
class CropSettings:
    """The settings that turn a box into a crop.

    The box grows by `margin_pixels` on every side (60 in Honda et al., 2018), then its short side until it has the
    aspect ratio of the crop, then by `margin_scale` as a whole (1.25 in Xiao et al., 2018). Its center falls on
    (width / 2, height / 2) of the crop.

    Attributes:
        crop_size: (height, width) of the crop in pixels.
        margin_pixels: Margin on every side, in image pixels.
        margin_scale: Factor on both sides of the box.
        keep_aspect: Whether the picture keeps its aspect ratio; False stretches the box to the crop instead.
        convention: 'stride', or 'udp', which counts sizes from the first to the last pixel center (Huang et al.,
            2020), or 'paddle', which cuts crops like 'udp' and reads heatmaps as `geometry.heatmap_from_crop` says.
        clips_annotated_boxes: Whether annotated boxes are clipped as `clip_annotated` says. Boxes of detectors and of
            files never are.
        reduces_images: Whether a crop that shows the image at less than half its size is cut from a reduced image, see
            `decode_reduction`. False interpolates between the four nearest pixels at any scale, as OpenCV does in the
            public code of most networks: slower, and exactly their published scores.
    """

    crop_size: tuple[int, int]
    margin_pixels: float = 0.0
    margin_scale: float = 1.0
    keep_aspect: bool = True
    convention: str = "stride"
    clips_annotated_boxes: bool = False
    reduces_images: bool = True

    def clip_annotated(self, boxes: np.ndarray, image_sizes: np.ndarray) -> np.ndarray:
        """Clips annotated boxes to their images, if the settings say so.

        The public code of Xiao et al., 2018, and PaddleDetection clip to the last pixel, and take a pixel off width and
        height. Their published scores with annotated boxes depend on it.

        Args:
            boxes: [P, 4] xyxy in image pixels.
            image_sizes: [P, 2] (height, width) of the image of each box.

        Returns:
            [P, 4] float64.
        """
        boxes = np.asarray(boxes, np.float64)
        if not self.clips_annotated_boxes:
            return boxes
        first = np.maximum(boxes[:, :2], 0)
        extent = np.maximum(boxes[:, 2:] - boxes[:, :2] - 1, 0)
        last = np.minimum(first + extent, np.asarray(image_sizes)[:, ::-1] - 1)
        return np.concatenate([first, last], axis=1)

    def matrices(
        self, boxes: Array, *, scales: Array = 1.0, rotations_degrees: Array = 0.0, is_mirrored: Array = False
    ) -> Array:
        """Returns the affine maps that cut people out of an image.

        Args:
            boxes: [P, 4] xyxy in image pixels; sides shorter than a pixel count as one.
            scales: [P] or one number; 1.3 shows a region 1.3 times as large.
            rotations_degrees: [P] or one number; the region turns by this angle from x towards y.
            is_mirrored: [P] or one boolean; True mirrors the crop left to right.

        Returns:
            [P, 2, 3] from image to crop coordinates, in float64 for float64 boxes, else in float32.
        """
        dtype = "float64" if backend.standardize_dtype(boxes.dtype) == "float64" else "float32"
        boxes = ops.cast(boxes, dtype)
        height, width = self.crop_size
        extent = 1.0 if self.convention in ("udp", "paddle") else 0.0
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        sides = ops.maximum(boxes[:, 2:] - boxes[:, :2], 1.0) + 2 * self.margin_pixels
        widths, heights = sides[:, 0], sides[:, 1]
        if self.keep_aspect:
            widths, heights = (
                ops.maximum(widths, heights * (width / height)),
                ops.maximum(heights, widths * (height / width)),
            )
        factors = self.margin_scale * ops.cast(scales, dtype)
        zoom_x = (width - extent) / (widths * factors)
        zoom_y = (height - extent) / (heights * factors)
        angles = ops.cast(rotations_degrees, dtype) * (np.pi / 180) + ops.zeros_like(widths)
        cos, sin = ops.cos(angles), ops.sin(angles)
        linear = ops.stack(
            [zoom_x * cos, zoom_x * sin, -zoom_y * sin, zoom_y * cos],
            axis=-1,
        )
        linear = ops.reshape(linear, (-1, 2, 2))
        target = np.array([(width - extent) / 2, (height - extent) / 2], dtype)
        offsets = target[:, None] - geometry.multiply(linear, centers[..., None])
        matrices = ops.concatenate([linear, offsets], axis=-1)
        return _mirror_rows(matrices, is_mirrored, width)


@dataclasses.dataclass(frozen=True)
class Normalization:
    """The normalization of the network's input; `normalize_crops` explains the fields."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    channel_order: str = "rgb"

    def __call__(self, crops: Array) -> Array:
        """Normalizes images [..., 3] uint8 to [..., 3] float32."""
        return normalize_crops(crops, self.mean, self.std, self.channel_order)


def decode_reduction(crop_from_image: Array, reduces_images: bool = True) -> Array:
    """Returns the largest of `DECODE_REDUCTIONS` that leaves every crop pixel at least one decoded pixel.

    A crop that shows the image at less than half its size is cut from a picture decoded at half its size, and so on.
    That is cheaper, and free of the aliasing of a bilinear warp. Of pictures that cannot be decoded so, such as PNGs,
    pixels are averaged.

    Args:
        crop_from_image: [P, 2, 3].
        reduces_images: Whether the picture may be reduced at all.

    Returns:
        [P] int32.
    """
    linear = crop_from_image[:, :, :2]
    zooms = ops.sqrt(ops.max(ops.sum(ops.square(linear), axis=-1), axis=-1))
    # A hair's breadth so that an exact half counts as a half in float32.
    levels = ops.floor(-ops.log2(zooms) + 1e-4)
    # Not-a-number is the map of a picture whose damaged header has no size: decoding it says what is wrong.
    levels = ops.nan_to_num(levels)
    return ops.cast(2 ** ops.clip(levels, 0, len(DECODE_REDUCTIONS) - 1 if reduces_images else 0), "int32")


def image_from_reduced(reductions: Array) -> Array:
    """Returns the maps from pixels of pictures decoded at 1 / reduction to those of the full pictures.

    Pixel i of the reduced picture is the mean of pixels r i ... r i + r - 1, so its center is at r i + (r - 1) / 2.

    Args:
        reductions: [P].

    Returns:
        [P, 2, 3] float32.
    """
    r = ops.cast(reductions, "float32")
    zero, shift = ops.zeros_like(r), (r - 1) / 2
    rows = ops.stack([r, zero, shift, zero, r, shift], axis=-1)
    return ops.reshape(rows, (-1, 2, 3))


def source_windows(
    crop_from_source: np.ndarray, crop_size: tuple[int, int], source_size: tuple[int, int] | np.ndarray
) -> np.ndarray:
    """Returns the smallest rectangles of pixels from which crops can be interpolated.

    Args:
        crop_from_source: [P, 2, 3].
        crop_size: (height, width) of the crops.
        source_size: (height, width) of the picture, or [P, 2] for each crop.

    Returns:
        [P, 4] int64 (top, left, height, width), inside the picture, at least one pixel each.
    """
    height, width = crop_size
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]])
    offsets = corners.T - crop_from_source[:, :, 2:]
    points = np.linalg.solve(crop_from_source[:, :, :2], offsets).swapaxes(1, 2)
    limits = np.asarray(source_size)[..., ::-1] - 1
    low = np.clip(np.floor(points.min(axis=1)) - 1, 0, limits).astype(np.int64)
    high = np.clip(np.ceil(points.max(axis=1)) + 1, 0, limits).astype(np.int64)
    return np.stack([low[:, 1], low[:, 0], *(high - low + 1).T[::-1]], axis=-1)


def normalize_crops(
    crops: Array,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
    channel_order: str = "rgb",
) -> Array:
    """Normalizes pictures for the network.

    Args:
        crops: [..., 3] uint8, RGB.
        mean: Mean of pixel values / 255 for each channel, in the channel order of the network.
        std: Standard deviation of pixel values / 255 for each channel, in the same order.
        channel_order: Channel order of the network, 'rgb' or 'bgr' (the weights of Xiao et al., 2018).

    Returns:
        [..., 3] float32, in the channel order of the network.

    Raises:
        ValueError: The channel order is unknown.
    """
    if channel_order not in ("rgb", "bgr"):
        raise ValueError(f"channel_order must be 'rgb' or 'bgr', got {channel_order!r}")
    if channel_order == "bgr":
        crops = ops.flip(crops, axis=-1)
    means, stds = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    factors, offsets = 1 / (255 * stds), means / stds
    width = crops.shape[-2]
    if width is None:
        return ops.cast(crops, "float32") * factors - offsets
    # A row at a time: TensorFlow takes four times as long to repeat three numbers for each pixel.
    rows = ops.cast(ops.reshape(crops, (-1, 3 * width)), "float32")
    return ops.reshape(rows * np.tile(factors, width) - np.tile(offsets, width), ops.shape(crops))


def _mirror_rows(matrices: Array, is_mirrored: Array, width: int) -> Array:
    sign = 1.0 - 2.0 * ops.cast(is_mirrored, matrices.dtype) + ops.zeros_like(matrices[:, 0, 0])
    first_row = matrices[:, 0] * sign[:, None]
    shift = (width - 1) * (1.0 - sign) / 2
    first_row = first_row + ops.stack([shift * 0, shift * 0, shift], axis=-1)
    return ops.stack([first_row, matrices[:, 1]], axis=1)
