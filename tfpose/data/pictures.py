"""From encoded pictures to the crops of people: decoding only what is needed, one warp each.

Decoding is TensorFlow's (JPEG, PNG, BMP, GIF; grayscale and CMYK become RGB; EXIF orientation is ignored, as the
annotations of COCO and PoseTrack do), so that the input pipeline and a SavedModel decode to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import tensorflow as tf

from tfpose import crops, geometry

# The pipeline runs one thread per batch; threads inside OpenCV would only compete with them.
cv2.setNumThreads(1)

JPEG_START = b"\xff\xd8\xff"
# libjpeg's accurate transform and smooth chroma: what OpenCV and Pillow do as well.
JPEG_OPTIONS = {"channels": 3, "dct_method": "INTEGER_ACCURATE", "fancy_upscaling": True}


def reduced_size(size: tuple[int, int], reduction: int) -> tuple[int, int]:
    """(height, width) of a JPEG decoded at 1 / reduction."""
    return -(-size[0] // reduction), -(-size[1] // reduction)


def decode_window(data: bytes, window: Sequence[int], reduction: int = 1) -> np.ndarray:
    """A part of an encoded picture.

    Args:
        data: the encoded picture.
        window: (top, left, height, width) in pixels of the reduced picture.
        reduction: one of `crops.DECODE_REDUCTIONS`; for JPEG only.

    Returns:
        [height, width, 3] uint8 RGB.

    Raises:
        tf.errors.InvalidArgumentError: if the data are corrupt or smaller than the window.
    """
    if data.startswith(JPEG_START):
        return tf.io.decode_and_crop_jpeg(data, [int(side) for side in window], ratio=reduction, **JPEG_OPTIONS).numpy()
    image = tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
    top, left, height, width = window
    part = image[top : top + height, left : left + width]
    if part.shape[:2] != (height, width):
        raise tf.errors.InvalidArgumentError(
            None, None, f"picture of {image.shape[:2]} is smaller than window {tuple(window)}"
        )
    return part


def cut_crops(
    read_picture: Callable[[int], bytes],
    picture_sizes: np.ndarray,
    picture_of_crop: np.ndarray,
    crop_from_image: np.ndarray,
    crop_size: tuple[int, int],
    describe: Callable[[int], str] = str,
) -> np.ndarray:
    """Cuts people out of encoded pictures; every picture is decoded once per scale, no more of it than is needed.

    Args:
        read_picture: gives the encoded picture of an index.
        picture_sizes: [N, 2] (height, width) of the picture of each crop.
        picture_of_crop: [N] index for `read_picture`.
        crop_from_image: [N, 2, 3] from image to crop pixels.
        crop_size: (height, width).
        describe: names a picture in error messages.

    Returns:
        [N, height, width, 3] uint8 RGB.

    Raises:
        ValueError: naming a picture that cannot be decoded or has another size than its record says.
    """
    result = np.empty((len(picture_of_crop), *crop_size, 3), np.uint8)
    reductions = np.asarray(crops.decode_reduction(crop_from_image))
    for picture in np.unique(picture_of_crop):
        rows = np.flatnonzero(picture_of_crop == picture)
        data = read_picture(picture)
        is_jpeg = data.startswith(JPEG_START)
        scale = reductions[rows] if is_jpeg else np.ones_like(rows)
        size = tuple(picture_sizes[rows[0]])
        for reduction in np.unique(scale):
            chosen = rows[scale == reduction]
            try:
                _cut_at_scale(result, chosen, data, size, int(reduction), crop_from_image)
            except tf.errors.InvalidArgumentError as error:
                raise ValueError(
                    f"{describe(picture)}: cannot decode the picture (truncated, corrupt, or not of "
                    f"{size[1]}x{size[0]} pixels as its record says): {error.message.splitlines()[0]}"
                ) from error
    return result


def _cut_at_scale(
    result: np.ndarray,
    rows: np.ndarray,
    data: bytes,
    size: tuple[int, int],
    reduction: int,
    crop_from_image: np.ndarray,
) -> None:
    crop_size = result.shape[1:3]
    source = np.array(crop_from_image[rows], np.float64)
    if reduction > 1:
        to_full = np.asarray(crops.image_from_reduced(np.array([reduction])), np.float64)
        source = np.array(geometry.compose(source, to_full))
    windows = crops.source_windows(source, crop_size, reduced_size(size, reduction))
    top_left = windows[:, :2].min(axis=0)
    bottom_right = (windows[:, :2] + windows[:, 2:]).max(axis=0)
    picture = decode_window(data, (*top_left, *(bottom_right - top_left)), reduction)
    shift = source[:, :, :2] @ np.array([top_left[1], top_left[0]], np.float64)
    source[:, :, 2] += shift
    for row, matrix in zip(rows, source, strict=True):
        result[row] = geometry.warp_image(picture, matrix, crop_size)
