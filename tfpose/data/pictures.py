"""Crops of people from encoded pictures, with one warp for each crop; only the needed part is decoded.

Decoding is TensorFlow's (JPEG, PNG, BMP, GIF; grayscale and CMYK become RGB), so that the input pipeline and a
SavedModel decode to the same bits. TensorFlow ignores EXIF orientation; the pictures of records are upright and have
none (`data_prep.pictures`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from tfpose import crops, geometry
from tfpose.messages import describe_error

# The pipeline runs one thread per batch; threads inside OpenCV would only compete with them.
cv2.setNumThreads(1)

JPEG_START = b"\xff\xd8\xff"
# libjpeg's accurate transform and smooth chroma: what OpenCV and Pillow do as well.
JPEG_OPTIONS = {"channels": 3, "dct_method": "INTEGER_ACCURATE", "fancy_upscaling": True}


def reduced_size(size: Sequence[Any] | np.ndarray, reduction: int | np.ndarray) -> tuple:
    """Returns the size (height, width) of a picture decoded at 1 / reduction: numbers, or arrays of one shape."""
    return -(-size[0] // reduction), -(-size[1] // reduction)


def decode_window(data: bytes, window: Sequence[int], reduction: int = 1) -> np.ndarray:
    """Decodes a part of an encoded picture.

    Args:
        data: Encoded picture.
        window: (top, left, height, width) in pixels of the reduced picture.
        reduction: One of `crops.DECODE_REDUCTIONS`. A JPEG is decoded at this scale, the pixels of others are averaged.

    Returns:
        [height, width, 3] uint8 RGB.

    Raises:
        tf.errors.InvalidArgumentError: if the data are corrupt or smaller than the window.
    """
    if data.startswith(JPEG_START):
        return tf.io.decode_and_crop_jpeg(data, np.asarray(window, np.int32), ratio=reduction, **JPEG_OPTIONS).numpy()
    image = tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
    top, left, height, width = window
    sides = reduced_size(image.shape, reduction)
    if top + height > sides[0] or left + width > sides[1]:
        raise tf.errors.InvalidArgumentError(
            None, None, f"picture of {image.shape[:2]} is smaller than window {tuple(window)}"
        )
    return image[top : top + height, left : left + width] if reduction == 1 else _mean_pixels(image, window, reduction)


def _mean_pixels(image: np.ndarray, window: Sequence[int], reduction: int) -> np.ndarray:
    """Returns a window of an image at 1 / reduction: means of pixels, mirrored at the end as in `picture_tensors`."""
    top, left, height, width = (reduction * number for number in window)
    pixels = image[top : top + height, left : left + width]
    behind = height - pixels.shape[0], width - pixels.shape[1]
    pixels = cv2.copyMakeBorder(pixels, 0, behind[0], 0, behind[1], cv2.BORDER_REFLECT)
    # In float32: OpenCV rounds the means of uint8 in another way.
    means = cv2.resize(pixels.astype(np.float32), (window[3], window[2]), interpolation=cv2.INTER_AREA)
    return np.rint(means).astype(np.uint8)


def broken_picture(name: str, size: np.ndarray, reason: str) -> ValueError:
    """Returns the error for a picture that cannot be decoded, or whose size is not the (height, width) recorded."""
    height, width = size
    return ValueError(
        f"{name}: cannot decode the picture (truncated, corrupt, or not of {width}x{height} pixels as its record "
        f"says): {reason}"
    )


def cut_crops(
    read_picture: Callable[[int], bytes],
    picture_sizes: np.ndarray,
    picture_of_crop: np.ndarray,
    crop_from_image: np.ndarray,
    crop_size: tuple[int, int],
    describe: Callable[[int], str] = str,
    reduces_images: bool = True,
) -> np.ndarray:
    """Cuts people out of encoded pictures; every picture is decoded once per scale, no more of it than is needed.

    Args:
        read_picture: Function from an index to the encoded picture.
        picture_sizes: [N, 2] (height, width) of the picture of each crop.
        picture_of_crop: [N] index for `read_picture`.
        crop_from_image: [N, 2, 3] from image to crop pixels.
        crop_size: (height, width) in pixels.
        describe: Function from an index to the name of the picture in error messages.
        reduces_images: See `crops.CropSettings`.

    Returns:
        [N, height, width, 3] uint8 RGB.

    Raises:
        ValueError: naming a picture that cannot be decoded or has another size than its record says.
    """
    result = np.empty((len(picture_of_crop), *crop_size, 3), np.uint8)
    pictures, place = np.unique(picture_of_crop, return_inverse=True)
    data = [read_picture(picture) for picture in pictures]
    crop_from_image = np.asarray(crop_from_image, np.float64)
    reductions = _compiled_reduction(reduces_images)(crop_from_image).numpy()
    sources = _crop_from_reduced(crop_from_image, reductions)
    sizes = np.stack(reduced_size(np.asarray(picture_sizes).T, reductions), axis=1)
    windows = crops.source_windows(sources, crop_size, sizes)
    groups: dict[tuple[int, int], list[int]] = {}
    for row, key in enumerate(zip(place.tolist(), reductions.tolist(), strict=True)):
        groups.setdefault(key, []).append(row)
    for (number, reduction), rows in groups.items():
        window = _enclosing_window(windows[rows])
        try:
            picture = decode_window(data[number], window, reduction)
        except tf.errors.InvalidArgumentError as error:
            raise broken_picture(describe(pictures[number]), picture_sizes[rows[0]], describe_error(error)) from error
        corner = np.array([window[1], window[0]], np.float64)
        for row in rows:
            matrix = sources[row]
            matrix[:, 2] += matrix[:, :2] @ corner
            result[row] = geometry.warp_image(picture, matrix, crop_size)
    return result


def _crop_from_reduced(crop_from_image: np.ndarray, reductions: np.ndarray) -> np.ndarray:
    """Returns the matrices [N, 2, 3] float64 from pictures decoded at 1 / reductions [N] to crops."""
    sources = np.array(crop_from_image, np.float64)
    is_reduced = reductions > 1
    if is_reduced.any():
        to_full = np.stack([_image_from_reduced(reduction) for reduction in reductions[is_reduced].tolist()])
        sources[is_reduced] = geometry.compose_arrays(sources[is_reduced], to_full)
    return sources


@functools.cache
def _compiled_reduction(reduces_images: bool) -> Callable[[np.ndarray], tf.Tensor]:
    # Its ten small operations, one by one from Python, took a seventh of a training crop's time.
    def compute(crop_from_image: tf.Tensor) -> tf.Tensor:
        return crops.decode_reduction(crop_from_image, reduces_images)

    return tf.function(compute, input_signature=[tf.TensorSpec([None, 2, 3], tf.float64)], autograph=False)


@functools.cache
def _image_from_reduced(reduction: int) -> np.ndarray:
    return np.asarray(crops.image_from_reduced(np.array([reduction])))[0]


def _enclosing_window(windows: np.ndarray) -> tuple[int, int, int, int]:
    """Returns the smallest window (top, left, height, width) around windows [N, 4]."""
    top, left = windows[:, :2].min(axis=0).tolist()
    bottom, right = (windows[:, :2] + windows[:, 2:]).max(axis=0).tolist()
    return top, left, bottom - top, right - left
